"""The tokens of a gateway's clients: what each may do, and a hash by which it is known.

A token is `polyreel_<id>_<secret>`. It is shown once, when it is made. The ledger has its id and
the SHA-256 of the whole: from 256 random bits nobody finds the token again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import Factory, asdict, frozen

from ..errors import ClaimedError, RequestError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from ..mapping.reports import Allowance
    from ..places import JsonObject
    from .database import Database, StoredRow

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOKEN: Final = re.compile(r"polyreel_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


@frozen
class ModelRouting:
    """Who makes the jobs of one model family."""

    vendors: tuple[str, ...] = ()
    """In this order; empty for those that make the others."""
    prefer: Literal["order", "cheapest"] | None = None
    """Which of them is asked first; None for what holds for the others."""


@frozen
class GatewayToken:
    """A client of a gateway, and what it may do."""

    name: str
    vendors: tuple[str, ...] = ()
    """Who may make its jobs, in this order; empty for all that the gateway has behind it."""
    prefer: Literal["order", "cheapest"] | None = None
    """Which of them is asked first; None for what the gateway has."""
    by_model: Mapping[str, ModelRouting] = Factory(dict)
    """What holds for single model families in the place of that."""
    models: tuple[str, ...] = ()
    """The model families that it may ask for; empty for all."""
    labels: Mapping[str, str] = Factory(dict)
    """Labels of its jobs."""
    per_day: Decimal | None = None
    """The most dollars that its jobs of one day (UTC) may cost; None for no limit."""
    in_all: Decimal | None = None
    """The most dollars that all its jobs may cost together."""
    unknown_prices: bool = False
    """Whether jobs of unknown price may be made although money is limited; they do not count."""
    rate: float | None = None
    """How many jobs it may begin at each vendor in a minute, at most."""
    dedupe: float | None = None
    """Within how many seconds a repeated body is the first job; None for what the gateway has."""
    allow: Mapping[str, Allowance] = Factory(dict)
    """What may become of fields that a vendor cannot express, as for a plan."""
    metrics: bool = False
    """Whether it may read the metrics of the gateway."""
    created_at: float = 0.0
    """In seconds since 1970; likewise the next two."""
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_usable(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def settings(self) -> JsonObject:
        """What it may do, as JSON."""
        money = {name: getattr(self, name) for name in ("per_day", "in_all")}
        return {
            "vendors": list(self.vendors),
            "prefer": self.prefer,
            "by_model": {name: asdict(one) for name, one in self.by_model.items()},
            "models": list(self.models),
            "labels": dict(self.labels),
            **{name: None if usd is None else format(usd, "f") for name, usd in money.items()},
            "unknown_prices": self.unknown_prices,
            "rate": self.rate,
            "dedupe": self.dedupe,
            "allow": dict(self.allow),
            "metrics": self.metrics,
        }

    @classmethod
    def of(cls, row: StoredRow) -> Self:
        """The token of a row."""
        found: dict[str, Any] = json.loads(row["settings"])
        for name in ("per_day", "in_all"):
            found[name] = None if found[name] is None else Decimal(found[name])
        for name in ("vendors", "models"):
            found[name] = tuple(found[name])
        found["by_model"] = {
            name: ModelRouting(tuple(one["vendors"]), one["prefer"])
            for name, one in found.get("by_model", {}).items()
        }
        times = {name: row[name] for name in ("created_at", "expires_at", "revoked_at")}
        return cls(name=row["name"], **found, **times)


class TokenRows:
    """The tokens in the database of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, token: GatewayToken) -> str:
        """Make a token; the result is what its client sends, which nobody is told again.

        Raises RequestError for a name that is taken, or that can be none.
        """
        if NAME.fullmatch(token.name) is None:
            problem = "a name has letters, digits, dots, hyphens and underscores, at most 63"
            raise RequestError([f"{token.name[:80]!r}: {problem}"])
        identity = secrets.token_hex(8)
        text = f"polyreel_{identity}_{secrets.token_urlsafe(32)}"
        values = (
            token.name,
            identity,
            _digest(text),
            json.dumps(token.settings()),
            token.created_at,
            token.expires_at,
        )
        insert = (
            "INSERT INTO gateway_tokens (name, id, digest, settings, created_at, expires_at)"
            " VALUES (?, ?, ?, ?, ?, ?)"
        )
        try:
            with self._database.writing() as connection:
                connection.execute(insert, values)
        except ClaimedError:
            problem = f"there is a token of the name {token.name!r}, or was one: take another name"
            raise RequestError([problem]) from None
        return text

    def were_made(self) -> bool:
        """Whether any token was ever made."""
        return bool(self._database.query("SELECT name FROM gateway_tokens LIMIT 1"))

    def listed(self) -> list[GatewayToken]:
        """All tokens that were ever made, oldest first."""
        rows = self._database.query("SELECT * FROM gateway_tokens ORDER BY created_at, name")
        return [*map(GatewayToken.of, rows)]

    def revoke(self, name: str, now: float) -> GatewayToken:
        """Make a token useless; UnknownNameError where there is none of this name."""
        update = "UPDATE gateway_tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
        with self._database.writing() as connection:
            connection.execute(update, (now, name))
        rows = self._database.query("SELECT * FROM gateway_tokens WHERE name = ?", name)
        if not rows:
            raise self.unknown(name)
        return GatewayToken.of(rows[0])

    def unknown(self, name: str) -> UnknownNameError:
        """The error about a name that no token has."""
        near = did_you_mean(name, [one.name for one in self.listed()])
        text = f"there is no token {name[:80]!r}{near}"
        return UnknownNameError(text if near else f"{text}: polyreel gateway tokens list shows all")

    def of(self, text: str, now: float) -> GatewayToken | None:
        """The usable token that a client has sent; None where it is none.

        The hashes are compared in a time that does not depend on where they differ.
        """
        found = _TOKEN.fullmatch(text)
        identity = found[1] if found else "none"
        rows = self._database.query("SELECT * FROM gateway_tokens WHERE id = ?", identity)
        known = rows[0]["digest"] if rows else _digest("")
        same = hmac.compare_digest(known, _digest(text))
        token = GatewayToken.of(rows[0]) if rows and same else None
        return token if token is not None and token.is_usable(now) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
