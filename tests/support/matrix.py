"""Tests over several axes, such as vendor x fault x client.

A test with `@pytest.mark.matrix("vendor", "fault")` runs with a covering sample of its parameters:
every vendor and every fault is in it, but not every fault at every vendor. Which of them meet is
drawn from a seed, which is the commit. Of a slow test, or one in a dear folder, that is run for
each vendor and names no axis, the sample has some vendors. `scripts/matrix` runs every combination.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeVar

import pytest
from polyreel.mapping.rows import Row

from .folders import DEAR, folder
from .paths import ROOT

WHOLE: Final = "POLYREEL_MATRIX"
"""The variable that asks for every combination where it is `whole`; scripts/matrix sets it."""
SEED: Final = "POLYREEL_SEED"
"""The variable that repeats the sample of another commit."""
T = TypeVar("T")
SOME: Final = 2
"""How many vendors such a test is run for."""
Value = tuple[str, object]
"""An axis, and one of its values."""


class Combination:
    """A test of these parameters, before pytest has made it."""

    def __init__(self, metafunc: pytest.Metafunc, callspec: Any) -> None:
        self.path, self.originalname = metafunc.definition.path, metafunc.definition.name
        self.cls, self.callspec = metafunc.cls, callspec
        self.marks = [*callspec.marks, *metafunc.definition.iter_markers()]

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        """Its markers of this name."""
        return (mark for mark in self.marks if mark.name == name)

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        """The first of them."""
        return next(self.iter_markers(name), None)


Case = pytest.Item | Combination


def thin(metafunc: pytest.Metafunc) -> None:
    """Leave out what `sample` would, before there is a test of each combination.

    There are three times as many combinations as tests that are run, and each worker collects all.
    """
    callspecs = metafunc._calls
    cases = [Combination(metafunc, callspec) for callspec in callspecs]
    left = left_out(cases)
    callspecs[:] = [case.callspec for case in cases if case not in left]


def sample(items: list[pytest.Item]) -> list[pytest.Item]:
    """The items without those that the covering sample leaves out, in the same order.

    A test that several classes inherit is one table, of which `thin` knows one class at a time.
    """
    left = left_out(items)
    return [item for item in items if item not in left]


def left_out(cases: Iterable[Case]) -> set[Case]:
    """The cases that the covering sample leaves out."""
    if whole():
        return set()
    drawn_from = seed()  # asks Git, which most tests themselves may not
    tables: dict[str, list[Case]] = {}
    vendors: dict[str, dict[str, list[Case]]] = {}
    for case in cases:
        name = f"{case.path.name} {getattr(case, 'originalname', None)}"
        if axes_of(case):
            tables.setdefault(name, []).append(case)
        elif (vendor := dear_vendor(case)) is not None:
            vendors.setdefault(name, {}).setdefault(vendor, []).append(case)
    left = set[Case]()
    for name, of_vendor in vendors.items():
        number = max(0, len(of_vendor) - SOME)
        for vendor in random.Random(f"{drawn_from} {name}").sample(sorted(of_vendor), number):
            left.update(of_vendor[vendor])
    for name, table in tables.items():
        chosen = covering([values_of(case) for case in table], f"{drawn_from} {name}")
        left |= {*table} - {table[index] for index in chosen}
    return left


def dear_vendor(item: Case) -> str | None:
    """The vendor that a dear or slow test is run for; None where it is no such test."""
    if folder(item.path) not in DEAR and item.get_closest_marker("slow") is None:
        return None
    given = getattr(item, "callspec", None)
    parameters = given.params if given is not None else {}
    vendor = parameters.get("vendor", parameters.get("provider"))
    name = getattr(vendor, "id", vendor)
    return name if isinstance(name, str) else None


def axes_of(case: Case) -> list[str]:
    """The axes that the marker of a test names."""
    return [axis for mark in case.iter_markers("matrix") for axis in mark.args]


def values_of(case: Any) -> frozenset[Value]:
    """The values that a test has on its axes.

    An axis is a parameter, such as `vendor`; an attribute of one, such as `one.provider.id`; or
    `class`, the class of a test that several classes inherit. `scene+fault` is one axis, whose
    values are all pairs. Of `route.rows*`, each row is a value, with its fields and its codec, but
    without what a route of its own has in it, such as the name of its model.
    """
    axes = axes_of(case)
    single = (axis for axis in axes if not axis.endswith("*"))
    several = (axis for axis in axes if axis.endswith("*"))
    return frozenset(
        [
            *((axis, tuple(_value(case, part) for part in axis.split("+"))) for axis in single),
            *((axis, _kind(row)) for axis in several for row in _rows(case, axis)),
        ]
    )


def _rows(case: pytest.Function, axis: str) -> Iterable[Row]:
    rows: Iterable[Row] = attrgetter(axis.partition(".")[2].removesuffix("*"))(
        case.callspec.params[axis.partition(".")[0]]
    )
    return rows


def _kind(row: Row) -> tuple[object, ...]:
    return type(row), row.names, row.places, repr(getattr(row, "codec", None))


def _value(case: pytest.Function, part: str) -> object:
    if part == "class":
        return case.cls
    name, _, path = part.partition(".")
    value = case.callspec.params[name]
    # Parameters are told apart by their identity, since some cannot be hashed.
    return attrgetter(path)(value) if path else id(value)


def covering(cases: list[frozenset[Value]], drawn_from: str) -> list[int]:
    """The positions of a few cases that together have every value that any case has.

    Where the cases are all combinations of some axes, these are as many as the longest axis has
    values.
    """
    order = random.Random(drawn_from).sample(range(len(cases)), len(cases))
    having: dict[Value, list[int]] = {}
    for index in order:
        for value in cases[index]:
            having.setdefault(value, []).append(index)
    missing = [len(case) for case in cases]  # how many values of each case are in no chosen one
    chosen: list[int] = []
    while having:
        best = max(order, key=missing.__getitem__)
        for value in cases[best]:
            for index in having.pop(value, ()):
                missing[index] -= 1
        chosen.append(best)
    return chosen


def shared(examples: int, vendors: int) -> int:
    """How many of a test's examples each vendor gets: all in the whole matrix, else a share.

    So the sample costs the same however many vendors there are.
    """
    return examples if whole() else -(-examples // vendors)


def drawn(cases: Sequence[T], number: int) -> list[T]:
    """Which cases a test goes through in one loop: all in the whole matrix, else some, in order.

    The test has the marker `matrix`, without any axis.
    """
    if whole() or number >= len(cases):
        return [*cases]
    positions = random.Random(seed()).sample(range(len(cases)), number)
    return [cases[position] for position in sorted(positions)]


def one_of_each(cases: Iterable[T], kind: Callable[[T], object]) -> list[T]:
    """Which cases a test goes through in one loop: all in the whole matrix, else one of each kind.

    They are in order. The test has the marker `matrix`, without any axis.
    """
    every = [*cases]
    if whole():
        return every
    order = random.Random(seed()).sample(range(len(every)), len(every))
    chosen = {kind(every[position]): position for position in order}
    return [every[position] for position in sorted(chosen.values())]


def covered(cases: Iterable[T], axes: Callable[[T], Sequence[object]]) -> list[T]:
    """Which cases a test goes through in one loop: all in the whole matrix, else a covering sample.

    They are in order. The test has the marker `matrix`, without any axis.
    """
    every = [*cases]
    if whole():
        return every
    values = [frozenset((str(axis), one) for axis, one in enumerate(axes(case))) for case in every]
    return [every[position] for position in sorted(covering(values, seed()))]


def whole() -> bool:
    """Whether every combination is run."""
    return os.environ.get(WHOLE) == "whole"


@cache
def seed() -> str:
    """What the sample is drawn from: the variable, else the commit; without Git always the same."""
    if given := os.environ.get(SEED):
        return given
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return done.stdout.strip() or "none"


def reported() -> str:
    """What is run, and how the same is run again."""
    if whole():
        return "matrix: every combination"
    return f"matrix: a covering sample; {SEED}={seed()} repeats it, scripts/matrix runs all"
