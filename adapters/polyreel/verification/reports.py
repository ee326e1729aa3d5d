"""The result for a whole recording: differences grouped, and one patch for each vendor's spec that heals them all."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from ..places import JsonObject, PlaceError
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from .addresses import Addressed, Stranger, addressed
from .comparing import compared
from .differences import Difference
from .exchanges import RecordedExchange
from .patches import Patch, patched
from .redaction import Redactor, redactor_of
from .undocumented import unknown_call

MOST_ROUNDS: Final = 20
SHOWN_ENTRIES: Final = 5
Known = Mapping[str, Provider]


@frozen
class Unmatched:
    """A recorded call that belongs to no documented call."""

    recording: str
    entry: int
    method: str
    url: str
    reason: str


@frozen
class VerificationReport:
    """What checking recorded traffic found."""

    exchanges: int
    matched: int
    differences: tuple[Difference, ...]
    """Equal ones are counted together."""
    unmatched: tuple[Unmatched, ...]
    patches: Mapping[str, Patch]
    """For each vendor, one patch of its spec that heals every difference that a spec can heal."""
    unhealed: tuple[Difference, ...]
    """What stays when the patches are applied."""

    @property
    def fits(self) -> bool:
        """Whether nothing differs; notes are no differences."""
        return all(one.severity == "note" for one in self.differences)


def verify(
    exchanges: Sequence[RecordedExchange],
    providers: Sequence[Provider],
    *,
    base_urls: Mapping[str, str] | None = None,
    any_host: bool = False,
) -> VerificationReport:
    """Check recorded traffic against the specs of these vendors."""
    redactor = redactor_of(exchanges)
    bases = base_urls or {}
    calls = [addressed(one, providers, bases, any_host=any_host) for one in exchanges]
    found = [(call, _differences(call, redactor)) for call in calls]
    every = [one for _, several in found for one in several]
    known = [call for call, several in found if isinstance(call, Addressed) or several]
    strangers = [call for call, several in found if isinstance(call, Stranger) and not several]
    own = {provider.id: provider for provider in providers}
    differing = [call.exchange for call, several in found if several]
    patches, unhealed = _healed(own, differing, every, bases, redactor, any_host=any_host)
    unmatched = tuple(_unmatched(one, redactor) for one in strangers)
    return VerificationReport(
        len(exchanges), len(known), grouped(every), unmatched, patches, unhealed
    )


def _differences(call: Addressed | Stranger, redactor: Redactor) -> list[Difference]:
    if isinstance(call, Addressed):
        return list(compared(call, redactor))
    found = unknown_call(call, redactor)
    return [] if found is None else [found]


def _unmatched(stranger: Stranger, redactor: Redactor) -> Unmatched:
    exchange = stranger.exchange
    reason = "no such call in the spec" if stranger.provider else "no vendor's host"
    return Unmatched(
        exchange.recording, exchange.number, exchange.method, redactor.text(exchange.url), reason
    )


def grouped(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """Differences with equal ones counted together, worst first; the first of each stands for all."""
    groups: dict[tuple[object, ...], list[Difference]] = {}
    for one in differences:
        patch = json.dumps(one.patch, sort_keys=True)
        called = () if one.spec.startswith("/components/") else (one.method, one.path)
        actual = "" if one.patch else one.actual
        key = (
            one.vendor,
            one.direction,
            one.kind,
            one.severity,
            one.spec,
            one.expected,
            patch,
            actual,
            called,
        )
        groups.setdefault(key, []).append(one)
    found = [_counted(several) for several in groups.values()]
    order = {"breaks": 0, "news": 1, "note": 2}
    return tuple(sorted(found, key=lambda one: order[one.severity]))


def _counted(several: Sequence[Difference]) -> Difference:
    entries = tuple(dict.fromkeys(one.entry for one in several))
    return evolve(several[0], count=len(several), entries=entries[:SHOWN_ENTRIES])


# -- healing -------------------------------------------------------------------------------------


def with_document(provider: Provider, document: JsonObject) -> Provider:
    """A vendor with another spec."""
    twin = copy.copy(provider)
    for name in ("base_url", "servers", "contract", "_defaults"):
        twin.__dict__.pop(name, None)
    twin.__dict__["contract"] = Contract(document)
    return twin


def _healed(
    providers: Known,
    exchanges: Sequence[RecordedExchange],
    differences: Sequence[Difference],
    bases: Mapping[str, str],
    redactor: Redactor,
    *,
    any_host: bool,
) -> tuple[dict[str, Patch], tuple[Difference, ...]]:
    """Patches that heal all that can be healed: one can hide another, so what is patched is checked again."""
    own, steps = dict(providers), {name: list[JsonObject]() for name in providers}
    left = list(differences)
    for _ in range(MOST_ROUNDS):
        fresh = _patched(own, left, steps)
        if not fresh:
            break
        calls = [addressed(one, list(own.values()), bases, any_host=any_host) for one in exchanges]
        left = [one for call in calls for one in _differences(call, redactor)]
    return {name: tuple(done) for name, done in steps.items() if done}, grouped(left)


def _patched(
    own: dict[str, Provider], differences: Sequence[Difference], steps: dict[str, list[JsonObject]]
) -> bool:
    """Apply every patch that still fits, each once and at most one to a place; whether there was any."""
    touched: set[tuple[str, str]] = set()
    applied = False
    seen: set[tuple[str, str]] = set()
    for one in sorted(differences, key=_width):
        mark = (one.vendor, json.dumps(one.patch, sort_keys=True))
        places = {
            (one.vendor, step["path"]) for step in one.patch if not step["path"].endswith("/-")
        }
        if not one.patch or mark in seen or places & touched:
            continue
        seen.add(mark)
        try:
            document = patched(own[one.vendor].contract.document, one.patch)
        except PlaceError:
            continue  # another one has changed the place: the next round proposes anew
        own[one.vendor] = with_document(own[one.vendor], document)
        steps[one.vendor] += one.patch
        applied = True
        touched |= places
    return applied


def _width(one: Difference) -> float:
    """Orders limits so that the widest comes first: the others need no patch then."""
    step = one.patch[0] if len(one.patch) == 1 else {}
    value = step.get("value")
    if step.get("op") != "replace" or isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if step["path"].rpartition("/")[2].startswith("min") else -value
