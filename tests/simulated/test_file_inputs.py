"""Local files: they get to the vendor, or are refused, and their names stay at home."""

import base64
import email
import email.policy
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel.errors import NeverSentError, PolyreelError
from polyreel.mapping import media
from polyreel.mapping.reports import MappingReport, Problem
from polyreel.mapping.rows import Field
from polyreel.plans.attachments import Attachments
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.faults import (
    FILES,
    KINDS,
    VENDORS,
    Clients,
    Kind,
    every_kind,
    every_vendor,
    plans,
    save,
)
from support.pictures import not_in_formats

TAKERS = [vendor for vendor in VENDORS if get_provider(vendor).files != "none"]


def inputs(vendor: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every media field in every example request the vendor serves."""
    for name, made in plans(vendor).items():
        for field in media.FIELDS:
            if field in made.request:
                yield name, field, made.request


def with_input(request: Mapping[str, Any], field: str, value: str) -> dict[str, Any]:
    """The request with another input in one field."""
    return {
        **request,
        field: [value, *request[field][1:]] if isinstance(request[field], list) else value,
    }


CASES = [
    (vendor, name, field, request) for vendor in VENDORS for name, field, request in inputs(vendor)
]
every_input = pytest.mark.parametrize(
    ("vendor", "field", "request_"),
    [(vendor, field, request) for vendor, _, field, request in CASES],
    ids=["-".join(case[:3]) for case in CASES],
)


class Ear(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Keeps the requests on their way to the simulator."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.received: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.received.append(request)
        response: httpx.Response = self.inner.handle_request(request)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.received.append(request)
        response: httpx.Response = await self.inner.handle_async_request(request)
        return response


def submitted(made: Plan, kind: Kind) -> list[httpx.Request]:
    """The requests of an accepted submit."""
    with Clients() as pair:
        client = pair.by_kind[kind]
        client.wire.transport = ear = Ear(client.wire.transport)
        job = pair.do(kind, "submit", made)
        assert job.status == "queued"
        assert client.simulator is not None
        assert client.simulator.bill.count() == 1
    return ear.received


def form(request: httpx.Request) -> list[tuple[str, str | None, str, bytes]]:
    """The parts of a multipart body: name, file name, media type, bytes."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    message = email.message_from_bytes(head + request.content, policy=email.policy.HTTP)
    parts = []
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        parts.append((name, part.get_filename(), part.get_content_type(), payload))
    return parts


def check_sent(made: Plan, content: bytes, content_type: str, kind: Kind) -> None:
    """The file arrived as it was, in the way the vendor takes files, and its name stayed at
    home.
    """
    *uploads, paid = submitted(made, kind)
    assert str(paid.url) == made.url
    carrier = paid
    if made.provider.files == "upload":
        *_, carrier = uploads
        assert content not in paid.content
        assert re.search(rb'"[a-z]+://[^"]+"', paid.content)
        assert not any(str(upload.path).encode() in paid.content for upload in made.uploads)
    else:
        assert uploads == []
    if carrier.method == "PUT":  # to a link that the vendor gave
        assert (carrier.headers["content-type"], carrier.content) == (content_type, content)
        return
    files = [part for part in form(carrier) if part[1] is not None]
    assert [(part[2], part[3]) for part in files] == [(content_type, content)]
    suffix, own = media.SUFFIXES[content_type], hashlib.sha256(content).hexdigest()[:32]
    assert files[0][1] in {f"file{suffix}", f"{own}{suffix}"}


def test_the_examples_have_every_field() -> None:
    """No media field that some vendor sells goes untested."""
    routes = [route for vendor in VENDORS for route in get_provider(vendor).routes]
    sold = {row.shared for route in routes for row in route.rows if isinstance(row, Field)}
    assert {field for _, _, field, _ in CASES} == media.FIELDS.keys() & sold


@pytest.mark.matrix("vendor+content_type", "field+content_type")
@every_input
@pytest.mark.parametrize("content_type", FILES)
def test_a_local_file_gets_there_or_is_refused(
    vendor: VendorId, field: str, request_: Any, content_type: str, tmp_path: Path
) -> None:
    """Uploaded, sent along, or refused with the reason, in every media field, of every type."""
    kind = media.FIELDS[field]
    made = plan(with_input(request_, field, str(save(tmp_path, content_type))), vendor)
    provider = get_provider(vendor)
    if not content_type.startswith(kind):
        (violation,) = made.violations
        assert violation.field == field
        assert "is not a" in violation.message
    elif provider.files == "none" or kind not in provider.file_kinds:
        (violation,) = made.violations
        assert violation.field == field
        assert provider.file_note in violation.message
        assert violation.limit == "an http(s) URL"
    elif not_in_formats(made, field, content_type):
        (violation,) = made.violations
        assert violation.field == field
        assert f"the file is {content_type}" in violation.message
        assert violation.limit.startswith("only ")
    else:
        assert made.violations == ()
        check_sent(made, FILES[content_type], content_type, "blocking")


@every_kind
@pytest.mark.parametrize("vendor", TAKERS)
def test_a_file_reaches_its_field(vendor: VendorId, kind: Kind, tmp_path: Path) -> None:
    """A prompt that reads like the file's name stays a prompt; a file given twice goes twice."""
    path = str(save(tmp_path, "image/png"))
    made = plan({"prompt": path, "first_frame": path, "last_frame": path}, vendor).check()
    *_, paid = submitted(made, kind)
    if made.provider.files == "multipart":
        texts = {name: content for name, file, _, content in form(paid) if file is None}
        assert texts["prompt"] == path.encode()
        assert sum(file is not None for _, file, _, _ in form(paid)) == 2
    else:
        body = json.loads(paid.content)
        assert made.route is not None
        (text,) = made.route.by_name["prompt"].places
        assert body[text] == path
        assert path not in [value for name, value in body.items() if name != text]


NAMES = [
    "ünï cödé",
    "名前 🌧",
    "  blanks  ",
    "-rf",
    "100%25",
    "a;b=c&d",
    "a'b`c$d",
    "#hash",
    "?query",
    "back\\slash",
    "x" * 200,
    'quo"te',
    'quo"; filename="evil',
    "new\nline",
    "a\r\nX-Evil: 1\r\n\r\nbody",
    "tab\there",
    "\x1b[31mred",
    "--boundary",
]


@pytest.mark.matrix("vendor+kind", "name")
@every_kind
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("vendor", TAKERS)
def test_the_name_of_a_file_stays_at_home(
    vendor: VendorId, name: str, kind: Kind, tmp_path: Path
) -> None:
    """Whatever a file is called, nothing of it gets into headers, and the vendor does not
    learn it.
    """
    path = save(tmp_path, "image/png", name)
    made = plan({"prompt": "it moves", "first_frame": str(path)}, vendor).check()
    check_sent(made, FILES["image/png"], "image/png", kind)
    requests = submitted(made, kind)
    assert all(name.encode() not in request.content for request in requests)
    assert not any("x-evil" in request.headers for request in requests)


@every_kind
@pytest.mark.parametrize("vendor", TAKERS)
def test_home_and_relative_paths(
    vendor: VendorId, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the home folder; a plain name is in the current one."""
    path = save(tmp_path, "image/jpeg", "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for spelled in (f"~/{path.name}", path.name, f"./{path.name}", str(path)):
        check_sent(
            plan({"prompt": "x", "first_frame": spelled}, vendor).check(),
            FILES["image/jpeg"],
            "image/jpeg",
            kind,
        )


def refuse_to_open(*_: Any, **__: Any) -> Any:
    raise PermissionError(errno.EACCES, "Permission denied")


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "input.png"
    path.write_bytes(content)
    return path


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


BAD_INPUTS: dict[str, tuple[str | Callable[[Path], Path], str]] = {
    "missing": ("no/such/file.png", "no such file: no/such/file.png"),
    "directory": (lambda folder: folder, "not a file"),
    "empty-file": (lambda folder: _write(folder, b""), "is empty"),
    "text": (lambda folder: _write(folder, b"hello, world"), "is not a JPEG, PNG or WebP image"),
    "short": (lambda folder: _write(folder, b"\x89PN"), "is not a JPEG"),
    "heic": (
        lambda folder: _write(folder, b"\x00\x00\x00\x18ftypheic" + b"x" * 99),
        "is not a JPEG",
    ),
    "wrong-kind": (lambda folder: save(folder, "video/mp4"), "is not a JPEG, PNG or WebP image"),
    "pipe": (_pipe, "not a file"),
    "windows": ("C:\\x.png", "no such file: C:\\x.png"),
    "windows-slash": ("C:/x.png", "no such file"),
    "unc": ("\\\\host\\share\\x.png", "no such file"),
    "nul": ("a\x00b.png", "no such file: a?b.png"),
    "nul-user": ("~\x00/x.png", "not a file name: ~?/x.png"),
    "too-long": ("x" * 5000, "File name too long"),
    "base64": (
        "iVBORw0KGgo" * 1000,
        "Base64 text of a file (image/png) that is not whole: it ends",
    ),
    "base64-other": (
        base64.b64encode(b"GIF89a" * 1000).decode(),
        "File name too long; if it is Base64, it is not that of a JPEG, PNG or WebP image",
    ),
    "base64-other-short": (base64.b64encode(b"GIF89a/" * 20).decode(), "; if it is Base64, it is"),
    "nobody": ("~nobody-by-this-name/x.png", "no such file"),
    "data": (
        "data:image/png;base64,iVBORw0KGgo=",
        "a data: URL of a file (image/png) that is not whole: it ends",
    ),
    "data-upper": (
        "DATA:image/png;base64,iVBORw0KGgo=",
        "a data: URL of a file (image/png) that is not whole: it ends",
    ),
    "data-empty": ("data:", "a data: URL without any content that can be read"),
    "data-text": ("data:,hello%2C%20world", "a data: URL of 12 bytes, which are not a JPEG"),
    "data-type": ("data:image/png;base64,R0lGODlh", "a data: URL of 6 bytes, which are not a"),
    "ftp": ("ftp://example.com/a.png", "ftp:// is not supported"),
    "file": ("file:///etc/passwd", "file:// is not supported"),
    "s3": ("s3://bucket/a.png", "s3:// is not supported"),
    "no-host": ("https:///a.png", "not a valid URL"),
    "bracket": ("https://[::1/a.png", "not a valid URL"),
    "blank": ("https://example.com/a b.png", "not a valid URL"),
    "newline": ("https://example.com/a\nb.png", "not a valid URL"),
    "tab": ("https://exam\tple.com/a.png", "not a valid URL"),
    "port": ("https://example.com:99999/a.png", "not a valid URL"),
    "port-word": ("https://example.com:http/a.png", "not a valid URL"),
    "backslash": ("https://example.com\\@evil.example/a.png", "not a valid URL"),
    "no-scheme": ("example.com/a.png", "no such file"),
    "blank-first": (" https://example.com/a.png", "no such file"),
}


@pytest.mark.matrix("vendor", "name")
@every_vendor
@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_input_is_one_clear_problem(vendor: VendorId, name: str, tmp_path: Path) -> None:
    """The field, the reason, on one line of bearable length; and nothing is sent."""
    value, reason = BAD_INPUTS[name]
    value = value if isinstance(value, str) else str(value(tmp_path))
    with Clients() as pair:
        made = pair.by_kind["blocking"].plan({"prompt": "it moves", "first_frame": value}, vendor)
        (violation,) = made.violations
        assert violation.field == "first_frame"
        assert reason in violation.message
        assert violation.message.isprintable()
        assert len(violation.message) < 400
        for kind in KINDS:
            with pytest.raises(PolyreelError):
                pair.do(kind, "submit", made)
            simulator = pair.by_kind[kind].simulator
            assert simulator is not None
            assert simulator.journal == []


@pytest.mark.matrix("vendor", "method")
@every_vendor
@pytest.mark.parametrize("method", ["open", "exists", "is_file"])
def test_an_unreadable_input_is_one_clear_problem(
    vendor: VendorId, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or a folder without permission."""
    path = save(tmp_path, "image/png")
    monkeypatch.setattr(Path, method, refuse_to_open)
    (violation,) = plan({"prompt": "it moves", "first_frame": str(path)}, vendor).violations
    assert "cannot be read: Permission denied" in violation.message


@every_vendor
def test_several_bad_inputs_are_reported_at_once(vendor: VendorId) -> None:
    """In the order of the fields, on every run."""
    request = {"prompt": "x", "first_frame": "one.png", "last_frame": "two.png"}
    assert [violation.field for violation in plan(request, vendor).violations] == [
        "first_frame",
        "last_frame",
    ]


@every_vendor
def test_a_field_that_cannot_be_written_is_reported_once(vendor: str) -> None:
    """What is wrong with its file does not matter any more."""
    provider = get_provider(vendor)
    route = next(route for route in provider.routes if "first_frame" in route.by_name)
    report = MappingReport(problems=[Problem("first_frame", "/first_frame", "not offered")])
    Attachments(
        provider, route, {"first_frame": "missing.png", "last_frame": "missing.png"}, report
    )
    assert [problem.field for problem in report.problems] == ["first_frame", "last_frame"]


@given(
    value=st.one_of(
        st.text(max_size=40),
        st.builds(
            "{}{}".format,
            st.sampled_from(["http://", "https://[", "~", "data:", "C:\\", "//"]),
            st.text(max_size=20),
        ),
        st.text(st.characters(categories=["Cs", "Cc", "Cn"]), max_size=5),
    ),
    kind=st.sampled_from(["image", "video"]),
)
@settings(max_examples=300, deadline=None)
def test_looking_at_an_input_never_raises(value: str, kind: media.Kind) -> None:
    """Any text is an input, or a problem on one line."""
    found = media.problem(value, kind)
    assert found is None or (found.isprintable() and len(found) < 200)
    assert found or not media.is_local(value)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        *((content[:16], kind) for kind, content in FILES.items()),
        *((content[:7], None) for content in FILES.values() if not content.startswith(b"\xff")),
        *(
            (b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00", None)
            for brand in (b"avif", b"heic", b"mif1", b"M4A ")
        ),
        *(
            (b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00", "video/mp4")
            for brand in (b"mp42", b"iso5", b"dash")
        ),
        (b"GIF89a", None),
        (b"RIFF\x00\x00\x00\x00AVI ", None),
        (b"<svg xmlns=", None),
        (b"", None),
    ],
)
def test_types_are_seen_from_the_bytes(head: bytes, found: str | None) -> None:
    """Not from a name, not from a server's word."""
    assert (media.content_type(head, "image") or media.content_type(head, "video")) == found
    assert media.file_suffix(head) == (media.SUFFIXES[found] if found else None)


@every_kind
@pytest.mark.parametrize("vendor", TAKERS)
def test_a_file_that_is_gone_costs_nothing(vendor: VendorId, kind: Kind, tmp_path: Path) -> None:
    """It was there when the plan was made."""
    path = save(tmp_path, "image/png")
    with Clients() as pair:
        client = pair.by_kind[kind]
        made = client.plan({"prompt": "it moves", "first_frame": str(path)}, vendor).check()
        path.unlink()
        with pytest.raises(NeverSentError, match="cannot be read") as caught:
            pair.do(kind, "submit", made)
        assert caught.value.billed == "no"
        assert client.simulator is not None
        assert client.simulator.bill.count() == 0
