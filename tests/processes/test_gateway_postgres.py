"""What a ledger in Postgres keeps for a gateway."""

from pathlib import Path

from polyreel.ledger.postgres import PostgresLedger
from support.gateway import gateway
from support.gateway_cases import enters_once, keeps_calls, keeps_tokens
from support.server import PROVIDERS, poll
from support.swaps import asked, first_swap, id_in


def test_calls_are_kept(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        keeps_calls(ledger)


def test_a_call_is_entered_once(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        enters_once(ledger)


def test_tokens_are_kept(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        keeps_tokens(ledger)


def test_a_gateway_serves_from_it(postgres: str, tmp_path: Path) -> None:
    """A repeated call is the first job, also for another gateway."""
    face, back, made = first_swap(PROVIDERS[0])
    with gateway(tmp_path, back, place=postgres) as stage:
        first = id_in(asked(stage, made, key="0123456789abcdef-key"), face)
        stage.stop()
        stage.start()
        assert id_in(asked(stage, made, key="0123456789abcdef-key"), face) == first
        stage.simulator.clock.sleep(1000)
        assert poll(stage, face, first).status == "succeeded"
        assert stage.simulator.bill.count() == 1
