"""The control API of the simulator behind a port, its page for browsers, late answers, and who is let in."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.drivers import RealClock
from polyreel.flows import Answer, Reply
from polyreel.providers.base import webhooks
from polyreel.providers.base.provider import Provider
from polyreel.simulator import FAULTS, RunningClock, Simulator, calling, control, server
from polyreel.simulator import http as loopback
from support.server import KEY, PROVIDERS, START, example, new_simulator, path_of, status_query
from support.webhooks import HOOKED, SECRET, SIGNED

TOKEN = "a-token-that-nobody-guesses"
VENDORS = [provider.id for provider in PROVIDERS]
BY_ID = {provider.id: provider for provider in PROVIDERS}
JSON_TYPE = {"Content-Type": "application/json"}
CHANGES = [
    ("POST", "reset"),
    ("POST", "advance"),
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("POST", "webhook"),
]
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


class Desk:
    """A simulator behind a port, and the calls that tests make."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.url = url
        self.client = httpx.Client(timeout=20)

    def ask(self, method: str, name: str, body: Any = None, **options: Any) -> httpx.Response:
        """Call the control API with the token."""
        headers = {"X-Polyreel-Token": TOKEN, **options.pop("headers", {})}
        return self.client.request(
            method, f"{self.url}/_polyreel/{name}", json=body, headers=headers, **options
        )

    def get(self, name: str) -> Any:
        """What a GET shows, without a token."""
        reply = self.client.get(f"{self.url}/_polyreel/{name}")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        return reply.json()

    def refused(self, status: int, method: str, name: str, body: Any = None, **options: Any) -> str:
        """The message of a call that is refused."""
        reply = self.ask(method, name, body, **options)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json"), (
            reply.text
        )
        message: str = reply.json()["message"]
        assert 10 < len(message) < 1000
        return message

    def submit(self, provider: Provider, **options: Any) -> httpx.Response:
        """Submit a documented body."""
        one = example(provider)
        url = self.url + server.mounts()[provider.id] + one.operation.path
        return self.client.post(url, json=one.body, headers=KEY, **options)

    def job(self, provider: Provider) -> str:
        """The id of a new job."""
        facts = provider.read(Reply(200, {}, self.submit(provider).content))
        assert facts.id is not None
        return facts.id

    def state(self, provider: Provider, job: str) -> str:
        """The state of a job, as its vendor tells it."""
        path = path_of(status_query(provider), job)
        reply = self.client.get(f"{self.url}/{provider.id}{path}", headers=KEY)
        return provider.read(Reply(reply.status_code, {}, reply.content)).status


@contextmanager
def desk(simulator: Simulator | None = None, **options: Any) -> Iterator[Desk]:
    """A server with these options."""
    made = simulator or new_simulator()
    with server.running(made, options=server.Options(token=TOKEN, **options)) as url:
        found = Desk(made, url)
        with found.client:
            yield found


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


# -- looking -----------------------------------------------------------------------------------------


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
    path = (
        server.mounts()[provider.id].removeprefix(f"/{provider.id}")
        + example(provider).operation.path
    )
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


# -- changing ----------------------------------------------------------------------------------------


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
        before = own.get("status")
        assert own.ask("POST", "advance", {"seconds": 3600}).json()["now"] >= before["now"] + 3600
        assert (before["speed"], clock.now() < before["now"] + 5000) == (100, True)
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


# -- who is let in, and what is refused --------------------------------------------------------------


@pytest.mark.parametrize(("method", "name"), CHANGES)
def test_changing_needs_the_token(shared: Desk, method: str, name: str) -> None:
    """Nobody else, and in both of its headers; a wrong one is wrong whatever it is made of."""
    url = f"{shared.url}/_polyreel/{name}"
    wrong = ["x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "é" * 30, "x" * 10_000]
    attempts: list[dict[str, str]] = [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
    ]
    attempts += [{"X-Polyreel-Token": token} for token in wrong] + [
        {"Authorization": f"Bearer {t}"} for t in wrong
    ]
    for headers in attempts:
        encoded = {key.encode(): value.encode("latin-1") for key, value in headers.items()}
        reply = shared.client.request(method, url, headers=encoded)
        assert (reply.status_code, "token" in reply.json()["message"]) == (401, True)
        assert TOKEN not in reply.text
        assert reply.headers["www-authenticate"].startswith("Bearer")
    for headers in ({"Authorization": f"bearer {TOKEN}"}, {"X-Polyreel-Token": TOKEN}):
        assert shared.client.request(method, url, headers=headers).status_code in {200, 400}


def test_a_foreign_page_is_refused(shared: Desk) -> None:
    """Also with the token, and also for looking."""
    for method, name in (*CHANGES, ("GET", "journal")):
        reply = shared.ask(method, name, headers={"Origin": "https://evil.example"})
        assert reply.status_code == 403
    assert shared.ask("GET", "status", headers={"Host": "evil.example"}).status_code == 400


def test_unknown_calls_and_methods(shared: Desk) -> None:
    """404 lists what there is, 405 what a call takes."""
    assert "/_polyreel/bill" in shared.refused(404, "GET", "bills")
    assert (
        shared.ask("GET", "status/x").status_code
        == shared.ask("POST", "%73tatus").status_code
        == 404
    )
    for method, name, allowed in (
        ("POST", "bill", "GET"),
        ("GET", "reset", "POST"),
        ("PUT", "faults", "GET, POST"),
    ):
        reply = shared.ask(method, name)
        assert (reply.status_code, reply.headers["allow"].startswith(allowed)) == (405, True)


@pytest.mark.parametrize(("method", "name"), [one for one in CHANGES if one[0] == "POST"])
def test_bodies_are_json_and_small(shared: Desk, method: str, name: str) -> None:
    """A form is a 415, a large body a 413, broken or odd JSON a 400; each says so."""
    plain = {"Content-Type": "text/plain"}
    assert "application/json" in shared.refused(415, method, name, content=b"{}", headers=plain)
    assert "65536" in shared.refused(413, method, name, content=b" " * 65_537, headers=JSON_TYPE)
    for odd in (
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 60_000,
        b'{"seconds": NaN}',
        b'{"seconds": Infinity}',
        b" ",
    ):
        assert "JSON" in shared.refused(400, method, name, content=odd, headers=JSON_TYPE)
    assert "there are " in shared.refused(400, method, name, {"nonsense": 1})


WRONG: list[tuple[str, Any, str]] = [
    ("reset", {"seed": "x"}, "seed: must be a whole number"),
    ("reset", {"seed": True}, "seed: "),
    ("reset", {"seed": 1.5}, "seed: "),
    ("reset", {"seed": 2**70}, "seed: "),
    ("advance", {}, "seconds: is missing"),
    ("advance", {"seconds": -1}, "seconds: must be a number of seconds from 0"),
    ("advance", {"seconds": 10**400}, "seconds: "),
    ("advance", {"seconds": None}, "seconds: "),
    ("advance", {"seconds": "60"}, "seconds: "),
    ("faults", {}, "name: which fault? There are lost-reset"),
    ("faults", {"name": "nonesuch"}, "name: there is no fault 'nonesuch'; there are lost-reset"),
    ("faults", {"name": ["500"]}, "name: "),
    (
        "faults",
        {"name": "500", "vendor": "nonesuch"},
        f"vendor: there is no vendor 'nonesuch'; there are {VENDORS[0]}",
    ),
    ("faults", {"name": "500", "share": 1.1}, "share: must be a number from 0 to 1, not 1.1"),
    ("faults", {"name": "500", "share": "all"}, "share: "),
    ("faults", {"name": "500", "times": 0}, 'times: must be a whole number from 1 on, or "always"'),
    ("faults", {"name": "500", "times": 1.0}, "times: "),
    (
        "faults",
        {"name": "500", "time": 1},
        "time: there is no such field; there are name, vendor, share, times",
    ),
    ("webhook", {}, "vendor: is missing"),
    ("webhook", {"vendor": VENDORS[0]}, "task: is missing"),
    ("webhook", {"vendor": VENDORS[0], "task": "x"}, "url: is missing"),
    ("webhook", {"vendor": "nonesuch"}, "vendor: there is no vendor"),
    ("webhook", {"task": ""}, "task: must be a text"),
    ("webhook", {"duplicate": "yes"}, "duplicate: must be true or false"),
    ("webhook", {"delay": 11}, "delay: must be a number of seconds from 0 to 10"),
    ("webhook", {"secret": 7}, "secret: must be base64"),
    ("webhook", {"secret": "é"}, "secret: must be base64"),
    ("webhook", {"secret": ""}, "secret: must be base64"),
]


@pytest.mark.parametrize(("name", "body", "needle"), WRONG)
def test_a_wrong_body_is_one_clear_message(shared: Desk, name: str, body: Any, needle: str) -> None:
    """It names the field, what it must be, and the names that there are."""
    assert needle in shared.refused(400, "POST", name, body)


URLS = [
    "http://example.com/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest",
    "http://0.0.0.0/",
    "http://127.0.0.1.example/",
    "http://localhost.example/",
    "http://2130706433/",
    "http://127.1/",
    "http://me@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://[::ffff:10.0.0.1]/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "http://",
    "http:///x",
    "127.0.0.1:80",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://[::1/",
    "http://127.0.0.1/ x",
    "http://127.0.0.1/\r\nX-Odd: 1",
    "http://127.0.0.1/é",
    "http://127.0.0.1/" + "x" * 2048,
]


@pytest.mark.parametrize("url", URLS)
def test_webhooks_stay_on_this_machine(shared: Desk, url: str) -> None:
    """By any spelling; what is no URL is told too."""
    assert "url: must " in shared.refused(
        400, "POST", "webhook", {"vendor": VENDORS[0], "task": "x", "url": url}
    )


def test_other_machines_may_be_called_on_request() -> None:
    """Credentials in a URL and other schemes stay refused."""
    assert calling.checked("https://example.com/hook?x=1", any_host=True)
    for url in ("http://me:secret@example.com/", "ftp://example.com/"):
        with pytest.raises(ValueError, match="must be a URL"):
            calling.checked(url, any_host=True)


names = st.sampled_from(["reset", "advance", "faults", "webhook"])
keys = st.sampled_from(
    [
        "seed",
        "seconds",
        "name",
        "vendor",
        "share",
        "times",
        "task",
        "url",
        "secret",
        "duplicate",
        "delay",
        "x",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*VENDORS, *FAULTS, "always"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
bodies = (
    st.dictionaries(keys, values).map(json.dumps).map(str.encode)
    | st.binary()
    | values.map(json.dumps).map(str.encode)
)


@given(name=names, body=bodies)
def test_no_body_is_an_internal_error(name: str, body: bytes) -> None:
    """Whatever comes, it is done or refused with a message."""
    made = control.Control(new_simulator(), server.mounts(), TOKEN)
    headers = {"x-polyreel-token": TOKEN, "content-type": "application/json"}
    reply = made.answer(
        loopback.HttpRequest("POST", f"/_polyreel/{name}", headers, body, "http://localhost")
    )
    assert reply.status in {200, 400, 404}
    assert isinstance(json.loads(reply.content), dict)


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)),
    st.sampled_from(["GET", "POST", "DELETE", "X"]),
)
def test_no_path_is_an_internal_error(rest: str, method: str) -> None:
    """Below the prefix everything is answered with JSON."""
    made = control.Control(new_simulator(), server.mounts(), TOKEN)
    reply = made.answer(
        loopback.HttpRequest(method, f"/_polyreel/{rest}", {}, b"", "http://localhost")
    )
    assert reply.status in {200, 401, 404, 405}
    assert isinstance(json.loads(reply.content), dict)


# -- webhooks ----------------------------------------------------------------------------------------


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
    """As the vendor makes them: polyreel's own reading takes them, the signature is of now, links lead here."""
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


@pytest.mark.parametrize("vendor", SIGNED)
def test_what_is_signed_needs_a_secret(own: Desk, receiver: Receiver, vendor: str) -> None:
    """And a job; nothing is sent before both are there."""
    asked = ended(own, vendor, receiver)
    del asked["secret"]
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
def test_a_receiver_that_fails_is_told_of(
    own: Desk, receiver: Receiver, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status, without following where it leads; nobody there; no answer in time, not even by drips; no HTTP."""
    asked = ended(own, vendor, receiver)
    monkeypatch.setattr(calling, "SECONDS", 0.3)
    for status in (302, 500):
        receiver.status = status
        assert {
            one["status"] for one in own.ask("POST", "webhook", asked).json()["deliveries"]
        } == {status}
    assert {one.target for one in receiver.got} == {"/hook?who=me"}
    with server.listen(0) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        first = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
        assert first["status"] is None
        assert "no answer within" in first["error"]
    refused = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
    assert refused["error"] == "no answer: Connection refused"
    for drip in (b"HTTP/1.1 200 OK\r\nX: ", b"SSH-2.0-x\r\n"):
        with rude(drip) as address:
            begin = time.monotonic()
            first = own.ask("POST", "webhook", {**asked, "url": address}).json()["deliveries"][0]
            assert first["status"] in {None, 200}
            assert time.monotonic() - begin < 4


@contextmanager
def rude(start: bytes) -> Iterator[str]:
    """A server that begins an answer so, and then drips for ever."""
    over = threading.Event()

    def drip() -> None:
        while not over.is_set():
            try:
                guest, _ = bound.accept()
            except OSError:
                return
            with guest:
                try:
                    guest.sendall(start)
                    while not over.wait(0.05):
                        guest.sendall(b"x")
                except OSError:
                    continue

    with server.listen(0) as bound:
        bound.settimeout(5)
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            over.set()
            bound.shutdown(socket.SHUT_RDWR)
            thread.join()


# -- the page ----------------------------------------------------------------------------------------

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Tags(HTMLParser):
    """The tags of a page, which must all be closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not {name for name, _ in attrs} - {
            "lang",
            "charset",
            "http-equiv",
            "content",
            "href",
        }
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_browsers_see_a_page(own: Desk) -> None:
    """Vendors, bill, jobs, requests and faults, without scripts and without anything from elsewhere."""
    job = own.job(PROVIDERS[0])
    own.ask("POST", "faults", {"name": "poll-html", "times": None})
    reply = own.client.get(own.url, headers=BROWSER)
    policy = reply.headers["content-security-policy"]
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert {"script", "img", "link", "iframe", "form"} & {*Tags(reply.text).seen} == set()
    for needle in (*server.mounts().values(), job, "poll-html", "1 jobs billed", "always", "2026-"):
        assert needle in reply.text
    assert TOKEN not in reply.text


def test_the_page_escapes_what_guests_send(own: Desk) -> None:
    """A path is text, whatever it looks like."""
    connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(own.url).port or 0, timeout=5)
    connection.request("GET", f"/{VENDORS[0]}/<script>alert(1)</script>&'\"<b>")
    connection.getresponse().read()
    connection.close()
    text = own.client.get(own.url, headers=BROWSER).text
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "script" not in Tags(text).seen


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("application/json", False),
        ("*/*", False),
        ("", False),
        ("application/json, text/html", False),
        ("text/html", True),
        ("TEXT/HTML; q=0.9, application/json", True),
    ],
)
def test_programs_see_json(shared: Desk, accept: str, page: bool) -> None:
    """Who does not ask for HTML gets the index."""
    reply = shared.client.get(shared.url, headers={"Accept": accept})
    assert (reply.headers["content-type"] != "application/json") == page
    if not page:
        assert reply.json()["vendors"] == server.mounts()


def test_a_clock_beyond_all_dates_is_shown() -> None:
    """A fast clock gets there one day."""

    class Late(RealClock):
        def now(self) -> float:
            return 1e15

    with desk(Simulator(clock=Late())) as own:
        assert "1e+15" in own.client.get(own.url, headers=BROWSER).text
        assert "cannot be moved" in own.refused(400, "POST", "advance", {"seconds": 1})


# -- options -----------------------------------------------------------------------------------------


def test_only_the_chosen_vendors_answer() -> None:
    """The others are a 404 that says who answers, they are not listed, and nothing of them is kept."""
    chosen, *others = VENDORS
    with desk(vendors=(chosen,)) as own:
        assert own.submit(BY_ID[chosen]).status_code == 200
        for vendor in others:
            reply = own.submit(BY_ID[vendor])
            assert (reply.status_code, reply.json()["message"]) == (
                404,
                f"{vendor} does not answer here, only {chosen}",
            )
            assert "there is no vendor" in own.refused(
                400, "POST", "faults", {"name": "500", "vendor": vendor}
            )
        assert list(own.client.get(own.url).json()["vendors"]) == [chosen]
        assert list(own.get("status")["vendors"]) == list(own.get("bill")["vendors"]) == [chosen]
        assert own.get("journal")["count"] == 1
        assert others[0] not in re.sub(
            r"<style>.*</style>", "", own.client.get(own.url, headers=BROWSER).text
        )


def test_answers_are_late() -> None:
    """Those of vendors, by real seconds; the job is billed before. The control API is not late."""
    with desk(latency=(0.3, 0.4)) as own:
        begin = time.monotonic()
        assert own.submit(PROVIDERS[0]).status_code == 200
        assert 0.3 <= time.monotonic() - begin < 2
        with pytest.raises(httpx.ReadTimeout):
            own.submit(PROVIDERS[0], timeout=0.1)
        begin = time.monotonic()
        assert own.get("bill")["count"] == 2
        assert own.client.get(own.url).status_code == 200
        assert time.monotonic() - begin < 0.3


def test_a_late_answer_does_not_hold_the_server() -> None:
    """When it is time to stop, nobody waits for the whole latency."""
    with ThreadPoolExecutor(1) as pool:
        with desk(latency=(30.0, 30.0)) as own:
            late = pool.submit(own.submit, PROVIDERS[0])
            while own.simulator.bill.count() == 0:
                time.sleep(0.01)
            begin = time.monotonic()
        assert time.monotonic() - begin < 5
        assert late.exception() is None or isinstance(late.exception(), httpx.TransportError)


def test_every_token_is_another() -> None:
    """Nobody guesses it, and it is not in what options or a control show of themselves."""
    made = server.Options()
    assert len({server.new_token() for _ in range(50)}) == 50
    assert len(made.token) >= 32
    assert made.token not in repr(made)
    assert TOKEN not in repr(control.Control(new_simulator(), {}, TOKEN))
