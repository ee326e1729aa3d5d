"""The tables of the gateway: the ids that its clients know, their tokens, and its secrets."""

from __future__ import annotations

from typing import Final


def _tables(strict: bool) -> str:
    real, end = ("REAL", " STRICT, WITHOUT ROWID") if strict else ("DOUBLE PRECISION", "")
    return f"""
    CREATE TABLE gateway_jobs (
        face TEXT NOT NULL,
        id TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        token TEXT NOT NULL,
        reference TEXT NOT NULL,
        repeats TEXT,
        path TEXT NOT NULL,
        body TEXT NOT NULL,
        callback TEXT,
        created_at {real} NOT NULL,
        PRIMARY KEY (face, id)
    ){end};
    CREATE UNIQUE INDEX gateway_by_repeats ON gateway_jobs(repeats) WHERE repeats IS NOT NULL;
    CREATE INDEX gateway_by_token ON gateway_jobs(token, face, simulated, created_at);
    CREATE TABLE gateway_secrets (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ){end};
    """


def _tokens(strict: bool) -> str:
    real, end = ("REAL", " STRICT, WITHOUT ROWID") if strict else ("DOUBLE PRECISION", "")
    return f"""
    CREATE TABLE gateway_tokens (
        name TEXT PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        digest TEXT NOT NULL,
        settings TEXT NOT NULL,
        created_at {real} NOT NULL,
        expires_at {real},
        revoked_at {real}
    ){end};
    """


def _calls(real: str) -> str:
    return f"""
    ALTER TABLE gateway_jobs ADD COLUMN next_call {real};
    ALTER TABLE gateway_jobs ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX gateway_by_call ON gateway_jobs(next_call) WHERE next_call IS NOT NULL;
    """


OWN_IDS: Final = """
    ALTER TABLE gateway_jobs ADD COLUMN own_id TEXT;
    CREATE INDEX gateway_by_own_id ON gateway_jobs(own_id, face, token) WHERE own_id IS NOT NULL;
    """
SQLITE_GATEWAY: Final = _tables(strict=True)
POSTGRES_GATEWAY: Final = _tables(strict=False)
SQLITE_TOKENS: Final = _tokens(strict=True)
POSTGRES_TOKENS: Final = _tokens(strict=False)
SQLITE_CALLS: Final = _calls("REAL")
POSTGRES_CALLS: Final = _calls("DOUBLE PRECISION")
