"""The simulator over a port, asked by curl, and as a process of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import full_path
from polyreel.simulator import server
from support.running import Running
from support.server import (
    KEY,
    PROVIDERS,
    Curl,
    calls,
    check,
    example,
    new_simulator,
    path_of,
    seeds,
    status_query,
)
from support.waiting import HANGS, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One server for tests that leave it as it was."""
    simulator = new_simulator()
    with server.running(simulator) as url:
        yield Running(simulator, url)


COMMANDS = list(seeds())


# -- the vendors' own curl commands ----------------------------------------------------------------


def create_of(one: Curl) -> tuple[Provider, Operation]:
    """The call that a page's command makes."""
    return next((p, o) for p, o in calls("create") if one.path == f"/{p.id}{full_path(o)}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("one", COMMANDS, ids=str)
def test_curl_itself_is_served(shared: Running, one: Curl) -> None:
    """The command as it stands on the page, run by curl."""
    command = [
        *one.command(shared.url, "any-key"),
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--write-out",
        "\n%{http_code}",
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=HANGS)
    content, _, status = done.stdout.rpartition(b"\n")
    assert_accepted(shared, one, int(status), content)


def assert_accepted(running: Running, one: Curl, status: int, content: bytes) -> None:
    provider, operation = create_of(one)
    assert 200 <= status < 300, content
    check(provider, operation, status, content)
    facts = provider.read(Reply(status, {}, content))
    assert (provider.id, facts.id) in running.simulator.tasks
    assert facts.status == "queued"


# -- clients that misbehave ------------------------------------------------------------------------


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us deaf to it
sys.path[:0] = {path!r}
from polyreel.simulator import RunningClock, Simulator, server
bound = server.listen(0)
print(bound.getsockname()[1], flush=True)
try:
    server.serve(bound, Simulator(clock=RunningClock(speed={speed}), seed=0))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("number", "last"), [(signal.SIGINT, "interrupted\n"), (signal.SIGTERM, "")]
)
def test_a_process_serves_until_it_is_interrupted(number: int, last: str) -> None:
    """`serve` runs jobs on the machine's clock, sped up, and ends on Ctrl-C or when it is told to
    without a word.
    """
    command = [sys.executable, "-W", "error", "-c", SERVE.format(path=sys.path, speed=1000)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        provider = PROVIDERS[0]
        one, mount = example(provider), url + server.mounts()[provider.id]
        reply = httpx.post(mount + one.path, json=one.body, headers=KEY, timeout=HANGS)
        facts = provider.read(Reply(reply.status_code, {}, reply.content))
        path = path_of(status_query(provider), str(facts.id))

        def status() -> str:
            reply = httpx.get(f"{url}/{provider.id}{path}", headers=KEY)
            return provider.read(Reply(200, {}, reply.content)).status

        until(lambda: status() == "succeeded")
        process.send_signal(number)
        out, said = process.communicate(timeout=HANGS)
    assert (process.returncode, out, said) == (0, last, "")
