"""Output files as HTTP serves them: whole, in part (RFC 9110 ranges), or as headers only."""

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
from . import ready_made, rendering
from .faults import Change

_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?", re.IGNORECASE)


@frozen
class OutputFile:
    """One output of a job that has succeeded. `reply` renders it, which is slow."""

    picture: Picture
    number: int
    """Of the job's outputs, from 1."""
    modified: float
    """When the job ended, in seconds since 1970."""
    method: str
    headers: Mapping[str, str]
    """Of the request, by lower-case names."""

    def reply(self, change: Change | None = None) -> Reply:
        """The answer to the request, with the change that a fault makes."""
        picture = self.picture
        if change == "other-file":
            picture = evolve(picture, caption=(*picture.caption, "another version of this file"))
        make = ready_made.content if ready_made.is_used(picture) else _render
        content = make(picture, self.number)
        headers = self._headers(picture, content)
        if self.method == "HEAD":
            return Reply(200, {**headers, "content-length": str(len(content))}, b"")
        wanted = _wanted_range(self.headers, headers)
        if wanted is None or change == "whole-file":
            return Reply(200, headers, content)
        start, end = wanted[0], min(wanted[1], len(content) - 1)
        if start >= len(content) or change == "no-part":
            return Reply(416, {**headers, "content-range": f"bytes */{len(content)}"}, b"")
        if change == "other-part":
            start = start - 1 if start else min(1, end)
        headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
        return Reply(206, headers, content[start : end + 1])

    def _headers(self, picture: Picture, content: bytes) -> dict[str, str]:
        return {
            "content-type": picture.content_type,
            "etag": f'"{sha256(content).hexdigest()[:32]}"',
            "last-modified": formatdate(self.modified, usegmt=True),
            "accept-ranges": "bytes",
        }


def _wanted_range(request: Mapping[str, str], answer: Mapping[str, str]) -> tuple[int, int] | None:
    """The first and last byte of the range that the request's headers ask for.

    None where the whole file is to be given. Other units, several ranges and malformed ones are
    ignored, as RFC 9110 allows; so is a range of another version of the file.
    """
    found = _RANGE.fullmatch(request.get("range", "").strip())
    version = request.get("if-range", answer["etag"])
    if found is None or version not in {answer["etag"], answer["last-modified"]}:
        return None
    start, end = int(found[1]), int(found[2] or 10**18)
    return (start, end) if start <= end else None


@lru_cache(maxsize=16)
def _render(picture: Picture, number: int) -> bytes:
    counted = [f"{number} of {picture.count}"] if picture.count > 1 else []
    caption = [*picture.caption, *counted]
    width, height = picture.width, picture.height
    if picture.seconds == 0:
        form = picture.image_format
        return rendering.render_image(
            width=width, height=height, output_format=form, caption=caption
        )
    return rendering.render_video(
        seconds=picture.seconds, width=width, height=height, audio=picture.audio, caption=caption
    )
