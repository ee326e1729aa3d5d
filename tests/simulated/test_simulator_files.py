"""Local files that go to the simulated vendors, in forms and as uploads."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import pytest
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from support.server import (
    BODIES,
    CREATES,
    Submit,
    calls,
    example,
    members,
    named,
    new_simulator,
    send,
)

BOUNDARY: Final = "polyreel-boundary"
NASTY_FILES: Final = [
    b"",
    b"\x00\xff" * 100,
    b"\r\n\r\n--\r\n",
    b"\r\n--polyreel-boundar\r\n\r\n",
    b"\r\n--polyreel-boundaryy\r\n\r\n",
    b"\r\n--polyreel-boundary-\r\n",
    b"\n--polyreel-boundary\r\n",
    b"--polyreel-boundary--\r\n",
    b'\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nnot this',
    b"\r\n" * 50,
]


def form(parts: list[tuple[str, Any]]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form as httpx writes it."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    request = httpx.Request("POST", "https://example.com", files=parts, headers=headers)
    return request.read(), dict(request.headers)


def media_places(provider: Provider, schema: str) -> set[str]:
    return {
        name
        for name, child in provider.contract.schema(schema)["properties"].items()
        if "x-polyreel-media" in child
    }


def as_parts(one: Submit, file: bytes) -> list[tuple[str, Any]]:
    """A JSON body as a form: every second medium as a file, the others as URLs, the rest as
    text.
    """
    places = media_places(one.provider, one.reading.route.schema)
    parts: list[tuple[str, Any]] = []
    for name, value in one.body.items():
        for item in value if isinstance(value, list) else [value]:
            if name in places and len(parts) % 2 == 0:
                parts.append((name, ('a "b" \u00fc;.png', file, "image/png")))
            else:
                parts.append((name, (None, item if isinstance(item, str) else json.dumps(item))))
    return parts


FORMS: Final = [one for one in BODIES if one.operation.takes_files]


@pytest.mark.matrix("file", "one.provider.id+one.reading.route.workflow", "one.reading.route.model")
@pytest.mark.parametrize("one", FORMS, ids=named)
@pytest.mark.parametrize("file", NASTY_FILES, ids=range(len(NASTY_FILES)))
def test_local_files_travel_in_a_form(one: Submit, file: bytes) -> None:
    """A form is its JSON twin: numbers and booleans as text, lists as repeated parts, any files
    beside URLs.
    """
    simulator = new_simulator()
    content, headers = form(as_parts(one, file))
    reply = send(simulator, one.provider, one.operation, content, headers=headers)
    assert reply.ok, reply.content
    (task,) = simulator.tasks.values()
    places = media_places(one.provider, one.reading.route.schema)
    assert task.body.keys() == one.body.keys()
    for name, value in one.body.items():
        assert type(task.body[name]) is type(value)
        if name in places:
            assert len(str(value).split(",")) == len(str(task.body[name]).split(","))
        else:
            assert task.body[name] == value


@pytest.mark.parametrize(
    ("provider", "operation"), [pair for pair in CREATES if pair[1].takes_files], ids=named
)
def test_a_broken_form_is_refused(provider: Provider, operation: Operation) -> None:
    """Cut off, without boundary or names, text that is no text, two values for one field: the
    vendor's own error.
    """
    simulator, one = new_simulator(), example(provider, operation)
    content, headers = form(as_parts(one, b"file"))
    assert send(simulator, provider, operation, content, headers=headers).ok
    twice, _ = form([*as_parts(one, b"file"), ("prompt", (None, "another"))])
    crowded, _ = form([*as_parts(one, b"file"), *[("more", (None, "x"))] * 1001])
    deep, _ = form(
        [("prompt", (None, "x")), ("duration", (None, "[" * 100_000)), ("n", (None, "[" * 100_000))]
    )
    name, cut = f'name="{next(iter(one.body))}"'.encode(), len(content) // 2
    broken = [
        b"",
        content[:cut],
        content[:-4],
        content.replace(name, b""),
        content.replace(b"\r\n\r\n", b"\r\n"),
    ]
    broken += [
        content.replace(b"\r\n\r\n", b"\r\n\r\n\xff"),
        twice,
        crowded,
        deep,
        b"--polyreel-boundary--\r\n",
    ]
    for index, bad in enumerate(broken):
        assert send(simulator, provider, operation, bad, headers=headers).status == 400, index
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
    ):
        assert (
            send(simulator, provider, operation, content, headers={"content-type": kind}).status
            == 400
        )
    assert simulator.bill.count() == 1


UPLOADS: Final = [
    case
    for case in calls("upload", "upload-base64", "upload-url")
    if "x-polyreel-upload" not in case[1].spec  # there the file comes later: see below
]


def uploading(provider: Provider, operation: Operation) -> tuple[Any, dict[str, str]]:
    """Content and headers of a documented upload."""
    if operation.request_examples:
        return next(iter(operation.request_examples.values())), {}
    return form(
        [
            ("file", ("cat.png", b"\x89PNG\r\n" + b"\x00" * 94, "image/png")),
            ("upload_path", (None, "cats")),
        ]
    )


@pytest.mark.parametrize(("provider", "operation"), UPLOADS, ids=named)
def test_an_uploaded_file_can_be_used(provider: Provider, operation: Operation) -> None:
    """Every upload has a URL of its own, which a submit then takes as an input."""
    simulator = new_simulator()
    content, headers = uploading(provider, operation)
    replies = [send(simulator, provider, operation, content, headers=headers) for _ in range(2)]
    reported = [members(json.loads(reply.content)) for reply in replies]
    links = [
        sorted({value for _, value in one if str(value).startswith("https://")}) for one in reported
    ]
    assert [reply.status for reply in replies] == [200, 200]
    assert len(links[0]) == len(links[1]) == 1
    assert links[0] != links[1]
    one = next(
        one
        for one in BODIES
        if one.provider is provider and "reference_images" in one.reading.request
    )
    place = one.reading.route.by_name["reference_images"].places[0]
    assert send(simulator, provider, one.operation, {**one.body, place: links[0]}).ok
    assert simulator.bill.count() == 1


@pytest.mark.parametrize(("provider", "operation"), UPLOADS, ids=named)
def test_an_upload_tells_what_arrived(provider: Provider, operation: Operation) -> None:
    """Name, type and size are the file's; what is no file is refused in the file host's own
    shape.
    """
    simulator = new_simulator()
    content, headers = uploading(provider, operation)
    reported = dict(
        members(json.loads(send(simulator, provider, operation, content, headers=headers).content))
    )
    given = (
        content if isinstance(content, dict) else {"file_name": "cat.png", "upload_path": "cats"}
    )
    for name in ("file_name", "upload_path"):
        assert reported[name] == given[name]
    assert reported["mime_type"] == "image/png"
    if operation.role != "upload-url":
        assert reported["file_size"] == {"upload": 100, "upload-base64": 8}[operation.role]
    empty, form_headers = form([("other", (None, "x"))])
    text, _ = form([("file", (None, "not a file"))])
    latin, _ = form([("file", ("cat.png", b"x", "image/png")), ("upload_path", (None, b"caf\xe9"))])
    json_headers = {"content-type": "application/json"}
    wrong = [
        (b"", json_headers),
        (b"{}", json_headers),
        (b"[]", json_headers),
        (empty, form_headers),
        (text, form_headers),
        (latin, form_headers),
    ]
    wrong += [(b'{"base64_data": "%%%"}', json_headers), (b'{"file_url": "ftp://x"}', json_headers)]
    for bad, kind in wrong:
        assert send(simulator, provider, operation, bad, headers=kind).status == 400


@pytest.mark.parametrize(
    "provider",
    [one for one, call in calls("upload") if "to" in call.spec.get("x-polyreel-upload", {})],
    ids=lambda one: str(one.id),
)
def test_a_file_is_taken_at_the_link_that_an_upload_gives(provider: Provider) -> None:
    """Each upload has a link of its own, by which a submit names the file."""
    simulator, operation = new_simulator(), provider.contract.operation("upload")
    assert operation
    facts, asked = operation.spec["x-polyreel-upload"], uploading(provider, operation)[0]
    told = [json.loads(send(simulator, provider, operation, asked).content) for _ in range(2)]
    assert told[0][facts["to"]] != told[1][facts["to"]]
    for link in (one[facts["to"]] for one in told):
        target = link.partition(provider.id)[2]
        assert simulator.handle(provider.id, "PUT", target, {}, b"\x89PNG\r\n").status == 200
        assert not simulator.handle(provider.id, "GET", target, {}).ok  # it is not kept
    wrong_bodies: list[Any] = [{}, {**asked, facts["name"]: 5}, []]
    for wrong in wrong_bodies:
        assert not send(simulator, provider, operation, wrong).ok
    # Where it is to be kept is not said.
    assert not send(simulator, provider, operation, asked, path=operation.path).ok
    assert simulator.bill.count() == 0
