"""The result for a whole recording: grouped differences, and one patch for each vendor's spec."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from ..places import JsonObject, PlaceError
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from .addresses import DocumentedCall, UndocumentedCall, find_call
from .comparing import differences_of
from .differences import Difference
from .exchanges import RecordedExchange
from .patches import Patch, patched
from .redaction import Redactor, redactor_of
from .undocumented import undocumented_call

MOST_ROUNDS: Final = 20
SHOWN_ENTRIES: Final = 5


@frozen
class UnmatchedExchange:
    """A recorded call that was not checked, because no vendor documents it."""

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
    """Equal differences are counted together."""
    unmatched: tuple[UnmatchedExchange, ...]
    patches: Mapping[str, Patch]
    """For each vendor, one patch of its spec; it removes every difference that a spec can."""
    unhealed: tuple[Difference, ...]
    """The differences that stay when the patches are applied."""

    @property
    def fits(self) -> bool:
        """Whether nothing differs; notes do not count."""
        return all(one.severity == "note" for one in self.differences)


def verify(
    exchanges: Sequence[RecordedExchange],
    providers: Sequence[Provider],
    *,
    base_urls: Mapping[str, str] | None = None,
    any_host: bool = False,
) -> VerificationReport:
    """Check recorded traffic against the specs of these vendors.

    `base_urls` replace the documented base URLs, by vendor. With `any_host`, every host may be the
    vendor's.
    """
    redactor = redactor_of(exchanges)
    bases = base_urls or {}
    calls = [find_call(one, providers, bases, any_host=any_host) for one in exchanges]
    found = [(call, _differences(call, redactor)) for call in calls]
    every = [one for _, several in found for one in several]
    known = [call for call, several in found if isinstance(call, DocumentedCall) or several]
    unknown = [
        call for call, several in found if isinstance(call, UndocumentedCall) and not several
    ]
    own = {provider.id: provider for provider in providers}
    differing = [call.exchange for call, several in found if several]
    patches, unhealed = _patched_until_stable(
        own, differing, every, bases, redactor, any_host=any_host
    )
    unmatched = tuple(_unmatched(one, redactor) for one in unknown)
    return VerificationReport(
        len(exchanges), len(known), grouped(every), unmatched, patches, unhealed
    )


def _differences(call: DocumentedCall | UndocumentedCall, redactor: Redactor) -> list[Difference]:
    if isinstance(call, DocumentedCall):
        return list(differences_of(call, redactor))
    found = undocumented_call(call, redactor)
    return [] if found is None else [found]


def _unmatched(call: UndocumentedCall, redactor: Redactor) -> UnmatchedExchange:
    exchange = call.exchange
    reason = "no such call in the spec" if call.provider else "no vendor's host"
    return UnmatchedExchange(
        exchange.recording, exchange.number, exchange.method, redactor.text(exchange.url), reason
    )


def grouped(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """Count equal differences together, worst first; the first of each group stands for all."""
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


# -- patching ------------------------------------------------------------------------------------


def with_document(provider: Provider, document: JsonObject) -> Provider:
    """A vendor with another spec."""
    # Not by copy.copy: copies of a registered vendor are the vendor itself.
    changed = object.__new__(type(provider))
    changed.__dict__.update(provider.__dict__)
    for name in ("base_url", "servers", "contract", "_defaults"):  # read from the spec, and cached
        changed.__dict__.pop(name, None)
    changed.__dict__["contract"] = Contract(document)
    return changed


def _patched_until_stable(
    providers: Mapping[str, Provider],
    exchanges: Sequence[RecordedExchange],
    differences: Sequence[Difference],
    bases: Mapping[str, str],
    redactor: Redactor,
    *,
    any_host: bool,
) -> tuple[dict[str, Patch], tuple[Difference, ...]]:
    """Apply the patches of all differences; return the steps, and the differences that stay.

    One difference can hide another, so the exchanges are compared again with the patched specs.
    """
    own, steps = dict(providers), {name: list[JsonObject]() for name in providers}
    left = list(differences)
    for _ in range(MOST_ROUNDS):
        if not _apply_patches(own, left, steps):
            break
        calls = [find_call(one, list(own.values()), bases, any_host=any_host) for one in exchanges]
        left = [one for call in calls for one in _differences(call, redactor)]
    return {name: tuple(done) for name, done in steps.items() if done}, grouped(left)


def _apply_patches(
    own: dict[str, Provider], differences: Sequence[Difference], steps: dict[str, list[JsonObject]]
) -> bool:
    """Apply every patch that still fits, each once and at most one to a place.

    Returns whether any was applied.
    """
    touched: set[tuple[str, str]] = set()
    seen: set[tuple[str, str]] = set()
    applied = False
    for one in sorted(differences, key=_order_of_limits):
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
            continue  # another patch has changed the place: the next round proposes a new one
        own[one.vendor] = with_document(own[one.vendor], document)
        steps[one.vendor] += one.patch
        applied = True
        touched |= places
    return applied


def _order_of_limits(one: Difference) -> float:
    """A sort key that puts the widest limit first: the others then need no patch."""
    step = one.patch[0] if len(one.patch) == 1 else {}
    value = step.get("value")
    if step.get("op") != "replace" or isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if step["path"].rpartition("/")[2].startswith("min") else -value
