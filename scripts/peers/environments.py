"""A virtual environment for each peer, and its program run in there.

Run by itself, it makes the environments and prints the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = {
    "openai": "openai_peer.py",
    "litellm": "litellm_peer.py",
    "fal-client": "fal_peer.py",
}
"""Each peer, by the name of its package, and the program that measures it."""


def python_of(peer: str, folder: Path) -> Path:
    """The Python of an environment with the newest version of the peer, which is made once."""
    home = folder.absolute() / peer
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        _output([sys.executable, "-m", "venv", str(home)])
    try:
        version_of(peer, python)
    except RuntimeError:
        _output(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--upgrade",
                peer,
            ]
        )
    return python


def with_extra(peer: str, extra: str, folder: Path) -> Path:
    """The same with an extra of the package, which is installed each time."""
    python = python_of(peer, folder)
    quiet = ["--quiet", "--disable-pip-version-check"]
    _output([str(python), "-m", "pip", "install", *quiet, f"{peer}[{extra}]"])
    return python


def version_of(peer: str, python: Path) -> str:
    """The version that is installed there; a RuntimeError if none is."""
    return _output(
        [str(python), "-c", f"from importlib.metadata import version; print(version({peer!r}))"]
    ).strip()


def measured(
    peer: str,
    folder: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the peer's program prints: peer, version and figures."""
    program = Path(__file__).with_name(PROGRAMS[peer])
    found: dict[str, Any] = json.loads(
        _output([str(python_of(peer, folder)), str(program), *arguments], environment)
    )
    return found


def _output(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What it prints; a RuntimeError with the last line of its complaint if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean |= environment or {}
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (
            done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        ).splitlines()
        raise RuntimeError(lines[-1])
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the environments are, or come to be")
    parser.add_argument("peers", nargs="*", help=f"some of {', '.join(PROGRAMS)}; else all")
    options = parser.parse_args()
    for peer in options.peers or PROGRAMS:
        python = python_of(peer, options.folder)
        print(f"{peer} {version_of(peer, python)}: {python}", flush=True)


if __name__ == "__main__":
    main()
