"""What it costs, and several vendors for one job, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyreel.registry import all_providers
from support.cli import VENDORS, Command, stranger

CLIP = ("a cat", "--duration", "5", "--resolution", "1080p", "--no-audio")
PRICED = [
    vendor
    for vendor, provider in all_providers().items()
    if any("x-polyreel-price" in provider.contract.schema(route.schema) for route in provider.routes)
]
UNPRICED = [vendor for vendor in VENDORS if vendor not in PRICED]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def test_prices_are_shown_cheapest_first(cli: Command) -> None:
    """With what is unknown at the end, and never as zero."""
    rows = cli("price", *CLIP, "--json").document
    assert [row["vendor"] for row in rows] == [*PRICED, *UNPRICED]
    known, *unknown = rows
    assert known["cost"] == {
        "confidence": "exact",
        "credits": "36.0180",
        "usd": "0.529676",
        "as_of": "2026-10-10",
        "source": known["cost"]["source"],
    }
    assert {row["cost"]["confidence"] for row in unknown} == {"unknown"}
    assert {row["cost"]["usd"] for row in unknown} == {None}
    old = cli("price", *CLIP, "--as-of", "2026-03-01", "--vendor", PRICED[0], "--json").document
    assert [row["cost"]["usd"] for row in old] == ["0.500250"]
    assert "36.018 credits" in cli("price", *CLIP).out


def test_a_price_file_fills_what_is_unknown(cli: Command, tmp_path: Path) -> None:
    """And decides who is cheapest."""
    file = tmp_path / "prices.toml"
    file.write_text(
        f'[[price]]\nvendor = "{UNPRICED[0]}"\nusd_per_second = "0.01"\nwhen = {{ resolution = "1080p" }}\n'
    )
    rows = cli("price", *CLIP, "--prices-file", str(file), "--json").document
    assert (rows[0]["vendor"], rows[0]["cost"]["usd"]) == (UNPRICED[0], "0.050000")
    made = cli("generate", *CLIP, "--cheapest", "--prices-file", str(file), "--json")
    assert made.document["vendor"] == UNPRICED[0]
    assert f"{UNPRICED[0]}: taken" in made.err


@pytest.mark.parametrize("content", [b"", b"[[price]]\n", b"not toml", b"\xff\xfe", b"[[price]]\nvendor = 'x'\n"])
def test_a_wrong_price_file_is_refused(cli: Command, tmp_path: Path, content: bytes) -> None:
    """With one message that names it."""
    (tmp_path / "prices.toml").write_bytes(content)
    cli.fails(2, ("price", *CLIP, "--prices-file", "prices.toml"), "prices.toml")
    cli.fails(2, ("generate", *CLIP, "--prices-file", "none.toml"), "none.toml")


def test_what_nobody_serves_is_refused(cli: Command) -> None:
    """By every vendor, with why."""
    found = cli("price", "a cat", "--duration", "99")
    assert (found.code, all(f"{vendor}: refused" in found.err for vendor in VENDORS)) == (2, True)
    cli.fails(2, ("generate", "a cat", "--duration", "99", "--cheapest"), "duration")


def test_several_vendors_are_asked_in_order(cli: Command) -> None:
    """The next where the one before it is proved unpaid; who was asked and why is told."""
    asked = [word for vendor in reversed(VENDORS) for word in ("--vendor", vendor)]
    found = cli("generate", *CLIP, *asked, "--json")
    assert found.document["vendor"] == VENDORS[-1]
    assert [step["result"] for step in found.document["routing"]] == ["taken"]
    ambiguous = cli("generate", *CLIP, *asked, "--fault", "lost-reset", "--json")
    assert (ambiguous.code, ambiguous.document["error"]["vendor"]) == (6, VENDORS[-1])
