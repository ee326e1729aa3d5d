"""A test of many cases in one names each that fails, and fails where there is none."""

from __future__ import annotations

import pytest
from support.loops import Case, hold_for_all, in_one, in_one_test

CASES: list[Case] = [("one", (1,)), ("two", (2,)), ("three", (3,))]


def is_two(number: int) -> None:
    """A check of a case, which can also fail to raise."""
    assert number % 2 == 0
    with pytest.raises(ZeroDivisionError):
        _ = 1 / (number - 2)


def test_every_case_that_fails_is_named() -> None:
    """Also behind the first one, and where a check misses an error."""
    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases fail") as caught:
        hold_for_all(is_two, CASES)
    notes = [failure.__notes__ for failure in caught.value.exceptions]
    assert notes == [["in the case of one"], ["in the case of three"]]
    with pytest.raises(BaseExceptionGroup) as missed:
        in_one_test(lambda: [("four", (4,))])(is_two)()
    assert isinstance(missed.value.exceptions[0], pytest.fail.Exception)


def test_what_holds_for_all_passes() -> None:
    """And keeps the name and the words of its check."""
    test = in_one_test(lambda: CASES[1:2])(is_two)
    test()
    assert (test.__name__, test.__doc__) == (is_two.__name__, is_two.__doc__)


def test_no_case_is_a_failure() -> None:
    """Such as that of a folder that has moved."""
    with pytest.raises(AssertionError, match="no case"):
        hold_for_all(is_two, [])


def test_a_test_with_parameters_is_one_test() -> None:
    """All combinations are gone through, and those that fail are named."""
    seen = []

    @in_one
    @pytest.mark.parametrize("name", ["a", "b"])
    @pytest.mark.parametrize(("one", "two"), [(1, 2), pytest.param(2, 2, id="same"), (3, 3)])
    def check(name: str, one: int, two: int) -> None:
        seen.append((name, one, two))
        assert one == two, name

    with pytest.raises(BaseExceptionGroup, match="2 of 6 cases fail") as caught:
        check()
    assert len({*seen}) == 6
    notes = ["in the case of one=1, two=2, name='a'", "in the case of one=1, two=2, name='b'"]
    assert [note for error in caught.value.exceptions for note in error.__notes__] == notes
