"""A process that forks stays the owner of its jobs, whatever its children do; a child is no owner
of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import forked

PARENT = """
import os, sys
from pathlib import Path
from polyreel.ledger.owners import Owners

owners = Owners(Path(sys.argv[1]))
owner = owners.new()
child = os.fork()
if child == 0:
    {child}
    sys.exit(0)  # as Python ends by itself: with everything that it does at its end
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(owner, flush=True)
sys.stdin.read()
"""
DEEDS = {
    "nothing": "pass",
    "asks": "assert owners.is_alive(owner)",
    "closes": "owners.close()",
    "owns": "assert owners.is_alive(owners.new())",
    "owns-and-closes": "owners.new(); owners.close()",
    "ends-it": "owners.end(owner)",
    "forgets": "del owners",
}


def is_alive(owner: str, folder: Path) -> bool:
    """What another process finds out."""
    code = "import sys; from pathlib import Path; from polyreel.ledger.owners import Owners"
    code += "; print(Owners(Path(sys.argv[1])).is_alive(sys.argv[2]))"
    done = forked.run("-c", code, folder, owner)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("deed", DEEDS)
def test_a_forked_child_does_not_let_go_of_its_parents_lock(deed: str, tmp_path: Path) -> None:
    """Whoever asks is told that the owner lives, until it does not."""
    program = PARENT.format(child=DEEDS[deed])
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        owner = parent.stdout.readline().strip()
        assert is_alive(owner, tmp_path)
        parent.kill()
    assert not is_alive(owner, tmp_path)


ORPHAN = """
import os, sys
from pathlib import Path
from polyreel.ledger.owners import Owners

owner = Owners(Path(sys.argv[1])).new()
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(owner, flush=True)
os._exit(0)
"""


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    """So that somebody else can finish the jobs of the dead."""
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        owner = parent.stdout.readline().strip()
        assert parent.wait(timeout=30) == 0
        assert not is_alive(owner, tmp_path)
