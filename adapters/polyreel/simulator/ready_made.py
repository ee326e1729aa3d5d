"""The files that the simulator hands out where its renderer is not installed: a clip and three
images, made before.

They are real files, but always the same ones: other lengths, sizes and sounds need the extra
`simulator`, and so does the prompt in the picture. What is asked for in vain is told before
anything is submitted. `scripts/ready-made` makes the files in the folder `ready`.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

from ..plans.reading import read
from ..serving.shapes import Picture, picture_of
from . import rendering

if TYPE_CHECKING:
    from ..plans.planning import Plan

Suffix = Literal[".mp4", ".png", ".jpeg", ".webp"]

CLIP: Final = Picture(5, 720, 1280, True, "", ("polyreel", "a ready-made clip"))
IMAGE: Final = Picture(0, 1368, 768, False, "", ("polyreel", "a ready-made image"))
CURE: Final = "To render what is asked for: pip install 'polyreel[simulator]'"


class ReadyMadeWarning(UserWarning):
    """A simulated job is about to be submitted whose file will not be as it was asked for."""


def is_used(picture: Picture) -> bool:
    """Whether an output is ready-made here, because it cannot be rendered."""
    return picture.has_file and not rendering.is_installed(video=picture.seconds > 0)


def content(picture: Picture, number: int) -> bytes:
    """The file for an output.

    As rendered ones do, those of two jobs differ: in a label that no player shows.
    """
    label = sha256(
        "\n".join([*picture.caption, str(number)]).encode("utf-8", "surrogatepass")
    ).hexdigest()
    return labelled(_file(picture.suffix), label.encode("ascii"))


@cache
def _file(suffix: str) -> bytes:
    return files("polyreel.simulator").joinpath("ready", f"ready-made{suffix}").read_bytes()


def labelled(file: bytes, label: bytes) -> bytes:
    """A file with a comment in the way of its format."""
    if file.startswith(b"\x89PNG"):
        text = b"tEXtComment\0" + label
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return file[:-12] + chunk + file[-12:]  # the last twelve bytes are the chunk that ends it
    if file.startswith(b"\xff\xd8\xff\xe0"):
        (length,) = struct.unpack(">H", file[4:6])
        return (
            file[: 4 + length]
            + b"\xff\xfe"
            + struct.pack(">H", 2 + len(label))
            + label
            + file[4 + length :]
        )
    if file.startswith(b"RIFF"):
        chunk = b"note" + struct.pack("<I", len(label)) + label + b"\0" * (len(label) % 2)
        return b"RIFF" + struct.pack("<I", len(file) + len(chunk) - 8) + file[8:] + chunk
    return file + struct.pack(">I", 8 + len(label)) + b"free" + label


# -- what is told ----------------------------------------------------------------------------------


def asked(plan: Plan) -> Picture:
    """The output that a plan asks for."""
    assert plan.route is not None
    return picture_of(read(plan.body, plan.provider, plan.route.path))


def notice(plan: Plan) -> str | None:
    """What to tell a person before a plan is submitted; None where its file is rendered."""
    if rendering.is_installed(video=True):
        return None
    return _notice(asked(plan))


def shortcoming(plan: Plan) -> str | None:
    """What to tell a program: the notice, where length, size or sound will not be as asked for."""
    if rendering.is_installed(video=True):
        return None
    picture = asked(plan)
    return None if _shape(picture) == _shape(_ready(picture)) else _notice(picture)


def general_notice() -> str | None:
    """What to tell before many jobs; None where their files are rendered."""
    if rendering.is_installed(video=True):
        return None
    return (
        "The simulator's renderer is not installed: every clip will be a ready-made one of "
        f"{_shape(CLIP)}, whatever is asked for. {CURE}"
    )


def _notice(picture: Picture) -> str | None:
    if not is_used(picture):
        return None
    shape, what = _shape(_ready(picture)), "clip" if picture.seconds else "image"
    if _shape(picture) != shape:
        shape = f"{shape}, not the {_shape(picture)} asked for"
    return (
        f"The simulator's renderer is not installed: the file will be a ready-made {what} of "
        f"{shape}, without the prompt in its picture. {CURE}"
    )


def _ready(picture: Picture) -> Picture:
    return CLIP if picture.seconds else IMAGE


def _shape(picture: Picture) -> str:
    size = f"{picture.width}x{picture.height}"
    if not picture.seconds:
        return size
    return f"{picture.seconds} s, {size}, {'with' if picture.audio else 'without'} sound"
