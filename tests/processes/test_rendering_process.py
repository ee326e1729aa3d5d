"""Rendering in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from polyreel.simulator.rendering import render_video

CAPTION = ("vendor", "kling-v3", "A paper boat sails down a gutter after the rain.")


def test_equal_arguments_give_equal_bytes_in_another_process_on_one_core() -> None:
    program = (
        "import os, sys; from polyreel.simulator.rendering import render_video\nif hasattr(os,"
        " 'sched_setaffinity'): os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfilm ="
        " render_video(seconds=1, width=640, height=360, audio=True,"
        f" caption={CAPTION!r})\nsys.stdout.buffer.write(film)"
    )
    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    assert other == render_video(seconds=1, width=640, height=360, audio=True, caption=CAPTION)


def test_importing_the_module_loads_no_media_library() -> None:
    program = "import sys, polyreel.simulator.rendering; print({'av', 'PIL'} & sys.modules.keys())"
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip() == "set()"
