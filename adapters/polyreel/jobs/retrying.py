"""When a paid call that is proved unpaid makes sense once more."""

from __future__ import annotations

from ..errors import BudgetError, PolyreelError, RejectedError


def pause_after(error: PolyreelError, attempt: int) -> float | None:
    """Seconds until the next try; None where another try makes no sense."""
    if isinstance(error, RejectedError):
        if not error.is_busy:
            return None
        if error.retry_after is not None:
            return error.retry_after
    return min(8.0, 2.0**attempt)


def can_be_made_later(error: PolyreelError) -> bool:
    """Whether a call that was not paid can be made later, as it is: it was not refused for good."""
    if isinstance(error, BudgetError):
        return False
    return error.billed == "no" and (not isinstance(error, RejectedError) or error.is_busy)
