"""The simulator's control page: what it shows and changes, and the webhooks that it sends."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from polyreel.flows import Answer
from polyreel.providers.base import webhooks
from polyreel.providers.base.provider import Provider
from polyreel.simulator import FAULTS, RunningClock, Simulator, calling, control, server
from polyreel.simulator import http as loopback
from support.control import BY_ID, TOKEN, VENDORS, Desk, desk, each_vendor
from support.server import PROVIDERS, START, example
from support.waiting import HANGS
from support.webhooks import HOOKED, PUBLISHED, SECRET, SIGNED, webhook


@pytest.fixture
def own() -> Iterator[Desk]:
    """A server of one's own."""
    with desk() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    """One server for tests to which its state does not matter."""
    with desk() as made:
        yield made


# -- looking ---------------------------------------------------------------------------------------


def test_nothing_has_happened_yet(own: Desk) -> None:
    """Every list is empty, every vendor is there, and what is infinite is null."""
    found = own.get("status")
    assert found["vendors"] == {vendor: own.url + path for vendor, path in server.mounts().items()}
    assert (found["now"], found["seed"], found["speed"], found["balance"]) == (START, 1, None, None)
    assert (found["requests"], found["billed"], found["tasks"], found["faults"]) == (0, 0, {}, 0)
    assert own.get("bill")["vendors"] == {vendor: {"count": 0, "total": 0} for vendor in VENDORS}
    assert (own.get("journal"), own.get("tasks")) == (
        {"count": 0, "requests": []},
        {"count": 0, "tasks": []},
    )
    known = own.get("faults")["known"]
    assert sorted(name for names in known.values() for name in names) == sorted(FAULTS)
    assert len(own.get("")["calls"]) == 11
    assert own.client.get(f"{own.url}/_polyreel").json() == own.get("")


@each_vendor
def test_a_job_is_on_the_bill_and_in_the_journal(own: Desk, provider: Provider) -> None:
    """What was asked, when, and what it cost; but neither the key nor the prompt."""
    job = own.job(provider)
    (task,) = own.get("tasks")["tasks"]
    bill, journal = own.get("bill"), own.get("journal")
    assert (task["vendor"], task["id"], task["status"], task["created"]) == (
        provider.id,
        job,
        "queued",
        START,
    )
    assert bill["charges"] == [
        {"vendor": provider.id, "task": job, "credits": task["credits"], "at": START}
    ]
    assert bill["vendors"][provider.id] == {"count": 1, "total": task["credits"]}
    assert (bill["count"], bill["total"]) == (1, own.simulator.bill.total())
    (request,) = journal["requests"]
    path = server.mounts()[provider.id].removeprefix(f"/{provider.id}") + example(provider).path
    assert request == {"vendor": provider.id, "method": "POST", "path": path, "at": START}
    shown = json.dumps([own.get(name) for name in ("status", "bill", "journal", "tasks", "faults")])
    assert "any-key" not in shown
    assert TOKEN not in shown
    assert own.simulator.tasks[provider.id, job].picture.prompt not in shown


def test_long_lists_are_shown_by_their_ends(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`count` tells of all."""
    monkeypatch.setattr(control, "LAST", 3)
    for _ in range(5):
        own.job(PROVIDERS[0])
    bill, journal, tasks = own.get("bill"), own.get("journal"), own.get("tasks")
    assert (bill["count"], journal["count"], tasks["count"]) == (5, 5, 5)
    assert [len(bill["charges"]), len(journal["requests"]), len(tasks["tasks"])] == [3, 3, 3]
    assert tasks["tasks"][-1]["id"] == list(own.simulator.tasks)[-1][1]


def test_a_head_is_a_get_without_its_body(shared: Desk) -> None:
    """For tools that only want to know whether somebody is there."""
    reply = shared.client.head(f"{shared.url}/_polyreel/status")
    assert (reply.status_code, reply.content) == (200, b"")


# -- changing --------------------------------------------------------------------------------------


@each_vendor
def test_the_clock_can_be_moved(own: Desk, provider: Provider) -> None:
    """A job that takes minutes has ended after one call."""
    job = own.job(provider)
    assert own.state(provider, job) == "queued"
    assert own.ask("POST", "advance", {"seconds": 1000}).json() == {"now": START + 1000}
    assert own.state(provider, job) == "succeeded"
    assert own.get("status")["tasks"] == {"succeeded": 1}


def test_a_running_clock_jumps_and_runs_on() -> None:
    """Speed and all."""
    clock = RunningClock(100)
    with desk(Simulator(clock=clock, seed=1)) as own:
        real = time.monotonic()
        before = own.get("status")
        assert own.ask("POST", "advance", {"seconds": 3600}).json()["now"] >= before["now"] + 3600
        assert before["speed"] == 100
        assert clock.now() <= before["now"] + 3600 + 100 * (time.monotonic() - real)
        begin = clock.now()
        time.sleep(0.02)
        assert clock.now() - begin > 1


def test_the_clock_does_not_leave_the_century(own: Desk) -> None:
    """Some vendors could not write such a time any more."""
    year = 366 * 86_400
    while (reply := own.ask("POST", "advance", {"seconds": year})).status_code == 200:
        pass
    assert (reply.status_code, reply.json()["message"]) == (
        400,
        "seconds: the clock does not go beyond the year 2099",
    )
    assert own.submit(PROVIDERS[0]).status_code == 200


def test_reset_forgets_everything_but_the_clock(own: Desk) -> None:
    """The same seed begins again with the same ids, another one with others."""
    provider = PROVIDERS[0]
    own.ask("POST", "advance", {"seconds": 10})
    own.simulator.inject("lost-reset", times=None, share=0.0)
    first = own.job(provider)
    shown = own.ask("POST", "reset").json()
    assert (shown["billed"], shown["requests"], shown["faults"], shown["now"]) == (
        0,
        0,
        0,
        START + 10,
    )
    assert own.state(provider, first) == "unknown"
    assert own.job(provider) == first
    assert own.ask("POST", "reset", {"seed": 2}).json()["seed"] == 2
    assert own.job(provider) != first
    assert own.ask("POST", "reset", {"seed": None}).json()["seed"] == 2


def test_faults_come_and_go(own: Desk) -> None:
    """Asked for by name, they happen to the calls they fit, are listed, and can be called off."""
    provider, other = PROVIDERS[0], PROVIDERS[1]
    asked = own.ask("POST", "faults", {"name": "503", "vendor": provider.id, "times": 2}).json()
    assert asked == {"active": [{"name": "503", "vendor": provider.id, "share": 1.0, "left": 2}]}
    assert own.submit(provider).status_code == 503
    assert own.submit(other).status_code == 200
    shown = own.get("faults")
    assert (shown["active"][0]["left"], shown["fired"]) == (
        1,
        [{"vendor": provider.id, "name": "503"}],
    )
    assert own.ask("POST", "faults", {"name": "500", "times": "always", "share": 0.5}).json()[
        "active"
    ][1] == {
        "name": "500",
        "vendor": None,
        "share": 0.5,
        "left": None,
    }
    assert own.ask("DELETE", "faults").json() == {"active": []}
    assert own.submit(provider).status_code == 200
    assert own.get("faults")["active"] == []


def test_spent_faults_are_not_active(own: Desk) -> None:
    """The list is of what may still happen."""
    own.ask("POST", "faults", {"name": "lost-500"})
    assert own.submit(PROVIDERS[0]).status_code == 500
    assert own.get("faults")["active"] == []
    assert own.get("bill")["count"] == 1


def test_looking_and_working_at_once(own: Desk) -> None:
    """Threads that submit, look and reset never see half of something."""

    def work(number: int) -> set[int]:
        name = ["bill", "journal", "tasks", "faults"][number % 4]
        return {
            own.submit(PROVIDERS[0]).status_code,
            own.client.get(f"{own.url}/_polyreel/{name}").status_code,
        }

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(40)))
        pool.map(lambda _: own.ask("POST", "reset"), range(4))
    assert set().union(*results) == {200}
    assert own.get("journal")["count"] == own.get("bill")["count"] == 0


# -- webhooks --------------------------------------------------------------------------------------


class Receiver:
    """A receiver of webhooks that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[loopback.HttpRequest] = []
        self.url = ""
        self.status = 200

    def __call__(self, request: loopback.HttpRequest) -> Answer:
        self.got.append(request)
        return Answer(self.status, {"location": "/elsewhere"}, b"{}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with loopback.running(made) as url:
        made.url = f"{url}/hook?who=me"
        yield made


def ended(own: Desk, vendor: str, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """What to ask for: the webhooks of a job that has ended."""
    job = own.job(BY_ID[vendor])
    own.ask("POST", "advance", {"seconds": 1000})
    return {"vendor": vendor, "task": job, "url": receiver.url, "secret": SECRET, **more}


@pytest.mark.parametrize("vendor", HOOKED)
def test_webhooks_reach_a_receiver(own: Desk, receiver: Receiver, vendor: str) -> None:
    """As the vendor makes them: polyreel's own reading takes them, the signature is of now, links
    lead here.
    """
    asked = ended(own, vendor, receiver)
    reply = own.ask("POST", "webhook", asked)
    assert reply.status_code == 200, reply.text
    made = reply.json()["deliveries"]
    assert [one["status"] for one in made] == [200] * len(receiver.got)
    assert receiver.got
    events = [webhooks.parse(vendor, one.headers, one.content, SECRET) for one in receiver.got]
    assert {event.task_id for event in events} == {asked["task"]}
    assert events[-1].facts.status == "succeeded"
    assert {event.verified for event in events} == {vendor in SIGNED}
    assert {(one.method, one.target) for one in receiver.got} == {("POST", "/hook?who=me")}
    assert not [one for one in receiver.got if b"simulator.invalid" in one.content]
    assert SECRET not in reply.text
    if vendor not in SIGNED:
        (link,) = events[-1].facts.urls
        assert own.client.get(link).status_code == 200


@pytest.mark.parametrize("vendor", HOOKED)
def test_webhooks_can_make_trouble(own: Desk, receiver: Receiver, vendor: str) -> None:
    """Twice, newest first, and late."""
    asked = ended(own, vendor, receiver)
    own.ask("POST", "webhook", asked)
    plain = [one.content for one in receiver.got]
    receiver.got.clear()
    begin = time.monotonic()
    own.ask("POST", "webhook", {**asked, "duplicate": True, "shuffle": True, "delay": 0.05})
    assert [one.content for one in receiver.got] == [
        one for one in reversed(plain) for _ in range(2)
    ]
    assert time.monotonic() - begin > 0.05 * len(receiver.got)


@pytest.mark.parametrize("vendor", PUBLISHED)
def test_without_the_library_of_signatures_the_extra_is_named(
    own: Desk, receiver: Receiver, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a vendor that publishes its keys; the server goes on, and nothing is sent."""
    asked = ended(own, vendor, receiver)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    assert "polyreel[webhooks]" in own.refused(501, "POST", "webhook", asked)
    assert receiver.got == []


@pytest.mark.parametrize("vendor", SIGNED)
def test_what_is_signed_needs_a_secret(own: Desk, receiver: Receiver, vendor: str) -> None:
    """And a job; nothing is sent before both are there. A vendor that signs only where a secret is
    set sends unsigned what nobody has one for.
    """
    asked = ended(own, vendor, receiver)
    del asked["secret"]
    if webhook(vendor).optional:
        assert own.ask("POST", "webhook", asked).status_code == 200
        assert receiver.got
        assert not any("webhook-signature" in one.headers for one in receiver.got)
        receiver.got.clear()
    else:
        assert "a secret is needed" in own.refused(400, "POST", "webhook", asked)
    assert "no task 'x'" in own.refused(
        404, "POST", "webhook", {**asked, "task": "x", "secret": SECRET}
    )
    assert receiver.got == []


@pytest.mark.parametrize(
    "provider", [provider for provider in PROVIDERS if provider.id not in SIGNED]
)
def test_a_vendor_that_calls_nobody_says_so(
    own: Desk, receiver: Receiver, provider: Provider
) -> None:
    """Where its contract has no webhooks, or the job is not as far."""
    asked = {"vendor": provider.id, "task": own.job(provider), "url": receiver.url}
    reply = own.ask("POST", "webhook", asked).json()
    assert (reply["deliveries"], provider.id in reply["message"], receiver.got) == ([], True, [])


@pytest.mark.parametrize("vendor", HOOKED)
def test_a_receiver_that_fails_is_reported_of(
    own: Desk, receiver: Receiver, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status, without following where it leads; nobody there; no answer in time, not even by
    drips; no HTTP.
    """
    asked = ended(own, vendor, receiver)
    monkeypatch.setattr(calling, "SECONDS", HANGS)
    for status in (302, 500):
        receiver.status = status
        assert {
            one["status"] for one in own.ask("POST", "webhook", asked).json()["deliveries"]
        } == {status}
    assert {one.target for one in receiver.got} == {"/hook?who=me"}
    monkeypatch.setattr(calling, "SECONDS", 0.3)  # nobody answers from here on
    with server.listen(0) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        first = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
        assert first["status"] is None
        assert "no answer within" in first["error"]
    refused = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
    assert refused["error"] == "no answer: Connection refused"
    for drip in (b"HTTP/1.1 200 OK\r\nX: ", b"SSH-2.0-x\r\n"):
        with rude(drip) as address:
            first = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
            assert first["status"] in {None, 200}


@contextmanager
def rude(start: bytes) -> Iterator[str]:
    """A server that begins an answer so, and then drips for ever."""
    over = threading.Event()

    def drip() -> None:
        while not over.is_set():
            try:
                peer, _ = bound.accept()
            except OSError:
                return
            with peer:
                try:
                    peer.sendall(start)
                    while not over.wait(0.05):
                        peer.sendall(b"x")
                except OSError:
                    continue

    with server.listen(0) as bound:
        bound.settimeout(HANGS)
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            over.set()
            bound.shutdown(socket.SHUT_RDWR)
            thread.join()
