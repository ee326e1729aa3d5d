"""The sample of a table has every value, is the same for the same seed, and stays small."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import folders, matrix
from support.matrix import Value, covering, shared
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
