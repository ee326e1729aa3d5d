"""Clips that are rendered once for all the tests that want one of the same shape."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from attrs import frozen
from polyreel.simulator.ready_made import labelled


@frozen
class RenderedOnce:
    """Renders the first clip of each length, size and sound; others are this one with a label.

    So the clips of two jobs differ, as rendered ones do, but show the caption of the first.
    """

    render: Callable[..., bytes]
    folder: Path
    """Where the clips are; all workers share it."""

    def __call__(
        self, *, seconds: int, width: int, height: int, audio: bool, caption: Sequence[str]
    ) -> bytes:
        """What `render_video` gives, but for its picture."""
        path = self.folder / f"{seconds}s-{width}x{height}{'-audio' if audio else ''}.mp4"
        if not path.exists():
            file = self.render(
                seconds=seconds, width=width, height=height, audio=audio, caption=caption
            )
            part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            part.write_bytes(file)
            part.replace(path)
        label = sha256("\n".join(caption).encode("utf-8", "surrogatepass")).hexdigest()
        padding = "-" * int(label[:4], 16)  # rendered ones differ in length, too
        return labelled(path.read_bytes(), f"{label}{padding}".encode("ascii"))
