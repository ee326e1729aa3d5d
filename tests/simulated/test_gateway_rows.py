"""What a ledger in a file keeps for a gateway."""

from pathlib import Path

from polyreel.ledger.sqlite import Ledger
from support.gateway_cases import enters_once, keeps_calls, keeps_tokens


def test_calls_are_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        keeps_calls(ledger)


def test_a_call_is_entered_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        enters_once(ledger)


def test_tokens_are_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        keeps_tokens(ledger)
