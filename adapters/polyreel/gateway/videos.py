"""Clips in the words of OpenAI's videos API, which many programs speak."""

from __future__ import annotations

from math import gcd
from typing import Final

from ..places import JsonObject
from ..providers.base.facts import FINAL
from ..serving.calls import INVALID, CallRefusedError
from ..serving.shapes import SHORT_SIDES
from .jobs import Shown
from .tasks import reason_of

VIDEOS: Final = "videos"
STATES: Final = {"queued": "queued", "succeeded": "completed", "failed": "failed"}
LADDER: Final = {side: name for name, side in SHORT_SIDES.items()}
"""The words for sizes by the shorter side."""


def request_of(body: JsonObject) -> JsonObject:
    """The shared request for a body; CallRefusedError for a size that has no word."""
    found: JsonObject = {"model": body["model"], "prompt": body["prompt"]}
    if "seconds" in body:
        found["duration"] = int(body["seconds"])
    if "size" in body:
        across, down = (int(part) for part in str(body["size"]).split("x"))
        side = min(across, down)
        if side not in LADDER:
            known = ", ".join(map(str, sorted(LADDER)))
            text = f"size: the shorter side is one of {known}, not {side}"
            raise CallRefusedError(*INVALID, message=text)
        part = gcd(across, down)
        found["aspect_ratio"] = f"{across // part}:{down // part}"
        found["resolution"] = LADDER[side]
    if "input_reference" in body:
        found["first_frame"] = body["input_reference"]
    return found


def video_of(shown: Shown, now: float) -> JsonObject:
    """A clip; `now` is in seconds since 1970."""
    job, body = shown.job, shown.row.body
    status = "failed" if job.status == "canceled" else STATES.get(job.status, "in_progress")
    if job.status == "succeeded" and not job.outputs:
        status = "in_progress"  # the vendor has not said where the file is
    error = job.error if status == "failed" else None
    code = (error.code if error is not None else None) or job.status
    progress = {"queued": 0, "completed": 100}.get(status, int((job.progress or 0) * 100))
    over = job.status in FINAL
    return {
        "id": shown.row.id,
        "object": "video",
        "created_at": int(shown.row.created_at),
        "completed_at": int(shown.ended or now) if over else None,
        "expires_at": None,
        "status": status,
        "model": body["model"],
        "prompt": body["prompt"],
        "progress": progress,
        "seconds": str(body.get("seconds", "")),
        "size": str(body.get("size", "")),
        "error": {"code": code, "message": reason_of(job)} if status == "failed" else None,
        "remixed_from_video_id": None,
    }
