"""A process that serves is told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import httpx
import pytest
from support.loopback import GET, HALVES, Server, ending
from support.waiting import HANGS

SERVE: Final = """
import signal, sys, time
sys.path[:0] = {path!r}
from polyreel.simulator import http as loopback
from polyreel.flows import Answer

def handler(request):
    if request.target == "/slow":
        print("slow", flush=True)
        time.sleep(0.5)
    return Answer(200, {{}}, b"done", "drip" if request.target == "/drip" else "whole")

mine = lambda *_: None
signal.signal(signal.SIGTERM, mine)
before = signal.getsignal(signal.SIGINT)
bound = loopback.listen(0)
print(bound.getsockname()[1], flush=True)
number = loopback.serve(bound, handler, loopback.Limits(graceful_seconds=60))
after = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
print(number, after[0] is mine, after[1] is before, bound.fileno())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_ends_when_it_is_signalled(number: signal.Signals) -> None:
    """The answer under way is finished, others are not waited for, and nothing is printed."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", SERVE.format(path=sys.path)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        assert process.stdout is not None
        server = Server(
            f"http://127.0.0.1:{process.stdout.readline().strip()}", [], threading.Event()
        )
        assert httpx.get(server.url).text == "done"
        for start in (*HALVES, ending("drip"), GET):
            stack.enter_context(server.connect(start))
        slow = pool.submit(httpx.get, f"{server.url}/slow", timeout=HANGS)
        assert process.stdout.readline() == "slow\n"
        process.send_signal(number)
        out, said = process.communicate(timeout=HANGS)
        assert slow.result().text == "done"
    assert (process.returncode, out, said) == (0, f"{int(number)} True True -1\n", "")
