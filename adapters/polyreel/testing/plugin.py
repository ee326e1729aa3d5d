"""The pytest plugin: fixtures of the simulated vendors, markers, options and the network guard.

pytest loads it in every project that has polyreel installed. So it imports almost nothing: a test
that uses a fixture or a marker imports the rest, and any other test runs as if the plugin was not
there. See docs/testing.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..client import AsyncClient, Client
    from ..simulator.transport import SimulatedTransport
    from .network import Guard
    from .simulated import SimulatedServer
    from .watching import WatchedSimulator

FIXTURES = frozenset(
    {
        "polyreel_simulator",
        "polyreel_client",
        "polyreel_async_client",
        "polyreel_transport",
        "polyreel_server",
    }
)
MARKERS = (
    "polyreel(seed=0, balance=inf, keys=None, faults=[], vendor=None, speed=100, network=False): "
    "settings of polyreel's fixtures; with network=True the test may leave loopback.",
    "polyreel_live: the test calls a real vendor and may cost money; "
    "it is skipped without --polyreel-live.",
)
BLOCKING = {"auto": None, "on": True, "true": True, "off": False, "false": False}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("polyreel", "polyreel (simulated AI video vendors)")
    live = "run the tests marked polyreel_live, which call real vendors and may cost money"
    group.addoption("--polyreel-live", action="store_true", help=live)
    allow = "let tests that use polyreel's fixtures or marker open connections to other machines"
    group.addoption("--polyreel-allow-network", action="store_true", help=allow)
    which = (
        "which tests may only reach loopback: "
        "auto (those with polyreel's fixtures or marker), on (all), off (none)"
    )
    parser.addini("polyreel_block_network", which, default="auto")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and check the setting."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    setting = config.getini("polyreel_block_network")
    if setting not in BLOCKING:
        raise pytest.UsageError(f"polyreel_block_network is auto, on or off, not {setting!r}")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that a run may cost money."""
    return "polyreel: live tests call real vendors" if config.getoption("--polyreel-live") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the live tests, unless they are asked for."""
    if config.getoption("--polyreel-live"):
        return
    reason = "it calls a real vendor and may cost money: run it with --polyreel-live"
    for item in items:
        if item.get_closest_marker("polyreel_live"):
            item.add_marker(pytest.mark.skip(reason=reason))


# -- the guard -----------------------------------------------------------------------------------

GUARD: pytest.StashKey[Guard] = pytest.StashKey()


def _why_guarded(item: pytest.Item) -> str | None:
    """Why a test may only reach loopback; None where it may go anywhere."""
    setting = BLOCKING[item.config.getini("polyreel_block_network")]
    if (
        setting is False
        or item.config.getoption("--polyreel-allow-network")
        or item.get_closest_marker("polyreel_live")
    ):
        return None
    markers = item.iter_markers("polyreel")
    if next((one.kwargs["network"] for one in markers if "network" in one.kwargs), False):
        return None
    if setting:
        return "polyreel_block_network is on"
    used = sorted(FIXTURES.intersection(getattr(item, "fixturenames", ())))
    if used:
        return f"the test uses {used[0]}"
    return "the test is marked polyreel" if item.get_closest_marker("polyreel") else None


def _reporting(item: pytest.Item, phase: str) -> AbstractContextManager[None]:
    guard = item.stash.get(GUARD, None)
    return guard.reporting(item, phase) if guard else nullcontext()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Guard a test from its first fixture to its last."""
    reason = _why_guarded(item)
    if reason is None:
        return (yield)
    from .network import Guard  # noqa: PLC0415

    item.stash[GUARD] = guard = Guard(reason)
    with guard.active():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Refuse a marker with unknown settings, also where no fixture reads it."""
    if item.get_closest_marker("polyreel"):
        from .simulated import Settings  # noqa: PLC0415

        Settings.of(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that tried to leave loopback, also where its code has swallowed the error."""
    with _reporting(item, "call"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Report the attempts that were made after the test."""
    with _reporting(item, "teardown"):
        return (yield)


# -- fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def polyreel_simulator(request: pytest.FixtureRequest) -> WatchedSimulator:
    """All vendors in memory, fresh for each test, with a seed and a clock that jumps.

    `bill` is what was billed, and `journal` lists the requests. `inject(fault)` and
    `script(vendor, ...)` let things go wrong, and `fired` lists the faults that happened.
    `clock.advance(seconds)` lets time pass. See @pytest.mark.polyreel.
    """
    from ..simulator import VirtualClock  # noqa: PLC0415
    from .simulated import Settings  # noqa: PLC0415

    return Settings.of(request.node).simulator(VirtualClock())


@pytest.fixture
def polyreel_client(
    request: pytest.FixtureRequest, polyreel_simulator: WatchedSimulator
) -> Iterator[Client]:
    """A `polyreel.Client` of `polyreel_simulator`: nothing is sent, paid or waited for."""
    from .simulated import client  # noqa: PLC0415

    with client(polyreel_simulator, request.node) as made:
        yield made


@pytest.fixture
def polyreel_async_client(
    request: pytest.FixtureRequest, polyreel_simulator: WatchedSimulator
) -> AsyncClient:
    """A `polyreel.AsyncClient` of `polyreel_simulator`. It need not be closed."""
    from .simulated import async_client  # noqa: PLC0415

    return async_client(polyreel_simulator, request.node)


@pytest.fixture
def polyreel_transport(polyreel_simulator: WatchedSimulator) -> SimulatedTransport:
    """`polyreel_simulator` as an httpx transport, for blocking and awaiting clients.

    `httpx.Client(transport=polyreel_transport)` calls the vendors' own URLs, without a socket.
    """
    from .simulated import transport  # noqa: PLC0415

    return transport(polyreel_simulator)


@pytest.fixture
def polyreel_server(request: pytest.FixtureRequest) -> Iterator[SimulatedServer]:
    """Another simulator, behind a port on loopback, for any program. Its clock runs fast.

    `url` is its address, and `base_url(vendor)` replaces a vendor's base URL. `bill` is what was
    billed, and `simulator` has the rest.
    """
    from .simulated import serving  # noqa: PLC0415

    with serving(request.node) as server:
        yield server
