"""Runway: calls for clips from text, from frames and from clips; `model` says the form of a body.

Facts from the types of Runway's own Python SDK (runwayml 5.24.0, Oct 2026), as marked in
specs/runway.yaml and specs/runway/. The tables of makers' families are in files of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from .. import (
    Flow,
    JsonObject,
    Part,
    Provider,
    Reads,
    SimulatedTask,
    Status,
    filled_in,
    upload_by_form,
)
from .bytedance import SEEDANCE
from .google import GEMINI_OMNI, VEO_31
from .kling import KLING_O3, KLING_V3, KLING_V4, KLING_V25_TURBO
from .makers import GROK, H3_MAX, HAILUO, HAPPYHORSE, WAN
from .own import OWN


class Runway(Provider):
    """Runway (api.dev.runwayml.com)."""

    id = "runway"
    name = "Runway"
    key_variable = "RUNWAYML_API_SECRET"
    own_base_url_variable = "RUNWAYML_BASE_URL"
    routes = (
        *(*KLING_O3, *KLING_V3, *KLING_V25_TURBO, *VEO_31, *SEEDANCE, *OWN, *KLING_V4),
        *(*GEMINI_OMNI, *HAILUO, *H3_MAX, *WAN, *HAPPYHORSE, *GROK),
    )
    # THROTTLED waits for a place in the account's queue.
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "pending": "queued",
            "throttled": "queued",
            "running": "running",
            "succeeded": "succeeded",
            "failed": "failed",
            "cancelled": "canceled",
        }
    )
    reads = Reads(
        id=("id",),
        status=("status",),
        outputs=("output",),
        progress=("progress",),
        progress_end=1,
        usage=("cost", "estimatedCost"),
        error_code=("failureCode",),
        error_message=("failure",),
    )
    files: ClassVar[Literal["multipart", "upload", "none"]] = "upload"
    file_kinds = frozenset({"image", "video", "audio"})
    file_doubts = MappingProxyType(
        dict.fromkeys(
            ("image", "video", "audio"),
            "how a file is sent to Runway is inferred. A refused upload costs nothing; a URL "
            "always works",
        )
    )
    own_links = ("runway://",)
    output_seconds = 24 * 3600  # to 48 hours

    def upload(self, file: Part, name: str) -> Flow[str]:
        """`POST /v1/uploads`."""
        return upload_by_form(self, file, name)

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A task in Runway's shape."""
        made = filled_in(example, task, self.reads)
        if "createdAt" in made:
            created = datetime.fromtimestamp(task.created, UTC)
            made["createdAt"] = f"{created:%Y-%m-%dT%H:%M:%S}.000Z"
        for name in ("estimatedCost", "cost"):
            if made.get(name, {}).get("credits"):  # 0 is refunded
                made[name] = {"credits": task.credits}
        return made

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """A UUID."""
        return str(uuid.UUID(bytes=letters[:16].encode(), version=4))


PROVIDER: Final = Runway
