"""Every way of calling that a contract can describe: the whole suite for two invented vendors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polyreel
import pytest
from polyreel import Client, Ledger, Simulator
from polyreel.errors import AmbiguousError, RejectedError
from polyreel.flows import Reply
from polyreel.places import get, put
from polyreel.plans.capabilities import capabilities
from polyreel.plans.reading import read
from polyreel.providers.base import registry
from polyreel.providers.base.calling import KeyScheme, filled, key_scheme_of, own_path
from polyreel.providers.base.registry import get_provider
from polyreel.testing.conformance import ProviderConformance
from polyreel.testing.registration import registered
from support.odd_queue import QUEUES, QueueVendor
from support.odd_vendors import LINK, LISTS, ListVendor


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """Both vendors are known while these tests run, and afterwards no more."""
    before = registry.entry_points
    registered(ListVendor)
    registered(QueueVendor)
    yield
    registry.entry_points = before
    registry.all_providers.cache_clear()


class TestListVendor(ProviderConformance):
    """Ids in the query, several at once; typed items; errors with HTTP 200; a list of charges."""

    provider = ListVendor
    requests = [  # noqa: RUF012
        {"prompt": "a cat", "duration": 5},
        {"prompt": "@Image1 waves", "reference_images": [LINK], "first_frame": LINK},
    ]
    examples = 10


class TestQueueVendor(ProviderConformance):
    """One call for all models, a URL for each job, a result of its own."""

    provider = QueueVendor
    requests = [{"prompt": "a cat", "resolution": "1080p"}]  # noqa: RUF012
    examples = 10


class Listener(httpx.BaseTransport):
    """Keeps the requests on their way to the simulator, and may answer some of them itself."""

    def __init__(self, inner: Any, answers: dict[str, httpx.Response] | None = None) -> None:
        self.inner, self.answers = inner, answers or {}
        self.received: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.received.append(request)
        own = self.answers.get(request.url.path.rpartition("/")[2])
        found: httpx.Response = own or self.inner.handle_request(request)
        return found


def client(vendor: str, simulator: Simulator | None = None, **more: Any) -> tuple[Client, Listener]:
    """A client of a simulated vendor whose requests can be looked at."""
    made = Client(simulator=simulator or Simulator(seed=1), vendors=[vendor], **more)
    listener = Listener(made.wire.transport, more.pop("answers", None))
    made.wire.transport = listener
    return made, listener


def test_keys_and_constant_headers_travel_as_the_contract_says() -> None:
    """In a header of the vendor's own, or with its own word before the key, on every call."""
    for vendor, header, value in (
        ("list-vendor", "x-key", "simulated"),
        ("queue-vendor", "authorization", "Key simulated"),
    ):
        made, listener = client(vendor)
        made.wait(made.submit(made.plan({"prompt": "a cat"})))
        assert {one.headers[header] for one in listener.received} == {value}
        assert header == "authorization" or all(
            "authorization" not in one.headers for one in listener.received
        )
    assert key_scheme_of(LISTS).constants == {"X-Version": "9"}
    assert KeyScheme("X-Key", "").key_in({"x-key": " k "}) == "k"
    assert KeyScheme().key_in({"authorization": "Key k"}) is None


def test_the_path_says_the_model_and_the_tier() -> None:
    """One call for all of them; slashes stay slashes."""
    made = polyreel.plan({"prompt": "a cat", "resolution": "1080p"}, get_provider("queue-vendor"))
    assert made.url == "https://queue.example/acme/video/pro/text-to-video"
    assert not made.refused
    assert polyreel.plan(
        {"prompt": "a cat", "resolution": "4k"}, get_provider("queue-vendor")
    ).refused
    found = QUEUES.match("POST", "/acme/video/pro/text-to-video")
    assert found is not None
    assert found[1] == {"endpoint": "acme/video/pro/text-to-video"}
    status = QUEUES.match("GET", "/acme/video/requests/9f/status")
    assert status is not None
    assert status[0].id == "status"
    assert filled("/{a}/{b}", {"a": "x/y"}) == "/x%2Fy/{b}"


def test_a_job_is_asked_about_where_the_vendor_said(tmp_path: Path) -> None:
    """The locator is in the job and in the ledger, and a later process uses it."""
    simulator = Simulator(seed=1)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        made, _ = client("queue-vendor", simulator, ledger=ledger)
        job = made.submit(made.plan({"prompt": "a cat"}))
    assert job.locator == f"/acme/video/requests/{job.id}/status"
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        again, listener = client("queue-vendor", simulator, ledger=ledger)
        done = again.resume(job.ledger_id or "", output=tmp_path)
        assert done.status == "succeeded"
        assert listener.received[0].url.path == job.locator
        assert listener.received[-2].url.path == f"/acme/video/requests/{job.id}"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://queue.example/a/b?x=1", "/a/b?x=1"),
        ("/a/b", "/a/b"),
        ("https://queue.example.evil.example/a", None),
        ("https://evil.example/a", None),
        ("http://queue.example/a", None),
        ("//evil.example/a", None),
        ("https://queue.example//evil.example/a", None),
        ("/a/../../b", None),
        ("a/b", None),
        ("/a\nb", None),
        (None, None),
        (5, None),
    ],
)
def test_only_the_vendors_own_urls_are_followed(link: Any, expected: str | None) -> None:
    """The key goes along, so another host is never asked."""
    assert own_path(["https://queue.example"], link) == expected


def test_a_result_that_is_an_error_is_a_failed_job() -> None:
    """Done is not yet a success: the second call may say why there is nothing."""
    made, listener = client("queue-vendor")
    job = made.submit(made.plan({"prompt": "a cat"}))
    listener.answers[job.id] = httpx.Response(422, json={"detail": "no video was made"})
    done = made.wait(job)
    assert (done.status, done.error and done.error.message) == ("failed", "no video was made")


def test_a_result_that_cannot_be_had_now_is_asked_for_again() -> None:
    """A 503 says nothing about the job."""
    made, listener = client("queue-vendor")
    job = made.submit(made.plan({"prompt": "a cat"}))
    made.wire.clock.sleep(600)
    listener.answers[job.id] = httpx.Response(503, json={"detail": "later"})
    with pytest.raises(polyreel.VendorError):
        made.get(job)
    listener.answers.clear()
    assert made.wait(job).status == "succeeded"


def test_an_error_with_http_200_proves_what_its_code_proves() -> None:
    """A listed code is a refusal, any other may have been billed; nothing is read as accepted."""
    simulator = Simulator(seed=1)
    made, listener = client("list-vendor", simulator, retries=0)
    simulator.script("list-vendor", "insufficient_credits")
    with pytest.raises(RejectedError) as caught:
        made.submit(made.plan({"prompt": "a cat"}))
    assert (caught.value.status, caught.value.code) == (200, "1101")
    strange = {"code": 5000, "message": "broken"}
    listener.answers["list-one"] = httpx.Response(200, json=strange)
    with pytest.raises(AmbiguousError):
        made.submit(made.plan({"prompt": "a cat"}))


def test_several_tasks_are_asked_about_in_one_call() -> None:
    """Ids with commas between them; the answer is a list."""
    made, listener = client("list-vendor")
    jobs = [made.submit(made.plan({"prompt": "a cat"})) for _ in range(3)]
    assert {end.job.status for end in made.as_completed(jobs)} == {"succeeded"}
    asked = [
        one.url.params["task_ids"] for one in listener.received if "task_ids" in one.url.params
    ]
    assert any(text.count(",") == 2 for text in asked)


def test_an_empty_list_is_no_such_task() -> None:
    """A list without the task says that it does not exist."""
    made, listener = client("list-vendor")
    job = made.submit(made.plan({"prompt": "a cat"}))
    listener.answers["tasks"] = httpx.Response(200, json={"code": 0, "data": []})
    with pytest.raises(polyreel.errors.TaskNotFoundError):
        made.get(job)


def test_a_list_of_charges_is_usage() -> None:
    """Lists are read at numbered places, and an empty list is nothing."""
    vendor = get_provider("list-vendor")
    body = {"code": 0, "data": [{"id": "1", "status": "succeeded", "billing": [{"amount": 3}]}]}
    facts = vendor.read(Reply(200, {}, httpx.Response(200, json=body).content))
    assert facts.usage == {"items": [{"amount": 3}]}
    assert get({"a": [{"b": 1}]}, "a.0.b") == 1
    for place in ("a.1.b", "a.x.b", "a.0.b.c"):
        assert get({"a": [{"b": 1}]}, place) is not get({"a": [{"b": None}]}, "a.0.b")
    changed = {"a": [{"b": 1}], "c": None}
    put(changed, "a.0.b", 2)
    put(changed, "c.d", 3)
    assert changed == {"a": [{"b": 2}], "c": {"d": 3}}


# -- typed items -----------------------------------------------------------------------------------


def test_typed_items_have_a_verdict_each() -> None:
    """Each value is an item that says what it is, and is read back as what it was."""
    request = {
        "model": "list-one",
        "prompt": "@Image2 waves",
        "first_frame": LINK,
        "reference_images": [LINK, f"{LINK}?2"],
    }
    made = polyreel.plan(request, get_provider("list-vendor"))
    assert made.body["contents"] == [
        {"type": "first_frame", "url": LINK},
        {"type": "refer_image", "id": "image_1", "url": LINK},
        {"type": "refer_image", "id": "image_2", "url": f"{LINK}?2"},
        {"type": "prompt", "text": "@Image2 waves"},
    ]
    assert {one.source: one.target for one in made.verdicts if one.field != "model"} == {
        "/prompt": "/contents/3/text",
        "/first_frame": "/contents/0/url",
        "/reference_images/0": "/contents/1/url",
        "/reference_images/1": "/contents/2/url",
    }
    assert read(made.body, made.provider).request == request


def test_what_is_wrong_with_an_item_is_said_of_the_field() -> None:
    """In the caller's words, with the vendor's limit: the contract has a form for each kind."""
    made = polyreel.plan({"prompt": "x" * 2001, "first_frame": LINK}, get_provider("list-vendor"))
    (violation,) = made.violations
    assert (violation.field, violation.source) == ("prompt", "/prompt")
    offered = {one.field: one for one in capabilities(made.provider, made.provider.routes[2])}
    assert offered["prompt"].extent.most_characters == 2000
    assert offered["reference_images"].extent.most_items == 7
    assert offered["first_frame"].native == ("contents[type=first_frame].url",)


@pytest.mark.parametrize(
    "contents",
    [
        [{"type": "prompt", "text": "a"}, {"type": "prompt", "text": "b"}],
        [{"type": "riddle", "text": "a"}],
        [{"type": "prompt"}],
        ["a cat"],
        "a cat",
        [
            {"type": "refer_image", "id": "cat", "url": LINK},
            {"type": "prompt", "text": "@cat waves"},
        ],
    ],
)
def test_items_that_make_no_sense_are_problems(contents: Any) -> None:
    """Nothing of a list is lost silently."""
    vendor = get_provider("list-vendor")
    done = polyreel.translate({"contents": contents}, vendor, vendor)
    assert done.refused


# -- ids of ours, and canceling --------------------------------------------------------------------


def test_a_lost_submit_is_found_by_its_own_id(tmp_path: Path) -> None:
    """Each accepted job whose answer was lost is found exactly; none is paid twice."""
    simulator = Simulator(seed=1)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        made, _ = client("list-vendor", simulator, ledger=ledger, retries=0)
        for _ in range(10):
            simulator.inject("lost-502", "list-vendor")
            with pytest.raises(AmbiguousError):
                made.submit(made.plan({"prompt": "the same cat"}))
        assert simulator.bill.count() == 10
        findings = made.reconcile()
        assert [one.result for one in findings] == ["found"] * 10
        found = {one.job.id for one in findings if one.job}
        assert found == {task for _, task in simulator.tasks}
        assert simulator.bill.count() == 10


def test_an_own_id_is_not_part_of_what_is_asked(tmp_path: Path) -> None:
    """Two submits of one plan are the same request, under two ids; an id of the caller's stays."""
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        made, listener = client("list-vendor", ledger=ledger)
        plan = made.plan({"prompt": "a cat"})
        mine = made.plan(
            {"prompt": "a cat", "extra": {"list-vendor": {"settings": {"own_id": "mine"}}}}
        )
        for one in (plan, plan, mine):
            made.submit(one)
        sent = [json.loads(one.content) for one in listener.received]
        ids = [body["settings"]["own_id"] for body in sent]
        assert len(set(ids)) == 3
        assert ids[2] == "mine"
        entries = list(ledger.each_entry())
        assert len({one.submission.fingerprint for one in entries}) == 1
        assert {one.submission.own_id for one in entries} == set(ids)


def test_a_job_with_an_address_of_its_own_is_canceled_there() -> None:
    """The call about a job stands beside its status query."""
    made, listener = client("queue-vendor")
    job = made.submit(made.plan({"prompt": "a cat"}))
    done = made.cancel(job)
    assert done.result == "stopped"
    path = f"/acme/video/requests/{job.id}/cancel"
    assert ("PUT", path) in {(one.method, one.url.path) for one in listener.received}
