"""The commands of the page about clusters that begin two workers are run as they are written."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen

from support.cli import process
from support.paths import ROOT
from support.waiting import HANGS, until

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
ADDRESS = "postgresql://user:password@host/database"


def test_the_commands_begin_two_workers(postgres: str, tmp_path: Path) -> None:
    """But for the installation, and with the address of a database that there is."""
    section = PAGE.partition("## Five minutes to two workers\n")[2]
    found = re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    install, *lines = found[1].splitlines()
    assert install.startswith("pip install ")
    script = "\n".join(lines)
    assert script.count(ADDRESS) == 1
    script = script.replace(ADDRESS, shlex.quote(postgres))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": programs}
    with Popen(
        ["sh", "-ec", f"{script}\nwait"],
        cwd=tmp_path,
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            until(lambda: len(owners(postgres, tmp_path)) == 2, 2 * HANGS)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
        out, err = shell.communicate(timeout=HANGS)
    assert "Traceback" not in err
    assert "host" in out or "nobody is at work" in err  # it may be asked before they have begun


def owners(postgres: str, folder: Path) -> list[object]:
    """Who is at work, as `polyreel jobs --owners` has it."""
    found = process("jobs", "--owners", "--json", cwd=folder, env={"POLYREEL_LEDGER": postgres})
    assert found.code == 0, found.err
    listed: list[object] = found.document
    return listed
