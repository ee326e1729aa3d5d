"""A download in a process that is killed."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Final

import pytest
from polyreel.drivers import downloads
from support.forked import Program
from support.hosts import FILM, HALF, LAST, Host, Server, Way, arrived, handler_for, part, whole
from support.waiting import HANGS, until

# --- a host of files ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    host = Host()
    with Server(("127.0.0.1", 0), handler_for(host)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        host.url = f"http://127.0.0.1:{server.server_address[1]}/x"
        yield host
        host.over.set()
        server.shutdown()
        thread.join(HANGS)


@pytest.fixture
def host(running: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    running.give = lambda seconds: monkeypatch.setattr(downloads, "STALLED_SECONDS", seconds)
    running.play()
    return running


# --- at once, and killed --------------------------------------------------------------------------


SCRIPT: Final = """
import sys
from pathlib import Path
from subprocess import PIPE
from polyreel import drivers
from polyreel.flows import Fetch

def step():
    return (yield Fetch("vendor", sys.argv[1], Path(sys.argv[2]) / "clip-1", "video"))

print(drivers.run(step(), drivers.Wire(private_downloads=True)).size)
"""


def start(host: Host, folder: Path) -> Program:
    return Program("-c", SCRIPT, host.url, folder, stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize("position", [20_000, HALF, LAST])
def test_a_process_that_is_killed_loses_little(host: Host, position: int, tmp_path: Path) -> None:
    """The next one goes on from what reached the disk."""
    host.play(Way(stop=position, end="stall"))
    with start(host, tmp_path) as process:
        until(lambda: arrived(tmp_path) > position - 10_000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (left,) = tmp_path.iterdir()
    here = left.stat().st_size
    assert (left, left.read_bytes()) == (part(tmp_path), FILM[:here])
    host.play()
    with start(host, tmp_path) as process:
        out, err = process.communicate(timeout=HANGS)
    assert (out.strip(), err) == (str(len(FILM)), "")
    whole(tmp_path)
    assert host.asked == [None, f"bytes={here}-"]
