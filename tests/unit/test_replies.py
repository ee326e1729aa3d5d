"""Any reply at all, however odd: read without an exception, and taken for nothing else."""

import json
import math
from typing import Any

import pytest
from attrs import astuple
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polyreel.errors import AmbiguousError, BadReplyError
from polyreel.flows import Reply
from polyreel.ledger import states
from polyreel.places import get
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import VENDORS, accepted, encoded, plans
from support.matrix import shared
from support.mutations import meaning
from support.stage import JOBS, START, every_vendor, submit

ODD_JSON: dict[str, bytes] = {
    "nested-list": b"[" * 100_000 + b"]" * 100_000,
    "nested-object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested-65": b'{"id":' + b"[" * 65 + b"]" * 65 + b"}",
    "empty": b"",
    "blank": b" \n",
    "cut": b'{"id": "x"',
    "two-values": b'{"id": "x"}{"id": "y"}',
    "comment": b'{"id": "x"} // done',
    "single-quotes": b"{'id': 'x'}",
    "not-utf-8": b'{"id": "\xff"}',
    "raw-control": b'{"id": "a\x01b"}',
    "too-large": b'{"id": "' + b"x" * 5_000_000 + b'"}',
    "html": b"<!doctype html><title>502</title>",
    "nul": b"\x00" * 10,
    "minus": b"-",
}
SANE_JSON: dict[str, tuple[bytes, Any]] = {
    "nan": (b'{"id": "x", "n": NaN}', {"id": "x", "n": None}),
    "infinity": (b'{"id": "x", "n": -Infinity}', {"id": "x", "n": None}),
    "too-large-float": (b'{"id": "x", "n": 1e999}', {"id": "x", "n": None}),
    "too-large-integer": (b'{"id": "x", "n": ' + b"9" * 5000 + b"}", {"id": "x", "n": None}),
    "large-integer": (b'{"n": 18446744073709551616}', {"n": 18446744073709551616}),
    "long-integer": (b'{"n": 1' + b"0" * 300 + b"}", {"n": 1e300}),
    "negative-zero": (b"[-0, -0.0]", [0, 0.0]),
    "duplicate-keys": (b'{"id": "x", "id": "y"}', {"id": "y"}),
    "half-a-character": (b'{"id": "x\\ud800", "\\udc00": 1}', {"id": "x?", "?": 1}),
    "half-a-character-raw": (b'{"id": "x\xed\xa0\x80"}', {"id": "x?"}),
    "whole-character": (b'{"id": "\\ud83c\\udf27"}', {"id": "🌧"}),
    "nul-character": (b'{"id": "a\\u0000b"}', {"id": "a\0b"}),
    "byte-order-mark": ("\ufeff".encode() + b'{"id": "x"}', {"id": "x"}),
    "utf-16": ('{"id": "x"}'.encode("utf-16"), {"id": "x"}),
    "utf-16-be": ('{"id": "x"}'.encode("utf-16-be"), {"id": "x"}),
    "utf-32": ('{"id": "x"}'.encode("utf-32"), {"id": "x"}),
    "deep-enough": (b"[" * 60 + b"]" * 60, json.loads("[" * 60 + "]" * 60)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_JSON)
def test_what_is_not_json_is_a_bad_reply(name: str) -> None:
    """One exception, whatever is wrong; an error page is still read for a message."""
    answer = Reply(200, {}, ODD_JSON[name])
    with pytest.raises(BadReplyError):
        answer.json()
    for vendor in VENDORS:
        with pytest.raises(BadReplyError):
            get_provider(vendor).read(answer)
        code, message = get_provider(vendor).read_error(answer)
        assert code is None
        assert message
        assert len(message) < 600
        with pytest.raises(AmbiguousError):
            submit(vendor, answer)


@pytest.mark.parametrize("name", SANE_JSON)
def test_odd_json_becomes_sane(name: str) -> None:
    """What can be read can be stored and written again: an odd value must not lose the id beside
    it.
    """
    content, expected = SANE_JSON[name]
    value = Reply(200, {}, content).json()
    assert value == expected
    assert json.loads(json.dumps(value, allow_nan=False).encode()) == value


@every_vendor
def test_an_odd_value_does_not_lose_the_id(vendor: str) -> None:
    """Whatever stands beside the id of an accepted job, the job is had, and can be stored.

    Where the vendor says an error in that place, the job is in doubt, and its id is told.
    """
    made = next(iter(plans(vendor).values()))
    body = json.loads(accepted(vendor, made))
    expected = submit(vendor).id
    inside = {place.partition(".")[0] for place in get_provider(vendor).reads.id if "." in place}
    for name in (
        "usage",
        "code",
        "message",
        "error",
        "progress",
        "status",
        "task_info",
        "data",
        "created",
        "extra",
    ):
        odd: Any
        for odd in (
            math.nan,
            math.inf,
            10**400,
            -1,
            "\ud800",
            [],
            {},
            [{}],
            {"a": {"b": [None]}},
            "x" * 10_000,
            True,
        ):
            if (name in body and name not in inside) or name in {"status", "extra"}:
                content = json.dumps({**body, name: odd}).encode()
                answer = Reply(200, {}, content)
                if get_provider(vendor).is_error(answer):
                    with pytest.raises(AmbiguousError, match=f"adopt {expected}"):
                        submit(vendor, answer)
                    continue
                job = submit(vendor, answer)
                assert job.id == expected
                assert Job.model_validate_json(job.model_dump_json()).id == expected


def places(vendor: str) -> set[str]:
    """Every place a vendor's replies are read at."""
    reads = get_provider(vendor).reads
    return {place for group in astuple(reads) if isinstance(group, tuple) for place in group}


NAMES = sorted(
    {part for vendor in VENDORS for place in places(vendor) for part in place.split(".")} | {"msg"}
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "task-1",
            "completed",
            "failed",
            "Success",
            "https://example.com/a.mp4",
            "42%",
            "",
            "\ud800",
        ]
    ),
    st.text(max_size=8),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)
REPLIES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4).map(encoded),
    VALUES.map(encoded),
    st.binary(max_size=60),
)
FUZZ = settings(
    max_examples=shared(1000, 2 * len(VENDORS)),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def at(raw: Any, names: tuple[str, ...]) -> list[Any]:
    """The values at several dotted places."""
    return [get(raw, name) for name in names]


@pytest.mark.slow
@pytest.mark.matrix
@every_vendor
@given(content=REPLIES, code=st.sampled_from([200, 400, 404, 500]))
@example(content=b'{"error": true, "status": "completed"}', code=200)
@example(content=b'{"error": "no", "status": "completed"}', code=200)
@example(content=b'{"id": "task-1", "code": {}, "error": {"code": []}}', code=200)
@example(
    content=b'{"id": "task-1", "progress": 1e308, "task_info": {"estimated_time": 1e308}}', code=200
)
@FUZZ
def test_reading_a_reply_never_goes_wrong(vendor: str, content: bytes, code: int) -> None:
    """Facts or BadReplyError; an id, an end or a file only where the reply says so in as many
    words.
    """
    provider, answer = get_provider(vendor), Reply(code, {}, content)
    word, message = provider.read_error(answer)
    assert word is None or isinstance(word, str)
    assert message.isprintable() or "\n" in message
    try:
        read = provider.read(answer)
    except BadReplyError:
        return
    raw, reads = answer.json(), provider.reads
    assert isinstance(raw, dict)
    assert read.id is None or (read.id and read.id in at(raw, reads.id))
    if read.status != "unknown":
        meant = meaning(read.word, provider.statuses)
        if provider.contract.operation("result") and meant == "succeeded" and read.has_error:
            meant = "failed"  # what is fetched as the result is an error
        assert read.status == meant
        assert read.word in at(raw, reads.status)
    assert all(url in json.dumps(raw, ensure_ascii=False) for url in read.urls)
    assert read.progress is None or 0 <= read.progress <= 1
    job = states.advance(JOBS[vendor], read, START)
    assert Job.model_validate_json(job.model_dump_json()).status == job.status == read.status
    assert job.status != "succeeded" or [output.url for output in job.outputs or ()] == list(
        read.urls
    )


@pytest.mark.slow
@pytest.mark.matrix
@every_vendor
@given(content=REPLIES)
@settings(
    max_examples=shared(300, len(VENDORS)), deadline=None, suppress_health_check=list(HealthCheck)
)
def test_a_submit_has_a_job_or_a_doubt(vendor: str, content: bytes) -> None:
    """Whatever a 200 holds: a job with the id that is in it, or AmbiguousError."""
    try:
        job = submit(vendor, Reply(200, {}, content))
    except AmbiguousError:
        return
    raw = Reply(200, {}, content).json()
    assert job.id in at(raw, get_provider(vendor).reads.id)


@every_vendor
def test_every_documented_acceptance_has_an_id(vendor: str) -> None:
    """Each example of an accepted submit, old renders and variants included."""
    made = next(iter(plans(vendor).values()))
    assert made.route is not None
    replies = list(made.provider.contract.replies(made.provider.operation(made.route)))
    accepted_replies = [body for code, _, _, body in replies if code < 300]
    assert accepted_replies
    for body in accepted_replies:
        assert submit(vendor, Reply(200, {}, encoded(body))).id
