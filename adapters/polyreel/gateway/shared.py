"""Calls for jobs in the shared words: for the APIs that are the gateway's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import Factory, evolve, frozen

from ..jobs.routing import Preference, ranked
from ..ledger.rows import random_text
from ..mapping.reports import Allowance, Fate
from ..places import JsonObject
from ..plans.choosing import choose
from ..plans.planning import Plan
from ..plans.requests import CheckedRequest
from .behind import CALLBACK, NOBODY, Behind, in_header, in_words_of_client
from .wishes import LETTERS

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken
    from ..providers.base.provider import Provider


JOBS: Final = "jobs"
"""What stands for a face in the rows of `/v1/jobs`."""


@frozen(slots=False)
class SharedOffers:
    """The plans of the vendors behind for a shared request."""

    made: tuple[Plan, ...]
    prefer: Preference
    _files: Mapping[str, str] = Factory(dict)
    """Files of this machine, by the links that clients know them by."""

    @cached_property
    def plans(self) -> list[Plan]:
        """The plans that can be submitted, in the order in which they are tried."""
        return ranked([one for one in self.made if not one.refused], self.prefer)

    def refusal(self) -> str:
        """Why no vendor can serve the request: every reason of each."""
        texts = [
            f"{one.vendor}: {'; '.join(violation.message for violation in one.violations)}"
            for one in self.made
        ]
        return in_words_of_client(" | ".join(texts) or NOBODY, self._files)

    def verdicts(self, vendor: str) -> str:
        """What becomes of the values of the request at a vendor that do not stay exact."""
        made = next((one for one in self.made if one.vendor == vendor), None)
        found = () if made is None else made.verdicts
        texts = (
            f"{one.field}={one.verdict}"
            for one in found
            if one.verdict != Fate.EXACT and one.field != CALLBACK
        )
        return in_header(", ".join(dict.fromkeys(texts)))


@frozen
class SharedWish:
    """A call for a job in the shared words."""

    token: GatewayToken
    face: str
    path: str
    body: JsonObject
    request: CheckedRequest
    key: str | None
    callback: str | None = None
    own_id: str | None = None
    vendors: tuple[Provider, ...] = ()
    """Who may make it, where the client says so."""
    allow: Mapping[str, Allowance] = Factory(dict)
    files: Mapping[str, str] = Factory(dict)
    """Files of this machine in the request, by the links that clients know them by."""

    @property
    def model(self) -> str | None:
        """The model family that is asked for."""
        model = self.request.fields.get("model")
        return model if isinstance(model, str) else None

    def new_id(self, now: float) -> str:
        """A random id, that begins as the API's ids do."""
        return f"{self.face.removesuffix('s')}_{random_text(LETTERS, 24)}"

    def offers(self, behind: Behind) -> SharedOffers:
        """What the vendors behind make of it."""
        wanted = self._vendors(behind.vendors)
        made = [
            choose(
                self.request,
                [one],
                allow={**behind.allow, **self.allow},
                preferences=behind.preferences(one.id) or None,
            )
            for one in wanted
        ]
        if behind.prices is not None:
            made = [evolve(one, prices=behind.prices) for one in made]
        return SharedOffers(tuple(made), behind.prefer, self.files)

    def _vendors(self, behind: Sequence[Provider]) -> list[Provider]:
        return [one for one in self.vendors if one in behind] if self.vendors else [*behind]
