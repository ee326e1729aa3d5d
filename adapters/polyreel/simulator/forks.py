"""Simulators in a process that forks: each goes on by itself in the child."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class GoesOn(Protocol):
    """What has something of its own in each process."""

    def go_on_in_a_child(self) -> None:
        """Go on after a fork."""


ALL: Final[WeakSet[GoesOn]] = WeakSet()
"""Those of this process."""


def _go_on_in_a_child() -> None:
    for one in ALL:
        one.go_on_in_a_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_go_on_in_a_child)
