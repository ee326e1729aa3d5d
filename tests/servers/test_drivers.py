"""Paid calls over real sockets: every way a call can end, and what it proves about the bill."""

import gzip
import json
import uuid
from collections.abc import Iterator

import pytest
from polyreel.errors import AmbiguousError, NeverSentError, PolyreelError, RejectedError
from polyreel.flows import Reply
from polyreel.places import get, json_bytes, put
from polyreel.plans.planning import Plan
from polyreel.providers.base.calling import own_id_place
from support.faults import (
    CANARIES,
    CLOSE,
    CLOSE_AT_ONCE,
    CLOSE_EARLY,
    PACKED,
    RESET,
    RESET_AT_ONCE,
    RESET_EARLY,
    SILENCE,
    VENDORS,
    Answer,
    Clients,
    FaultServer,
    Kind,
    accepted,
    authorization,
    drip,
    encoded,
    every_kind,
    every_vendor,
    http,
    hurry,
    plans,
    raw,
    stopwatch,
)
from support.waiting import DEADLINES, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STATUSES = [
    *(
        400,
        401,
        402,
        403,
        404,
        405,
        406,
        407,
        408,
        409,
        410,
        411,
        412,
        413,
        414,
        415,
        417,
        418,
        421,
        422,
        423,
        424,
        425,
    ),
    *(
        426,
        428,
        429,
        431,
        451,
        460,
        499,
        500,
        501,
        502,
        503,
        504,
        505,
        507,
        508,
        511,
        520,
        521,
        522,
        523,
        524,
        525,
        529,
    ),
    *(530, 598, 599),
]
REFUSAL = encoded(
    {"error": {"code": "no", "message": "refused"}, "code": "no", "message": "refused"}
)

# What arrives after the request was, or may have been, read: whether it was accepted is not known.
UNCLEAR: dict[str, Answer] = {
    "reset-on-first-byte": RESET_EARLY,
    "close-on-first-byte": CLOSE_EARLY,
    "reset-after-request": RESET,
    "close-after-request": CLOSE,
    "no-head-end": raw(HEAD),
    "truncated-body": raw(HEAD + b'Content-Length: 100\r\n\r\n{"id": "task-1"}'),
    "truncated-body-reset": raw(HEAD + b'Content-Length: 100\r\n\r\n{"id": "task-1"', then="reset"),
    "truncated-chunk": raw(HEAD + b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"id": "task-1"}'),
    "bad-chunk": raw(
        HEAD + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n{"id": "task-1"}\r\n0\r\n\r\n'
    ),
    "garbage-status-line": raw(b"\x16\x03\x01 hello\r\n\r\n"),
    "not-http": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "huge-header": raw(HEAD + b"X-Large: " + b"x" * 200_000 + b"\r\n\r\n{}"),
    "negative-length": raw(HEAD + b"Content-Length: -1\r\n\r\n{}"),
    "two-lengths": raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "html": http(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
    "empty-object": http(200, b"{}"),
    "empty": http(200, b""),
    "no-content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a-list": http(200, b'["task-1"]'),
    "a-string": http(200, b'"task-1"'),
    "not-utf-8": http(200, b'{"id": "\xff\xfe"}'),
    "deep": http(200, b"[" * 100_000),
    "id-null": http(200, b'{"id": null, "task_id": null, "data": null}'),
    "id-empty": http(200, b'{"id": "", "task_id": "", "data": {"task_id": ""}}'),
    "id-number": http(200, b'{"id": 1, "task_id": 1, "data": {"task_id": 1}}'),
    "gzip-cut": http(200, gzip.compress(b'{"id": "task-1"}')[:-9], {"Content-Encoding": "gzip"}),
    "gzip-not": http(200, b'{"id": "task-1"}', {"Content-Encoding": "gzip"}),
    "gzip-bomb": http(200, gzip.compress(bytes(20_000_000)), {"Content-Encoding": "gzip"}),
    "brotli": http(200, b'{"id": "task-1"}', {"Content-Encoding": "br"}),
    "ten-megabytes": http(200, b'{"id": "task-1", "x": "' + b"x" * 10_000_000 + b'"}'),
    **{
        f"redirect-{status}": http(status, b"", {"Location": "/v2/elsewhere"})
        for status in (300, 301, 302, 303, 304, 305, 307, 308)
    },
}

# What never ends; with HTTP/1.0 and no length, the end of the connection is the end of the body.
ENDLESS: dict[str, Answer] = {
    "no-answer": SILENCE,
    "drip-status-line": drip(b"HTTP/1.1"),
    "drip-headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
    "drip-one-header": drip(b"HTTP/1.1 200 OK\r\nX-Drip: "),
    "drip-body": drip(HEAD + b"Content-Length: 100000\r\n\r\n"),
    "drip-chunks": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "drip-to-the-end": drip(b'HTTP/1.0 200 OK\r\n\r\n{"id": "task-1"}', b" "),
    "drip-informational": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: FaultServer) -> Iterator[Clients]:
    with Clients(keys=CANARIES, base_urls=dict.fromkeys(VENDORS, server.url)) as pair:
        yield pair


def any_plan(clients: Clients, vendor: str) -> Plan:
    base_url = clients.by_kind["blocking"].base_urls[vendor]
    return next(iter(plans(vendor, base_url).values()))


def failure(clients: Clients, kind: Kind, made: Plan) -> PolyreelError:
    """What a submit fails with."""
    with pytest.raises(PolyreelError) as caught:
        clients.do(kind, "submit", made)
    return caught.value


@pytest.mark.matrix("fault", "vendor", "kind")
@every_kind
@every_vendor
@pytest.mark.parametrize("fault", UNCLEAR)
def test_what_proves_nothing_is_ambiguous(
    clients: Clients, server: FaultServer, fault: str, vendor: str, kind: Kind
) -> None:
    """The job may have been billed: one POST at most, no redirect followed, and the caller is
    told.
    """
    server.play(UNCLEAR[fault])
    error = failure(clients, kind, any_plan(clients, vendor))
    assert type(error) is AmbiguousError
    assert (error.billed, error.vendor) == ("maybe", vendor)
    assert server.connections == 1
    assert server.posts == (0 if fault.endswith("first-byte") else 1)
    assert len(server.requests) == server.posts


@pytest.mark.matrix("vendor", "answer+kind")
@every_kind
@every_vendor
@pytest.mark.parametrize(
    "answer", [RESET_AT_ONCE, CLOSE_AT_ONCE], ids=["reset-on-accept", "close-on-accept"]
)
def test_a_server_that_hangs_up_at_once_gets_nothing_twice(
    clients: Clients, server: FaultServer, answer: Answer, vendor: str, kind: Kind
) -> None:
    """Whether the first byte was faster than the hang-up is chance: nothing is sent again in either
    case.
    """
    server.play(answer)
    error = failure(clients, kind, any_plan(clients, vendor))
    assert (type(error), error.billed) in {(AmbiguousError, "maybe"), (NeverSentError, "no")}
    assert (server.connections, server.posts) == (1, 0)


def refusal_body(made: Plan) -> bytes:
    """A documented error of the vendor, in the form that all of its errors have."""
    assert made.route is not None
    replies = made.provider.contract.replies(made.provider.operation(made.route))
    return encoded(next(body for code, _, _, body in replies if code == 401))


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_only_listed_statuses_are_refusals(
    clients: Clients, server: FaultServer, vendor: str, kind: Kind
) -> None:
    """The contract lists the statuses that prove a refusal; every other one is ambiguous.

    None is sent again.
    """
    made = any_plan(clients, vendor)
    assert made.route is not None
    listed = made.provider.operation(made.route).spec["x-polyreel-not-accepted"]
    outcomes = {}
    for status in STATUSES:
        server.play(http(status, refusal_body(made), {"Retry-After": "1"}))
        error = failure(clients, kind, made)
        outcomes[status] = (type(error), error.billed, error.status, server.posts)
    assert outcomes == {
        status: (
            (RejectedError, "no", status, 1)
            if status in listed
            else (AmbiguousError, "maybe", status, 1)
        )
        for status in STATUSES
    }
    assert all(400 <= status < 500 for status in listed)


@pytest.mark.matrix("fault", "vendor", "kind")
@every_kind
@every_vendor
@pytest.mark.parametrize("fault", ENDLESS)
def test_the_deadline_holds(
    clients: Clients,
    server: FaultServer,
    fault: str,
    vendor: str,
    kind: Kind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call ends at its deadline, whatever drips: nothing else would end it."""
    made = any_plan(clients, vendor)
    for deadline in DEADLINES:
        hurry(monkeypatch, deadline)
        server.play(ENDLESS[fault])
        with stopwatch() as seconds:
            error = failure(clients, kind, made)
        if type(error) is not NeverSentError:
            break
    assert seconds() > deadline
    assert type(error) is AmbiguousError
    assert "in time" in str(error)
    until(lambda: server.posts == 1)


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_an_accepted_job_has_its_id(
    clients: Clients, server: FaultServer, vendor: str, kind: Kind
) -> None:
    """The vendor's documented answers are read, at any 2xx status, in any transfer coding; every
    call is fresh.
    """
    made = any_plan(clients, vendor)
    body = accepted(vendor, made)
    chunked = (
        b"Transfer-Encoding: chunked\r\n\r\n"
        + f"{len(body):x}".encode()
        + b"\r\n"
        + body
        + b"\r\n0\r\n\r\n"
    )
    expected = made.provider.read(Reply(200, {}, body)).id
    assert expected
    answers = [
        http(200, body),
        http(201, body),
        http(202, body),
        raw(HEAD + chunked),
        raw(HEAD + b"\r\n" + body),
    ]
    server.play(*answers)
    for number in range(len(answers)):
        job = clients.do(kind, "submit", made)
        assert (job.id, job.vendor, job.simulated) == (expected, vendor, False)
        assert server.posts == server.connections == number + 1


@every_kind
@every_vendor
def test_the_paid_call_is_the_plan(
    clients: Clients, server: FaultServer, vendor: str, kind: Kind
) -> None:
    """The plan's bytes, the key in its one header, and nothing that invites compressed answers.

    Where the vendor takes an id of ours in the body, that alone is added.
    """
    made = any_plan(clients, vendor)
    server.play(http(200, accepted(vendor, made)))
    clients.do(kind, "submit", made)
    (request,) = server.requests
    expected = made.content
    if place := own_id_place(made.operation):
        body = json.loads(json.dumps(made.body))
        put(body, place, str(uuid.UUID(get(json.loads(request.body), place))))
        expected = json_bytes(body)
    assert (request.method, server.url + request.target, request.body) == (
        made.method,
        made.url,
        expected,
    )
    assert request.headers["authorization"] == authorization(vendor)
    assert request.headers["accept-encoding"] == "identity"
    assert str(request.headers).count(CANARIES[vendor]) == 1


@pytest.mark.matrix("vendor", "encoding+kind")
@every_kind
@every_vendor
@pytest.mark.parametrize("encoding", PACKED)
def test_a_compressed_answer_is_read(
    clients: Clients, server: FaultServer, encoding: str, vendor: str, kind: Kind
) -> None:
    """Although none was asked for: some gateways compress whatever they hand on."""
    pack = PACKED[encoding]
    headers, made = {"Content-Encoding": encoding}, any_plan(clients, vendor)
    server.play(http(200, pack(accepted(vendor, made)), headers))
    assert clients.do(kind, "submit", made).vendor == vendor
    server.play(http(400, pack(REFUSAL), headers))
    assert isinstance(failure(clients, kind, made), (RejectedError, AmbiguousError))
