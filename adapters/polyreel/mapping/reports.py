"""What became of each field: entries for what was carried, problems for what was not."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import Factory, define, frozen

from ..places import MISSING, is_missing
from .codecs import CannotExpressError

Allowance = Literal["drop", "nearest", "send"]
"""What may become of a field: left out, brought to the nearest value, or sent although only an
inferred fact speaks against it.
"""


SENT_ALL_THE_SAME: Final = "sent all the same: that is only inferred"


def unless_allowed(name: str) -> str:
    """What to add where a refusal rests on an inferred fact."""
    return f" (not documented for this workflow: inferred. Allow {name}=send to send it as it is)"


class Fate(StrEnum):
    """What became of a field."""

    EXACT = "exact"
    CONVERTED = "converted"
    DEFAULTED = "defaulted"
    APPROXIMATED = "approximated"
    DROPPED = "dropped"
    REFUSED = "refused"


ONE_TEXT: Final[Mapping[str, str]] = MappingProxyType({})
"""Of a value with members that becomes one text: all of them are at its place."""


@frozen
class MappingEntry:
    """One line of a report: the value at `source` became the value at `target` (JSON pointers).

    Where only some leaves of the value have another fate, they follow as entries of their own.
    """

    field: str
    source: str
    target: str
    fate: Fate
    reason: str = ""
    others: tuple[str, ...] = ()
    """Further shared fields that the value at `source` holds as well."""
    warning: bool = False
    """Whether it may be something else than was meant, and should be told before anything is paid.
    """
    renamed: Mapping[str, str] = Factory(dict)
    """Members below the value that have another name below the target; ONE_TEXT if there are none.
    """

    def target_of(self, at: str) -> str:
        """The target of a leaf at `at`, which is the source or lies below it."""
        inner = at[len(self.source) :].split("/")[1:] if self.renamed is not ONE_TEXT else []
        return "/".join([self.target, *(self.renamed.get(part, part) for part in inner)])


@frozen
class Problem:
    """Why a shared field cannot be written as asked. `limit` says what the vendor takes instead."""

    field: str
    source: str
    reason: str
    limit: str = ""
    near: str = ""
    """What to say of known words that are near: see `errors.did_you_mean`."""


@define
class MappingReport:
    """What happened on the way: entries for what was carried, problems for what was not."""

    entries: list[MappingEntry] = Factory(list)
    problems: list[Problem] = Factory(list)


class ConflictError(ValueError):
    """Two spellings of one native field hold different values."""


def refuse(
    name: str,
    reason: str,
    allow: Mapping[str, Allowance],
    report: MappingReport,
    *,
    inferred: bool = False,
) -> None:
    """Report a field that has no native place: a problem, or a drop where the caller allows it."""
    if allow.get(name) == "drop":
        report.entries.append(MappingEntry(name, "/" + name, "", Fate.DROPPED, reason))
    else:
        advice = unless_allowed(name) if inferred else ""
        report.problems.append(Problem(name, "/" + name, reason + advice))


def settle(
    name: str,
    source: str,
    target: str,
    error: CannotExpressError,
    *,
    allow: Mapping[str, Allowance],
    report: MappingReport,
) -> Any:
    """What is written in the place of a value that the codec could not write, or MISSING.

    That is what the caller allows; otherwise the value is refused. The report says which.
    """
    allowed = allow.get(name)
    left = MISSING if error.without is None else error.without
    if allowed == "nearest" and error.nearest is not None:
        report.entries.append(MappingEntry(name, source, target, Fate.APPROXIMATED, error.reason))
        return error.nearest
    if allowed == "drop":
        if is_missing(left):
            report.entries.append(MappingEntry(name, source, "", Fate.DROPPED, error.reason))
        else:
            report.entries.append(MappingEntry(name, source, target, Fate.CONVERTED, error.reason))
            report.entries += [
                MappingEntry(name, source + leaf, "", Fate.DROPPED, one.reason)
                for one in (error, *error.others)
                for leaf in one.leaves
            ]
        return left
    report.problems += [
        Problem(name, source + leaf, one.reason, one.limit)
        for one in (error, *error.others)
        for leaf in one.leaves
    ]
    # What could be sent is written all the same: the check of a refused body then finds no second
    # problem that is none.
    return left if error.stand_in is None else error.stand_in
