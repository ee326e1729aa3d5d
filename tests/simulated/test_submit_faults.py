"""What goes wrong with a submit: what a plain httpx client sees, and what the bill says."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import httpx
import pytest
from polyreel.errors import UnknownNameError
from polyreel.flows import Reply
from polyreel.providers.base.provider import Provider
from polyreel.simulator import FAULTS, Simulator, VirtualClock
from polyreel.simulator.transport import SimulatedTransport
from support.browser import (
    DOWNLOADS,
    LISTS,
    LOST,
    POLLS,
    RATE_LIMITS,
    UNACCEPTED,
    UPLOADS,
    Browser,
    Kind,
    address,
    each_kind,
    post,
    status_of,
)
from support.server import (
    CREATES,
    PROVIDERS,
    START,
    Submit,
    each_vendor,
    example,
    key_of,
    new_simulator,
)

# -- the table -------------------------------------------------------------------------------------


def test_every_fault_is_tried_here() -> None:
    """The table and these tests have the same faults, each under its own name; streams have tests
    of their own.
    """
    tried = {**LOST, **UNACCEPTED, **POLLS, **LISTS, **UPLOADS, **DOWNLOADS}
    streams = {name for name, fault in FAULTS.items() if fault.call == "stream"}
    assert set(FAULTS) == {*tried, *streams, "poll-not-found"}
    assert all(fault.name == name for name, fault in FAULTS.items())


# -- submits ---------------------------------------------------------------------------------------


@pytest.mark.matrix("name", "provider", "kind")
@pytest.mark.parametrize("name", LOST)
@each_vendor
@each_kind
def test_a_submit_can_be_accepted_and_lost(name: str, provider: Provider, kind: Kind) -> None:
    """The client cannot tell, the request has left, and the bill has one job; the next submit is
    whole.
    """
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
        named = FAULTS[name].names_task
        assert all((identity in seen.text) == named for _, identity in simulator.tasks)
    assert status_of(post(browser, one)) == one.accepted
    assert simulator.bill.count() == 2


@pytest.mark.matrix("name", "provider", "kind")
@pytest.mark.parametrize("name", UNACCEPTED)
@each_vendor
@each_kind
def test_a_submit_can_go_unaccepted(name: str, provider: Provider, kind: Kind) -> None:
    """Nothing is billed, and only a refused connection proves it; scripted faults do the same as
    injected ones.
    """
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
    assert status_of(post(browser, one)) == one.accepted


@pytest.mark.matrix("name", "provider", "kind")
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
    nothing = {404, 422}  # no such path, or no model of that name
    assert target.host == httpx.URL(address(one.operation)).host
    there = Browser(simulator, "blocking").ask("POST", str(target), json=one.body)
    assert status_of(there) in nothing
    assert simulator.bill.count() == 0


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
    assert [status_of(post(browser, one)) for _ in range(3)] == [httpx.ConnectError] + [
        one.accepted
    ] * 2
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
    """Where the vendor knows idempotency keys, the repetition finds the job, and nothing more is
    billed.
    """
    simulator = new_simulator()
    browser = Browser(simulator, "blocking")
    headers = {
        **key_of(one.provider),
        one.operation.spec["x-polyreel-idempotency"]["header"]: "0123456789abcdef",
    }
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
        client.post(
            address(one.operation),
            json=one.body,
            headers=key_of(one.provider),
            extensions={"trace": die},
        )
    assert (simulator.bill.count(), simulator.journal) == (0, [])
    assert SimulatedTransport.traces


def test_without_a_socket_to_refuse_it_is_reset() -> None:
    """Who does not ask to connect, as a server cannot, gets a refusal as a reset."""
    simulator, one = new_simulator(), example(PROVIDERS[0])
    simulator.inject("refused")
    simulator.script(one.provider.id, "refused")
    content = json.dumps(one.body).encode()
    answers = [
        simulator.handle(
            one.provider.id, "POST", one.full_path, key_of(one.provider), content
        ).ending
        for _ in range(3)
    ]
    assert answers == ["reset", "reset", "whole"]
    assert simulator.bill.count() == 1


# -- rules -----------------------------------------------------------------------------------------


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
    """A refusal waits for faults that were injected before it, and strikes its share of the calls
    once each.
    """
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
        one = example(other)
        seen = status_of(post(browser, one))
        assert seen == (httpx.RemoteProtocolError if other is provider else one.accepted)
    assert status_of(post(browser, example(provider))) == 503
    simulator.calm()
    one = example(provider)
    assert status_of(post(browser, one)) == one.accepted


def test_unknown_names_are_reported_with_what_there_is() -> None:
    """Faults, vendors, and faults of other calls as events of submits; and numbers that make no
    sense.
    """
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
