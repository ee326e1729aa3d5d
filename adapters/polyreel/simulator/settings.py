"""How a server of simulated vendors is set up."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from ..errors import Portable
from .engine import Simulator

MAX_LATENCY: Final = 600.0
Span = tuple[float, float]
"""The least and the most seconds."""
_SPAN: Final = re.compile(r"([0-9]*\.?[0-9]+)(?:-([0-9]*\.?[0-9]+))?")


class SettingError(Portable, ValueError):
    """A setting of a user cannot be used. `field` is its name; empty for all of them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


@frozen
class Injection:
    """A fault that a user asks for, as `Simulator.inject` takes it."""

    name: str
    vendor: str | None = None
    share: float = 1.0
    times: int | None = 1

    def into(self, simulator: Simulator) -> None:
        """Let it happen from now on."""
        simulator.inject(self.name, self.vendor, share=self.share, times=self.times)


@frozen
class Setup:
    """The settings of a server; None where a file does not say."""

    faults: tuple[Injection, ...] = ()
    vendors: tuple[str, ...] | None = None
    seed: int | None = None
    balance: float | None = None
    link_seconds: float | None = None
    keys: frozenset[str] | None = None
    latency: Span | None = None


def shown(value: object) -> str:
    """A value for a message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def span(value: object) -> Span:
    """Seconds, as a number or a text: `0.2`, or `0.1-0.5` for at random between the two.

    Raises ValueError for anything else.
    """
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        least, most = float(found[1]), float(found[2] or found[1])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # A large integer is no float, so it is compared before it is converted.
        least = most = float(value) if 0 <= value <= MAX_LATENCY else -1.0
    else:
        least = most = -1.0
    if 0 <= least <= most <= MAX_LATENCY:
        return least, most
    form = f"must be seconds from 0 to {MAX_LATENCY:.0f} such as 0.2"
    raise ValueError(f"{form}, or two with a hyphen such as 0.1-0.5, not {shown(value)}")
