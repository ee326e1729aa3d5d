"""What a ledger in Postgres keeps for a gateway."""

from polyreel.ledger.postgres import PostgresLedger
from support.gateway_cases import enters_once, keeps_calls, keeps_tokens


def test_calls_are_kept(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        keeps_calls(ledger)


def test_a_call_is_entered_once(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        enters_once(ledger)


def test_tokens_are_kept(postgres: str) -> None:
    with PostgresLedger(postgres) as ledger:
        keeps_tokens(ledger)
