"""A reference is one request: another one under it is refused, and the difference is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel import Client, Simulator
from polyreel.errors import ClaimedError, NeverSentError, PolyreelError, RequestError
from polyreel.providers.base.registry import get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.cli import Command, stranger
from support.faults import VENDORS, every_vendor

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(simulator=Simulator(seed=1), ledger=tmp_path / "ledger.sqlite3") as made:
        yield made


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def test_another_request_is_refused_by_submit(client: Client) -> None:
    """The same one is claimed: a program can tell the two apart. Nothing is sent."""
    client.submit("a cat", reference="order 17")
    with pytest.raises(ClaimedError):
        client.submit("a cat", reference="order 17")
    for other in (client.plan("a dog"), client.plans("a dog")):
        with pytest.raises(RequestError, match='"a cat" then, "a dog" now'):
            client.submit(other, reference="order 17")
    assert client.simulator
    assert client.simulator.bill.count() == 1


def test_a_job_is_found_by_its_reference(client: Client) -> None:
    """In which every character stands for itself; in a name only `*` does not."""
    for reference in ("a", "ab", "a*", "a?", "[a]"):
        client.submit("a cat", reference=reference)
        (entry,) = client.jobs(reference=reference)
        assert entry.submission.reference == reference
    assert client.jobs(reference="b") == client.jobs(reference="a", vendor="b") == []
    assert len(client.jobs(name="a*")) == 4
    for name in ("a?", "[a]"):
        assert [one.submission.reference for one in client.jobs(name=name)] == [name]


def test_the_newest_entry_of_a_reference_tells_how_it_is(client: Client) -> None:
    """Those before it were proved unpaid."""
    assert client.simulator
    client.simulator.inject("refused", times=3)
    with pytest.raises(NeverSentError):
        client.submit("a cat", reference="r")
    client.submit("a cat", reference="r")
    assert [one.state for one in client.jobs(reference="r")] == ["unsent", "accepted"]
    assert [one.state for one in client.jobs(reference="r", last=1)] == ["accepted"]


@every_vendor
def test_another_request_is_refused(client: Client, vendor: VendorId, tmp_path: Path) -> None:
    """Not answered with the clip of the first one; nothing is sent."""
    assert client.simulator
    job = client.generate(REQUEST, vendor, output=tmp_path, reference="order 17")
    calls = len(client.simulator.journal)
    with pytest.raises(RequestError, match='"a cat" then, "a dog" now') as refused:
        client.generate(
            {**REQUEST, "prompt": "a dog"}, vendor, output=tmp_path, reference="order 17"
        )
    assert (refused.value.ledger_id, len(client.simulator.journal)) == (job.ledger_id, calls)
    assert "nothing was sent" in str(refused.value)
    assert client.generate(REQUEST, vendor, output=tmp_path, reference="order 17") == job


def test_another_model_or_vendor_is_another_request(client: Client, tmp_path: Path) -> None:
    """Also where the bodies are alike."""
    first, second = VENDORS[0], VENDORS[1]
    client.generate(REQUEST, get_provider(first), output=tmp_path, reference="order 17")
    with pytest.raises(RequestError, match=f"{first}.*{second}"):
        client.generate(REQUEST, get_provider(second), output=tmp_path, reference="order 17")
    with pytest.raises(RequestError, match="order 17"):
        client.generate(
            {"model": "kling-v3", **REQUEST},
            get_provider(first),
            output=tmp_path,
            reference="order 17",
        )


def test_of_several_vendors_the_one_that_has_the_job_counts(client: Client, tmp_path: Path) -> None:
    """The plan for that vendor is compared, whichever is asked first now."""
    plans = client.plans(REQUEST)
    job = client.generate(plans, output=tmp_path, reference="order 17")
    again = client.generate([*reversed(plans)], output=tmp_path, reference="order 17")
    assert (again.id, again.vendor) == (job.id, job.vendor)
    others = client.plans({**REQUEST, "prompt": "a dog"})
    with pytest.raises(RequestError, match="a dog"):
        client.generate(others, output=tmp_path, reference="order 17")


def test_an_ambiguous_job_keeps_its_request(client: Client, tmp_path: Path) -> None:
    """Another request is not told that it may have been billed."""
    assert client.simulator
    client.simulator.inject("lost-reset")
    with pytest.raises(PolyreelError):
        client.generate(REQUEST, get_provider(VENDORS[0]), output=tmp_path, reference="r")
    with pytest.raises(RequestError, match="another request"):
        client.generate(
            {**REQUEST, "duration": 5}, get_provider(VENDORS[0]), output=tmp_path, reference="r"
        )
    assert client.simulator.bill.count() == 1


def test_a_job_has_a_name_on_the_command_line(cli: Command) -> None:
    """The same command goes on with its job; another request under the name is refused."""
    once, again = (cli(*CLIP, "--job-name", "order 1", "--json") for _ in range(2))
    first, second = once.document, again.document
    assert first == second
    assert "has a job already" not in once.err
    assert f"'order 1' has a job already: {first['ledger_id']}, saved; this goes on" in again.err
    assert "order 1" in cli("jobs").out
    other = cli("generate", "a dog", *CLIP[2:], "--job-name", "order 1")
    assert (other.code, "a cat" in other.err) == (2, True)
    assert f"next: polyreel resume {first['ledger_id']}" not in other.err
    assert len(cli("jobs", "--json").document) == 1


def test_reference_is_no_option(cli: Command) -> None:
    """It could mean the job's name or an image: both options are named, and nothing is made."""
    for value in ("cat.png", "order 1"):
        refused = cli(*CLIP, "--reference", value)
        assert refused.code == 2
        assert "--job-name" in refused.err
        assert "--reference-image" in refused.err
    assert "--job-name" in cli("generate", "--help").out
    assert "--reference " not in cli("generate", "--help").out
    assert cli("jobs", "--json").document == []
