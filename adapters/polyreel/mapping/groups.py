"""How several shared values become several native ones. Knows no vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import Factory, frozen

from ..places import MISSING, JsonObject, get, pointer, put
from .codecs import CannotExpressError, Default, MeaninglessError, Prompt, size_below, word
from .reports import Allowance, Fate, MappingEntry, MappingReport, Problem


class GroupCodec(Protocol):
    """How several shared values become several native ones. Both sides hold only what is set."""

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Native values by place; raises CannotExpressError."""

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """Shared values by name; raises ValueError."""


@frozen
class FirstAndLast:
    """The first frame, or the first and the last frame, in one list."""

    place: str

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The list of one or two images."""
        if "first_frame" not in values:
            raise CannotExpressError("a last frame needs a first frame", leaves=("/last_frame",))
        names = [name for name in ("first_frame", "last_frame") if name in values]
        return {self.place: [values[name] for name in names]}

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The frames."""
        images = natives[self.place]
        if images == []:
            raise MeaninglessError("an empty list says what leaving it out says")
        if not isinstance(images, list) or len(images) > 2:
            raise ValueError("not a list of one image or two")
        return dict(zip(("first_frame", "last_frame"), images, strict=False))


@frozen
class Names:
    """Several shared values spelled as one native word, such as `kling-v3-pro-audio`."""

    place: str
    shared: tuple[str, ...]
    table: Mapping[tuple[Any, ...], str]

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The word for a combination."""
        key = tuple(values.get(name) for name in self.shared)
        if key in self.table:
            return {self.place: self.table[key]}
        raise self._refusal(values)

    def _refusal(self, values: Mapping[str, Any]) -> CannotExpressError:
        """Why there is no word: for values that are not offered, or are not offered together."""
        columns = zip(self.shared, zip(*self.table, strict=True), strict=True)
        wrong = {
            name: sorted(set(column), key=str)
            for name, column in columns
            if values.get(name) not in column
        }
        reasons = [f"{word(values[name])} is not offered" for name in wrong if name in values]
        if missing := [name for name in wrong if name not in values]:
            reasons.append(f"{' and '.join(missing)} is needed beside it, for one word says both")
        together = f"{' with '.join(map(word, values.values()))} is not offered"
        lower = {name: size_below(values.get(name), column) for name, column in wrong.items()}
        close = tuple(lower.get(name, values.get(name)) for name in self.shared)
        return CannotExpressError(
            " and ".join(reasons) or together,
            limit="; ".join(f"{name} {' or '.join(map(word, wrong[name]))}" for name in wrong),
            nearest={self.place: self.table[close]} if close in self.table else None,
            leaves=tuple(
                f"/{name}" for name in values if name in wrong or not wrong.keys() & values
            ),
        )

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The combination of a word."""
        for key, name in self.table.items():
            if name == natives[self.place]:
                return dict(zip(self.shared, key, strict=True))
        raise ValueError(f"{natives[self.place]!r} is not one of {', '.join(self.table.values())}")


@frozen
class Group:
    """Several shared fields and several native places that only make sense together."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    codec: GroupCodec
    defaults: Mapping[str, Default] = Factory(dict)
    homes: Mapping[str, str] = Factory(dict)
    """The native place that a shared field mostly lives in, where it is not the first."""
    note: str = ""
    texts: Prompt | None = None
    """How the prompts of `shots` are respelled."""

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Put the joined values into the body."""
        values = {name: shared[name] for name in self.names if name in shared}
        demanded = {name: one for name, one in self.defaults.items() if one.applies(values)}
        if not values and not demanded:
            return
        full = {name: default.value for name, default in demanded.items()} | values
        try:
            natives = self._encoded(full, shared)
        except CannotExpressError as error:
            self._resolve(error, values, body, allow, report)
            return
        self._carry(values, natives, body, report)

    def _encoded(self, values: Mapping[str, Any], shared: Mapping[str, Any]) -> Mapping[str, Any]:
        """The native values; raises CannotExpressError."""
        if self.texts is None or "shots" not in values:
            return self.codec.encode(values)
        shots, wrong, reason = [], [], ""
        for index, shot in enumerate(values["shots"]):
            try:
                text = self.texts.encode(shot["prompt"], shared)
            except CannotExpressError as error:
                text, reason = error.nearest, error.reason
                wrong.append(f"/shots/{index}/prompt")
            shots.append({**shot, "prompt": text})
        natives = self.codec.encode({**values, "shots": shots})
        if wrong:
            raise CannotExpressError(reason, nearest=natives, leaves=tuple(wrong))
        return natives

    def _carry(
        self,
        values: Mapping[str, Any],
        natives: Mapping[str, Any],
        body: JsonObject,
        report: MappingReport,
    ) -> None:
        for place, native in natives.items():
            put(body, place, native)
        for name in values:
            report.entries.append(
                MappingEntry(name, "/" + name, self._home(name), Fate.CONVERTED, self.note)
            )
        for name, default in self.defaults.items():
            if name not in values and default.applies(values):
                report.entries.append(
                    MappingEntry(name, "", self._home(name), Fate.DEFAULTED, default.reason)
                )

    def _home(self, name: str) -> str:
        return pointer(self.homes.get(name, self.places[0]))

    def _resolve(
        self,
        error: CannotExpressError,
        values: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Leave out or approximate what the caller allows; refuse the rest."""
        refused = False
        for leaf in error.leaves:
            name = leaf.split("/")[1]
            allowed = allow.get(name)
            if allowed in {None, "send"} or (allowed == "nearest" and error.nearest is None):
                report.problems.append(Problem(name, leaf, error.reason, error.limit))
                refused = True
        if refused:
            # As in `settle`: the check of a refused body then finds no second problem.
            for place, native in (error.without or error.nearest or error.stand_in or {}).items():
                put(body, place, native)
            return
        touched = {leaf.split("/")[1] for leaf in error.leaves}
        nearest = all(allow[name] == "nearest" for name in touched)
        natives = error.nearest if nearest else error.without
        fate = Fate.APPROXIMATED if nearest else Fate.DROPPED
        if natives is None:  # drop the fields themselves and try again with what is left
            self.write(
                {name: value for name, value in values.items() if name not in touched},
                body,
                allow,
                report,
            )
            report.entries += [
                MappingEntry(name, "/" + name, "", fate, error.reason) for name in sorted(touched)
            ]
            return
        self._carry(values, natives, body, report)
        report.entries = [entry for entry in report.entries if entry.source not in error.leaves]
        report.entries += [
            MappingEntry(
                leaf.split("/")[1], leaf, self._home(leaf.split("/")[1]), fate, error.reason
            )
            for leaf in error.leaves
        ]

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Take the joined values apart."""
        natives = {place: get(body, place) for place in self.places}
        natives = {place: value for place, value in natives.items() if value is not MISSING}
        if not natives:
            return
        try:
            values = self.codec.decode(natives)
            if self.texts is not None and "shots" in values:
                texts = [self.texts.decode(shot["prompt"], shared) for shot in values["shots"]]
                shots = zip(values["shots"], texts, strict=True)
                spelled = [{**shot, "prompt": text} for shot, text in shots]
                values = {**values, "shots": spelled}
        except MeaninglessError as error:
            report.entries += [
                MappingEntry(self.names[0], pointer(place), "", Fate.DROPPED, str(error))
                for place in natives
            ]
            return
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            report.problems += [
                Problem(self.names[0], pointer(place), f"{place}: {error}") for place in natives
            ]
            return
        shared.update(values)
        for place in natives:
            names = [name for name in values if self._home(name) == pointer(place)] or list(values)
            if not names:
                why = "says what leaving it out says"
                report.entries.append(
                    MappingEntry(self.names[0], pointer(place), "", Fate.DROPPED, why)
                )
                continue
            name, *others = names
            note = f"together with {', '.join(others)}" if others else self.note
            report.entries.append(
                MappingEntry(name, pointer(place), "/" + name, Fate.CONVERTED, note, tuple(others))
            )
