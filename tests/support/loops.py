"""Checks of many small cases in one test, where a test for each would cost more than the check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from reprlib import repr as shortened
from typing import Any

import pytest
from _pytest.mark import ParameterSet  # what pytest.param gives, which has no public name

Case = tuple[str, tuple[Any, ...]]
"""The name of a case, and the arguments of its check."""


def hold_for_all(check: Callable[..., None], cases: Iterable[Case]) -> None:
    """Check every case, of which there must be one; all that fail are named in one error."""
    count, failures = 0, []
    for name, arguments in cases:
        count += 1
        try:
            check(*arguments)
        except (Exception, pytest.fail.Exception) as failure:
            failure.add_note(f"in the case of {name}")
            failures.append(failure)
    assert count, "there is no case"
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {count} cases fail", failures)


def in_one_test(cases: Callable[[], Iterable[Case]]) -> Callable[[Callable[..., None]], Any]:
    """A test that checks all cases, which are made when it runs."""

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            hold_for_all(check, cases())

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


def in_one(check: Callable[..., None]) -> Callable[[], None]:
    """A test that goes through all its parameters: it stands above `pytest.mark.parametrize`."""
    marks = [mark for mark in vars(check).pop("pytestmark") if mark.name == "parametrize"]

    def cases() -> Iterator[Case]:
        for chosen in product(*(_given(*mark.args) for mark in marks)):
            given = {name: value for one in chosen for name, value in one.items()}
            named = (f"{name}={shortened(value)}" for name, value in given.items())
            yield ", ".join(named), (given,)

    def test() -> None:
        hold_for_all(lambda given: check(**given), cases())

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def _given(names: str | tuple[str, ...], values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The parameters of each case of `pytest.mark.parametrize`."""
    for value in values:
        if isinstance(value, ParameterSet):
            held = value.values
        else:
            held = (value,) if isinstance(names, str) else value
        yield dict(zip((names,) if isinstance(names, str) else names, held, strict=True))
