"""Writing one vendor's native body for another vendor, by way of the shared request.

Every leaf of the body gets one verdict: what became of it on the whole way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from ..errors import RequestError
from ..mapping.codecs import word
from ..mapping.reports import Allowance, ConflictError, Fate, MappingEntry
from ..places import JsonObject, leaves, pointer_text
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..providers.base.schemas import SchemaViolation
from .marking import idle_marks_of
from .planning import Plan, plan_checked
from .reading import NOT_SHARED, Reading, UnreadableBodyError, read
from .requests import check_allowances, check_request
from .strays import Spelled, settled, spelled_out, without_empty
from .verdicts import Served, Verdict, Violation, violations
from .wording import whole
from .writing import can_express

if TYPE_CHECKING:
    from ..providers.base.registry import Vendor

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


@frozen
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
    def warnings(self) -> tuple[str, ...]:
        """What may come out otherwise than it was meant, such as a mark that cites nothing."""
        found = [f"{one.field}: {one.reason}" for one in self.verdicts if one.warning]
        if self.refused and self.reading is not None:
            found += idle_marks_of(self.reading.request)
        return tuple(dict.fromkeys(found))

    @cached_property
    def losses(self) -> tuple[Verdict, ...]:
        """The verdicts of what does not arrive as it was."""
        return tuple(verdict for verdict in self.verdicts if verdict.verdict not in NOTHING_LOST)


def translate(
    body: object,
    source: Vendor,
    target: Vendor,
    *,
    source_model: str | None = None,
    target_model: str | None = None,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
) -> Translation:
    """Write a native body of one vendor for another. Nothing is sent, and no key is needed.

    Args:
        body: the JSON body as the source vendor takes it.
        source: the id of the vendor that the body is for.
        target: the id of the vendor to write it for.
        source_model: the model family of the body, where the body does not say it.
        target_model: another model family than the source's.
        allow: the fields that may be left out (`"drop"`) or brought to the nearest value that the
            target takes (`"nearest"`), or that may be sent although only an inferred fact speaks
            against it (`"send"`).
        preferences: values for fields that the body leaves unset, as for a plan.

    The source's defaults are made explicit where the target has others, so that the same clip comes
    out. A translation that is not possible is returned all the same: `violations` says why, and
    `alternatives` names the model families of the target that would serve. Raises UnknownNameError
    for an unknown vendor.

    >>> import polyreel
    >>> body = {"prompt": "a cat"}
    >>> made = polyreel.translate(body, "skills-video", "evolink", source_model="kling-o3")
    >>> made.plan.body["quality"], made.plan.body["sound"]
    ('1080p', 'on')
    """
    source, target = get_provider(source), get_provider(target)
    if not isinstance(body, dict):
        return _unreadable(
            source, target, {}, [f"a body is a JSON object, not {type(body).__name__}"]
        )
    try:
        spelled = without_empty(body)
        reading = read(spelled.body, source, model=source_model)
        if source.contract.accepts(reading.route.schema, spelled.body):
            spelled = spelled_out(spelled, source, reading.route)
            reading = read(spelled.body, source, model=source_model)
    except (UnreadableBodyError, ConflictError) as error:
        return _unreadable(source, target, body, [str(error)])
    found = source.contract.accepts(reading.route.schema, spelled.body)
    if found or reading.problems:
        texts = _violation_texts(found)
        problems = [text for several in texts.values() for text in several]
        problems += [one.reason for one in reading.problems if one.source not in texts]
        return _unreadable(source, target, body, problems, reading)
    source_body = SourceBody(body, reading, spelled)
    allowed = check_allowances(allow)
    made = _written(source_body, target, target_model, allowed, preferences or {})
    if made.plan is None or made.plan.route is not None:
        return made
    others = _alternatives(source_body, target, made.plan.workflow, allowed)
    return evolve(made, alternatives=tuple(others))


@frozen
class SourceBody:
    """A body of the source vendor, and how it is read."""

    body: JsonObject
    reading: Reading
    spelled: Spelled


def _written(
    given: SourceBody,
    target: Provider,
    target_model: str | None,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    *,
    only: bool = False,
) -> Translation:
    """The body for a target. With `only`, no other vendor is asked what it would make of it."""
    body, reading = given.body, settled(given.reading, given.spelled, target, target_model)
    request = {**reading.request, **({"model": target_model} if target_model else {})}
    try:
        checked = check_request(request, reading.kind)
    except RequestError as error:
        return _unreadable(reading.provider, target, body, error.problems, reading)
    said = {entry.field for entry in given.reading.entries}
    defaults = _telling_defaults(reading)
    relied_on = {name: value for name, value in defaults.items() if name not in said}
    relied_on |= preferences
    made = plan_checked(checked, target, allow=allow, preferences=relied_on)
    alone = violations(target.id, made.problems, lambda _: Served())
    found = alone if only else made.violations
    refusals = [*found, *_foreign_extras(reading, target, allow)]
    verdicts = [
        *_composed(body, reading, made, allow),
        *_changed_defaults(given.reading, reading, made),
    ]
    return Translation(
        reading.provider, target, body, reading, made, tuple(verdicts), tuple(refusals)
    )


def _unreadable(
    source: Provider,
    target: Provider,
    body: JsonObject,
    problems: Sequence[str],
    reading: Reading | None = None,
) -> Translation:
    refusals = tuple(
        Violation("body", "", f"not a body of {source.id}: {text}") for text in problems
    )
    reason = "the body was refused"
    refused = tuple(Verdict(at, "body", "", Fate.REFUSED, reason) for at, _ in leaves(body) if at)
    return Translation(source, target, body, reading, None, refused, refusals)


def _violation_texts(found: Sequence[SchemaViolation]) -> dict[str, list[str]]:
    """What is wrong at each place of a body. What is possible there says its type, too."""
    listed = {one.path for one in found if one.kind == "enum"}
    texts: dict[str, list[str]] = {}
    for one in found:
        if one.kind != "type" or one.path not in listed:
            texts.setdefault(pointer_text(one.path), []).append(_violation_text(one))
    return texts


def _violation_text(violation: SchemaViolation) -> str:
    place, text = ".".join(map(str, violation.path))[:100], violation.message
    if violation.kind == "enum" and isinstance(violation.limit, list):
        said = text.partition(" is not one of ")[0]
        text = f"{said} is not one of {', '.join(map(word, violation.limit))}"
    text = whole(violation) or (text if len(text) <= 200 else f"{violation.kind} is not met")
    return f"{place}: {text}" if place else text


def _foreign_extras(
    reading: Reading, target: Provider, allow: Mapping[str, Allowance]
) -> Iterator[Violation]:
    """A violation for each native field without a shared word, unless dropping is allowed."""
    if target is reading.provider or allow.get("extra") == "drop":
        return
    for entry in reading.entries:
        if entry.field == "extra" and entry.target:
            name = entry.source.strip("/").replace("/", ".")
            reason = entry.reason
            if reason == NOT_SHARED:
                reason = (
                    f"{name} is {reading.provider.id}'s own; {target.id} has no word for it that "
                    "is known"
                )
            text = f"extra: {reason}. Allow extra=drop to leave it out"
            yield Violation("extra", entry.source, text)


def _composed(
    body: JsonObject, reading: Reading, made: Plan, allow: Mapping[str, Allowance]
) -> Iterator[Verdict]:
    """One verdict for each leaf of the body: the reading and the plan, one after the other."""
    planned = [verdict for verdict in made.verdicts if verdict.source]
    for at, _ in leaves(body):
        entry = _covering(reading.entries, at)
        if entry is None or not entry.target:
            yield _unplanned(at, entry)
        elif entry.field == "extra" and made.provider is not reading.provider:
            fate = Fate.DROPPED if allow.get("extra") == "drop" else Fate.REFUSED
            own = f"{reading.provider.id}'s own"
            reason = own if entry.reason == NOT_SHARED else entry.reason
            yield Verdict(at, "extra", "", fate, reason)
        elif entry.field == "workflow":
            fate = Fate.REFUSED if made.route is None else Fate.CONVERTED
            yield Verdict(at, "workflow", "", fate, made.workflow)
        else:
            yield _joined(at, entry, planned)


def _unplanned(at: str, entry: MappingEntry | None) -> Verdict:
    """The verdict for a leaf that the reading did not hand on."""
    if entry is None:
        return Verdict(at, "", "", Fate.REFUSED, "")
    return Verdict(at, entry.field, "", entry.fate, entry.reason)


def _joined(at: str, entry: MappingEntry, planned: Sequence[Verdict]) -> Verdict:
    """The verdict for the whole way of a leaf: the worse one of reading and plan."""
    place = entry.target_of(at)
    matches = [verdict for verdict in planned if _related(verdict.source, place)]
    matches = matches or [verdict for verdict in planned if verdict.field == entry.field]
    matches += [verdict for verdict in planned if verdict.field in entry.others]
    if not matches:
        return Verdict(at, entry.field, "", entry.fate, entry.reason, entry.warning)
    worst = max(matches, key=lambda verdict: SEVERITY.index(verdict.verdict))
    fate = max(entry.fate, worst.verdict, key=SEVERITY.index)
    names = ", ".join([entry.field, *entry.others])
    warning = entry.warning or worst.warning
    reasons = [worst.reason, entry.reason] if warning else [worst.reason or entry.reason]
    reason = "; ".join(dict.fromkeys(filter(None, reasons)))
    return Verdict(at, names, worst.target, fate, reason, warning)


def _related(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _covering(entries: Sequence[MappingEntry], at: str) -> MappingEntry | None:
    found = [entry for entry in entries if at == entry.source or at.startswith(entry.source + "/")]
    return max(found, key=lambda entry: len(entry.source), default=None)


def _telling_defaults(reading: Reading) -> JsonObject:
    """The vendor's defaults that say something of a body's clip.

    One clip is what every call makes, and shots that a body has are planned by nobody else.
    """
    idle = {"shot_mode"} if "shots" in reading.request else set()
    found = reading.provider.defaults(reading.route).items()
    return {k: v for k, v in found if k not in idle and (k, v) != ("count", 1)}


def _changed_defaults(before: Reading, after: Reading, made: Plan) -> Iterator[Verdict]:
    """The source's defaults that the body relied on: asked for explicitly, or reported as lost.

    What the body says itself has its verdict already, whether it is handed on or not.
    """
    said = before.request.keys() | after.request.keys() | {one.field for one in before.entries}
    lost: dict[str, str] = {}
    if made.route is not None:
        theirs = made.provider.defaults(made.route)
        for name, value in _telling_defaults(before).items():
            if name in said or theirs.get(name) == value:
                continue
            if not can_express(made.provider, made.route, name, value):
                default = f"{word(value)} is {before.provider.id}'s default"
                lost[name] = f"{default}; {made.vendor} cannot be asked for it"
    for verdict in made.verdicts:
        if not verdict.source and verdict.field != "model":
            reason = lost.pop(verdict.field, None)
            made_so = f"{reason}: {verdict.reason}"
            yield evolve(verdict, verdict=Fate.DROPPED, reason=made_so) if reason else verdict
    spelled = {verdict.field for verdict in made.verdicts}
    for name, reason in lost.items():
        if name not in spelled:
            yield Verdict("", name, "", Fate.DROPPED, reason)


def _alternatives(
    given: SourceBody, target: Provider, workflow: str, allow: Mapping[str, Allowance]
) -> Iterator[Alternative]:
    """The target's model families for the workflow, where it does not sell the one asked for."""
    fitting = (route.model for route in target.routes if route.workflow == workflow)
    for family in dict.fromkeys(fitting):
        other = _written(given, target, family, allow, {}, only=True)
        losses = [violation.message for violation in other.violations]
        losses += [f"{one.field}: {one.verdict}" for one in other.losses if not other.refused]
        yield Alternative(family, other.refused, tuple(dict.fromkeys(losses)))
