"""`polyreel batch` in process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from polyreel.providers.base.registry import all_providers
from support.cli import LEDGER, VENDORS, Command, stranger
from support.paths import ROOT
from support.prices import PRICED, UNPRICED

CLIP: dict[str, Any] = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def write(count: int, *vendors: str) -> None:
    """jobs.jsonl in the folder of the test."""
    rows = [{**CLIP, "prompt": f"row {number}"} for number in range(count)]
    if vendors:
        rows = [
            {**one, "vendor": vendors[number % len(vendors)]} for number, one in enumerate(rows)
        ]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))


def results(folder: str = "clips") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "results.jsonl").read_text().splitlines()]


def test_all_saved(cli: Command) -> None:
    """Exit 0; the total is shown before, a line for each row, and on stdout where the results
    are.
    """
    write(3, *VENDORS)
    found = cli("batch", "jobs.jsonl", "--output", "out")
    assert (found.code, found.out) == (0, str(Path("out") / "results.jsonl") + "\n")
    assert found.err.startswith("3 row(s) (")
    assert found.err.count(": saved: ") == 3
    assert [line["state"] for line in results("out")] == ["saved"] * 3
    again = cli("batch", "jobs.jsonl", "--output", "out", "--json")
    assert (again.code, again.document["states"], again.document["cost"]["paid_before"]) == (
        0,
        {"saved": 3},
        3,
    )
    assert ": saved: " not in again.err
    assert len([line for line in Path(f"{LEDGER}.simulated").read_text().splitlines() if line]) == 3


def test_labels_are_kept_in_the_ledger_and_the_results(cli: Command) -> None:
    """Also where an answer was lost, and where the row was paid before under another label."""
    write(2)
    labels = ("--label", "team=ads", "--label", "campaign=may")
    cli("batch", "jobs.jsonl", *labels, "--fault", "lost-reset", "--fault-share", "1")
    expected = {"team": "ads", "campaign": "may"}
    assert [line["labels"] for line in results()] == [expected] * 2
    cli("batch", "jobs.jsonl", "--label", "team=sea")
    assert [line["labels"] for line in results()] == [expected] * 2
    listed = cli("jobs", "--label", "team=ads", "--json").document
    assert [job["labels"] for job in listed] == [expected] * 2
    assert cli("jobs", "--label", "team=sea", "--json").document == []
    cli.fails(2, ("batch", "jobs.jsonl", "--label", "team"), "not NAME=VALUE")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_the_rows_of_the_documentation_have_a_budget(cli: Command, form: str) -> None:
    """The page begins with a batch that has one: its rows have a price."""
    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^```{form}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0]
    Path("rows.jsonl" if form == "json" else "rows.csv").write_text(rows)
    (file,) = Path().glob("rows.*")
    assert cli("batch", str(file), "--dry-run", "--max-cost", "25").code == 0


def test_a_budget(cli: Command) -> None:
    """Exit 7, with nothing sent, where it could cost more or nobody can tell; a price file
    tells.
    """
    write(2, PRICED[0])
    cli.fails(7, ("batch", "jobs.jsonl", "--max-cost", "0.40"), "$0.476470")
    assert cli("batch", "jobs.jsonl", "--max-cost", "0.48").code == 0
    write(2, UNPRICED[0])
    unknown = ("batch", "jobs.jsonl", "--max-cost", "100", "--name", "unknown")
    cli.fails(7, unknown, f"line 1 at {UNPRICED[0]}")
    cli.fails(7, unknown, "--prices-file FILE")
    Path("prices.toml").write_text(
        f'[[price]]\nvendor = "{UNPRICED[0]}"\nusd_per_second = "0.10"\n'
    )
    assert cli(*unknown, "--prices-file", "prices.toml").code == 0
    for wrong in ("-1", "nan", "much", "1e9999999"):
        cli.fails(2, ("batch", "jobs.jsonl", "--max-cost", wrong), "--max-cost")


def test_faults_to_try_it(cli: Command) -> None:
    """Exit 6 where rows are ambiguous, 5 where they failed otherwise; once the vendors are well,
    all that may be.
    """
    write(4, UNPRICED[-1])
    lost = cli("batch", "jobs.jsonl", "--fault", "lost-reset", "--fault-share", "1")
    assert (lost.code, {line["state"] for line in results()}) == (6, {"ambiguous"})
    assert "next: polyreel reconcile" in lost.err
    assert cli("batch", "jobs.jsonl").code == 6
    refused = ("batch", "jobs.jsonl", "--name", "again")
    assert cli(*refused, "--fault", "refused", "--fault-share", "1").code == 5
    assert {line["state"] for line in results()} == {"unsent"}
    assert cli(*refused, "--cheapest", "--rate", "1000").code == 0
    cli.fails(2, ("batch", "jobs.jsonl", "--fault", "nonsense", "--name", "x"), "nonsense")
    cli.fails(2, ("batch", "jobs.jsonl", "--fault", "lost-reset", "--live"), "--fault")


def test_mistakes_of_every_kind_are_reported_at_once(cli: Command) -> None:
    """Those of the file and those that only a plan finds, by line."""
    odd = {**CLIP, "aspect_ratio": "5:7"}
    rows = [odd, {**CLIP, "seconds": 1}, {**CLIP, "vendor": "nobody"}, CLIP]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    found = cli("batch", "jobs.jsonl")
    assert found.code == 2
    assert [f"- line {number}: " in found.err for number in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert not Path("clips").exists()
    cli.fails(2, ("batch", "none.jsonl"), "none.jsonl")
    cli.fails(2, ("batch", "jobs.jsonl", "--name", ""), "name")
    cli.fails(2, ("batch", "jobs.jsonl", "--vendor", "nobody"), "nobody")
    cli.fails(2, ("batch", "jobs.jsonl", "--concurrency", "0"), "--concurrency")
    cli.fails(2, ("batch", "jobs.jsonl", "--engine", "inlin"), "did you mean inline")
    cli.fails(2, ("batch", "jobs.jsonl", "--engine", "procrastinate"), "not beside a file")
    faulty = ("--engine", "ledger", "--fault", "lost-reset")
    cli.fails(2, ("batch", "jobs.jsonl", *faulty), "not of workers")
    write(1)
    Path("clips").write_text("")
    cli.fails(9, ("batch", "jobs.jsonl"), "clips")


def test_live_rows_need_their_vendors_key(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor whose key is missing is a mistake in the row that names it."""
    monkeypatch.delenv(all_providers()[VENDORS[1]].key_variable)
    write(2, VENDORS[0], VENDORS[1])
    cli.fails(2, ("batch", "jobs.jsonl", "--live"), "line 2: vendor: there is no key")
