"""Output files as servers of files hand them out: whole, in part (RFC 9110 ranges), or as headers only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from hashlib import sha256
from typing import Final

from attrs import evolve, frozen

from ..flows import Reply
from ..serving.shapes import Picture
from . import rendering
from .faults import Change

_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?", re.IGNORECASE)


@frozen
class OutputFile:
    """One output of a job that has succeeded. Rendering is slow: it is done when the engine's lock is free again."""

    picture: Picture
    number: int
    modified: float
    """When the job ended, in seconds since 1970."""
    method: str
    headers: Mapping[str, str]
    """Of the request, by lower-case names."""

    def reply(self, change: Change | None = None) -> Reply:
        """The answer to the request, or one that a fault has changed."""
        picture = self.picture
        if change == "other-file":
            picture = evolve(picture, caption=(*picture.caption, "another version of this file"))
        content = _render(picture, self.number)
        about = self._about(picture, content)
        if self.method == "HEAD":
            return Reply(200, {**about, "content-length": str(len(content))}, b"")
        asked = _asked(self.headers, about)
        if asked is None or change == "whole-file":
            return Reply(200, about, content)
        start, end = asked[0], min(asked[1], len(content) - 1)
        if start >= len(content) or change == "no-part":
            return Reply(416, {**about, "content-range": f"bytes */{len(content)}"}, b"")
        if change == "other-part":
            start = start - 1 if start else min(1, end)
        told = {"content-range": f"bytes {start}-{end}/{len(content)}"}
        return Reply(206, {**about, **told}, content[start : end + 1])

    def _about(self, picture: Picture, content: bytes) -> dict[str, str]:
        return {
            "content-type": picture.content_type,
            "etag": f'"{sha256(content).hexdigest()[:32]}"',
            "last-modified": formatdate(self.modified, usegmt=True),
            "accept-ranges": "bytes",
        }


def _asked(headers: Mapping[str, str], about: Mapping[str, str]) -> tuple[int, int] | None:
    """First and last byte of the one range that is asked for; None where the whole file is to be given.

    Other units, several ranges and nonsense are ignored, as RFC 9110 allows; so is a range of another version.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or headers.get("if-range", about["etag"]) not in {
        about["etag"],
        about["last-modified"],
    }:
        return None
    start, end = int(found[1]), int(found[2] or 10**18)
    return (start, end) if start <= end else None


@lru_cache(maxsize=16)
def _render(picture: Picture, number: int) -> bytes:
    caption = (
        [*picture.caption, f"{number} of {picture.count}"]
        if picture.count > 1
        else [*picture.caption]
    )
    width, height = picture.width, picture.height
    if picture.seconds == 0:
        return rendering.render_image(
            width=width, height=height, output_format=picture.image_format, caption=caption
        )
    return rendering.render_video(
        seconds=picture.seconds, width=width, height=height, audio=picture.audio, caption=caption
    )
