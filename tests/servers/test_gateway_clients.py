"""Clients of vendors, of which only the base URL is another: each gets a clip of another vendor."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Final

import pytest
from polyreel.gateway.server import running
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator, ready_made
from polyreel.simulator.server import mounts
from support.gateway import gateway
from support.paths import DOCS

PROGRAMS: Final = sorted((DOCS / "gateway").glob("*.py"))
WITH_SDK: Final = {path for path in PROGRAMS if "import_module" in path.read_text(encoding="utf-8")}
"""Those that need a package of the vendor's: `scripts/clients` runs them."""
OF_VENDORS: Final = {
    path: face
    for path in PROGRAMS
    for face in all_providers().values()
    if f".py {face.base_url} " in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize(
    "program", [one for one in OF_VENDORS if one not in WITH_SDK], ids=lambda path: path.stem
)
def test_a_clip_of_another_vendor(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first call to the file, over a socket."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    face = OF_VENDORS[program]
    others = [one for one in all_providers().values() if one is not face]
    simulator = Simulator(clock=RunningClock(1000.0), seed=1)
    with gateway(tmp_path, *others, simulator=simulator) as stage, running(stage.gateway) as url:
        main = runpy.run_path(str(program))["main"]
        main(url + mounts([face.id])[face.id], "any-key", str(tmp_path / "clip.mp4"))
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    assert [vendor for vendor, _ in simulator.tasks] != [face.id]
    assert simulator.bill.count() == 1


def test_each_program_says_how_it_is_run() -> None:
    """With the address that it is written for, which is all that changes."""
    for path in PROGRAMS:
        command = rf"^python docs/gateway/{path.name} \S+ KEY clip.mp4$"
        assert re.search(command, path.read_text(encoding="utf-8"), re.MULTILINE), path
    assert len(OF_VENDORS) == len(PROGRAMS) - 1
