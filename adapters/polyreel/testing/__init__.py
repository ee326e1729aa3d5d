"""Assertions on the bill of the simulated vendors, for pytest suites of polyreel's users.

The fixtures, the markers and the options are in `polyreel.testing.plugin`, which pytest finds by
itself.
"""

# pytest loads this in every project that has polyreel installed, so it must cost nothing: importing
# typing would cost more than everything here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .assertions import (
        assert_billed,
        assert_billed_once,
        assert_no_key_shown,
        assert_nothing_billed,
    )
    from .network import NetworkBlockedError
    from .simulated import SimulatedServer
    from .watching import Exchange, WatchedSimulator

_HOMES = {
    "Exchange": ".watching",
    "NetworkBlockedError": ".network",
    "SimulatedServer": ".simulated",
    "WatchedSimulator": ".watching",
    "assert_billed": ".assertions",
    "assert_billed_once": ".assertions",
    "assert_no_key_shown": ".assertions",
    "assert_nothing_billed": ".assertions",
}

__all__ = [
    "Exchange",
    "NetworkBlockedError",
    "SimulatedServer",
    "WatchedSimulator",
    "assert_billed",
    "assert_billed_once",
    "assert_no_key_shown",
    "assert_nothing_billed",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
