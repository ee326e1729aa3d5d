"""The pytest plugin keeps tests off the network."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from polyreel.simulator import server, transport
from polyreel.testing import simulated
from polyreel.testing.network import Guard, NetworkBlockedError, is_here

pytest_plugins = ["pytester"]
LOADED = ("-p", "no:polyreel", "-p", "polyreel.testing.plugin", "-p", "no:schemathesis")
"""The plugin by its module, in the place of an entry point that may not be installed."""
STRICT = ("-p", "no:cacheprovider", "-W", "error", "--strict-markers", "--strict-config")


HEAD = """
import asyncio, contextlib, socket
import httpx, polyreel, pytest
from polyreel.testing import NetworkBlockedError, assert_billed_once

VENDORS = list(polyreel.all_providers())
PLAN = polyreel.plan({"prompt": "a cat"}, VENDORS[0])
PATH = PLAN.route.operation.PATH
KEY = {"Authorization": "Bearer any"}
FOREIGN = ("192.0.2.1", 9)  # reserved for documentation: nobody is there

def reach(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as own:
        own.settimeout(0.1)
        own.connect(FOREIGN)
"""
Run = Callable[..., pytest.RunResult]
ONCE = (server, simulated, transport)
"""Loaded here, so that not every run of pytest inside the tests loads them anew."""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs tests in a project of their own, in this process."""

    def run(code: str, *arguments: str, **outcomes: int) -> pytest.RunResult:
        pytester.makepyfile(HEAD + code)
        found = pytester.runpytest_inprocess(*LOADED, *STRICT, *arguments)
        if outcomes:
            found.assert_outcomes(**outcomes)
        return found

    return run


WAYS = {
    "connect": "reach()",
    "connect_ex": "socket.socket().connect_ex(FOREIGN)",
    "sendto": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', 0, FOREIGN)",
    "sendmsg": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, FOREIGN)",
    "getaddrinfo": "httpx.get('https://example.com')",
    "asyncio": "asyncio.run(asyncio.open_connection(*FOREIGN))",
    "asyncio-name": "asyncio.run(asyncio.open_connection('example.com', 9))",
    "asyncio-datagram": (
        """asyncio.run(datagram())

async def datagram():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=FOREIGN)
"""
    ),
}


def test_a_test_that_leaves_loopback_fails(run: Run) -> None:
    """By whatever call; the message names the address and says how to allow it."""
    tests = (
        f"def test_{name.replace('-', '_')}(polyreel_simulator):\n    {code}\n"
        for name, code in WAYS.items()
    )
    found = run("".join(tests), failed=len(WAYS))
    for name, code in WAYS.items():
        address = "example.com port *" if "example" in code else "192.0.2.1 port 9"
        found.stdout.fnmatch_lines(
            [
                f"*_ test_{name.replace('-', '_')} _*",
                f"E *NetworkBlockedError: this test tried to reach {address} (socket.*)",
                "*the test uses polyreel_simulator.",
                "*network=True*--polyreel-allow-network*",
            ]
        )
    assert "Captured network" not in found.stdout.str()


def test_a_swallowed_attempt_fails_all_the_same(run: Run) -> None:
    """In the test, in a thread, or in a fixture's last words; and a test that fails anyway says
    what was tried.
    """
    code = """
import threading

def quietly():
    for _ in range(3):
        with contextlib.suppress(Exception):
            reach()

def test_swallowed(polyreel_client):
    quietly()

def test_in_a_thread(polyreel_client):
    thread = threading.Thread(target=quietly)
    thread.start()
    thread.join()

@pytest.fixture
def late(polyreel_client):
    yield
    quietly()

def test_late(late): ...

def test_failing(polyreel_client):
    quietly()
    assert False, "its own reason"

def test_failing_without(polyreel_client):
    assert False
"""
    found = run(code, failed=4, passed=1, errors=1)
    found.stdout.no_fnmatch_line("*reach 192.0.2.1 port 9 (socket.connect),*")
    found.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_late*",
            "this test tried to reach 192.0.2.1 port 9 (socket.connect)",
            "*_ test_swallowed _*",
            "this test tried to reach 192.0.2.1 port 9 (socket.connect)",
            "*_ test_failing _*",
            "E *its own reason",
            "*Captured network call*",
            "this test tried to reach*",
        ]
    )


REACHING = """
def test_guarded(polyreel_simulator):
    with contextlib.suppress(OSError):
        reach()
"""


@pytest.mark.parametrize(
    "allowed",
    [["--polyreel-allow-network"], ["-o", "polyreel_block_network=off"]],
    ids=["option", "setting"],
)
def test_the_network_can_be_allowed_for_a_run(run: Run, allowed: list[str]) -> None:
    """By an option or a setting."""
    run(REACHING, failed=1)
    run(REACHING, *allowed, passed=1)


def test_the_network_can_be_allowed_for_a_test(run: Run) -> None:
    """By the marker, and forbidden again by a nearer one."""
    code = """
@pytest.mark.polyreel(network=True)
class TestAllowed:
    def test_it(self):
        with contextlib.suppress(OSError):
            reach()

    @pytest.mark.polyreel(network=False)
    def test_not(self):
        reach()
"""
    run(code, passed=1, failed=1).stdout.fnmatch_lines(["*the test is marked polyreel."])


def test_tests_without_polyreel_are_left_alone(run: Run) -> None:
    """Unless the project asks for the guard over all; and the sockets are afterwards as they
    were.
    """
    code = """
def test_guarded(polyreel_simulator):
    assert "connect" in vars(socket.socket)

def test_unrelated():
    with contextlib.suppress(OSError):
        reach()
"""
    run(code, passed=2)
    assert "connect" not in vars(socket.socket)
    found = run(code, "-o", "polyreel_block_network=on", passed=1, failed=1)
    found.stdout.fnmatch_lines(["*polyreel_block_network is on."])


def test_a_strange_setting_is_refused(run: Run) -> None:
    """Before any test runs."""
    found = run("def test_it(): ...", "-o", "polyreel_block_network=maybe")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*polyreel_block_network is auto, on or off, not 'maybe'*"])


def test_this_machine_may_be_reached(run: Run) -> None:
    """Over every kind of socket, by number and by name."""
    code = """
def test_it(polyreel_server):
    port = int(polyreel_server.url.rpartition(":")[2])
    for host in ("127.0.0.1", "localhost"):
        assert httpx.get(f"http://{host}:{port}").status_code == 200
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(b"x", ("127.0.0.1", 9))
        own.connect(("127.0.0.1", 9))
        own.sendmsg([b"x"])
    one, other = socket.socketpair()
    one.close(), other.close()
    with socket.socket() as own, pytest.raises(TypeError):
        own.connect()
"""
    run(code, passed=1)


def test_guards_stand_inside_each_other() -> None:
    """The inner one hears of an attempt first; afterwards the sockets are as they were."""
    outer, inner = Guard("the outer one stands"), Guard("the inner one stands")
    with outer.active():
        with inner.active(), pytest.raises(NetworkBlockedError, match="the inner one"):
            socket.create_connection(("192.0.2.1", 9))
        with pytest.raises(NetworkBlockedError, match="the outer one"):
            socket.create_connection(("192.0.2.2", 9))
    assert inner.attempts == ["192.0.2.1 port 9 (socket.connect)"]
    assert outer.attempts == ["192.0.2.2 port 9 (socket.connect)"]
    assert "connect" not in vars(socket.socket)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("::ffff:127.0.0.1", True),
        (b"localhost", True),
        ("LOCALHOST.", True),
        ("", True),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("example.com", False),
        (None, False),
    ],
)
def test_what_is_here(host: object, here: bool) -> None:
    """This machine's addresses and names, whatever they are wrapped in."""
    assert is_here(host) is here
