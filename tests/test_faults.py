"""What goes wrong on a vendor's side, through a plain httpx client: what the client sees, and what the bill says."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx
import pytest
from attrs import define, field
from hypothesis import example as also
from hypothesis import given
from hypothesis import strategies as st
from polyreel.errors import UnknownNameError
from polyreel.flows import Answer, Reply
from polyreel.mapping.media import file_suffix
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.shapes import Picture
from polyreel.simulator import FAULTS, Simulator, VirtualClock
from polyreel.simulator.outputs import OutputFile
from polyreel.simulator.tasks import Task
from polyreel.simulator.transport import SimulatedTransport
from polyreel.simulator.webhooks import deliveries
from standardwebhooks import Webhook, WebhookVerificationError
from support.server import (
    BODIES,
    CREATES,
    KEY,
    PROVIDERS,
    START,
    Submit,
    calls,
    example,
    finish,
    new_simulator,
    path_of,
    poll,
    status_query,
    submit,
)
from support.webhooks import OTHER_SECRET, SECRET, SIGNED, UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["blocking", "awaiting"]
Seen = int | type[Exception]
"""What a client sees: an HTTP status, or an exception."""

LOST: Final[dict[str, Seen]] = {
    "lost-reset": httpx.ReadError,
    "lost-close": httpx.RemoteProtocolError,
    "lost-silence": httpx.ReadTimeout,
    "lost-cut": httpx.RemoteProtocolError,
    "lost-drip": httpx.ReadTimeout,
    "lost-html": 200,
    "lost-empty": 200,
    "lost-500": 500,
    "lost-502": 502,
    "lost-503": 503,
    "lost-504": 504,
}
RATE_LIMITS: Final = {
    "rate-limited-seconds": "2",
    "rate-limited-date": None,
    "rate-limited-zero": "0",
    "rate-limited-negative": "-1",
    "rate-limited-huge": "1000000000",
    "rate-limited-nan": "NaN",
    "rate-limited-superscript": "\u00b2",
    "rate-limited-none": None,
}
UNACCEPTED: Final[dict[str, Seen]] = {
    "refused": httpx.ConnectError,
    "unheard-reset": httpx.ReadError,
    "unheard-close": httpx.RemoteProtocolError,
    "unheard-silence": httpx.ReadTimeout,
    **{str(status): status for status in (500, 502, 503, 504)},
    **dict.fromkeys(RATE_LIMITS, 429),
    **{f"redirect-{status}": status for status in (301, 302, 303, 307, 308)},
}
POLLS: Final[dict[str, Seen]] = {
    "poll-reset": httpx.ReadError,
    "poll-silence": httpx.ReadTimeout,
    "poll-cut": httpx.RemoteProtocolError,
    "poll-html": 200,
    "poll-empty": 200,
    "poll-500": 500,
    "poll-503": 503,
    "poll-rate-limited": 429,
    "unknown-status": 200,
    "missing-status": 200,
    "regressing-status": 200,
    "no-output": 200,
}
LISTS: Final[dict[str, Seen]] = {"list-500": 500, "list-empty": 200}
UPLOADS: Final[dict[str, Seen]] = {
    "upload-500": 500,
    "upload-reset": httpx.ReadError,
    "upload-html": 200,
}
DOWNLOADS: Final[dict[str, Seen]] = {
    "link-403": 403,
    "link-404": 404,
    "link-410": 410,
    "file-cut": httpx.RemoteProtocolError,
    "file-reset": httpx.ReadError,
    "file-html": 200,
    "file-empty": 200,
    "file-500": 500,
    "range-ignored": 200,
    "range-wrong": 206,
    "range-refused": 416,
    "file-changed": 200,
}


def named(value: object) -> str:
    """The name of a parameter in a test's id."""
    return value.id if isinstance(value, (Provider, Operation)) else str(value)


each_kind = pytest.mark.parametrize("kind", ["blocking", "awaiting"])
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=named)


@define
class Browser:
    """A plain httpx client on the simulator, and what a trace told it of the last request."""

    simulator: Simulator
    kind: Kind
    events: list[str] = field(factory=list)
    billed: list[int] = field(factory=list)
    """What was billed when each of the events was told."""

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response | Exception:
        """Make one request and read the whole answer; or what the client raised."""
        options.setdefault("headers", KEY)
        self.events.clear()
        self.billed.clear()
        try:
            if self.kind == "awaiting":
                return asyncio.run(self._await(method, url, options))
            with httpx.Client(transport=SimulatedTransport(self.simulator), timeout=30) as client:
                return client.request(
                    method, url, extensions={"trace": self._see, "timeout": {"read": 30}}, **options
                )
        except httpx.HTTPError as error:
            return error

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Make one request that is answered."""
        answer = self.ask("GET", url, **options)
        assert isinstance(answer, httpx.Response), answer
        return answer

    async def _await(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        extensions = {"trace": self._asee, "timeout": {"read": 30}}
        async with httpx.AsyncClient(transport=SimulatedTransport(self.simulator)) as client:
            return await client.request(method, url, extensions=extensions, **options)

    def _see(self, event: str, info: dict[str, Any]) -> None:
        assert info == {}
        self.events.append(event)
        self.billed.append(self.simulator.bill.count())

    async def _asee(self, event: str, info: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self._see(event, info)


def address(operation: Operation, task: str = "") -> str:
    """The documented URL of a call."""
    return str(httpx.URL(operation.server).join(path_of(operation, task)))


def post(browser: Browser, one: Submit, **options: Any) -> httpx.Response | Exception:
    """Submit a documented body."""
    return browser.ask("POST", address(one.operation), json=one.body, **options)


def status_of(seen: httpx.Response | Exception) -> Seen:
    """What a client has seen."""
    return seen.status_code if isinstance(seen, httpx.Response) else type(seen)


def ended(simulator: Simulator, provider: Provider) -> Task:
    """A job that has succeeded, with a small output."""
    one = SMALL.get(provider.id) or example(provider)
    task = submit(simulator, one)
    finish(simulator)
    return simulator.tasks[provider.id, str(task.id)]


SMALL: Final = {
    one.provider.id: one
    for one in reversed(BODIES)
    if one.reading.route.workflow == "generate-image"
}
"""Pictures are rendered faster than videos."""


# -- the table ---------------------------------------------------------------------------------------


def test_every_fault_is_tried_here() -> None:
    """The table and these tests have the same faults, each under its own name; streams have tests of their own."""
    tried = {**LOST, **UNACCEPTED, **POLLS, **LISTS, **UPLOADS, **DOWNLOADS}
    streams = {name for name, fault in FAULTS.items() if fault.call == "stream"}
    assert set(FAULTS) == {*tried, *streams, "poll-not-found"}
    assert all(fault.name == name for name, fault in FAULTS.items())


# -- submits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOST)
@each_vendor
@each_kind
def test_a_submit_can_be_accepted_and_lost(name: str, provider: Provider, kind: Kind) -> None:
    """The client cannot tell, the request has left, and the bill has one job; the next submit is whole."""
    simulator, one = new_simulator(), example(provider)
    browser = Browser(simulator, kind)
    simulator.inject(name)
    seen = post(browser, one)
    assert status_of(seen) == LOST[name]
    assert browser.events[0] == "http11.send_request_headers.started"
    assert set(browser.billed) == {0}
    assert simulator.bill.count(provider.id) == simulator.bill.count() == len(simulator.tasks) == 1
    assert simulator.fired == [(provider.id, name)]
    if isinstance(seen, httpx.Response):
        assert all(identity not in seen.text for _, identity in simulator.tasks)
    assert status_of(post(browser, one)) == 200
    assert simulator.bill.count() == 2


@pytest.mark.parametrize("name", UNACCEPTED)
@each_vendor
@each_kind
def test_a_submit_can_go_unaccepted(name: str, provider: Provider, kind: Kind) -> None:
    """Nothing is billed, and only a refused connection proves it; scripted faults do the same as injected ones."""
    simulator, one = new_simulator(), example(provider)
    browser = Browser(simulator, kind)
    simulator.inject(name, provider.id)
    assert status_of(post(browser, one)) == UNACCEPTED[name]
    assert bool(browser.events) == (name != "refused")
    assert len(simulator.journal) == (name != "refused")
    simulator.script(provider.id, name, name)
    assert [status_of(post(browser, one)) for _ in range(2)] == [UNACCEPTED[name]] * 2
    assert simulator.bill.count() == len(simulator.tasks) == 0
    assert simulator.fired == [(provider.id, name)] * 3
    assert status_of(post(browser, one)) == 200


@pytest.mark.parametrize("name", RATE_LIMITS)
@each_vendor
@each_kind
def test_retry_after_comes_in_every_form(name: str, provider: Provider, kind: Kind) -> None:
    """As the fault says, whatever the vendor documents; a date stands beside the server's own."""
    simulator = new_simulator()
    simulator.inject(name)
    seen = post(Browser(simulator, kind), example(provider))
    assert isinstance(seen, httpx.Response)
    if name == "rate-limited-date":
        date, later = (
            parsedate_to_datetime(seen.headers[header]) for header in ("date", "retry-after")
        )
        assert date.timestamp() == START
        assert (later - date).total_seconds() == 2
    else:
        assert seen.headers.get("retry-after") == RATE_LIMITS[name]
    assert provider.read_error(Reply(429, {}, seen.content))[1] != "an empty answer"


@each_vendor
def test_a_redirect_stays_on_the_host(provider: Provider) -> None:
    """To another path of the same host, where there is nothing to pay for."""
    simulator, one = new_simulator(), example(provider)
    simulator.inject("redirect-307")
    seen = post(Browser(simulator, "blocking"), one)
    assert isinstance(seen, httpx.Response)
    target = httpx.URL(address(one.operation)).join(seen.headers["location"])
    assert target.host == httpx.URL(address(one.operation)).host
    assert status_of(Browser(simulator, "blocking").ask("POST", str(target), json=one.body)) == 404


@each_vendor
def test_a_refusal_is_not_lost(provider: Provider) -> None:
    """What the vendor refuses is answered, and the fault waits for a submit that is accepted."""
    simulator, one = new_simulator(), example(provider)
    browser = Browser(simulator, "blocking")
    simulator.inject("lost-close")
    assert status_of(browser.ask("POST", address(one.operation), json={})) in {400, 422}
    assert status_of(post(browser, one, headers={})) == 401
    assert (simulator.bill.count(), simulator.fired) == (0, [])
    assert status_of(post(browser, one)) is httpx.RemoteProtocolError
    assert simulator.bill.count() == 1


@each_vendor
def test_scripts_mix_faults_with_errors_and_ends(provider: Provider) -> None:
    """One event for each submit, in order; injected faults come when none is scripted."""
    simulator, one = new_simulator(), example(provider)
    browser = Browser(simulator, "blocking")
    simulator.inject("unheard-reset")
    simulator.script(provider.id, "lost-500", "lost-500", "rate_limited", "refused", "failed")
    seen = [status_of(post(browser, one)) for _ in range(4)]
    assert seen == [500, 500, httpx.ReadError, 429]
    assert [status_of(post(browser, one)) for _ in range(3)] == [httpx.ConnectError, 200, 200]
    assert [task.end for task in simulator.tasks.values()] == [
        "succeeded",
        "succeeded",
        "failed",
        "succeeded",
    ]


def replays() -> list[Submit]:
    """Documented bodies of calls whose vendor knows idempotency keys."""
    policies = [
        (p, o)
        for p, o in CREATES
        if o.spec.get("x-polyreel-idempotency", {}).get("mode") == "replay"
    ]
    return [example(provider, operation) for provider, operation in policies]


@pytest.mark.parametrize("one", replays(), ids=str)
def test_a_lost_submit_can_be_repeated_with_its_key(one: Submit) -> None:
    """Where the vendor knows idempotency keys, the repetition finds the job, and nothing more is billed."""
    simulator = new_simulator()
    browser = Browser(simulator, "blocking")
    headers = {**KEY, one.operation.spec["x-polyreel-idempotency"]["header"]: "0123456789abcdef"}
    simulator.inject("lost-reset")
    assert status_of(post(browser, one, headers=headers)) is httpx.ReadError
    found = post(browser, one, headers=headers)
    assert isinstance(found, httpx.Response)
    assert one.provider.read(Reply(200, {}, found.content)).id == next(iter(simulator.tasks))[1]
    assert simulator.bill.count() == 1


@each_kind
def test_silence_takes_the_time_that_the_client_gives_it(kind: Kind) -> None:
    """A virtual clock moves by the read timeout; other faults take no time."""
    for name, seconds in (
        ("lost-silence", 30),
        ("lost-drip", 30),
        ("unheard-silence", 30),
        ("lost-reset", 0),
    ):
        simulator = new_simulator()
        simulator.inject(name)
        post(Browser(simulator, kind), example(PROVIDERS[0]))
        assert simulator.clock.now() == START + seconds


def test_a_trace_that_fails_keeps_the_request() -> None:
    """Who dies when the first byte leaves has not been heard."""

    def die(event: str, info: object) -> None:
        raise KeyboardInterrupt

    simulator, one = new_simulator(), example(PROVIDERS[0])
    with (
        httpx.Client(transport=SimulatedTransport(simulator)) as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.post(address(one.operation), json=one.body, headers=KEY, extensions={"trace": die})
    assert (simulator.bill.count(), simulator.journal) == (0, [])
    assert SimulatedTransport.traces


def test_without_a_socket_to_refuse_it_is_reset() -> None:
    """Who does not ask to connect, as a server cannot, gets a refusal as a reset."""
    simulator, one = new_simulator(), example(PROVIDERS[0])
    simulator.inject("refused")
    simulator.script(one.provider.id, "refused")
    content = json.dumps(one.body).encode()
    answers = [
        simulator.handle(one.provider.id, "POST", path_of(one.operation, ""), KEY, content).ending
        for _ in range(3)
    ]
    assert answers == ["reset", "reset", "whole"]
    assert simulator.bill.count() == 1


# -- rules -------------------------------------------------------------------------------------------


def struck(seed: int | None, share: float, times: int | None, count: int = 60) -> list[bool]:
    """Which of many submits a fault strikes."""
    simulator, one = Simulator(clock=VirtualClock(START), seed=seed), example(PROVIDERS[0])
    simulator.inject("500", share=share, times=times)
    browser = Browser(simulator, "blocking")
    return [status_of(post(browser, one)) == 500 for _ in range(count)]


def test_shares_and_times() -> None:
    """A fault strikes its share of the calls, and no more often than it may."""
    assert struck(1, 1.0, 1) == [True] + [False] * 59
    assert sum(struck(1, 1.0, 7)) == 7
    assert sum(struck(1, 1.0, None)) == 60
    assert sum(struck(1, 0.0, None)) == sum(struck(1, 1.0, 0)) == 0
    assert sum(struck(1, 0.5, 3)) == 3
    assert 15 < sum(struck(1, 0.5, None)) < 45


def test_the_same_seed_strikes_the_same_calls() -> None:
    """And ids do not depend on faults, nor one rule on another."""
    assert struck(7, 0.3, None) == struck(7, 0.3, None) != struck(8, 0.3, None)
    ids = []
    for faults in ((), ("lost-500",), ("lost-500", "lost-html")):
        simulator, one = new_simulator(), example(PROVIDERS[0])
        for fault in faults:
            simulator.inject(fault, share=0.5, times=None)
        for _ in range(20):
            post(Browser(simulator, "blocking"), one)
        ids.append(list(simulator.tasks))
    assert ids[0] == ids[1] == ids[2]


def test_refusals_keep_their_place_and_share() -> None:
    """A refusal waits for faults that were injected before it, and strikes its share of the calls once each."""
    simulator, one = new_simulator(), example(PROVIDERS[0])
    browser = Browser(simulator, "blocking")
    simulator.inject("unheard-reset")
    simulator.inject("refused")
    assert [status_of(post(browser, one)) for _ in range(3)] == [
        httpx.ReadError,
        httpx.ConnectError,
        200,
    ]
    simulator.inject("refused", share=0.5, times=None)
    refused = [status_of(post(browser, one)) is httpx.ConnectError for _ in range(100)]
    assert 30 < sum(refused) < 70


@each_vendor
def test_faults_meet_their_vendor_only(provider: Provider) -> None:
    """And stop when calm is asked for; what is scripted stays."""
    simulator = new_simulator()
    browser = Browser(simulator, "blocking")
    simulator.inject("503", provider.id, times=None)
    simulator.script(provider.id, "unheard-close")
    for other in PROVIDERS:
        seen = status_of(post(browser, example(other)))
        assert seen == (httpx.RemoteProtocolError if other is provider else 200)
    assert status_of(post(browser, example(provider))) == 503
    simulator.calm()
    assert status_of(post(browser, example(provider))) == 200


def test_unknown_names_are_told_with_what_there_is() -> None:
    """Faults, vendors, and faults of other calls as events of submits; and numbers that make no sense."""
    simulator, vendor = new_simulator(), PROVIDERS[0].id
    with pytest.raises(UnknownNameError, match="there is no fault 'lost'; there are lost-reset, "):
        simulator.inject("lost")
    with pytest.raises(UnknownNameError, match="nobody"):
        simulator.inject("500", "nobody")
    with pytest.raises(UnknownNameError, match="lost-reset"):
        simulator.script(vendor, "poll-500")
    for options in ({"share": 1.5}, {"share": -0.5}, {"times": -1}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            simulator.inject("500", **options)
    assert status_of(post(Browser(simulator, "blocking"), example(PROVIDERS[0]))) == 200


# -- polls -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLLS)
@each_vendor
@each_kind
def test_a_poll_can_go_wrong(name: str, provider: Provider, kind: Kind) -> None:
    """Once, in the shape that the fault says; the next one tells the truth, and nothing is billed for either."""
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), ended(simulator, provider)
    url = address(status_query(provider), task.id)
    simulator.inject(name)
    seen = browser.ask("GET", url)
    assert status_of(seen) == POLLS[name]
    if (
        isinstance(seen, httpx.Response)
        and seen.headers["content-type"] == "application/json"
        and seen.is_success
    ):
        facts = provider.read(Reply(200, {}, seen.content))
        assert facts.status == {"regressing-status": "running", "no-output": "succeeded"}.get(
            name, "unknown"
        )
        assert facts.word == (None if name in {"poll-empty", "missing-status"} else facts.word)
        assert facts.id == (None if name == "poll-empty" else task.id)
        assert bool(facts.urls) == (name in {"unknown-status", "missing-status"})
    assert poll(simulator, provider, task.id).status == "succeeded"
    assert simulator.fired == [(provider.id, name)]
    assert simulator.bill.count() == 1


@each_vendor
@each_kind
def test_a_task_can_be_denied(provider: Provider, kind: Kind) -> None:
    """In the words that the vendor has for tasks it does not know."""
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), ended(simulator, provider)
    simulator.inject("poll-not-found")
    seen = browser.get(address(status_query(provider), task.id))
    code, _ = provider.read_error(Reply(seen.status_code, {}, seen.content))
    assert provider.is_not_found(seen.status_code, code)
    assert poll(simulator, provider, task.id).status == "succeeded"


@each_vendor
def test_faults_wait_for_the_state_they_are_about(provider: Provider) -> None:
    """Only an ended job can go back, only one that has succeeded can have no output; others happen meanwhile."""
    simulator, one = new_simulator(), example(provider)
    task = submit(simulator, one)
    for name in ("regressing-status", "no-output", "unknown-status"):
        simulator.inject(name)
    assert [poll(simulator, provider, task.id).status for _ in range(2)] == ["unknown", "queued"]
    finish(simulator)
    seen = [poll(simulator, provider, task.id) for _ in range(3)]
    assert [facts.status for facts in seen] == ["running", "succeeded", "succeeded"]
    assert [bool(facts.urls) for facts in seen] == [False, False, True]


# -- lists and uploads -------------------------------------------------------------------------------

LISTED: Final = calls("list", "list-running")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(("provider", "operation"), LISTED, ids=named)
@each_kind
def test_a_list_can_go_wrong(
    name: str, provider: Provider, operation: Operation, kind: Kind
) -> None:
    """It fails, or shows nothing of what is there."""
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), submit(simulator, example(provider))
    simulator.inject(name)
    seen, after = (browser.get(address(operation)) for _ in range(2))
    assert seen.status_code == LISTS[name]
    assert str(task.id) not in seen.text
    assert str(task.id) in after.text
    assert simulator.bill.count() == 1


@pytest.mark.parametrize("name", UPLOADS)
@pytest.mark.parametrize(("provider", "operation"), calls("upload"), ids=named)
@each_kind
def test_an_upload_can_go_wrong(
    name: str, provider: Provider, operation: Operation, kind: Kind
) -> None:
    """Once, and free of charge."""
    simulator = new_simulator()
    browser = Browser(simulator, kind)
    files = {"file": ("cat.png", b"\x89PNG", "image/png")}
    form = httpx.Request("POST", "https://simulator.invalid", files=files)
    headers = {**KEY, "content-type": form.headers["content-type"]}
    options = {"content": form.read(), "headers": headers}
    simulator.inject(name)
    assert status_of(browser.ask("POST", address(operation), **options)) == UPLOADS[name]
    assert status_of(browser.ask("POST", address(operation), **options)) == 200
    assert simulator.bill.count() == 0


# -- downloads ---------------------------------------------------------------------------------------


def link(simulator: Simulator, provider: Provider, task: Task) -> str:
    """The link to the first output of a job."""
    return poll(simulator, provider, task.id).urls[0]


@pytest.mark.parametrize("name", DOWNLOADS)
@each_vendor
@each_kind
def test_a_download_can_go_wrong(name: str, provider: Provider, kind: Kind) -> None:
    """Once; afterwards the link gives the file again, whole or in part."""
    simulator = new_simulator()
    browser = Browser(simulator, kind)
    url = link(simulator, provider, ended(simulator, provider))
    whole = browser.get(url, headers={})
    simulator.inject(name)
    ranged = {"range": "bytes=100-"}
    seen = browser.ask("GET", url, headers=ranged if name.startswith("range") else {})
    assert status_of(seen) == DOWNLOADS[name]
    if isinstance(seen, httpx.Response):
        check_file(name, seen, whole)
    after = browser.get(url, headers=ranged)
    assert (after.status_code, after.content) == (206, whole.content[100:])
    assert simulator.fired == [(provider.id, name)]
    assert simulator.bill.count() == 1


def check_file(name: str, seen: httpx.Response, whole: httpx.Response) -> None:
    """What a spoiled file looks like."""
    same = seen.content == whole.content
    assert same == (name == "range-ignored")
    if name in {"file-html", "file-empty"}:
        assert (not seen.content) == (name == "file-empty")
        assert seen.headers["content-type"] != whole.headers["content-type"]
    if name == "range-wrong":
        assert (
            seen.headers["content-range"]
            == f"bytes 99-{len(whole.content) - 1}/{len(whole.content)}"
        )
        assert seen.content == whole.content[99:]
    if name == "range-refused":
        assert seen.headers["content-range"] == f"bytes */{len(whole.content)}"
    if name == "file-changed":
        assert seen.headers["etag"] != whole.headers["etag"]
        assert len(seen.content) != len(whole.content)
        assert file_suffix(seen.content[:16]) == file_suffix(whole.content[:16]) in {".mp4", ".png"}


def run(blocking: Any, awaiting: Any, kind: Kind, *arguments: Any) -> Any:
    """Call the one of two functions that a kind of client needs."""
    return asyncio.run(awaiting(*arguments)) if kind == "awaiting" else blocking(*arguments)


def pieces(simulator: Simulator, url: str, into: bytearray, length: int) -> None:
    """Fetch a file, blocking, and keep what comes."""
    with (
        httpx.Client(transport=SimulatedTransport(simulator)) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-length"] == str(length)
        for chunk in response.iter_bytes():
            into += chunk


async def apieces(simulator: Simulator, url: str, into: bytearray, length: int) -> None:
    """Fetch a file, awaiting, and keep what comes."""
    transport = SimulatedTransport(simulator)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-length"] == str(length)
        async for chunk in response.aiter_bytes():
            into += chunk


@each_kind
def test_a_cut_file_announces_its_length(kind: Kind) -> None:
    """Half of the bytes come, and then the connection is closed."""
    simulator, provider = new_simulator(), PROVIDERS[0]
    url = link(simulator, provider, ended(simulator, provider))
    whole = Browser(simulator, kind).get(url, headers={}).content
    simulator.inject("file-cut")
    got = bytearray()
    with pytest.raises(httpx.RemoteProtocolError):
        run(pieces, apieces, kind, simulator, url, got, len(whole))
    assert got == whole[: len(whole) // 2]


@each_vendor
def test_links_expire_and_are_signed_again(provider: Provider) -> None:
    """An old link does not work, nor one that was tampered with; every status query makes fresh ones."""
    simulator = new_simulator(link_seconds=60)
    task = ended(simulator, provider)
    old = link(simulator, provider, task)
    browser = Browser(simulator, "blocking")
    assert browser.get(old, headers={}).status_code == 200
    assert isinstance(simulator.clock, VirtualClock)
    simulator.clock.advance(61)
    issued = httpx.URL(old).params["issued"]
    assert browser.get(old, headers={}).status_code == 410
    for forged in (
        old.partition("?")[0],
        old.replace(issued, f"{simulator.clock.now():.3f}"),
        old + "\u00e9",
        old[:-1],
    ):
        assert browser.get(forged, headers={}).status_code == 403
    fresh = link(simulator, provider, task)
    assert fresh != old
    assert browser.get(fresh, headers={}).status_code == 200


def test_links_are_those_of_one_simulator() -> None:
    """Another one signs with another secret; without a limit nothing is signed."""
    for seeds, same in (((1, 1), True), ((1, 2), False), ((None, None), False)):
        made = [
            Simulator(seed=seed, link_seconds=1).links("somebody").url("task", "1.mp4", START)
            for seed in seeds
        ]
        assert (made[0] == made[1]) == same
    assert Simulator().links("somebody").url("task", "1.mp4", START).endswith("/outputs/task/1.mp4")


# -- ranges ------------------------------------------------------------------------------------------

TINY: Final = Picture(0, 8, 8, False, "", ())


def fetch(headers: dict[str, str] | None = None, method: str = "GET") -> Reply:
    """A small picture."""
    return OutputFile(TINY, 1, START, method, headers or {}).reply()


BYTES: Final = fetch().content
positions = st.integers(0, len(BYTES) + 10)


@given(positions, st.none() | positions)
@also(len(BYTES) - 1, None)
@also(len(BYTES), None)
@also(0, len(BYTES) * 10**9)
def test_a_range_is_a_slice(start: int, end: int | None) -> None:
    """The bytes from the first to the last that was asked for, told in Content-Range; 416 beyond the end."""
    reply = fetch({"range": f"bytes={start}-{'' if end is None else end}"})
    expected = BYTES[start:] if end is None else BYTES[start : end + 1]
    if end is not None and end < start:
        assert (reply.status, reply.content) == (200, BYTES)
    elif start >= len(BYTES):
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(BYTES)}")
    else:
        told = f"bytes {start}-{start + len(expected) - 1}/{len(BYTES)}"
        assert (reply.status, reply.content, reply.headers["content-range"]) == (
            206,
            expected,
            told,
        )
    assert reply.headers["accept-ranges"] == "bytes"


def test_other_ranges_are_ignored() -> None:
    """Several, of other units, from the end, and nonsense."""
    for text in (
        "bytes=0-1,3-4",
        "bytes=-5",
        "lines=1-2",
        "bytes=a-",
        "bytes=",
        "",
        "bytes=\u00b2-",
        f"bytes={'9' * 5000}-",
    ):
        assert (fetch({"range": text}).status, fetch({"range": text}).content) == (200, BYTES)


def test_a_range_of_another_version_is_the_whole_file() -> None:
    """If-Range holds the strong ETag or the exact date; anything else means that the file has changed."""
    about = fetch().headers
    for validator, status in (
        (about["etag"], 206),
        (about["last-modified"], 206),
        ('"other"', 200),
        (f"W/{about['etag']}", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("", 200),
    ):
        reply = fetch({"range": "bytes=5-", "if-range": validator})
        assert (reply.status, reply.content) == (status, BYTES[5:] if status == 206 else BYTES)


def test_headers_can_be_asked_for_alone() -> None:
    """HEAD tells what GET would, ranges aside, and faults do not meet it."""
    simulator, provider = new_simulator(), PROVIDERS[0]
    url = link(simulator, provider, ended(simulator, provider))
    browser = Browser(simulator, "blocking")
    simulator.inject("file-500")
    head = browser.ask("HEAD", url, headers={"range": "bytes=5-"})
    assert isinstance(head, httpx.Response)
    assert (head.status_code, head.content) == (200, b"")
    simulator.calm()
    whole = browser.get(url, headers={})
    for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]


# -- webhooks ----------------------------------------------------------------------------------------


def hooked(vendor: str, end: str = "succeeded") -> Iterator[tuple[Simulator, str, float]]:
    """A job at several times of its life, by the machine's own clock, as signatures need it."""
    simulator = Simulator(clock=VirtualClock(), seed=1)
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    if end != "succeeded":
        simulator.script(vendor, end)
    task = str(submit(simulator, example(provider)).id)
    for seconds in (0, 5, 1000):
        yield simulator, task, simulator.tasks[vendor, task].created + seconds


@pytest.mark.parametrize("vendor", SIGNED)
@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled"])
def test_webhooks_tell_every_state_and_are_signed(vendor: str, end: str) -> None:
    """One delivery for each state so far, about this job, verified with its secret only; a repeat has the same id."""
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    for count, (simulator, task, now) in enumerate(hooked(vendor, end), 1):
        made = deliveries(simulator, vendor, task, SECRET, now)
        facts = [provider.read(Reply(200, {}, one.body), provider.webhook) for one in made]
        assert [fact.status for fact in facts] == ["queued", "running", end][:count]
        assert {fact.id for fact in facts} == {task}
        again = deliveries(simulator, vendor, task, SECRET, now + 1)
        assert [one.headers["webhook-id"] for one in again] == [
            one.headers["webhook-id"] for one in made
        ]
        assert len({one.headers["webhook-id"] for one in made}) == count
    for one in deliveries(simulator, vendor, task, SECRET, time.time()):
        headers = dict(one.headers)
        assert Webhook(SECRET).verify(one.body, headers) == json.loads(one.body)
        for secret, body in ((OTHER_SECRET, one.body), (SECRET, one.body + b" ")):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, headers)
    with pytest.raises(ValueError, match="secret"):
        deliveries(simulator, vendor, task, None, now)


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_callbacks_tell_the_end_and_prove_nothing(vendor: str) -> None:
    """The ended job once, in the shape of the status query, without a signature."""
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    seen = [
        deliveries(simulator, vendor, task, None, now) for simulator, task, now in hooked(vendor)
    ]
    assert [len(made) for made in seen] == [0, 0, 1]
    facts = provider.read(Reply(200, {}, seen[-1][0].body))
    assert (facts.status, bool(facts.urls)) == ("succeeded", True)
    assert set(seen[-1][0].headers) == {"content-type"}
    schema = provider.contract.reply_schema(status_query(provider), 200)
    assert schema is not None
    body: JsonObject = json.loads(seen[-1][0].body)
    assert provider.contract.fits(schema, body) == []


@each_vendor
def test_vendors_that_do_not_call_deliver_nothing(provider: Provider) -> None:
    """And nobody delivers anything of a job that there is not."""
    simulator = new_simulator()
    with pytest.raises(UnknownNameError):
        deliveries(simulator, provider.id, "none", SECRET, START)
    if provider.webhook is None:
        assert (
            deliveries(simulator, provider.id, ended(simulator, provider).id, SECRET, START + 5000)
            == []
        )


def test_every_answer_is_one_that_a_server_can_give() -> None:
    """With its ending, also where nothing goes wrong."""
    answer = Simulator().handle("nobody", "GET", "/", {})
    assert isinstance(answer, Answer)
    assert answer.ending == "whole"
