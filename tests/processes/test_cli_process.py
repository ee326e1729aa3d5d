"""The command line as a process, on consoles of every kind."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from polyreel.cli import main
from support.cli import (
    CANARY,
    FIRST,
    VENDORS,
    Command,
    environment,
    failing,
    process,
    read_terminal,
    stranger,
)
from support.forked import Program
from support.waiting import HANGS

CLIP = ("generate", "a cat walking through neon rain", "--duration", "5", "--aspect-ratio", "9:16")


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no way out to the
    network.
    """
    return stranger(capsys, monkeypatch, tmp_path)


# --- other commands -------------------------------------------------------------------------------


def test_simulate_prints_addresses_once(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is how the server ends, so it is no error, and the document stays the only one."""
    monkeypatch.setattr("polyreel.simulator.server.serve", failing(KeyboardInterrupt()))
    plain, asked = cli("simulate", "--port", "0"), cli("simulate", "--port", "0", "--json")
    assert (plain.code, plain.out, plain.last_line) == (0, "", "stopped")
    assert all(vendor in plain.err for vendor in VENDORS)
    assert (asked.code, list(asked.document["vendors"])) == (0, VENDORS)
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", "--port", "0"])


# --- as a process ---------------------------------------------------------------------------------


@pytest.mark.matrix("arguments", "encoding")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "猫 走过霓虹雨 é", "--duration", "3", "--output", "clíps 猫"),
        ("plan", "猫 é", "--vendor", "all"),
        ("plan", "猫 é", "--json"),
        ("models",),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_poor_consoles(arguments: tuple[str, ...], encoding: str, tmp_path: Path) -> None:
    """A console that cannot show a character shows something else; nothing fails."""
    found = process(
        *arguments,
        cwd=tmp_path,
        env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "FORCE_COLOR": "1"},
        fresh=True,
    )
    assert found.code == 0, found.err
    assert "UnicodeEncodeError" not in found.err


def test_a_reader_that_went_away_is_no_trouble(tmp_path: Path) -> None:
    """Nothing is said where stdout's reader is gone, or stdout is closed; a full disk is told."""
    for arguments in (("models",), ("plan", "a cat", "--json"), ("--help",)):
        reading, writing = os.pipe()
        os.close(reading)
        found = process(*arguments, cwd=tmp_path, stdout=writing)
        os.close(writing)
        assert (found.code, found.err) == (0, "")
    shell = ["sh", "-c", f"exec {sys.executable} -m polyreel models >&-"]
    closed = subprocess.run(
        shell, cwd=tmp_path, env=environment(), capture_output=True, timeout=HANGS, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, b"")
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            found = process("models", "--json", cwd=tmp_path, stdout=full)
        assert found.code == 1
        assert found.err.startswith("error: No space left")


def test_a_terminal_sees_progress_and_a_program_sees_json(tmp_path: Path) -> None:
    """The status line moves on a terminal and leaves stdout alone."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = environment(TERM="xterm", COLUMNS="200")
    command = ("-m", "polyreel", *CLIP, "--json")
    with Program(*command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        screen = b""
        while chunk := read_terminal(ours):
            screen += chunk
        assert running.stdout is not None
        assert json.loads(running.stdout.read())["status"] == "succeeded"
    os.close(ours)
    assert b"\x1b[" in screen
    assert b"Simulated" in screen.splitlines()[-1]
    assert CANARY.encode() not in screen


def test_the_server_answers_and_stops(tmp_path: Path) -> None:
    """`simulate` prints its addresses, serves, keeps its port for itself and stops when
    interrupted.
    """
    command = [sys.executable, "-m", "polyreel", "simulate", "--port", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe, text=True
    ) as server:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "}\n")
        document: Any = json.loads("".join(lines) + "}")
        assert list(document["vendors"]) == VENDORS
        with urllib.request.urlopen(document["url"], timeout=HANGS) as reply:
            assert json.load(reply)["billed"] == 0
        port = document["url"].rpartition(":")[2]
        second = process("simulate", "--port", port, cwd=tmp_path)
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=HANGS)
    assert (second.code, second.out) == (2, "")
    assert f"--port: {port}" in second.err.replace("'", "")
    assert (server.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert CANARY not in err


def test_the_shell_is_reported_what_can_be_typed(tmp_path: Path) -> None:
    """Commands, their options, and the values of these."""
    for words, expected in (
        (("gen",), ["generate"]),
        (("plan", "--resol"), ["--resolution"]),
        (("plan", "--vendor", FIRST[:3]), [one for one in VENDORS if one.startswith(FIRST[:3])]),
    ):
        asked = {"COMP_WORDS": " ".join(("polyreel", *words)), "COMP_CWORD": str(len(words))}
        answer = process(cwd=tmp_path, env={**asked, "_POLYREEL_COMPLETE": "complete_bash"})
        assert (answer.code, answer.out.split()) == (0, expected)


@pytest.mark.parametrize(
    "words", [("generate", "--output", "cl"), ("download", "x", "-o", ""), ("resume", "-o", "c")]
)
def test_the_shell_completes_paths_where_a_path_or_a_url_is_taken(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """As for what is a path only: the shell is told to take its own files."""
    path_only = ("plan", "--request", "r")
    answers = [
        process(
            cwd=tmp_path,
            env={
                "_TYPER_COMPLETE_ARGS": " ".join(("polyreel", *asked)),
                "_POLYREEL_COMPLETE": "complete_zsh",
            },
        )
        for asked in (words, path_only)
    ]
    assert [(one.code, one.out.strip()) for one in answers] == [(0, "_files")] * 2
