"""A subject is made at a vendor like any paid job, and its id is cited in later requests."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel import Client, ElementRequest, Job, Ledger, Simulator, VideoRequest, plan
from polyreel.batch.rows import read
from polyreel.errors import AmbiguousError, DownloadError, RequestError
from polyreel.flows import Reply
from polyreel.ledger import states
from polyreel.mapping.workflows import kind_of
from polyreel.plans.requests import check_request
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator.webhooks import deliveries
from support.batches import client as async_client
from support.batches import reported, run
from support.cli import Command, seller, stranger
from support.faults import Clients, Kind, every_kind
from support.pictures import picture
from support.stage import facts

SELLER: Any = seller("images-to-element")
REQUEST: Final = {
    "name": "boat",
    "description": "A paper boat.",
    "front_image": "https://example.com/front.png",
    "images": ["https://example.com/side.png"],
}
ROUTES: Final = [
    (provider, route)
    for provider in all_providers().values()
    for route in provider.routes
    if kind_of(route.workflow) == "element"
]


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def drawn(folder: Path, *names: str) -> list[Path]:
    """Images in files."""
    paths = [folder / f"{name}.png" for name in names]
    for path in paths:
        path.write_bytes(picture())
    return paths


@every_kind
def test_a_subject_is_made_from_files_and_cited(kind: Kind, tmp_path: Path) -> None:
    """The files are uploaded, one call is billed, nothing is saved, and the id goes on."""
    simulator, output = Simulator(seed=1), tmp_path / "clips"
    front, side = drawn(tmp_path, "front", "side")
    request = ElementRequest(name="boat", description="It.", front_image=front, images=[side])
    with (
        Ledger(tmp_path / "jobs.sqlite3") as ledger,
        Clients(simulator=simulator, ledger=ledger) as pair,
    ):
        made: Job = pair.do(kind, "generate", request, output=output, reference="boat")
        assert (made.status, made.outputs, made.error) == ("succeeded", [], None)
        assert made.element
        assert not output.exists()
        (entry,) = ledger.entries()
        assert (entry.state, entry.job and entry.job.element) == ("saved", made.element)
        again = pair.do(kind, "generate", request, output=output, reference="boat")
        assert again.element == pair.do(kind, "resume", made.ledger_id).element == made.element
        assert pair.do(kind, "get", made).element == made.element
        assert simulator.bill.count(SELLER) == 1
        (task,) = simulator.tasks.values()
        assert task.element == made.element

        clip = VideoRequest(prompt="@Element1 sails", elements=[made.element], model="kling-o3")
        cited = pair.by_kind[kind].plan(clip, SELLER)
        assert made.element in json.dumps(cited.body)
        assert pair.do(kind, "generate", cited, output=output).outputs
        old = plan({"prompt": "@Element1 sails", "elements": ["1"]}, SELLER)  # made before
        assert pair.do(kind, "generate", old, output=output).outputs
        assert simulator.bill.count(SELLER) == 3


@every_kind
def test_a_lost_answer_is_found_and_paid_once(kind: Kind, tmp_path: Path) -> None:
    """As that of any paid call."""
    simulator = Simulator(seed=1)
    simulator.inject("lost-reset")
    with (
        Ledger(tmp_path / "jobs.sqlite3") as ledger,
        Clients(simulator=simulator, ledger=ledger) as pair,
    ):
        with pytest.raises(AmbiguousError) as lost:
            pair.do(kind, "generate", REQUEST, output=tmp_path)
        (found,) = pair.do(kind, "reconcile", lost.value.ledger_id)
        assert found.job is not None
        done = pair.do(kind, "resume", lost.value.ledger_id)
        assert done.element
        assert [one.state for one in ledger.entries()] == ["saved"]
    assert simulator.bill.count() == 1


@every_kind
def test_several_subjects_are_told_apart(kind: Kind, tmp_path: Path) -> None:
    """Each with its own id."""
    with Clients(simulator=Simulator(seed=1)) as pair:
        jobs = [pair.do(kind, "submit", plan(REQUEST, SELLER)) for _ in range(3)]
        ends = [pair.do(kind, "wait", job) for job in jobs]
        assert len({end.element for end in ends}) == 3
        client = pair.by_kind["blocking"]
        assert isinstance(client, Client)
        together = [end.job for end in client.as_completed(jobs)]
        assert {end.element for end in together} == {end.element for end in ends}
        assert all(pair.do(kind, "download", end, tmp_path).element == end.element for end in ends)


def test_the_vendor_calls_back_with_the_id(tmp_path: Path) -> None:
    """What it posts ends the job, where the post counts."""
    simulator = Simulator(seed=1)
    with Client(simulator=simulator, ledger=tmp_path / "jobs.sqlite3") as client:
        request = {**REQUEST, "callback_url": "https://example.com/hook"}
        job = client.submit(client.plan(request))
        done = client.wait(job)
        posts = deliveries(simulator, SELLER, job.id, None, simulator.clock.now() + 1e6)
        told = [json.loads(post.body) for post in posts]
        assert get_provider(SELLER).facts(told[-1]).element == done.element


def test_a_row_of_a_batch(tmp_path: Path) -> None:
    """Its result has the id, and a second run makes nothing."""
    rows, simulator = tmp_path / "rows.jsonl", Simulator(seed=1)
    rows.write_text(json.dumps(REQUEST), encoding="utf-8")
    elements = set()
    for _ in range(2):
        (result,) = run(async_client(tmp_path, simulator), read(rows), tmp_path)
        assert (result.state, result.files) == ("saved", [])
        elements |= {line["element"] for line in reported(tmp_path)}
    assert len(elements) == simulator.bill.count() == 1


def test_the_command_line_prints_the_id(cli: Command, tmp_path: Path) -> None:
    """And nothing else on stdout; no folder is made."""
    drawn(tmp_path, "a", "b")
    subject = ("--front-image", "a.png", "--image", "b.png", "--name", "boat")
    made = cli("generate", *subject, "--description", "A paper boat", "--job-name", "boat")
    element = made.out.strip()
    assert (made.code, element.isdecimal()) == (0, True)
    assert not (tmp_path / "clips").exists()
    again = cli(
        "generate", *subject, "--description", "A paper boat", "--job-name", "boat", "--json"
    )
    assert again.document["element"] == element
    (row,) = cli("jobs", "--json").document
    assert (row["state"], row["job"]["element"]) == ("saved", element)
    assert f"element {element}" in cli("jobs").out
    assert cli("get", row["id"]).out.strip().endswith(element)
    assert cli("download", row["id"]).out.strip() == element
    assert not (tmp_path / "clips").exists()
    (told,) = csv.DictReader(io.StringIO(cli("jobs", "--csv").out))
    assert (told["element"], told["files"]) == (element, "")
    assert cli("resume").code == 0
    clip = ("generate", "@Element1 sails", "--element", element, "--vendor", SELLER)
    assert cli(*clip, "--model", "kling-o3", "--duration", "3").code == 0
    refused = cli("generate", *subject, "--description", "x", "-o", "boat.mp4")
    assert refused.code == 2
    assert "a subject, which has no file" in refused.err
    mixed = cli("generate", "a cat", "--front-image", "a.png")
    assert (mixed.code, "front_image: no such field in a request for a clip" in mixed.err) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (REQUEST, "element"),
        ({"video": "https://example.com/a.mp4", "voice": "1"}, "element"),
        ({"name": "boat"}, "element"),
        ({"model": "kling-element", "callback_url": "https://example.com"}, "element"),
        ({"prompt": "a cat"}, "video"),
        ({"model": "kling-o3", "callback_url": "https://example.com"}, "video"),
        ({"count": 2}, "image"),
    ],
)
def test_a_mapping_is_a_subject_by_its_fields(request_: dict[str, Any], kind: str) -> None:
    """Only where no other request has them."""
    assert check_request(request_).kind == kind


@pytest.mark.parametrize("mixed", [{**REQUEST, "prompt": "a cat"}, {**REQUEST, "duration": 5}])
def test_a_mixture_is_none(mixed: dict[str, Any]) -> None:
    """Its fields are named."""
    with pytest.raises(RequestError, match="name: no such field"):
        check_request(mixed)


def test_the_id_is_read_wherever_it_stands() -> None:
    """As text or a number, beside links of anything else: only those at documented places count."""
    provider = get_provider(SELLER)
    body = {"id": "t", "status": "completed", "pictures": ["https://example.com/front.png"]}
    for result in ({"element_id": 7}, [{"element_id": "7"}]):
        found = provider.read(Reply(200, {}, json.dumps({**body, "result_data": result}).encode()))
        assert (found.status, found.element, found.urls) == ("succeeded", "7", ())
    assert provider.facts({**body, "status": "pending"}).element is None


def test_an_id_that_comes_late_is_kept(tmp_path: Path) -> None:
    """A subject without an id is no result: it is asked for again, and told in the end."""
    with Client(simulator=Simulator(seed=1)) as client:
        job = client.submit(plan(REQUEST, SELLER))
        empty = states.advance(job, facts("succeeded"), 1.0)
        assert not states.has_result(empty)
        told = states.without_output(empty).error
        assert told is not None
        assert "no id of a subject" in told.message
        with pytest.raises(DownloadError, match="no id of a subject"):
            client.download(empty, tmp_path)
        late = states.advance(states.without_output(empty), facts("succeeded", element="7"), 2.0)
        assert (late.element, late.error, states.is_saved(late)) == ("7", None, True)
        assert states.advance(late, facts("succeeded"), 3.0) == late
        with_file = states.advance(late, facts("succeeded", ("https://example.com/a.png",)), 4.0)
        assert (with_file.element, states.is_saved(with_file)) == ("7", False)


def test_a_strange_word_beside_an_id_is_no_success() -> None:
    """It is told like one beside a link."""
    with Client(simulator=Simulator(seed=1)) as client:
        job = states.advance(
            client.submit(plan(REQUEST, SELLER)), facts("unknown", element="7"), 1.0
        )
    assert (job.element, states.is_saved(job)) == ("7", False)
    assert facts("unknown", element="7").is_strange


def test_vendors_without_such_a_call_say_so() -> None:
    """And who has one."""
    for vendor in {*all_providers()} - {provider.id for provider, _ in ROUTES}:
        (first, *_) = plan(REQUEST, get_provider(vendor)).violations
        assert first.message.startswith(f"front_image: {vendor} has no images-to-element")
        assert SELLER in first.message
