"""Client and AsyncClient: the same bytes, jobs that can be stored, and keys that are hidden."""

import asyncio
import copy
import json
import pickle
import random
import re
import traceback
import uuid
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel import AsyncClient, Client, Simulator, VideoRequest
from polyreel.client import submitting
from polyreel.errors import (
    JobFailedError,
    KeyMissingError,
    RequestError,
    StillRunningError,
    UnknownNameError,
)
from polyreel.keys import Secret
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.providers.base.calling import own_id_place
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import RunningClock, VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job
from support import matrix
from support.faults import (
    CANARIES,
    FILES,
    KINDS,
    VENDORS,
    Clients,
    Kind,
    every_kind,
    every_vendor,
    plans,
    save,
    stopwatch,
)
from support.waiting import HANGS

BOUNDARY = re.compile(rb"[0-9a-f]{32}")


# --- the same bytes in the same order -------------------------------------------------------------


class Recorder(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Notes every request on its way to the simulator; output files are small ones of its own."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._note(request, request.read()) or self.inner.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._note(request, await request.aread()) or await self.inner.handle_async_request(
            request
        )

    def _note(self, request: httpx.Request, content: bytes) -> httpx.Response | None:
        headers = {
            name: BOUNDARY.sub(b"-", value.encode()).decode()
            for name, value in request.headers.items()
        }
        self.seen.append((request.method, str(request.url), headers, BOUNDARY.sub(b"-", content)))
        if "/outputs/" not in request.url.path:
            return None
        return httpx.Response(
            200, content=FILES["video/mp4" if request.url.path.endswith(".mp4") else "image/png"]
        )


def conversation(
    kind: Kind, made: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Job, list[Job]]:
    """Every request of a generate over the simulator, the job, and what the listener heard."""
    monkeypatch.setattr(submitting, "new_idempotency_key", lambda: str(uuid.UUID(int=4)))
    received: list[Job] = []
    simulator = Simulator(seed=4, clock=VirtualClock(1_800_000_000.0))
    with Clients(simulator=simulator, listener=received.append) as pair:
        wire = pair.by_kind[kind].wire
        wire.transport, wire.randomness = Recorder(wire.transport), random.Random(4)
        job = pair.do(kind, "generate", made, output=folder)
        assert simulator.bill.count() == 1
        return wire.transport.seen, job, received


def check_conversations(made: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both clients have the same one."""
    seen, job, received = conversation("blocking", made, folder, monkeypatch)
    assert conversation("awaiting", made, folder, monkeypatch) == (seen, job, received)
    assert job.status == "succeeded"
    assert received[-1].status == "succeeded"
    assert all(Path(output.path or "").is_file() for output in job.outputs or ())
    paid = [request for request in seen if (request[0], request[1]) == (made.method, made.url)]
    assert len(paid) == 1
    return seen


def without(content: bytes, place: str | None) -> object:
    """A body without the id that polyreel has put into it, and what is empty then."""
    if place is None or not content.startswith(b"{"):
        return content
    body = json.loads(content)
    name, _, member = place.rpartition(".")
    holder = body.get(name, {}) if name else body
    holder.pop(member, None)
    return {key: value for key, value in body.items() if value != {}}


@pytest.mark.matrix
@every_vendor
def test_both_clients_send_the_same(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 7, for example requests of every kind that the vendor serves: method, URL, headers and
    body, request by request.
    """
    served = matrix.one_of_each(plans(vendor).values(), kind=attrgetter("operation.id", "workflow"))
    assert served
    for made in served:
        seen = check_conversations(made, tmp_path, monkeypatch)
        assert len(seen) >= 3
        place = own_id_place(made.operation)
        sent = [without(content, place) for _, _, _, content in seen]
        assert without(made.content, place) in sent


@every_vendor
def test_both_clients_send_the_same_files(
    vendor: VendorId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 7 with a local file, where the vendor takes any."""
    request = {"prompt": "it moves", "first_frame": str(save(tmp_path, "image/png"))}
    made = plan(request, vendor)
    if made.refused:
        assert get_provider(vendor).files == "none"
        return
    seen = check_conversations(made, tmp_path / "clips", monkeypatch)
    assert sum(FILES["image/png"] in content for _, _, _, content in seen) == 1


# --- jobs and clients -----------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_job_can_be_stored_and_waited_for_elsewhere(
    vendor: str, kind: Kind, tmp_path: Path
) -> None:
    """Submitted by one client, stored as JSON, waited for and asked about by another."""
    simulator = Simulator(seed=1)
    with Clients(simulator=simulator) as first, Clients(simulator=simulator) as second:
        made = next(iter(plans(vendor).values()))
        with pytest.raises(StillRunningError) as caught:
            first.do(kind, "generate", made, timeout=5.0, output=tmp_path)
        assert caught.value.job is not None
        stored = caught.value.job.model_dump_json()
        assert list(tmp_path.iterdir()) == []
        for other in KINDS:
            job = second.do(other, "wait", Job.model_validate_json(stored))
            assert job.status == "succeeded"
            assert second.do(other, "get", job) == job
    assert simulator.bill.count() == 1


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_failed_job_says_so(vendor: str, kind: Kind, tmp_path: Path) -> None:
    """A vendor that fails a job is told apart from every other trouble."""
    simulator = Simulator()
    simulator.script(vendor, "failed")
    with Clients(simulator=simulator) as pair, pytest.raises(JobFailedError) as caught:
        pair.do(kind, "generate", {"prompt": "a cat"}, vendor, output=tmp_path)
    assert caught.value.job is not None
    assert caught.value.job.status == "failed"


@every_kind
def test_live_and_simulated_jobs_are_not_mixed_up(kind: Kind, tmp_path: Path) -> None:
    """A simulated job is not asked for at a vendor, and a paid one not at the simulator."""
    vendor = VENDORS[0]
    with Clients() as simulated, Clients(keys=CANARIES) as live:
        pretended = simulated.do(
            kind, "submit", simulated.by_kind[kind].plan({"prompt": "a cat"}, get_provider(vendor))
        )
        paid = pretended.model_copy(update={"simulated": False})
        for pair, job in ((live, pretended), (simulated, paid)):
            for action in ("get", "wait"):
                with pytest.raises(UnknownNameError, match="job"):
                    pair.do(kind, action, job)
            with pytest.raises(UnknownNameError, match="job"):
                pair.do(kind, "download", job, tmp_path)


def test_what_is_no_job_is_named() -> None:
    """Such as a task's id, or a submit whose `await` was forgotten."""

    async def awaiting() -> None:
        async with AsyncClient() as client:
            forgotten: Any = client.submit("a cat")
            with pytest.raises(RequestError, match=r"job: .* after `await`"):
                await client.wait(forgotten)
            with pytest.raises(RequestError, match=r"job: .* after `await`"):
                await anext(client.as_completed([forgotten]))
            forgotten.close()

    asyncio.run(awaiting())
    with Client() as client:
        no_job: Any = "task-1"
        with pytest.raises(RequestError, match="job: 'task-1' is no Job"):
            client.wait(no_job)
        with pytest.raises(RequestError, match="job: 'task-1' is no Job"):
            next(client.as_completed([no_job]))


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_a_client_is_live_or_simulated(make: Any) -> None:
    """Keys make a client live; a simulator beside them would be a misunderstanding that costs
    money.
    """
    assert make().simulated
    with pytest.raises(RequestError, match="keys"):
        make(keys={})
    assert not make(keys=CANARIES).simulated
    with pytest.raises(RequestError, match="not both"):
        make(keys=CANARIES, simulator=Simulator())
    for options in (
        {"keys": {"nobody": "x"}},
        {"vendors": ["nobody"]},
        {"base_urls": {"nobody": "https://x.io"}},
    ):
        with pytest.raises(UnknownNameError):
            make(**options)
    vendor, key = next(iter(CANARIES.items()))
    for wrong in ({"keys": [key]}, {"keys": key}, {"vendors": vendor}):
        with pytest.raises(RequestError, match="vendor id") as refused:
            make(**wrong)
        assert key not in str(refused.value)


def test_a_live_client_chooses_among_its_keys() -> None:
    """Without a vendor the keys say who can be paid, in their order; `vendors` has the last
    word.
    """
    request = VideoRequest(prompt="a cat")
    for vendor in VENDORS:
        assert Client(keys={vendor: "k" * 20}).plan(request).vendor == vendor
    backwards = dict(reversed(CANARIES.items()))
    assert Client(keys=backwards).plan(request).vendor == VENDORS[-1]
    assert Client(keys=backwards, vendors=VENDORS[:1]).plan(request).vendor == VENDORS[0]


BASE_URLS = [
    *(
        "",
        "api.example.com",
        "localhost:8080",
        "/v1",
        "ftp://example.com",
        "https://",
        "https://[",
        "https://x y.io",
    ),
    *(
        "https://example.com/?a=1",
        "https://example.com/#a",
        "https://user:pass@example.com",
        "https://example.com:99999",
    ),
    *("https://exam\nple.com", "https://example.com\\@evil.com", "data:,x", "C:\\x"),
]


@pytest.mark.matrix("vendor", "url")
@every_vendor
@pytest.mark.parametrize("url", BASE_URLS)
def test_a_base_url_is_one(vendor: str, url: str) -> None:
    """A base URL that is none is refused when the client is made, and not shown: it may hold a
    password.
    """
    with pytest.raises(RequestError, match=f"base URL of {vendor}") as caught:
        Client(base_urls={vendor: url})
    assert not url or url == "/v1" or url not in str(caught.value)


# --- keys -----------------------------------------------------------------------------------------


GOOD_KEYS = {
    "plain": "sk-0123456789",
    "blanks": " \t sk-0123456789 \r\n",
    "byte-order-mark": "\ufeffsk-0123456789",
    "no-break-space": "\u00a0sk-0123456789\u00a0",
    "all-of-it": "\u200b\ufeff \u00a0sk-0123456789\n\ufeff ",
}
BAD_KEYS = {
    "empty": ("", "empty"),
    "blank": (" \n\ufeff\u00a0", "empty"),
    "none": (None, "empty"),
    "inner-blank": ("Bearer CANARY", "U+0020 at position 7"),
    "line-feed": ("sk-\nCANARY", "U+000A at position 4"),
    "carriage-return": ("sk\r\nX-Evil: CANARY", "U+000D at position 3"),
    "nul": ("CANARY\x00x", "U+0000 at position 7"),
    "delete": ("CANARY\x7fx", "U+007F at position 7"),
    "no-break-space": ("CA\u00a0NARY", "U+00A0 at position 3"),
    "byte-order-mark": ("CANARY\ufeffx", "U+FEFF at position 7"),
    "dash": ("sk\u2013CANARY", "U+2013 at position 3"),
    "cyrillic": ("sk-CANARY\u0430x", "U+0430 at position 10"),
    "emoji": ("\U0001f511CANARY", "U+1F511 at position 1"),
    "surrogate": ("CANARY\ud800x", "U+D800 at position 7"),
}


@pytest.mark.parametrize("name", GOOD_KEYS)
def test_a_pasted_key_is_cleaned(name: str) -> None:
    """What copying brings along is taken off."""
    assert Secret.check(GOOD_KEYS[name], "the key").reveal() == "sk-0123456789"


@pytest.mark.matrix("vendor", "name")
@every_vendor
@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_broken_key_is_reported_and_not_shown(vendor: str, name: str) -> None:
    """The place and the code point help; the key stays hidden."""
    key, what = BAD_KEYS[name]
    keys: Any = {vendor: key}
    with pytest.raises(KeyMissingError) as caught:
        Client(keys=keys)
    assert what in str(caught.value)
    assert vendor in str(caught.value)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value)) + repr(
        vars(caught.value)
    )


@given(text=st.text())
def test_a_checked_key_fits_a_header(text: str) -> None:
    """Any text is a key that can be sent, or is refused."""
    try:
        value = Secret.check(text, "the key").reveal()
    except KeyMissingError:
        return
    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert value in text


def test_a_key_is_not_copied_out() -> None:
    """No repr, no format, no pickle and no copy of it: a key stays where it was given."""
    secret = Secret("sk-CANARY-0123456789")
    assert "CANARY" not in f"{secret} {secret!r} {secret!s} {[secret]} {vars(type(secret))}"
    assert not hasattr(secret, "__dict__")
    client = Client(keys=CANARIES)
    for holder in (secret, client, client.wire, [secret], {"key": secret}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match=r"pickle"):
                pickle.dumps(holder, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle"):
            copied(secret)
    client.close()


def test_short_words_are_not_taken_for_keys() -> None:
    """What hides a key in an answer must not spoil the answer."""
    assert Secret("simulated").redact(b'{"note": "simulated"}') == b'{"note": "simulated"}'
    assert Secret("k" * 16).redact(b"x" + b"k" * 16) == b"x****"


@every_kind
def test_a_simulator_may_run_in_real_time(kind: Kind, tmp_path: Path) -> None:
    """Its clock is the client's too: both wait, as much shorter as its time runs faster."""
    simulator = Simulator(clock=RunningClock(1000), seed=1)
    with Clients(simulator=simulator) as pair, stopwatch() as seconds:
        request, timeout = {"prompt": "a cat", "duration": 10}, HANGS * 1000
        job = pair.do(kind, "generate", request, VENDORS[0], output=tmp_path, timeout=timeout)
        (task,) = simulator.tasks.values()
        assert seconds() < task.seconds
    assert job.status == "succeeded"


def test_whatever_asks_for_a_clip_can_be_submitted() -> None:
    """As it can be planned: a request, a mapping, a text, or a plan, which takes nothing more."""
    with Client() as client:
        asked: list[Any] = [
            VideoRequest(prompt="a cat"),
            {"prompt": "a cat"},
            "a cat",
            client.plan("a cat"),
        ]
        assert len({client.submit(one).id for one in asked}) == len(asked)
        vendor = client.plan("a cat").provider
        assert client.submit({"prompt": "a cat"}, vendor).vendor == vendor.id
        with pytest.raises(RequestError, match="not with a plan"):
            client.submit(asked[-1], vendor)
