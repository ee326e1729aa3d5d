"""A forked process of the tests is what a fresh interpreter would be to them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Final

import pytest
from support import forked
from support.forked import Fresh, Program
from support.waiting import HANGS

TOLD: Final = """
import atexit, os, sys, threading
atexit.register(print, "ended")
print(__name__, *sys.argv, os.getcwd(), *sorted({*os.environ} - {"LC_CTYPE"}), sys.stdout.encoding)
print("é", file=sys.stderr)
threading.Thread(target=lambda: print(sys.stdin.read())).start()
sys.exit(7)
"""
LEFT: Final = """
import gc, sqlite3, threading
from polyreel.ledger.sqlite import Ledger
found = [one for one in gc.get_objects() if isinstance(one, (sqlite3.Connection, Ledger))]
print(found, threading.enumerate() == [threading.main_thread()])
"""
both = pytest.mark.parametrize("kind", [Program, Fresh])


@both
def test_streams_arguments_folder_and_exit_code(
    kind: type[Program | Fresh], tmp_path: Path
) -> None:
    """All are those that were given; what is registered for the end runs, after other threads."""
    env = {"MINE": "1", "PYTHONIOENCODING": "utf-8"}
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    with kind("-c", TOLD, "one", cwd=tmp_path, env=env, **pipes) as program:
        out, err = program.communicate("sent", timeout=HANGS)
    told = f"__main__ -c one {tmp_path} MINE PYTHONIOENCODING utf-8"
    assert (program.returncode, out, err) == (7, f"{told}\nsent\nended\n", "é\n")


@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_reach_it(kind: type[Program | Fresh], number: signal.Signals) -> None:
    """It has a pid of its own, dies of what it does not handle, and is reported to have."""
    code = "import os, signal; signal.signal(2, signal.SIG_DFL); print(os.getpid(), flush=True)"
    with kind("-c", f"{code}; signal.pause()", stdout=PIPE) as program:
        assert program.stdout
        assert int(program.stdout.readline()) == program.pid != os.getpid()
        assert program.poll() is None
        program.send_signal(number)
        assert program.wait(HANGS) == -number


def test_nothing_is_left_of_others() -> None:
    """Neither of the server, nor of what ran before: no ledger, no thread, no variable."""
    forked.run("-c", "import os, sys; os.environ['MINE'] = sys.mine = '1'")
    assert forked.run("-c", LEFT).stdout == "[] True\n"
    found = forked.run("-c", "import os, sys; print('MINE' in os.environ, hasattr(sys, 'mine'))")
    assert found.stdout == "False False\n"


def test_modules_and_files_are_run(tmp_path: Path) -> None:
    """A file finds those beside it; what fails is shown."""
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "program.py").write_text("import beside, sys\nprint(beside.NAME, *sys.argv)\n1/0\n")
    found = forked.run(tmp_path / "program.py", "one")
    assert (found.returncode, found.stdout) == (1, f"beside {tmp_path / 'program.py'} one\n")
    assert "ZeroDivisionError" in found.stderr
    assert forked.run("-m", "polyreel", "--version").stdout.startswith("polyreel ")
    warned = forked.run("-W", "error", "-c", "import warnings; warnings.warn('x')")
    assert "UserWarning" in warned.stderr
    assert sys.executable == forked.run("-c", "import sys; print(sys.executable)").stdout.strip()
