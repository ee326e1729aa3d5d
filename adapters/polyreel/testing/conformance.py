"""The conformance suite, for vendors in packages of your own: the laws, and a job's life.

    from polyreel.testing.conformance import ProviderConformance
    from acme_video import AcmeVideo

    class TestAcmeVideo(ProviderConformance):
        provider = AcmeVideo
        requests = [{"prompt": "a cat", "duration": 5}]

It calls only the simulator: nothing is paid, and nothing leaves the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..client import Client
from ..drivers import run
from ..errors import (
    RejectedError,
    StillRunningError,
    SubmitError,
    TaskNotFoundError,
    WebhookError,
)
from ..flows import Reply
from ..ledger.states import has_result
from ..mapping.reports import Allowance
from ..places import JsonObject
from ..plans.choosing import plan
from ..plans.planning import Plan
from ..providers.base import webhooks
from ..providers.base.answers import is_task_id, urls
from ..providers.base.facts import FINAL, status_of
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from ..simulator import Simulator, VirtualClock
from ..simulator.faults import FAULTS
from ..simulator.signing import key_set
from ..simulator.webhooks import deliveries
from . import laws, replies
from .bodies import bodies, malformed
from .contracts import complaints
from .examples import submittable
from .keys import KEY, texts_shown
from .registration import registered
from .requests import requests_for

STATES: Final = ("queued", "running", "succeeded", "failed", "canceled")
SUBMIT_FAULTS: Final = [name for name, fault in FAULTS.items() if fault.call == "submit"]
POLL_FAULTS: Final = [name for name, fault in FAULTS.items() if fault.call == "poll"]
SECRET: Final = "whsec_" + "Y29uZm9ybWFuY2Uta2l0LXNlY3JldC1vZi10ZXN0cw=="
"""What the simulated vendor signs its webhooks with."""


class ProviderConformance:
    """The suite. Subclass it in a test module as `class TestSomething`, and set `provider`."""

    provider: ClassVar[type[Provider]]
    requests: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Shared requests that the vendor must serve, besides the examples in its contract."""
    examples: ClassVar[int] = 25
    """How many examples each law is tried with, on each route."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test about a route, a request, a fault or an error once for each."""
        if "route" in metafunc.fixturenames:
            routes = self.provider.routes
            metafunc.parametrize(
                "route", routes, ids=[f"{one.model}-{one.schema}-{one.workflow}" for one in routes]
            )
        if "request_" in metafunc.fixturenames:
            metafunc.parametrize(
                "request_", self.requests, ids=[str(one)[:60] for one in self.requests]
            )
        for name, values in (("fault", SUBMIT_FAULTS), ("poll_fault", POLL_FAULTS)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values)

    @pytest.fixture
    def vendor(self) -> Provider:
        """The vendor, as polyreel finds it."""
        return registered(self.provider)

    @pytest.fixture
    def simulator(self, vendor: Provider) -> Simulator:
        """The vendor's simulator, whose time is virtual."""
        return Simulator(clock=VirtualClock(), seed=1)

    @pytest.fixture
    def client(self, vendor: Provider, simulator: Simulator) -> Client:
        """A client of that simulator."""
        return Client(simulator=simulator, vendors=[vendor.id], retries=2)

    @pytest.fixture
    def made(self, vendor: Provider) -> Plan:
        """What the tests submit where it does not matter what is asked."""
        return submittable(vendor, vendor.routes[0], self.requests)

    def holds(self, law: Callable[..., object], *drawn: st.SearchStrategy[Any]) -> None:
        """Try a law with examples."""

        @settings(
            max_examples=self.examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.tuples(*drawn))
        def tried(example: tuple[Any, ...]) -> None:
            law(*example)

        tried()

    # -- the tables and the contract -------------------------------------------------------------

    def test_its_facts_are_complete(self, vendor: Provider) -> None:
        """It has an id, a name, a variable for its key, an address, and something to sell."""
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", vendor.id), "an id is like acme-video"
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", vendor.key_variable), (
            "a variable is like ACME_VIDEO_API_KEY"
        )
        assert vendor.name
        assert vendor.base_url.startswith("https://")
        assert vendor.routes, "it sells nothing: fill in its routes"
        assert vendor.reads.id, "say where a reply holds the task id"
        assert vendor.reads.status, "say where a reply holds the status word"
        assert vendor.reads.outputs, "say where a reply holds the links to the files"
        assert vendor.poll_floor > 0

    def test_the_contract_can_be_simulated(self, vendor: Provider) -> None:
        """It has all roles, examples and facts about money that polyreel needs."""
        found = list(complaints(vendor))
        assert not found, "the contract is not complete:\n" + "\n".join(f"- {one}" for one in found)

    def test_its_requests_are_served(self, vendor: Provider, request_: Mapping[str, Any]) -> None:
        """The vendor serves the requests that the test class names."""
        plan(request_, vendor).check()

    # -- the laws --------------------------------------------------------------------------------

    def test_law_1_what_is_written_reads_back(self, vendor: Provider, route: Route) -> None:
        """A field that a plan calls exact or converted comes back as it was."""
        self.holds(
            lambda request: laws.reads_back(request, vendor, route),
            requests_for(route, vendor.contract),
        )

    def test_law_2_what_is_read_writes_back(self, vendor: Provider, route: Route) -> None:
        """Reading a body and writing it again says what the body said."""
        self.holds(lambda body: laws.writes_back(body, vendor, route), bodies(vendor, route))

    def test_law_3_every_leaf_has_exactly_one_verdict(self, vendor: Provider, route: Route) -> None:
        """Nothing of a request, or of any body, is lost without a verdict."""
        self.holds(
            lambda request: laws.every_leaf_has_a_verdict(request, vendor, route),
            requests_for(route, vendor.contract),
        )
        others = st.sampled_from(list(all_providers().values()))
        wrong = st.one_of(bodies(vendor, route), malformed(vendor, route))
        self.holds(lambda body, target: laws.accounted(body, vendor, target), wrong, others)

    def test_law_4_everything_is_known(self, vendor: Provider, route: Route) -> None:
        """Every native property is mapped or listed with a reason; what is offered can be sent."""
        laws.totality(vendor, route)
        laws.offered_is_accepted(vendor, route)

    def test_law_5_plans_are_sound(self, vendor: Provider, route: Route) -> None:
        """What is not refused fits the closed contract, and what does not fit is refused."""
        self.holds(
            lambda request: laws.sound(request, vendor, route), requests_for(route, vendor.contract)
        )

    def test_law_6_lenience_is_idle(self, vendor: Provider, route: Route) -> None:
        """What strictness accepts, the lenient policies send unchanged."""

        def law(request: JsonObject, policy: Allowance) -> None:
            laws.lenience_is_idle(request, vendor, dict.fromkeys(request, policy))

        policies = st.sampled_from(["drop", "nearest", "send"])
        self.holds(law, requests_for(route, vendor.contract, stray=False), policies)

    def test_law_8_a_detour_loses_no_less(self, vendor: Provider, route: Route) -> None:
        """What is lost on the direct way is lost over a third vendor too; a way back exists."""
        others = st.sampled_from(list(all_providers().values()))

        def law(body: JsonObject, middle: Provider, target: Provider) -> None:
            laws.triangle(body, vendor, route, middle, target)
            laws.there_and_back(body, vendor, route, target)

        self.holds(law, bodies(vendor, route), others, others)

    # -- replies ---------------------------------------------------------------------------------

    def test_status_words_mean_something(self, vendor: Provider) -> None:
        """The table is in lower case and leads to states; every example is read as its state."""
        assert vendor.statuses, "there are no status words: no job would ever end"
        for word, status in vendor.statuses.items():
            assert word == word.strip().lower(), f"{word!r} is not in lower case"
            assert status in STATES, (
                f"{word!r} means {status!r}, which is none of {', '.join(STATES)}"
            )
        for name, body in replies.states(vendor):
            facts = vendor.read(Reply(200, {}, replies.encoded(body)))
            assert facts.status == name, (
                f"the example {name} is read as {facts.status} ({facts.word!r})"
            )
            assert name != "succeeded" or facts.urls or replies.results(vendor), (
                "no link to a file is found in the example of success"
            )
        for body in replies.results(vendor):
            assert vendor.facts(body).urls, "no link to a file is found in the example of a result"
        for name, body in replies.succeeded(vendor) if not replies.results(vendor) else ():
            assert "://" not in json.dumps(body) or urls(body, vendor.reads.outputs), (
                f"the link in the example {name} stands at no place of Reads.outputs"
            )

    def test_unknown_words_are_never_final(self, vendor: Provider) -> None:
        """A status word that nobody documented keeps a job waiting."""

        def law(word: str) -> None:
            if word.strip().lower() not in vendor.statuses and status_of(word, {}) == "unknown":
                assert status_of(word, vendor.statuses) == "unknown"
                for body in replies.with_status_word(vendor, word):
                    assert vendor.read(Reply(200, {}, replies.encoded(body))).status not in FINAL

        self.holds(
            law,
            st.one_of(st.text(max_size=20), st.sampled_from(["DONE?", "succeededish", "", "null"])),
        )

    def test_garbage_never_becomes_a_success(self, vendor: Provider) -> None:
        """Whatever comes instead of a reply raises only BadReplyError, and is no success."""
        self.holds(lambda content: replies.not_a_success(vendor, content), replies.garbage(vendor))
        self.holds(lambda body: replies.readable(vendor, body), replies.with_wrong_value(vendor))

    def test_task_ids_are_safe(self, vendor: Provider) -> None:
        """Simulated ids are valid, and differ; no id leads a status query to another address."""
        letters = ["abcdefghijklmnopqrstuvwxyz012345", "z9" * 16]
        made = {
            vendor.new_task_id(number, 1_790_000_000, text) for number in (1, 2) for text in letters
        }
        assert all(map(is_task_id, made)), made
        assert len(made) >= len(letters)
        for identity in made:
            replies.asked_for(vendor, identity)
        for hostile in ("../credits", "a/b", "a?b=c", "a b", "", "%2e%2e", "a\r\nb"):
            with pytest.raises(TaskNotFoundError):
                next(vendor.get(hostile))

    # -- a job's life in the simulator -----------------------------------------------------------

    def test_a_job_runs_to_its_end(
        self, client: Client, simulator: Simulator, route: Route
    ) -> None:
        """Submitted once, billed once, polled until it has succeeded, with what it made."""
        vendor = registered(self.provider)
        job = client.submit(submittable(vendor, route, self.requests))
        assert (job.vendor, job.model, job.workflow) == (vendor.id, route.model, route.workflow)
        assert is_task_id(job.id)
        done = client.wait(job)
        assert done.status == "succeeded"
        assert has_result(done), "no link to a file, and no id of a subject"
        assert done.id == job.id
        assert simulator.bill.count() == 1

    def test_several_jobs_are_told_apart(self, client: Client, made: Plan) -> None:
        """Where the vendor reports on several jobs together, each is found under its own id."""
        jobs, vendor = [client.submit(made) for _ in range(3)], made.provider
        if vendor.survey is not None:
            nobody = vendor.new_task_id(999, 1_790_000_000, "z9" * 16)
            asked = [*(job.id for job in jobs), nobody]
            found = run(vendor.ask_about(asked), client.wire)
            assert {identity: facts.status for identity, facts in found.items()} == {
                job.id: client.get(job).status for job in jobs
            }
        done = {end.job.id: end for end in client.as_completed(jobs)}
        assert {identity: end.error for identity, end in done.items()} == dict.fromkeys(
            [job.id for job in jobs]
        )
        assert all(has_result(end.job) for end in done.values())

    def test_the_file_comes_home(self, client: Client, made: Plan, tmp_path: Path) -> None:
        """The finished file is saved."""
        job = client.generate(made, output=tmp_path)
        assert [Path(item.path or "").stat().st_size > 0 for item in job.outputs or ()]

    def test_a_failed_job_tells_why(self, client: Client, simulator: Simulator, made: Plan) -> None:
        """A failure is a failure, with the vendor's words."""
        simulator.script(made.vendor, "failed")
        job = client.wait(client.submit(made))
        assert job.status == "failed"
        assert job.error
        assert job.error.message

    def test_every_documented_error_is_read(
        self, client: Client, simulator: Simulator, made: Plan
    ) -> None:
        """An error that proves a refusal is a RejectedError; any other may have been billed."""
        client.retries = 0
        assert made.route
        paid = made.provider.operation(made.route)
        proof = set(paid.spec["x-polyreel-not-accepted"])
        pairs = paid.spec.get("x-polyreel-not-accepted-codes", {})
        for name, body in {
            name: body
            for status, _, name, body in made.provider.contract.replies(paid)
            if made.provider.is_error(Reply(status, {}, json.dumps(body).encode()))
        }.items():
            simulator.script(made.vendor, name)
            with pytest.raises(SubmitError) as caught:
                client.submit(made)
            refused = isinstance(caught.value, RejectedError)
            status = caught.value.status
            code, _ = made.provider.read_error(Reply(status or 0, {}, json.dumps(body).encode()))
            listed = status in proof or str(code) in map(str, pairs.get(str(status), ()))
            assert refused == listed, name
            assert caught.value.billed == ("no" if refused else "maybe"), name
        assert simulator.bill.count() == 0

    def test_one_call_is_billed_at_most_once(
        self, client: Client, simulator: Simulator, made: Plan, fault: str
    ) -> None:
        """Whatever goes wrong with a submit, it is billed at most once, and the error says so."""
        simulator.inject(fault, made.vendor)
        billed = "yes"
        try:
            done = client.wait(client.submit(made))
        except SubmitError as error:
            billed = error.billed
        else:
            assert done.status == "succeeded"
        assert [name for _, name in simulator.fired] == [fault]
        allowed = {"yes": {1}, "maybe": {0, 1}, "no": {0}}
        assert simulator.bill.count() in allowed[billed], (
            f"the client said that it was billed: {billed}"
        )
        assert simulator.bill.count() == 1 or not FAULTS[fault].accepted

    def test_a_bad_poll_harms_nothing(
        self, client: Client, simulator: Simulator, made: Plan, poll_fault: str
    ) -> None:
        """A status query that goes wrong once changes nothing: the wait goes on to the success."""
        job = client.submit(made)
        simulator.inject(poll_fault, made.vendor)
        assert client.wait(job).status == "succeeded"

    def test_a_strange_status_is_waited_out(
        self, client: Client, simulator: Simulator, made: Plan
    ) -> None:
        """A vendor that says nothing but an unknown word has not ended the job."""
        job = client.submit(made)
        simulator.inject("unknown-status", made.vendor, times=None)
        with pytest.raises(StillRunningError):
            client.wait(job, timeout=3600)
        simulator.calm()
        assert client.wait(job).status == "succeeded"

    def test_an_unknown_task_is_not_found(self, client: Client, made: Plan) -> None:
        """A task that the vendor does not have raises TaskNotFoundError."""
        job = client.submit(made)
        other = job.id[:-1] + ("0" if job.id[-1] != "0" else "1")
        locator = job.locator and job.locator.replace(job.id, other)
        unknown = job.model_copy(update={"id": other, "locator": locator})
        with pytest.raises(TaskNotFoundError):
            client.get(unknown)

    def test_a_repeated_key_is_not_billed_again(
        self, client: Client, simulator: Simulator, made: Plan
    ) -> None:
        """Where the contract says so, a repeated submit is answered with the first task."""
        assert made.route
        policy = made.provider.operation(made.route).spec.get("x-polyreel-idempotency", {})
        if policy.get("mode") != "replay":
            pytest.skip("the vendor knows no repeats")
        first, second = (
            replies.submitted(simulator, made, {policy["header"]: "0123456789abcdef"})
            for _ in range(2)
        )
        assert made.provider.read(first).id == made.provider.read(second).id
        assert simulator.bill.count() == 1

    def test_a_lost_job_is_listed(self, client: Client, made: Plan) -> None:
        """Where the vendor lists its tasks, a job that has just been submitted is among them."""
        job = client.submit(made)
        found = run(made.provider.recent(), client.wire)
        if found is None:
            pytest.skip("the vendor lists no tasks")
        assert job.id in {task.id for task in found.tasks}

    def test_no_key_is_shown(self, made: Plan, caplog: pytest.LogCaptureFixture) -> None:
        """The key goes to the vendor, and to nothing that a person or a program reads."""
        caplog.set_level("DEBUG")
        found = [text for text in texts_shown(made) if KEY in text]
        assert found == []
        assert KEY not in caplog.text

    # -- webhooks --------------------------------------------------------------------------------

    def test_webhooks_are_read(self, client: Client, simulator: Simulator, made: Plan) -> None:
        """A webhook names the job and its state; a forged one is refused."""
        webhook = made.provider.webhook
        if webhook is None:
            pytest.skip("the vendor declares no webhooks")
        job = client.wait(client.submit(made))
        secret = key_set() if webhook.published else SECRET if webhook.signed else None
        calls = deliveries(simulator, made.vendor, job.id, secret, simulator.clock.now())
        assert calls, "the contract shows no webhook and no callback with examples of states"
        read = [webhooks.parse(made.vendor, one.headers, one.body, secret) for one in calls]
        assert {event.task_id for event in read} == {job.id}
        assert read[-1].facts.status == "succeeded"
        assert all(event.verified == webhook.signed for event in read)
        if webhook.optional:
            bare = deliveries(simulator, made.vendor, job.id, None, simulator.clock.now())
            assert not any(
                webhooks.parse(made.vendor, one.headers, one.body).verified for one in bare
            )
        for one in calls if webhook.signed else ():
            with pytest.raises(WebhookError):
                webhooks.parse(made.vendor, one.headers, one.body + b" ", secret)


__all__ = ["ProviderConformance"]
