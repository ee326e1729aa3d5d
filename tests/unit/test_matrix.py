"""The sample of a table has every value, is the same for the same seed, and stays small."""

from __future__ import annotations

import random
from itertools import groupby, product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.mapping.numbers import Seed
from polyreel.mapping.rows import Constant, Field, Row
from support import folders, matrix
from support.matrix import Value, covering, shared, values_of
from support.paths import TESTS


def table(*sizes: int) -> list[frozenset[Value]]:
    """All combinations of axes of these sizes."""
    numbers = [[(str(axis), value) for value in range(size)] for axis, size in enumerate(sizes)]
    return [frozenset(row) for row in product(*numbers)]


@given(sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3), seed=st.text(max_size=4))
def test_every_value_of_every_axis_is_in_the_sample(sizes: list[int], seed: str) -> None:
    """In no more cases than the longest axis has values, and the same ones each time."""
    cases = table(*sizes)
    chosen = covering(cases, seed)
    assert frozenset().union(*(cases[index] for index in chosen)) == frozenset().union(*cases)
    assert len(chosen) == len({*chosen}) == max(sizes)
    assert covering(cases, seed) == chosen


def test_another_seed_draws_another_sample() -> None:
    """So that all combinations are met in the long run."""
    cases = table(3, 20)
    met = {index for seed in range(60) for index in covering(cases, str(seed))}
    assert met == set(range(len(cases)))


@given(seed=st.integers(0, 99))
def test_a_table_with_gaps_is_covered_too(seed: int) -> None:
    """Where not every combination exists, what exists of each axis is in the sample."""
    draw = random.Random(seed)
    cases = draw.sample(table(4, 5, 2), 12)
    chosen = covering(cases, "seed")
    assert frozenset().union(*(cases[index] for index in chosen)) == frozenset().union(*cases)


def test_rows_are_told_apart_by_what_they_do() -> None:
    """A route whose rows do what those of another do has the same values; one more row is one."""
    fields = Field("prompt", "prompt"), Field("seed", "seed")
    one, other = (rows_of(Constant("model", model), *fields) for model in ("one", "other"))
    assert one == other
    assert len(rows_of(Constant("model", "one"), *fields, Field("seed", "seed", Seed())) - one) == 1


def rows_of(*rows: Row) -> frozenset[Value]:
    """The values on the axis of rows of a test that has these."""
    mark = SimpleNamespace(args=("route.rows*",))
    spec = SimpleNamespace(params={"route": SimpleNamespace(rows=rows)})
    case: Any = SimpleNamespace(callspec=spec, iter_markers=lambda _: [mark])
    return values_of(case)


def test_an_empty_table_has_an_empty_sample() -> None:
    """Such as that of the vendors with a call that none has."""
    assert covering([], "seed") == []


def test_a_sample_costs_the_same_with_more_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole table costs what it costs."""
    monkeypatch.delenv(matrix.WHOLE, raising=False)
    assert [shared(2000, vendors) for vendors in (1, 3, 20)] == [2000, 667, 100]
    monkeypatch.setenv(matrix.WHOLE, "whole")
    assert shared(2000, 20) == 2000


def test_every_folder_of_tests_has_a_rank() -> None:
    """A test file lies in one of them."""
    assert {path.parent for path in TESTS.rglob("test_*.py")} == {
        TESTS / name for name in folders.FOLDERS
    }


@given(sizes=st.lists(st.tuples(st.sampled_from(folders.FOLDERS), st.integers(1, 9)), max_size=20))
def test_no_test_is_lost_when_they_are_spread(sizes: list[tuple[str, int]]) -> None:
    """Each file stays together."""
    items = in_files(sizes)
    found = folders.spread(items)
    assert sorted(map(id, found)) == sorted(map(id, items))
    assert len([*groupby(item.path for item in found)]) == len(sizes)


def test_tests_that_wait_are_spread_among_the_others() -> None:
    """As evenly as the others have tests."""
    found = folders.spread(in_files([("unit", 2)] * 6 + [("processes", 3)] * 3))
    order = [folders.folder(path) for path, _ in groupby(item.path for item in found)]
    assert order == ["processes", "unit", "unit"] * 3


def in_files(sizes: list[tuple[str, int]]) -> list[Any]:
    """A file of tests for each pair of a folder and a number."""
    return [
        SimpleNamespace(path=TESTS / name / f"test_{number}.py")
        for number, (name, size) in enumerate(sizes)
        for _ in range(size)
    ]
