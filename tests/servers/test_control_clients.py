"""The simulator's control page: who is let in, what is refused, and how it looks."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.drivers import RealClock
from polyreel.simulator import FAULTS, Simulator, calling, control, server
from polyreel.simulator import http as loopback
from support.control import BY_ID, CHANGES, JSON_TYPE, TOKEN, VENDORS, Desk, desk
from support.server import PROVIDERS, new_simulator
from support.waiting import HANGS, until


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


# -- who is let in, and what is refused ------------------------------------------------------------


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


# -- the page --------------------------------------------------------------------------------------


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
    """Vendors, bill, jobs, requests and faults, without scripts and without anything from
    elsewhere.
    """
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


def test_the_page_escapes_what_clients_send(own: Desk) -> None:
    """A path is text, whatever it looks like."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", httpx.URL(own.url).port or 0, timeout=HANGS
    )
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


# -- options ---------------------------------------------------------------------------------------


def test_only_the_chosen_vendors_answer() -> None:
    """The others are a 404 that says who answers, they are not listed, and nothing of them is
    kept.
    """
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
        assert time.monotonic() - begin >= 0.3
    with desk(latency=(9 * HANGS, 9 * HANGS)) as own:  # later than any test waits
        with pytest.raises(httpx.ReadTimeout):
            own.submit(PROVIDERS[0], timeout=httpx.Timeout(HANGS, read=0.1))
        until(lambda: own.get("bill")["count"] == 1)
        assert own.client.get(own.url).status_code == 200


def test_a_late_answer_does_not_hold_the_server() -> None:
    """When it is time to stop, nobody waits for the whole latency."""
    with ThreadPoolExecutor(1) as pool:
        with desk(latency=(9 * HANGS, 9 * HANGS)) as own:
            late = pool.submit(own.submit, PROVIDERS[0])
            until(lambda: own.simulator.bill.count() == 1)
            begin = time.monotonic()
        assert time.monotonic() - begin < HANGS
        assert late.exception() is None or isinstance(late.exception(), httpx.TransportError)


def test_every_token_is_another() -> None:
    """Nobody guesses it, and it is not in what options or a control show of themselves."""
    made = server.Options()
    assert len({server.new_token() for _ in range(50)}) == 50
    assert len(made.token) >= 32
    assert made.token not in repr(made)
    assert TOKEN not in repr(control.Control(new_simulator(), {}, TOKEN))
