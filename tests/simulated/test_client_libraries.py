"""Clients of httpx, and those of httpx2 where it is installed, take the simulated transport."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import pytest
from polyreel import plan
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import RunningClock, Simulator
from polyreel.simulator.transport import SimulatedTransport
from polyreel_generated.contracts.vendors import VendorId
from support.vendors import vendor_id
from support.waiting import HANGS

LIBRARIES: Final = [name for name in ("httpx", "httpx2") if find_spec(name) is not None]
VENDOR: Final = vendor_id(next(vendor for vendor, one in all_providers().items() if one.webhook))
STREAMER: Final = next(
    vendor
    for vendor in all_providers()
    if not plan({"prompt": "a cat"}, get_provider(vendor), stream=True).refused
)
Ask = Callable[..., Any]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    """One library of clients."""
    return import_module(request.param)


@pytest.fixture
def simulator() -> Simulator:
    """A simulator whose clock nobody waits for."""
    return Simulator(seed=1, clock=RunningClock(1000))


@pytest.fixture(params=["blocking", "awaiting"])
def ask(request: pytest.FixtureRequest, library: Any, simulator: Simulator) -> Ask:
    """Send one request with a client of the library."""
    transport = SimulatedTransport(simulator)
    options: dict[str, Any] = {"transport": transport, "timeout": HANGS}
    options["headers"] = {"Authorization": "Bearer any"}

    def blocking(*arguments: Any, **more: Any) -> Any:
        with library.Client(**options) as client:
            return client.request(*arguments, **more)

    async def awaited(*arguments: Any, **more: Any) -> Any:
        async with library.AsyncClient(**options) as client:
            return await client.request(*arguments, **more)

    if request.param == "blocking":
        return blocking
    return lambda *arguments, **more: asyncio.run(awaited(*arguments, **more))


def submit(ask: Ask, vendor: VendorId = VENDOR, *, stream: bool = False) -> Any:
    """Send the paid call of a plan."""
    made = plan({"prompt": "a cat"}, vendor, stream=stream)
    return ask(
        made.method, made.url, content=made.content, headers={"Content-Type": "application/json"}
    )


def test_a_submit_is_answered_with_the_library_s_own_classes(
    ask: Ask, library: Any, simulator: Simulator
) -> None:
    """Once billed, and read as any other answer."""
    answer = submit(ask)
    assert isinstance(answer, library.Response)
    assert answer.status_code == 200
    assert answer.json()
    assert simulator.bill.count() == 1


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("lost-reset", "ReadError"),
        ("lost-close", "RemoteProtocolError"),
        ("lost-silence", "ReadTimeout"),
    ],
)
def test_lost_answers_are_the_library_s_own_exceptions(
    fault: str, name: str, ask: Ask, library: Any, simulator: Simulator
) -> None:
    """Code that catches them catches these."""
    simulator.inject(fault, VENDOR)
    with pytest.raises(getattr(library, name)):
        submit(ask)
    assert simulator.bill.count() == 1


def test_hosts_of_nobody_are_the_library_s_own_exception(ask: Ask, library: Any) -> None:
    """As an unknown host is."""
    with pytest.raises(library.ConnectError):
        ask("GET", "https://nobody.example/")


def test_an_event_stream_is_read(ask: Ask, library: Any) -> None:
    """Its pieces come one by one."""
    answer = submit(ask, vendor_id(STREAMER), stream=True)
    assert isinstance(answer, library.Response)
    assert answer.text.startswith("data:")


def test_a_cut_file_is_the_library_s_own_exception(
    ask: Ask, library: Any, simulator: Simulator
) -> None:
    """A body that breaks off."""
    submit(ask)
    simulator.inject("lost-cut", VENDOR)
    with pytest.raises(library.RemoteProtocolError):
        submit(ask)
