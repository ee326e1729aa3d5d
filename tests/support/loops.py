"""Checks of many small cases in one test, where a test for each would cost more than the check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

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
