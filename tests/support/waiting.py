"""Waiting for an event, however long it takes: what a test asserts is what happened, never how
fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
HANGS: Final = 60.0
"""Seconds after which something that a test waits for hangs: a guard, no measure of speed."""


DEADLINES: Final = (0.4, 4.0, HANGS)
"""Deadlines for a call to somebody who never answers. Where the machine is too slow to make the
call within one, the next is for another try: the test is about a call that was made.
"""


def until(question: Callable[[], T], seconds: float = HANGS) -> T:
    """The first answer to a question that is true; an AssertionError where none comes."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.005)
    return answer
