"""The simulated vendors behave as their contracts say: every answer here is checked against them."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import av
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from polyreel.errors import UnknownNameError
from polyreel.flows import Reply
from polyreel.mapping.rows import Field
from polyreel.places import JsonObject, put
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving import answers
from polyreel.serving import calls as intake
from polyreel.serving.answers import errors
from polyreel.serving.answers import submits as paid_calls
from polyreel.serving.calls import creating, full_path
from polyreel.serving.shapes import picture_of
from polyreel.simulator import RunningClock, Simulator, VirtualClock, engine
from polyreel.simulator.scripting import scriptable
from polyreel.simulator.transport import SimulatedTransport
from support.server import (
    BODIES,
    CREATES,
    KEY,
    PROVIDERS,
    START,
    Submit,
    calls,
    check,
    example,
    finish,
    new_simulator,
    path_of,
    poll,
    send,
    status_query,
    submit,
    submits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS: Final = submits("stream")


def named(value: object) -> str:
    """The name of a parameter in a test's id."""
    return value.id if isinstance(value, (Provider, Operation)) else str(value)


each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=named)
each_body = pytest.mark.parametrize("one", BODIES, ids=named)
each_create = pytest.mark.parametrize(("provider", "operation"), CREATES, ids=named)
each_call = pytest.mark.parametrize(
    ("provider", "operation"),
    [(p, o) for p in PROVIDERS for o in p.contract.operations.values()],
    ids=named,
)


# -- the life of a job -------------------------------------------------------------------------------


@each_body
def test_every_documented_body_is_accepted_and_lives(one: Submit) -> None:
    """A documented body makes a job that waits, runs and succeeds, is billed once, and makes what was asked for."""
    simulator = new_simulator()
    task = submit(simulator, one)
    assert isinstance(simulator.clock, VirtualClock)
    words = []
    for seconds in (0, 5, 1000):
        simulator.clock.advance(seconds)
        facts = poll(simulator, one.provider, task.id)
        words.append(facts.status)
        assert facts.id == task.id
    assert words == ["queued", "running", "succeeded"]
    assert simulator.bill.count(one.provider.id) == simulator.bill.count() == 1
    (made,) = simulator.tasks.values()
    asked, picture = asked_for(one), made.picture
    assert len(facts.urls) == picture.count == asked.get("count", 1)
    assert picture.seconds == (
        0 if one.reading.route.workflow == "generate-image" else asked.get("duration", 5)
    )
    assert picture.width / picture.height == pytest.approx(ratio(asked), rel=0.02)
    assert picture.audio == has_sound(asked)


# Rendering takes a moment, so one body of each route is watched.
@pytest.mark.parametrize("one", {id(one.reading.route): one for one in BODIES}.values(), ids=named)
def test_the_files_are_what_was_asked_for(one: Submit) -> None:
    """Everyone who has the URLs can download playable files of the asked length, size, sound, number and format."""
    simulator, asked = new_simulator(), asked_for(one)
    task = submit(simulator, one)
    finish(simulator)
    files = [download(simulator, url) for url in poll(simulator, one.provider, task.id).urls]
    assert {file.status for file in files} == {200}
    assert len(files) == asked.get("count", 1)
    for file in files:
        (assert_image if one.reading.route.workflow == "generate-image" else assert_video)(
            file, asked
        )


IMAGES: Final = [one for one in BODIES if "output_format" in one.reading.route.by_name]


@pytest.mark.parametrize("one", IMAGES[:1], ids=named)
def test_images_come_in_the_asked_format_and_number(one: Submit) -> None:
    """Every documented format, and as many as are allowed, told as images and not as videos."""
    route, contract = one.reading.route, one.provider.contract
    form_place, count_place = (route.by_name[name].places[0] for name in ("output_format", "count"))
    most = (contract.property(route.schema, count_place) or {})["maximum"]
    for form in (contract.property(route.schema, form_place) or {})["enum"]:
        simulator, body = new_simulator(), {**one.body, form_place: form, count_place: most}
        task = one.provider.read(send(simulator, one.provider, one.operation, body)).id
        finish(simulator)
        facts = poll(simulator, one.provider, task)
        assert len(set(facts.urls)) == most
        for url in facts.urls:
            assert url.endswith(f".{form}")
            assert_image(download(simulator, url), {**asked_for(one), "output_format": form})
        _, sample = answers.example(
            one.provider, status_query(one.provider), "succeeded_image", "succeeded"
        )
        assert {name for name, _ in members(facts.raw)} >= {name for name, _ in members(sample)} - {
            *one.body,
            "n",
        }
        assert '"video' not in json.dumps(
            {name: value for name, value in facts.raw.items() if name != "input"}
        )


def asked_for(one: Submit) -> JsonObject:
    """What a body asks for, with the vendor's documented defaults where it says nothing."""
    return {**one.provider.defaults(one.reading.route), **one.reading.request}


def ratio(asked: JsonObject) -> float:
    """Width by height."""
    across, down = map(int, asked.get("aspect_ratio", "16:9").split(":"))
    return across / down


def has_sound(asked: JsonObject) -> bool:
    """A clip made from a video has that one's sound, or none; others have the sound that is asked for."""
    follows = any(name in asked for name in ("source_video", "reference_video", "motion_video"))
    return bool(asked["keep_source_audio"] if follows else asked.get("audio"))


def download(simulator: Simulator, url: str) -> Reply:
    """Fetch an output, as anyone may who has its URL."""
    vendor, _, path = url.removeprefix("https://simulator.invalid/").partition("/")
    return simulator.handle(vendor, "GET", "/" + path, {})


def assert_image(file: Reply, asked: JsonObject) -> None:
    picture = Image.open(BytesIO(file.content))
    assert (
        file.headers["content-type"]
        == f"image/{asked['output_format']}"
        == Image.MIME[str(picture.format)]
    )
    assert picture.width / picture.height == pytest.approx(ratio(asked), rel=0.02)
    side = {"1K": 1024, "2K": 2048}[asked["resolution"]]
    assert picture.width * picture.height == pytest.approx(side * side, rel=0.02)


def assert_video(file: Reply, asked: JsonObject) -> None:
    short = {"720p": 720, "1080p": 1080}[asked.get("resolution", "720p")]
    with av.open(BytesIO(file.content), "r") as container:
        stream = container.streams.video[0]
        assert file.headers["content-type"] == "video/mp4"
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(asked.get("duration", 5), abs=0.1)
        assert (min(stream.width, stream.height), stream.width / stream.height) == (
            short,
            ratio(asked),
        )
        assert bool(container.streams.audio) == has_sound(asked)
        assert next(container.decode(video=0)).width == stream.width


@pytest.mark.parametrize("one", STREAMS, ids=named)
def test_a_stream_tells_a_whole_life(one: Submit) -> None:
    """The twin that streams bills one job, its events are those documented, and it ends as the last one says."""
    for end in [
        end
        for end in ("succeeded", "failed", "canceled")
        if end in {*scriptable(one.provider), "succeeded"}
    ]:
        simulator = new_simulator()
        if end != "succeeded":
            simulator.script(one.provider.id, end)
        reply = send(simulator, one.provider, one.operation, one.body)
        media = one.provider.contract.resolve(one.operation.spec["responses"]["200"])["content"][
            "text/event-stream"
        ]
        schema = {"$ref": media["schema"]["x-polyreel-event"]}
        seen = []
        for block in reply.content.decode().removesuffix("\n\n").split("\n\n"):
            event = json.loads(block.removeprefix("data: "))
            assert one.provider.contract.fits(schema, event) == []
            seen.append(one.provider.read(Reply(200, {}, json.dumps(event).encode())))
        assert [seen[0].status, seen[-1].status] == ["queued", end]
        finish(simulator)
        last = poll(simulator, one.provider, seen[-1].id)
        assert (last.status, last.urls) == (end, seen[-1].urls)
        assert bool(last.urls) == (end == "succeeded")
        assert simulator.bill.count() == 1


@each_vendor
@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_job_can_end_badly(provider: Provider, end: str) -> None:
    """A scripted end comes in the vendor's shape, with the vendor's reason; one it does not document is refused."""
    simulator, one = new_simulator(), example(provider)
    if end not in scriptable(provider):
        with pytest.raises(UnknownNameError, match=end):
            simulator.script(provider.id, end)
        return
    simulator.script(provider.id, end)
    task, healthy = submit(simulator, one), submit(simulator, one)
    finish(simulator)
    facts = poll(simulator, provider, task.id)
    assert (facts.status, facts.urls) == (end, ())
    assert facts.error_message or end == "canceled"
    assert poll(simulator, provider, healthy.id).status == "succeeded"


@each_body
def test_answers_hold_the_facts_of_the_task(one: Submit) -> None:
    """Nothing of the documented samples is left where the simulator knows better."""
    simulator = new_simulator()
    task = submit(simulator, one)
    finish(simulator)
    facts = poll(simulator, one.provider, task.id)
    for raw in (task.raw, facts.raw):
        assert raw.get("model", one.body.get("model")) == one.body.get("model")
        assert raw.get("input", one.body) == one.body
        assert {raw.get(name, int(START)) for name in ("created", "created_at")} == {int(START)}
    assert all(
        url.startswith(f"https://simulator.invalid/{one.provider.id}/outputs/")
        for url in facts.urls
    )
    assert "example" not in json.dumps(
        {name: value for name, value in facts.raw.items() if name != "input"}
    )


@each_vendor
def test_an_unfinished_job_has_no_file(provider: Provider) -> None:
    """Outputs are there when the job has succeeded, under exactly their names, to read."""
    simulator = new_simulator()
    task = submit(simulator, example(provider))
    place = f"/outputs/{task.id}"
    suffix = next(iter(simulator.tasks.values())).picture.suffix
    assert simulator.handle(provider.id, "GET", f"{place}/1{suffix}", {}).status == 404
    finish(simulator)
    assert simulator.handle(provider.id, "GET", f"{place}/1{suffix}", {}).status == 200
    for wrong in (
        f"/0{suffix}",
        f"/2{suffix}",
        f"/{'9' * 5000}{suffix}",
        "/1.exe",
        "/1",
        f"/../1{suffix}",
        "",
    ):
        assert simulator.handle(provider.id, "GET", place + wrong, {}).status == 404
    assert simulator.handle(provider.id, "POST", f"{place}/1{suffix}", KEY).status == 404


# -- refusals ----------------------------------------------------------------------------------------


def wrong_values(schema: JsonObject) -> Iterator[Any]:
    """Values that a schema cannot mean."""
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])} - {None}
    if not kinds:
        return
    yield 5 if kinds.isdisjoint({"integer", "number"}) else "five"
    yield {} if "object" not in kinds else []
    if "null" not in kinds:
        yield None
    if "boolean" in kinds:
        yield "true"
    if "integer" in kinds:
        yield 4.5
    if "enum" in schema or "const" in schema:
        yield "no-such-word"
    for name, value in (
        ("minimum", schema.get("minimum", 0) - 1),
        ("maximum", schema.get("maximum", 0) + 1),
    ):
        if name in schema:
            yield value
    for option in schema.get("anyOf", [schema]):
        if "maxLength" in option:
            yield "x" * (option["maxLength"] + 1)
        if "maxItems" in option:
            yield ["https://example.com/a.png"] * (option["maxItems"] + 1)


def wrong_bodies(
    contract: Contract, operation: Operation, body: JsonObject, schema: str
) -> Iterator[tuple[str, JsonObject]]:
    """A good body with one thing wrong, each with what it is."""
    for place in contract.properties(schema):
        for value in wrong_values(contract.property(schema, place) or {}):
            copy = json.loads(json.dumps(body))
            put(copy, place, value)
            yield f"{place} = {str(value)[:40]!r}", copy
    for name in contract.schema(schema).get("required", ()):
        yield f"no {name}", {member: value for member, value in body.items() if member != name}


@each_body
def test_a_wrong_body_is_refused(one: Submit) -> None:
    """Wrong types, values out of range, unknown words, too much and too little: the vendor's own error, no charge."""
    simulator, contract = new_simulator(), one.provider.contract
    tried = 0
    for what, body in wrong_bodies(contract, one.operation, one.body, one.reading.route.schema):
        if any(not contract.accepts(schema, body) for schema in one.operation.request_schemas):
            continue  # without it, it is a good body of another workflow
        reply = send(simulator, one.provider, one.operation, body)
        assert 400 <= reply.status < 500 or b"model_not_found" in reply.content, what
        assert 0 < len(one.provider.read_error(reply)[1]) < 400, what
        assert len(reply.content) < 1000, what
        tried += 1
    assert tried >= 8
    assert simulator.bill.count() == 0


@each_body
def test_an_unknown_workflow_or_model_is_refused(one: Submit) -> None:
    """A word that chooses no route is an error that names it, however odd its type."""
    simulator = new_simulator()
    places = {place for row in one.reading.route.rows for place in row.places}
    place = next((row.native for row in one.reading.route.constants), "model")
    if place not in places:
        return  # the path alone says what is made
    odd: tuple[Any, ...] = ("no-such-word", "", 5, None, [], {}, ["x"], True)
    for value in odd:
        reply = send(simulator, one.provider, one.operation, {**one.body, place: value})
        assert not reply.ok
        assert place in one.provider.read_error(reply)[1]
    assert simulator.bill.count() == 0


def spellings() -> Iterator[tuple[Submit, JsonObject, JsonObject, JsonObject]]:
    """Documented bodies with another spelling of a field: alone, beside the field, and beside another value of it."""
    for one in BODIES:
        for row in (row for row in one.reading.route.rows if isinstance(row, Field)):
            for alias in row.aliases if row.shared in one.reading.request else ():
                value = one.reading.request[row.shared]
                other = (
                    ["https://example.com/other.png"]
                    if isinstance(value, list)
                    else "https://example.com/other.mp4"
                )
                codec, bare = alias.codec or row.codec, dict(one.body)
                for place in row.places:
                    bare.pop(place, None)
                both = {**bare, row.native: row.codec.encode(value, {})}
                alone, wrong = (
                    {alias.native: codec.encode(value, {})},
                    {alias.native: codec.encode(other, {})},
                )
                yield one, {**bare, **alone}, {**both, **alone}, {**both, **wrong}


def test_other_spellings_are_read() -> None:
    """An alias is accepted, also beside its field; with another value than that it is an error."""
    tried = list(spellings())
    assert {one.provider.id for one, *_ in tried}
    for one, alone, both, wrong in tried:
        simulator = new_simulator()
        for body in (alone, both):
            assert send(simulator, one.provider, one.operation, body).ok
        reply = send(simulator, one.provider, one.operation, wrong)
        assert reply.status == 400
        assert "different values" in one.provider.read_error(reply)[1]
        assert simulator.bill.count() == 2


@each_create
def test_refusals_say_what_is_wrong_as_documented(provider: Provider, operation: Operation) -> None:
    """Where a contract tells malformed bodies, missing models and unknown ones apart, so do the answers."""
    simulator, body = new_simulator(), example(provider, operation).body
    documented = {name: (status, told) for status, _, name, told in errors(provider, operation)}
    tries: list[tuple[tuple[str, ...], Any]] = [(intake.MALFORMED, b"{"), (intake.MALFORMED, [])]
    if "model" in body:
        tries += [
            (intake.UNKNOWN_MODEL, {**body, "model": "none"}),
            (intake.MALFORMED, {**body, "model": 5}),
        ]
        tries += [
            (intake.NO_MODEL, {name: value for name, value in body.items() if name != "model"})
        ]
    for names, content in tries:
        status, told = next(documented[name] for name in names if name in documented)
        reply = send(
            simulator, provider, operation, content, headers={"content-type": "application/json"}
        )
        expected = Reply(status, {}, json.dumps(told).encode())
        assert (reply.status, json.loads(reply.content).keys()) == (status, told.keys())
        assert provider.read_error(reply)[0] == provider.read_error(expected)[0]
        assert provider.read_error(reply)[1] != provider.read_error(expected)[1]


NOT_JSON: Final = {
    "nothing": b"",
    "half": b"{",
    "a list": b"[]",
    "a list of bodies": b'[{"prompt": "a cat"}]',
    "a text": b'"a cat"',
    "a number": b"5",
    "null": b"null",
    "Latin-1": b'{"prompt": "caf\xe9"}',
    "HTML": b"<html></html>",
    "100,000 lists": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
}
NOT_VALUES: Final = {
    "100,000 nested lists": b"[" * 100_000 + b"]" * 100_000,
    "100 nested objects": b'{"a":' * 100 + b"1" + b"}" * 100,
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "beyond all numbers": b"1e999",
    "5,000 digits": b"9" * 5000,
    "5,000,000 letters": b'"' + b"x" * 5_000_000 + b'"',
}


@each_create
@pytest.mark.parametrize("kind", [*NOT_JSON, *NOT_VALUES])
def test_what_is_no_json_object_is_refused(
    provider: Provider, operation: Operation, kind: str
) -> None:
    """Bytes that mean nothing get the vendor's own error, also beside an otherwise good body."""
    simulator = new_simulator()
    good = json.dumps(example(provider, operation).body).encode()
    content = (
        NOT_JSON.get(kind)
        if kind in NOT_JSON
        else good[:-1] + b', "more": ' + NOT_VALUES[kind] + b"}"
    )
    assert content is not None
    reply = send(
        simulator, provider, operation, content, headers={"content-type": "application/json"}
    )
    assert reply.status in ({400, 413} if "letters" in kind else {400})
    assert len(reply.content) < 2000
    assert simulator.bill.count() == 0


@each_create
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data; boundary=x",
        "json",
    ],
)
def test_another_content_type_is_refused(
    provider: Provider, operation: Operation, kind: str
) -> None:
    """JSON under another name is not read."""
    simulator = new_simulator()
    content = json.dumps(example(provider, operation).body).encode()
    assert (
        send(simulator, provider, operation, content, headers={"content-type": kind}).status == 400
    )
    for good in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert send(simulator, provider, operation, content, headers={"content-type": good}).ok
    assert simulator.bill.count() == 3


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [
            "9" * 5000,
            "\ud800",
            "https://example.com/a.png",
            "https://[",
            "http://10.0.0.1/",
            "-1",
            "0",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def spoil(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one part of any depth removed or replaced."""
    inner = (
        list(value)
        if isinstance(value, dict)
        else list(range(len(value)))
        if isinstance(value, list)
        else []
    )
    if not inner or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    key = draw(st.sampled_from(inner))
    if isinstance(value, list):
        return [spoil(draw, item) if index == key else item for index, item in enumerate(value)]
    rest = {name: item for name, item in value.items() if name != key}
    return rest if draw(st.booleans()) else {**rest, key: spoil(draw, value[key])}


@st.composite
def bodies(draw: st.DrawFn, provider: Provider, operation: Operation) -> Any:
    """Documented bodies, spoiled ones, ones with strange members, and anything else."""
    body = draw(st.sampled_from(list(operation.request_examples.values())))
    names = [
        name
        for schema in operation.request_schemas
        for name in provider.contract.schema(schema)["properties"]
    ]
    members = st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=3)
    kind = draw(st.integers(0, 4))
    if kind <= 1:
        return spoil(draw, body)
    return {**body, **draw(members)} if kind <= 3 else draw(JSON)


FORM_PIECES: Final = [
    b"\r\n--a\r\n",
    b"\r\n--a--",
    b"--a\r\n",
    b"\r\n",
    b'Content-Disposition: form-data; name="prompt"\r\n\r\nwaves',
    b'Content-Disposition: form-data; name="duration"\r\n\r\n5',
    b'Content-Disposition: form-data; name="image_url"; filename="a"\r\n\r\n\xff',
    b'Content-Disposition: form-data; name=""\r\n\r\n',
]


@each_create
def test_any_body_gets_a_documented_answer(provider: Provider, operation: Operation) -> None:
    """Whatever arrives: a status and a body that the contract documents, and the bill holds what was accepted."""
    types = st.sampled_from(
        ["application/json", "application/json", "text/plain", "multipart/form-data; boundary=a"]
    )
    pieces = st.lists(st.sampled_from(FORM_PIECES), max_size=12).map(b"".join)
    contents = (
        bodies(provider, operation).map(lambda body: json.dumps(body).encode())
        | st.binary()
        | pieces
    )
    simulator = new_simulator()
    accepted = 0

    @settings(max_examples=200, deadline=None, database=None)
    @given(contents, types)
    def attempt(content: bytes, kind: str) -> None:
        nonlocal accepted
        reply = send(simulator, provider, operation, content, headers={"content-type": kind})
        accepted += reply.ok
        assert simulator.bill.count() == accepted == len(simulator.tasks)

    attempt()
    assert accepted > 0


# -- keys, money, limits -----------------------------------------------------------------------------

NO_KEYS: Final = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer    ",
    "Basic dXNlcjpwYXNz",
    "any-key",
    "Bearerany-key",
    "Token x",
]


@each_call
def test_every_call_wants_a_key(provider: Provider, operation: Operation) -> None:
    """Without a bearer token, or with an unknown one where keys are listed, every call is a documented 401."""
    simulator, strict = new_simulator(), new_simulator(keys=frozenset({"good-key"}))
    content = next(iter(operation.request_examples.values()), b"")
    for value in NO_KEYS:
        assert (
            send(
                simulator,
                provider,
                operation,
                content,
                headers={"Authorization": value},
                task="none",
            ).status
            == 401
        )
    assert (
        simulator.handle(provider.id, operation.method, path_of(operation, "none"), {}).status
        == 401
    )
    assert send(strict, provider, operation, content, task="none").status == 401
    for value in ("Bearer good-key", "bearer good-key", " Bearer  good-key "):
        assert (
            send(
                strict, provider, operation, content, headers={"Authorization": value}, task="none"
            ).status
            != 401
        )
    assert simulator.bill.count() == 0


@each_create
def test_an_empty_account_is_told_so(provider: Provider, operation: Operation) -> None:
    """When the balance is used up, submits get the vendor's own money error, and other vendors still work."""
    simulator, one = new_simulator(balance=11.5), example(provider, operation)
    replies = [send(simulator, provider, operation, one.body) for _ in range(13)]
    reply = replies[-1]
    assert (reply.status, json.loads(reply.content)) in [
        (status, body)
        for status, _, name, body in errors(provider, operation)
        if name == "insufficient_credits"
    ]
    cost = simulator.bill.charges[0].credits
    assert simulator.bill.count() == 11.5 // cost
    assert simulator.bill.total() == 11.5 // cost * cost
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))


PAID: Final = [(p, o) for p in PROVIDERS for o in paid_calls(p)]


@pytest.mark.parametrize(("provider", "operation"), PAID, ids=named)
def test_every_documented_error_can_be_scripted(provider: Provider, operation: Operation) -> None:
    """By its name, once, word for word, and with Retry-After only where that is documented."""
    simulator = new_simulator()
    documented = errors(provider, operation)
    assert len({name for _, _, name, _ in documented}) == len(documented)
    for status, content_type, name, body in documented:
        simulator.script(provider.id, name)
        reply = send(
            simulator, provider, operation, next(iter(operation.request_examples.values()))
        )
        assert (reply.status, reply.headers["content-type"]) == (status, content_type)
        assert json.loads(reply.content) == body
        answer = provider.contract.resolve(operation.spec["responses"][str(status)])
        headers = {header.lower() for header in answer.get("headers", {})}
        assert (reply.header("retry-after") is not None) == ("retry-after" in headers)
        assert (provider.request_id(reply) is not None) == any(
            header.endswith("request-id") for header in headers
        )
    assert {status for status, _, _, _ in documented} >= {400, 401, 429, 500}
    assert simulator.bill.count() == 0
    assert send(simulator, provider, operation, next(iter(operation.request_examples.values()))).ok


@each_vendor
def test_scripts_are_checked_and_kept_apart(provider: Provider) -> None:
    """A misspelt event is an error at once; events wait in order, and for their own vendor."""
    simulator = new_simulator()
    for word in ("no_such_error", "succeeded", "queued", ""):
        with pytest.raises(UnknownNameError):
            simulator.script(provider.id, "rate_limited", word)
    with pytest.raises(UnknownNameError):
        simulator.script("no-such-vendor", "rate_limited")
    simulator.script(provider.id, "rate_limited", "server_error")
    simulator.script(provider.id, "unauthorized")
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))
    one = example(provider)
    seen = [send(simulator, provider, one.operation, one.body).status for _ in range(4)]
    assert seen == [429, 500, 401, 200]


# -- what does not exist -----------------------------------------------------------------------------

STRANGE_IDS: Final = [
    "none",
    "task_0",
    "..",
    "%2F",
    "%3F",
    "a%20b",
    "%00",
    "%ff",
    "x" * 3000,
    "{id}",
    "\u00e9",
]


@pytest.mark.parametrize(
    ("provider", "operation"), calls("get", "get-fallback", "content"), ids=named
)
def test_an_unknown_task_is_named_so(provider: Provider, operation: Operation) -> None:
    """In the vendor's own way, whatever the id looks like; other vendors' tasks are unknown too."""
    simulator = new_simulator()
    strangers = [
        str(submit(simulator, example(other)).id) for other in PROVIDERS if other is not provider
    ]
    for task in [*STRANGE_IDS, *strangers]:
        reply = send(simulator, provider, operation, task=task)
        code, message = provider.read_error(reply)
        assert provider.is_not_found(reply.status, code), reply
        assert message


@each_vendor
def test_an_id_may_be_quoted(provider: Provider) -> None:
    """A path means what its characters mean, however they are written."""
    simulator = new_simulator()
    task = str(submit(simulator, example(provider)).id)
    assert poll(simulator, provider, "".join(f"%{ord(letter):02X}" for letter in task)).id == task


@each_vendor
def test_an_unknown_route_is_a_404_of_the_vendor(provider: Provider) -> None:
    """In the vendor's shape, without a key, and free of charge."""
    simulator, create = new_simulator(), example(provider).operation
    for method, path in [
        ("GET", "/"),
        ("GET", "/v9/none"),
        ("DELETE", full_path(create)),
        ("POST", full_path(create) + "/"),
        ("POST", full_path(create) + "/more"),
        ("POST", "//" + full_path(create)),
        ("BREW", '/coffee"(x)\\'),
        ("GET", "/outputs"),
    ]:
        reply = simulator.handle(provider.id, method, path, {})
        assert reply.status == 404
        check(provider, create, reply.status, reply.content)
    assert simulator.bill.count() == 0


def test_an_unknown_vendor_is_a_404() -> None:
    """Of nobody in particular."""
    assert Simulator().handle("nobody", "POST", "/v1", KEY).status == 404


# -- lists, batches, credits -------------------------------------------------------------------------


def crowd(simulator: Simulator, provider: Provider) -> dict[str, str]:
    """Jobs in every state, oldest first: id and state."""
    ends = ["succeeded", *[end for end in ("failed", "canceled") if end in scriptable(provider)]]
    one, known = example(provider), {}
    for end in ends * 2:
        if end != "succeeded":
            simulator.script(provider.id, end)
        known[str(submit(simulator, one).id)] = end
    finish(simulator)
    assert isinstance(simulator.clock, VirtualClock)
    for state, seconds in (("running", 10), ("queued", 0)):
        known[str(submit(simulator, one).id)] = state
        simulator.clock.advance(seconds)
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))
    return known


def items(provider: Provider, reply: Reply) -> list[JsonObject]:
    """The items of a page."""
    page = json.loads(reply.content)
    found = (
        page
        if isinstance(page, list)
        else next(value for value in page.values() if isinstance(value, list))
    )
    assert all(isinstance(item, dict) for item in found)
    return list(found)


def identities(provider: Provider, listed: list[JsonObject]) -> list[str]:
    return [item[provider.reads.id[0]] for item in listed]


def query_parameters(provider: Provider, operation: Operation) -> dict[str, JsonObject]:
    """The schemas of a call's query parameters."""
    found = [provider.contract.resolve(one) for one in operation.spec.get("parameters", ())]
    return {one["name"]: one["schema"] for one in found if one["in"] == "query"}


@pytest.mark.parametrize(("provider", "operation"), calls("list", "list-running"), ids=named)
def test_lists_hold_the_vendors_own_tasks(provider: Provider, operation: Operation) -> None:
    """Newest first, with the state each has; a list of running tasks has only what waits or runs."""
    simulator = new_simulator()
    assert items(provider, send(simulator, provider, operation)) == []
    known = crowd(simulator, provider)
    listed = items(provider, send(simulator, provider, operation))
    running = operation.role == "list-running"
    wanted = {
        task: state
        for task, state in known.items()
        if not running or state in {"queued", "running"}
    }
    assert identities(provider, listed) == list(wanted)[::-1]
    for item in listed:
        word = provider.statuses[item["status"].lower()]
        state = wanted[item[provider.reads.id[0]]]
        assert word == state or (state, word) == ("queued", "running")


@pytest.mark.parametrize(("provider", "operation"), calls("list", "list-running"), ids=named)
def test_lists_come_in_pages(provider: Provider, operation: Operation) -> None:
    """Every task once, however the pages are cut; a page beyond the last one is empty."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    parameters = query_parameters(provider, operation)
    size = next(name for name in parameters if name in {"limit", "page_size"})
    (newest,) = items(provider, send(simulator, provider, operation, query={size: "1"}))
    assert newest[provider.reads.id[0]] == list(known)[-1]
    for bad in ("0", "-1", "x", "9" * 5000, ""):
        assert send_freely(simulator, provider, operation, f"{size}={bad}").status in {200, 400}
    if "page" not in parameters:
        return
    seen: list[str] = []
    for number in range(1, len(known) + 1):
        reply = send(simulator, provider, operation, query={"page": str(number), "page_size": "3"})
        page = json.loads(reply.content)
        assert (page["total"], page["page"], page["page_size"]) == (len(known), number, 3)
        seen += identities(provider, items(provider, reply))
    assert seen == list(known)[::-1]


def send_freely(
    simulator: Simulator, provider: Provider, operation: Operation, query: str
) -> Reply:
    """A call with any query; what it answers need not be documented."""
    return simulator.handle(provider.id, operation.method, f"{full_path(operation)}?{query}", KEY)


@pytest.mark.parametrize(("provider", "operation"), calls("list"), ids=named)
def test_lists_can_be_filtered(provider: Provider, operation: Operation) -> None:
    """By the documented words for states, and by what an item shows of itself."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    parameters = query_parameters(provider, operation)
    found: list[str] = []
    for word in parameters["status"]["enum"]:
        part = identities(
            provider, items(provider, send(simulator, provider, operation, query={"status": word}))
        )
        states = {known[task] for task in part}
        assert provider.statuses[word] in states
        assert states <= {provider.statuses[word], "queued"}
        found += part
    assert sorted(found) == sorted(known)
    assert send_freely(simulator, provider, operation, "status=no-such-word").status == 400
    every = items(provider, send(simulator, provider, operation))
    for name in parameters.keys() & every[0].keys() - {"status"}:
        own = {name: str(every[0][name])}
        assert items(provider, send(simulator, provider, operation, query=own)) == every
        other = next(
            (word for word in parameters[name].get("enum", ["other"]) if word != every[0][name]),
            "other",
        )
        assert items(provider, send(simulator, provider, operation, query={name: other})) == []


@pytest.mark.parametrize(("provider", "operation"), calls("batch-get"), ids=named)
def test_a_batch_holds_the_tasks_that_exist(provider: Provider, operation: Operation) -> None:
    """Each as the status query shows it; unknown ids are left out, and too many are refused."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    stranger = next(task for vendor, task in simulator.tasks if vendor != provider.id)
    (name,) = next(iter(operation.request_examples.values()))
    listed = items(
        provider, send(simulator, provider, operation, {name: ["none", stranger, *known, *known]})
    )
    assert listed == [poll(simulator, provider, task).raw for task in known]
    assert items(provider, send(simulator, provider, operation, {name: []})) == []
    wrong: tuple[Any, ...] = (
        {},
        {name: 5},
        {name: [5]},
        {name: ["x"] * 51},
        {"other": ["x"]},
        [],
        {"other": 1, name: "x"},
    )
    for bad in wrong:
        headers = {**KEY, "content-type": "application/json"}
        content = json.dumps(bad).encode()
        reply = simulator.handle(
            provider.id, operation.method, full_path(operation), headers, content
        )
        assert reply.status == 400
        check(provider, example(provider).operation, 400, reply.content)


@each_call
def test_calls_without_state_answer_as_documented(provider: Provider, operation: Operation) -> None:
    """Credits and the like: a documented success."""
    if operation.role == "credits":
        assert send(new_simulator(), provider, operation).status == 200


@pytest.mark.parametrize(("provider", "operation"), calls("content"), ids=named)
def test_the_content_call_hands_out_the_file(provider: Provider, operation: Operation) -> None:
    """The output itself once the job is done, a documented error before, or when it failed."""
    simulator = new_simulator()
    simulator.script(provider.id, "failed")
    failed, good = (str(submit(simulator, example(provider)).id) for _ in range(2))
    assert send(simulator, provider, operation, task=good).status == 400
    finish(simulator)
    facts = poll(simulator, provider, good)
    assert (
        send(simulator, provider, operation, task=good).content
        == download(simulator, facts.urls[0]).content
    )
    assert send(simulator, provider, operation, task=failed).status == 400


@pytest.mark.parametrize(("provider", "operation"), calls("get-fallback"), ids=named)
def test_the_other_status_query_says_the_same(provider: Provider, operation: Operation) -> None:
    """In its own envelope."""
    simulator = new_simulator()
    for task, state in crowd(simulator, provider).items():
        facts = provider.read(send(simulator, provider, operation, task=task))
        assert (facts.id, facts.status) == (task, state)
        assert facts.urls == poll(simulator, provider, task).urls


# -- idempotency -------------------------------------------------------------------------------------


def replaying() -> list[tuple[Provider, Operation]]:
    return [(p, o) for p, o in CREATES if o.spec["x-polyreel-idempotency"]["mode"] == "replay"]


@pytest.mark.parametrize(("provider", "operation"), replaying(), ids=named)
def test_a_repeated_key_makes_no_second_job(provider: Provider, operation: Operation) -> None:
    """Same key and body: the same task, one charge, a header that says so; another body: the documented conflict."""
    policy = operation.spec["x-polyreel-idempotency"]
    simulator, one = new_simulator(), example(provider, operation)
    key = {policy["header"]: "0123456789abcdef"}
    first = send(simulator, provider, operation, one.body, headers=key)
    assert first.header(policy["replayed-header"]) is None
    finish(simulator)
    again = send(
        simulator,
        provider,
        operation,
        one.body,
        headers={policy["header"].upper(): "0123456789abcdef"},
    )
    assert (again.status, again.content) == (first.status, first.content)
    assert again.header(policy["replayed-header"]) == "true"
    other = send(
        simulator, provider, operation, {**one.body, "prompt": "something else"}, headers=key
    )
    (conflict,) = [
        body for status, _, name, body in errors(provider, operation) if name == "conflict"
    ]
    assert (other.status, json.loads(other.content)) == (409, conflict)
    assert simulator.bill.count() == len(simulator.tasks) == 1
    assert send(
        simulator, provider, operation, one.body, headers={policy["header"]: "fedcba9876543210"}
    ).ok
    assert send(simulator, provider, operation, one.body).ok
    assert simulator.bill.count() == 3
    for bad in ("short", "x" * 97, "0123456789abcde f"):
        assert (
            send(simulator, provider, operation, one.body, headers={policy["header"]: bad}).status
            == 400
        )


@each_create
def test_without_such_keys_every_submit_is_a_job(provider: Provider, operation: Operation) -> None:
    """A header that the vendor does not know changes nothing: a repeated submit is billed again."""
    simulator, one = new_simulator(), example(provider, operation)
    if operation.spec["x-polyreel-idempotency"]["mode"] == "none":
        tasks = {
            submit(simulator, one, **{"Idempotency-Key": "0123456789abcdef"}).id for _ in range(3)
        }
        assert len(tasks) == simulator.bill.count() == 3


# -- files -------------------------------------------------------------------------------------------

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
    """A JSON body as a form: every second medium as a file, the others as URLs, the rest as text."""
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


@pytest.mark.parametrize("one", FORMS, ids=named)
@pytest.mark.parametrize("file", NASTY_FILES, ids=range(len(NASTY_FILES)))
def test_local_files_travel_in_a_form(one: Submit, file: bytes) -> None:
    """A form is its JSON twin: numbers and booleans as text, lists as repeated parts, any files beside URLs."""
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
    """Cut off, without boundary or names, text that is no text, two values for one field: the vendor's own error."""
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


UPLOADS: Final = calls("upload", "upload-base64", "upload-url")


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
    told = [members(json.loads(reply.content)) for reply in replies]
    links = [
        sorted({value for _, value in one if str(value).startswith("https://")}) for one in told
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


def members(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON object, by the name of its member."""
    if isinstance(value, dict):
        for member, item in value.items():
            yield from members(item, member)
    else:
        yield name, value


@pytest.mark.parametrize(("provider", "operation"), UPLOADS, ids=named)
def test_an_upload_tells_what_arrived(provider: Provider, operation: Operation) -> None:
    """Name, type and size are the file's; what is no file is refused in the file host's own shape."""
    simulator = new_simulator()
    content, headers = uploading(provider, operation)
    told = dict(
        members(json.loads(send(simulator, provider, operation, content, headers=headers).content))
    )
    given = (
        content if isinstance(content, dict) else {"file_name": "cat.png", "upload_path": "cats"}
    )
    for name in ("file_name", "upload_path"):
        assert told[name] == given[name]
    assert told["mime_type"] == "image/png"
    if operation.role != "upload-url":
        assert told["file_size"] == {"upload": 100, "upload-base64": 8}[operation.role]
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


# -- one engine, many uses ---------------------------------------------------------------------------


def story(simulator: Simulator) -> list[Reply]:
    """A bit of everything."""
    told = []
    for one in [*BODIES, *STREAMS]:
        told.append(send(simulator, one.provider, one.operation, one.body))
        told.append(send(simulator, one.provider, one.operation, {}))
        assert isinstance(simulator.clock, VirtualClock)
        simulator.clock.advance(7)
        told += [
            send(simulator, provider, operation)
            for provider, operation in calls("list", "list-running")
        ]
    told += [
        send(simulator, p, status_query(p), task=task)
        for p in PROVIDERS
        for vendor, task in simulator.tasks
    ]
    return told


def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    """A story is told twice in the same words; without a seed the ids differ."""
    first, second = new_simulator(), new_simulator()
    assert story(first) == story(second)
    assert first.bill == second.bill
    assert first.journal == second.journal
    other = Simulator(clock=VirtualClock(START))
    story(other)
    assert not first.tasks.keys() & other.tasks.keys()


@each_vendor
def test_simulators_share_nothing(provider: Provider) -> None:
    """Tasks, bills, scripts and replays belong to one simulator."""
    first, second = new_simulator(), Simulator(clock=VirtualClock(START), seed=2)
    first.script(provider.id, "rate_limited")
    task = submit(second, example(provider))
    finish(second)
    assert poll(second, provider, task.id).status == "succeeded"
    assert (len(first.tasks), first.bill.count(), first.journal) == (0, 0, [])
    assert send(first, provider, status_query(provider), task=str(task.id)).status >= 400


class SlowClock(VirtualClock):
    """Looking at it takes so long that other threads get their turn."""

    def now(self) -> float:
        time.sleep(0.0005)
        return super().now()


@each_create
def test_threads_may_share_a_simulator(provider: Provider, operation: Operation) -> None:
    """However they interleave, the balance is not overdrawn, and a key that is used by all of them makes one job."""
    one = example(provider, operation)
    cost = picture_of(one.reading).credits
    simulator = Simulator(clock=SlowClock(START), seed=1, balance=cost * 100.5)
    policy = operation.spec["x-polyreel-idempotency"]

    def client(number: int) -> list[str]:
        key = {policy["header"]: "0123456789abcdef"} if policy["mode"] == "replay" else {}
        replies = [
            send(simulator, provider, operation, one.body, headers=key if turn == 0 else {})
            for turn in range(20)
        ]
        return [str(provider.read(reply).id) for reply in replies if reply.ok]

    with ThreadPoolExecutor(8) as pool:
        accepted = [task for part in pool.map(client, range(8)) for task in part]
    assert len(set(accepted)) == len(simulator.tasks) == simulator.bill.count() == 100
    assert simulator.bill.total() == cost * 100


# -- over httpx, without a socket --------------------------------------------------------------------


@each_body
def test_the_transport_serves_the_documented_addresses(one: Submit) -> None:
    """An httpx client reaches each vendor at its own base URL, blocking and awaiting, and the files too."""
    simulator = new_simulator()
    query = status_query(one.provider)
    url = one.operation.server + one.operation.path
    with httpx.Client(transport=SimulatedTransport(simulator), headers=KEY) as client:
        made = client.post(url, json=one.body)
        facts = one.provider.read(Reply(made.status_code, {}, made.content))
        host = query.server.removesuffix(httpx.URL(query.server).path)
        assert client.get(host + path_of(query, str(facts.id))).status_code == 200

    async def again() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=SimulatedTransport(simulator), headers=KEY
        ) as awaiting:
            return await awaiting.post(url, json=one.body)

    assert asyncio.run(again()).status_code == made.status_code
    assert simulator.bill.count() == 2


@each_vendor
@pytest.mark.parametrize(
    "base", ["https://gateway.example", "https://gateway.example:8443/some/path"]
)
def test_the_transport_serves_other_base_urls(provider: Provider, base: str) -> None:
    """Another base URL stands for the documented one; the rest of that host is nobody's."""
    simulator, one = new_simulator(), example(provider)
    transport = SimulatedTransport(simulator, {provider.id: base})
    with httpx.Client(transport=transport, headers=KEY) as client:
        assert client.post(base + one.operation.path, json=one.body).status_code == 200
        assert client.post(provider.base_url + one.operation.path, json=one.body).status_code == 200
        assert client.get(base + "/none?x=%2F").status_code == 404
        if base.endswith("/path"):
            assert (
                client.post(
                    "https://gateway.example:8443" + one.operation.path, json=one.body
                ).status_code
                == 404
            )
    assert simulator.bill.count(provider.id) == 2


def test_the_transport_connects_to_nobody_else() -> None:
    """A host that is no vendor's is a connection error: nothing ever leaves."""
    simulator = new_simulator()
    with httpx.Client(transport=SimulatedTransport(simulator), headers=KEY) as client:
        for url in (
            "https://example.com/",
            "http://127.0.0.1:1/",
            "https://simulator.invalid.example/",
        ):
            with pytest.raises(httpx.ConnectError):
                client.post(url)
        for provider in PROVIDERS:
            plain = provider.base_url.replace("https://", "http://")
            with pytest.raises(httpx.ConnectError):
                client.post(plain + example(provider).operation.path)
        assert client.get("https://simulator.invalid/nobody/v1").status_code == 404
        assert client.get("https://simulator.invalid/").status_code == 404
    assert simulator.bill.count() == 0


@each_vendor
def test_a_vendor_that_documents_no_errors_still_refuses(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse spec, as a third party may have, makes plain answers and no crash."""
    document = json.loads(json.dumps(provider.contract.document))
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"] = {
                code: told for code, told in operation["responses"].items() if code < "300"
            }
    sparse = type(provider)()
    sparse.__dict__["contract"] = Contract(document)
    monkeypatch.setattr(engine, "all_providers", lambda: {provider.id: sparse})
    simulator, one = new_simulator(balance=0), example(provider)
    path, good = full_path(one.operation), json.dumps(one.body).encode()
    seen = [
        simulator.handle(provider.id, "POST", path, headers, content).status
        for headers, content in (({}, good), (KEY, b""), (KEY, b"{}"), (KEY, good))
    ]
    assert seen == [401, 400, 400, 402]
    assert (
        simulator.handle(provider.id, "GET", path_of(status_query(provider), "none"), KEY).status
        == 404
    )
    assert simulator.handle(provider.id, "GET", "/none", KEY).status == 404
    assert simulator.bill.count() == 0


def test_every_submit_reads_back_as_its_create() -> None:
    """A stream has the bodies of one create, which is how it is read."""
    for one in STREAMS:
        assert (one.provider, creating(one.provider, one.operation)) in CREATES


def test_clocks_only_go_forward() -> None:
    """The virtual one jumps instead of sleeping, the running one runs faster than life."""
    clock = VirtualClock(START)
    for seconds in (5, -3, 0.5):
        clock.advance(seconds)
    clock.sleep(2)
    asyncio.run(clock.asleep(2.5))
    assert clock.now() == START + 10
    assert VirtualClock().now() == pytest.approx(time.time(), abs=60)
    fast = RunningClock(speed=1e6)
    before = fast.now()
    time.sleep(0.01)
    assert fast.now() - before > 1000
