"""The types as a user of the installed package sees them."""

import os
import subprocess
import sys

from support.paths import ROOT


def test_user_code_is_checked() -> None:
    """`py.typed` counts: the packages are found as installed ones, and without it mypy would not
    look into them.
    """
    roots = os.pathsep.join([str(ROOT / "adapters"), str(ROOT / "generated")])
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"} | {
        "PYTHONPATH": roots
    }
    options = ["--strict", "--config-file=", "--cache-dir", str(ROOT / ".mypy_cache" / "user")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(ROOT / "tests" / "typing" / "api.py")],
        cwd=ROOT / "tests" / "typing",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
