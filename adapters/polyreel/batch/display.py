"""A batch as a notebook shows it, also while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, Self

from attrs import define

from ..notebook.html import bar, facts, table
from .results import Result, tally

UPDATE_SECONDS: Final = 0.5
"""The least time between two updates of a display: each is kept by the notebook's server."""
SHOWN: Final = 5
"""How many rows that went wrong are shown."""


def batch_html(results: Sequence[Result], rows: int, folder: str) -> str:
    """How many rows are over, in which states, and what went wrong with the first ones."""
    values: dict[str, object] = {
        "rows": rows,
        "over": len(results),
        **dict(sorted(tally(results).items())),
        "folder": folder,
    }
    wrong = [one for one in results if one.error is not None]
    found = facts("batch", values) + bar(len(results), rows)
    if wrong:
        cells = [[one.row.number, one.state, one.problem] for one in wrong[:SHOWN]]
        found += table(["row", "state", "what went wrong"], cells)
    if len(wrong) > SHOWN:
        found += f"<div>and {len(wrong) - SHOWN} more</div>"
    return found


@define(eq=False)
class LiveDisplay:
    """A display of the notebook that this process serves, which shows how something goes on."""

    html: Callable[[], str]
    _page: Callable[[str], object]
    """IPython's class of pages."""
    _handle: Any
    """IPython's handle of the display."""
    _updated: float

    @classmethod
    def begin(cls, html: Callable[[], str]) -> Self | None:
        """Begin one; None where no notebook is running. IPython is imported only where it is."""
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        if getattr(shell, "kernel", None) is None:
            return None  # a terminal has no displays
        displays: Any = import_module("IPython.display")
        handle = displays.display(displays.HTML(html()), display_id=True)
        return cls(html, displays.HTML, handle, time.monotonic())

    def update(self, *, at_once: bool = False) -> None:
        """Show how it is now, unless that was shown just before."""
        now = time.monotonic()
        if at_once or now - self._updated >= UPDATE_SECONDS:
            self._updated = now
            self._handle.update(self._page(self.html()))
