"""What it costs, and several vendors for one job, on the command line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from polyreel.money.charged import cost_text
from polyreel_generated.shared import Job
from support.cli import LEDGER, VENDORS, Command, stranger
from support.prices import PRICED, UNPRICED

CLIP = ("a cat", "--duration", "5", "--resolution", "1080p", "--no-audio")

ESTIMATED = dict(
    zip(
        PRICED,
        (
            "estimated 36.018 credits = $0.5297 (prices of 2026-10-10)",
            "estimated 4 credits = $0.5600 (prices of 2026-08-13)",
        ),
        strict=True,
    )
)
"""What the clip costs."""


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def test_prices_are_shown_cheapest_first(cli: Command) -> None:
    """With what is unknown at the end, and never as zero."""
    rows = cli("price", *CLIP, "--json").document
    assert [row["vendor"] for row in rows] == [*PRICED, *UNPRICED]
    known, unknown = rows[: len(PRICED)], rows[len(PRICED) :]
    assert known[0]["cost"] == {
        "confidence": "exact",
        "credits": "36.0180",
        "usd": "0.529676",
        "as_of": "2026-10-10",
        "source": known[0]["cost"]["source"],
    }
    dollars = [float(row["cost"]["usd"]) for row in known]
    assert sorted(dollars) == dollars
    assert {row["cost"]["confidence"] for row in unknown} == {"unknown"}
    assert {row["cost"]["usd"] for row in unknown} == {None}
    old = cli("price", *CLIP, "--as-of", "2026-03-01", "--vendor", PRICED[0], "--json").document
    assert [row["cost"]["usd"] for row in old] == ["0.500250"]
    assert "36.018 credits" in cli("price", *CLIP).out


def test_a_price_file_fills_what_is_unknown(cli: Command, tmp_path: Path) -> None:
    """And decides who is cheapest."""
    file = tmp_path / "prices.toml"
    file.write_text(
        f'[[price]]\nvendor = "{UNPRICED[0]}"\nusd_per_second = "0.01"\nwhen = {{ resolution ='
        ' "1080p" }\n'
    )
    rows = cli("price", *CLIP, "--prices-file", str(file), "--json").document
    assert (rows[0]["vendor"], rows[0]["cost"]["usd"]) == (UNPRICED[0], "0.050000")
    made = cli("generate", *CLIP, "--cheapest", "--prices-file", str(file), "--json")
    assert made.document["vendor"] == UNPRICED[0]
    assert f"{UNPRICED[0]}: taken" in made.err


@pytest.mark.parametrize(
    "content", [b"", b"[[price]]\n", b"not toml", b"\xff\xfe", b"[[price]]\nvendor = 'x'\n"]
)
def test_a_wrong_price_file_is_refused(cli: Command, tmp_path: Path, content: bytes) -> None:
    """With one message that names it."""
    (tmp_path / "prices.toml").write_bytes(content)
    cli.fails(2, ("price", *CLIP, "--prices-file", "prices.toml"), "prices.toml")
    cli.fails(2, ("generate", *CLIP, "--prices-file", "none.toml"), "none.toml")


def test_what_nobody_serves_is_refused(cli: Command) -> None:
    """By every vendor, with why."""
    found = cli("price", "a cat", "--aspect-ratio", "5:7")
    assert (found.code, all(f"{vendor}: refused" in found.err for vendor in VENDORS)) == (2, True)
    cli.fails(2, ("generate", "a cat", "--aspect-ratio", "5:7", "--cheapest"), "aspect_ratio")


def test_several_vendors_are_asked_in_order(cli: Command) -> None:
    """The next where the one before it is proved unpaid; who was asked and why is told."""
    asked = [word for vendor in reversed(VENDORS) for word in ("--vendor", vendor)]
    found = cli("generate", *CLIP, *asked, "--json")
    assert found.document["vendor"] == VENDORS[-1]
    assert [step["result"] for step in found.document["routing"]] == ["taken"]
    ambiguous = cli("generate", *CLIP, *asked, "--fault", "lost-reset", "--json")
    assert (ambiguous.code, ambiguous.document["error"]["vendor"]) == (6, VENDORS[-1])


# -- beside what was charged -----------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_job_is_reported_with_its_estimate(cli: Command, vendor: str) -> None:
    """And that a simulated one was charged nothing, whatever credits the simulator counts."""
    estimate = cli("plan", *CLIP, "--vendor", vendor, "--json").document["cost"]
    found = cli("generate", *CLIP, "--vendor", vendor)
    (line,) = (line for line in found.err.splitlines() if line.startswith("cost: "))
    known = ESTIMATED.get(vendor, "estimate unknown")
    assert line == f"cost: {known}; charged nothing, as it was simulated"
    assert "cost" not in found.out
    made = cli("generate", *CLIP, "--vendor", vendor, "--json").document
    assert (made["estimate"], made["simulated"]) == (estimate, True)
    assert Job.model_validate(made).estimate == estimate
    assert made.get("charge", {}).get("usd") is None
    rows = cli("jobs", "--json").document
    assert (
        [row["estimate"] for row in rows]
        == [row["job"]["estimate"] for row in rows]
        == [estimate] * 2
    )
    assert ("estimated $" in cli("jobs").out) == (vendor in PRICED)


def test_what_was_lost_has_its_estimate(cli: Command) -> None:
    """So that everybody knows what may have been paid; it is told again when the job is
    finished.
    """
    cli("generate", *CLIP, "--vendor", PRICED[0], "--fault", "lost-reset")
    (row,) = cli("jobs", "--json").document
    assert (row["state"], row["estimate"]["usd"]) == ("ambiguous", "0.529676")
    assert "estimated $0.5297" in cli("jobs").out
    cli("reconcile")
    assert "cost: estimated 36.018 credits" in cli("resume").err


def finished(vendor: str, usage: object = None, **more: object) -> Job:
    """A live job that is over."""
    fixed = {
        "vendor": vendor,
        "model": "m",
        "workflow": "text-to-video",
        "id": "task",
        "simulated": False,
    }
    return Job.model_validate(
        {**fixed, "status": "succeeded", "created_at": 1_795_000_000.0, "usage": usage, **more}
    )


def test_what_a_live_job_cost_is_reported_in_words() -> None:
    """The vendor's dollars, or those that its credits are; what nobody said is not made up."""
    vendor = PRICED[0]
    estimate = {
        "confidence": "bounded",
        "credits": "40.5000",
        "usd": "0.595588",
        "as_of": "2026-10-10",
    }
    reported = cost_text(
        finished(vendor, {"credits_used": 40.5, "cost": {"usd": 0.596}}, estimate=estimate)
    )
    before = "cost: estimated at most 40.5 credits = $0.5956 (prices of 2026-10-10)"
    assert reported == f"{before}; charged 40.5 credits = $0.5960"
    assert (
        cost_text(finished(vendor, estimate=estimate))
        == f"{before}; charged unknown: the vendor does not say"
    )
    own = {
        "confidence": "exact",
        "credits": None,
        "usd": "0.35",
        "as_of": None,
        "source": "your price file",
    }
    assert (
        cost_text(finished(vendor, estimate=own))
        == "cost: estimated $0.3500; charged unknown: the vendor does not say"
    )
    old = cost_text(finished(vendor, {"credits_used": 13.5}))
    assert old == "cost: not estimated; charged 13.5 credits = $0.1985 (prices of 2026-10-10)"
    assert cost_text(finished(vendor)) is None
    assert cost_text(finished("nobody")) is None


def test_an_old_job_is_shown_with_its_charge(cli: Command) -> None:
    """In `jobs`, from the usage that it was written down with; only a live one's is money."""
    cli("generate", *CLIP, "--vendor", PRICED[0])
    with sqlite3.connect(LEDGER) as file:
        job = Job.model_validate_json(file.execute("SELECT job FROM jobs").fetchone()[0])
        usage = {"credits_used": 36.018, "cost": {"usd": 0.53}}
        old = job.model_copy(update={"simulated": False, "usage": usage, "charge": None})
        file.execute(
            "UPDATE jobs SET simulated = 0, job = ?", (old.model_dump_json(exclude_none=True),)
        )
    file.close()
    (row,) = cli("jobs", "--json").document
    assert row["job"]["charge"] == {"credits": "36.018", "usd": "0.53", "as_of": None}
    assert "charged $0.5300" in cli("jobs").out
