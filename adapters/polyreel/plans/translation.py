"""Writing one vendor's native body for another vendor, by way of the shared request.

Every leaf of the body gets one verdict: what became of it on the whole way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from attrs import field, frozen

from ..errors import RequestError
from ..mapping.codecs import word
from ..mapping.reports import Allowance, ConflictError, Fate, MappingEntry
from ..places import JsonObject, leaves
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..providers.base.schemas import SchemaViolation
from .planning import Plan, can_express, plan_normalized
from .reading import Reading, UnreadableBodyError, read
from .requests import normalize
from .verdicts import Verdict, Violation

SEVERITY: Final = (
    Fate.EXACT,
    Fate.CONVERTED,
    Fate.DEFAULTED,
    Fate.APPROXIMATED,
    Fate.DROPPED,
    Fate.REFUSED,
)
NOTHING_LOST: Final = frozenset({Fate.EXACT, Fate.CONVERTED, Fate.DEFAULTED})


@frozen
class Alternative:
    """Another model family of the target that would serve the body, and what that would lose."""

    model: str
    refused: bool
    losses: tuple[str, ...]


@frozen(eq=False)
class Translation:
    """A native body, written for another vendor. It may be refused: see its `violations`."""

    source: Provider
    target: Provider
    body: JsonObject
    reading: Reading | None
    plan: Plan | None
    verdicts: tuple[Verdict, ...]
    violations: tuple[Violation, ...]
    alternatives: tuple[Alternative, ...] = field(factory=tuple)

    @property
    def refused(self) -> bool:
        """Whether the target cannot take it, or the source's body makes no sense."""
        return bool(self.violations)

    @cached_property
    def losses(self) -> tuple[Verdict, ...]:
        """The verdicts of what does not arrive as it was."""
        return tuple(verdict for verdict in self.verdicts if verdict.verdict not in NOTHING_LOST)


def translate(
    body: Any,
    source: str | Provider,
    target: str | Provider,
    *,
    source_model: str | None = None,
    target_model: str | None = None,
    allow: Mapping[str, Allowance] | None = None,
) -> Translation:
    """Write a native body of one vendor for another.

    The model family stays the source's unless `target_model` names another; where the target does not sell it, the
    translation is refused and `alternatives` tells which family would serve and what that changes. The source's
    defaults are made explicit where the target's are others, so that the same clip comes out.
    """
    source = get_provider(source) if isinstance(source, str) else source
    target = get_provider(target) if isinstance(target, str) else target
    if not isinstance(body, dict):
        return _unreadable(
            source, target, {}, [f"a body is a JSON object, not {type(body).__name__}"]
        )
    try:
        reading = read(body, source, model=source_model)
    except (UnreadableBodyError, ConflictError) as error:
        return _unreadable(source, target, body, [str(error)])
    breaches = source.contract.accepts(reading.route.schema, body)
    if breaches or reading.problems:
        problems = [*map(_breach_text, breaches), *(problem.reason for problem in reading.problems)]
        return _unreadable(source, target, body, problems, reading)
    return _written(body, reading, target, target_model, allow or {})


def _written(
    body: JsonObject,
    reading: Reading,
    target: Provider,
    target_model: str | None,
    allow: Mapping[str, Allowance],
) -> Translation:
    request = {**reading.request, **({"model": target_model} if target_model else {})}
    try:
        shared, _ = normalize(request, reading.kind)
    except RequestError as error:
        return _unreadable(reading.provider, target, body, error.problems, reading)
    defaults = reading.provider.defaults(reading.route)
    made = plan_normalized(shared, reading.kind, target, allow=allow, preferences=defaults)
    violations = [*made.violations, *_stray_extras(reading, target, allow)]
    verdicts = [*_composed(body, reading, made, allow), *_changed_defaults(reading, made)]
    return Translation(
        reading.provider,
        target,
        body,
        reading,
        made,
        tuple(verdicts),
        tuple(violations),
        tuple(_alternatives(reading, made, defaults)),
    )


def _unreadable(
    source: Provider,
    target: Provider,
    body: JsonObject,
    problems: Sequence[str],
    reading: Reading | None = None,
) -> Translation:
    violations = tuple(
        Violation("body", "", f"not a body of {source.id}: {text}") for text in problems
    )
    reason = "the body was refused"
    refused = tuple(Verdict(at, "body", "", Fate.REFUSED, reason) for at, _ in leaves(body) if at)
    return Translation(source, target, body, reading, None, refused, violations)


def _breach_text(breach: SchemaViolation) -> str:
    place = ".".join(map(str, breach.path))[:100]
    text = breach.message if len(breach.message) <= 200 else f"{breach.kind} is not met"
    return f"{place}: {text}" if place else text


def _stray_extras(
    reading: Reading, target: Provider, allow: Mapping[str, Allowance]
) -> Iterator[Violation]:
    """Native fields without a shared word get lost at another vendor: a refusal, unless dropping is allowed."""
    if target is reading.provider or allow.get("extra") == "drop":
        return
    for entry in reading.entries:
        if entry.field == "extra":
            name = entry.source.strip("/").replace("/", ".")
            text = f"extra: {name} is {reading.provider.id}'s own; {target.id} has no word for it that is known"
            yield Violation("extra", entry.source, f"{text}. Allow extra=drop to leave it out")


def _composed(
    body: JsonObject, reading: Reading, made: Plan, allow: Mapping[str, Allowance]
) -> Iterator[Verdict]:
    """One verdict for each leaf of the body: the reading and the plan, one after the other."""
    planned = [verdict for verdict in made.verdicts if verdict.source]
    for at, _ in leaves(body):
        entry = _covering(reading.entries, at)
        if entry is None or not entry.target:
            yield Verdict(
                at,
                entry.field if entry else "",
                "",
                entry.fate if entry else Fate.REFUSED,
                entry.reason if entry else "",
            )
            continue
        if entry.field == "extra" and made.provider is not reading.provider:
            fate = Fate.DROPPED if allow.get("extra") == "drop" else Fate.REFUSED
            yield Verdict(at, "extra", "", fate, f"{reading.provider.id}'s own")
            continue
        if entry.field == "workflow":
            yield Verdict(
                at,
                "workflow",
                "",
                Fate.REFUSED if made.route is None else Fate.CONVERTED,
                made.workflow,
            )
            continue
        yield _joined(at, entry, planned)


def _joined(at: str, entry: MappingEntry, planned: Sequence[Verdict]) -> Verdict:
    place = entry.target + at[len(entry.source) :]
    matches = [verdict for verdict in planned if _related(verdict.source, place)]
    matches = matches or [verdict for verdict in planned if verdict.field == entry.field]
    matches += [verdict for verdict in planned if verdict.field in entry.others]
    if not matches:
        return Verdict(at, entry.field, "", entry.fate, entry.reason)
    worst = max(matches, key=lambda verdict: SEVERITY.index(verdict.verdict))
    fate = max(entry.fate, worst.verdict, key=SEVERITY.index)
    return Verdict(
        at,
        ", ".join([entry.field, *entry.others]),
        worst.target,
        fate,
        worst.reason or entry.reason,
    )


def _related(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _covering(entries: Sequence[MappingEntry], at: str) -> MappingEntry | None:
    found = [entry for entry in entries if at == entry.source or at.startswith(entry.source + "/")]
    return max(found, key=lambda entry: len(entry.source), default=None)


def _changed_defaults(reading: Reading, made: Plan) -> Iterator[Verdict]:
    """What the body left to the source's defaults: asked for explicitly, or told where that cannot be."""
    yield from (
        verdict for verdict in made.verdicts if not verdict.source and verdict.field != "model"
    )
    if made.route is None:
        return
    theirs = made.provider.defaults(made.route)
    spelled = {verdict.field for verdict in made.verdicts}
    for name, value in reading.provider.defaults(reading.route).items():
        if name in reading.request or name in spelled or theirs.get(name) == value:
            continue
        if not can_express(made.provider, made.route, name, value):
            reason = f"{word(value)} is {reading.provider.id}'s default; {made.vendor} cannot be asked for it"
            yield Verdict("", name, "", Fate.DROPPED, reason)


def _alternatives(
    reading: Reading, made: Plan, defaults: Mapping[str, Any]
) -> Iterator[Alternative]:
    """Where the model family is what the target lacks: the families it has for the workflow."""
    if made.route is not None:
        return
    families = dict.fromkeys(
        route.model for route in made.provider.routes if route.workflow == made.workflow
    )
    for family in families:
        other = plan_normalized(
            {**made.request, "model": family},
            made.kind,
            made.provider,
            allow={},
            preferences=defaults,
        )
        losses = [violation.message for violation in other.violations]
        losses += [
            f"{v.field}: {v.verdict}"
            for v in other.verdicts
            if v.verdict not in NOTHING_LOST and v.field != "extra"
        ]
        yield Alternative(family, other.refused, tuple(dict.fromkeys(losses)))
