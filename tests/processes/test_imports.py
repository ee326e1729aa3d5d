"""Importing polyreel loads little."""

import subprocess
import sys


def test_importing_polyreel_loads_no_http_library() -> None:
    """`import polyreel` loads no third-party module, and planning no HTTP library."""
    lazy = "import sys; before = set(sys.modules); import polyreel; new = set(sys.modules) - before"
    check = f"{lazy}; print(sorted({{n.split('.')[0] for n in new}} - sys.stdlib_module_names))"
    assert _python(check) == "['polyreel']"
    first = "next(iter(polyreel.all_providers()))"
    planning = f"import polyreel, sys; polyreel.plan({{'prompt': 'x'}}, {first}).content"
    assert _python(f"{planning}; print('httpx' in sys.modules)") == "False"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
