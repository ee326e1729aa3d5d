"""`polyreel mcp` as a process: over its streams, over HTTP, killed and started again."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import httpx
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from polyreel import Simulator
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator.memory import remember
from support.cli import CANARY, LEDGER, Command, environment, process, stranger
from support.forked import Program
from support.waiting import HANGS

CLIP: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no way out."""
    return stranger(capsys, monkeypatch, tmp_path)


def billed(folder: Path) -> int:
    """How many jobs the simulator beside a ledger has accepted."""
    simulator = Simulator()
    with Ledger(folder / LEDGER) as ledger:
        remember(simulator, ledger.companion_file("simulated"))
    return len(simulator.tasks)


def test_a_server_over_streams_is_started_anew_and_bills_once(tmp_path: Path) -> None:
    """Each client starts a server of its own; the second call is the same job."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "polyreel", "mcp"], env=environment(), cwd=tmp_path
    )

    async def made() -> str:
        async with Client(stdio_client(server)) as client:
            result = await client.call_tool("generate", {"request": CLIP})
            assert CANARY not in result.model_dump_json()
            found: Any = result.structured_content
            assert found["job"]["state"] == "saved"
            return str(found["job"]["id"])

    assert asyncio.run(made()) == asyncio.run(made())
    assert billed(tmp_path) == 1
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_server_over_http_serves_loopback_only(tmp_path: Path, name: str) -> None:
    """It says where it is, takes calls, refuses other hosts and pages, and ends when it is told."""
    command = ("-m", "polyreel", "mcp", "--http", "--port", "0")
    with Program(*command, cwd=tmp_path, env=environment(), stderr=PIPE) as running:
        assert running.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/mcp", running.stderr.readline())
        assert found is not None
        url = found[0]

        async def made() -> Any:
            async with Client(url) as client:
                result = await client.call_tool("generate", {"request": CLIP})
            return result.structured_content

        assert asyncio.run(made())["job"]["state"] == "saved"
        for headers in ({"Host": "rebound.example"}, {"Origin": "http://page.example"}):
            assert httpx.post(url, headers=headers, json={}).status_code in {403, 421}
        running.send_signal(signal.Signals[name])
        assert running.wait(HANGS) == 0
    assert billed(tmp_path) == 1


def test_live_without_a_budget_is_refused(tmp_path: Path) -> None:
    """Before anything is opened; the message says what to add."""
    found = process("mcp", "--live", cwd=tmp_path)
    assert (found.code, found.out) == (7, "")
    assert "--max-cost USD" in found.err
    assert not (tmp_path / LEDGER).exists()


def test_the_missing_extra_is_named(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a message, and no traceback."""
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    found = cli("mcp")
    assert found.code == 2
    assert "pip install 'polyreel[mcp]'" in found.err


@pytest.mark.parametrize(
    "arguments",
    [("--max-cost", "much"), ("--name", "a/b"), ("--name", " "), ("--port", "-1")],
    ids=" ".join,
)
def test_wrong_options_are_usage_errors(cli: Command, arguments: tuple[str, ...]) -> None:
    """Nothing is served."""
    assert cli("mcp", *arguments).code == 2
