"""Acme Video, an invented vendor: `POST /v2/clips`, whose `kind` chooses the body.

This file and openapi.json beside it are all that polyreel knows of the vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from polyreel.providers import (
    Absent,
    BadReplyError,
    Choice,
    Constant,
    Field,
    Flow,
    Listing,
    Reads,
    Reply,
    Route,
    Row,
    SpecifiedProvider,
    Status,
    Webhook,
    body,
    load,
    operation,
)

CONTRACT: Final = load(__name__)
CREATE: Final = operation(CONTRACT, "createClip")
LIST: Final = operation(CONTRACT, "listClips")
PAGE: Final = 100

SHAPE: Final = Field(
    "aspect_ratio", "shape", Choice({"16:9": "landscape", "9:16": "portrait", "1:1": "square"})
)
NOT_SHARED: Final = {"options.mood": "the shared model has no mood; use extra"}


def rows(kind: str, *own: Row) -> tuple[Row, ...]:
    """The rows of both workflows around their own."""
    return (
        Constant("engine", "acme-one", field="model"),
        Constant("kind", kind),
        Field("prompt", "text"),
        Field("negative_prompt", "avoid"),
        *own,
        Field("duration", "seconds"),
        Field("resolution", "definition", Choice({"720p": "hd", "1080p": "full_hd"})),
        Field("audio", "sound"),
        Field("seed", "options.seed"),
        Field("callback_url", "notify_url"),
        Absent("elements", reason="Acme trains no subjects"),
        Absent("shots", reason="Acme makes one shot"),
        Absent("shot_mode", reason="Acme makes one shot"),
        Absent("guidance_scale", reason="Acme documents no prompt adherence"),
        Absent("watermark", reason="Acme documents no watermark"),
    )


class AcmeVideo(SpecifiedProvider):
    """Acme Video (api.acme.example)."""

    document = CONTRACT

    id = "acme-video"
    name = "Acme Video"
    key_variable = "ACME_VIDEO_API_KEY"
    routes = (
        Route(
            "acme-one",
            "text-to-video",
            CREATE,
            body(CONTRACT, "TextClip"),
            rows("text", SHAPE),
            NOT_SHARED,
        ),
        Route(
            "acme-one",
            "image-to-video",
            CREATE,
            body(CONTRACT, "ImageClip"),
            rows(
                "image",
                Field("first_frame", "opening_image"),
                Field("last_frame", "closing_image"),
                Absent("aspect_ratio", reason="the clip has the shape of its first frame"),
            ),
            NOT_SHARED,
        ),
    )
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "waiting": "queued",
            "rendering": "running",
            "ready": "succeeded",
            "broken": "failed",
            "stopped": "canceled",
        }
    )
    reads = Reads(
        id=("clip.ref",),
        status=("clip.phase",),
        outputs=("clip.files",),
        progress=("clip.percent",),
        error_code=("clip.problem.kind",),
        error_message=("clip.problem.message",),
    )
    webhook = Webhook(
        Reads(id=("about.ref",), status=("about.phase",), outputs=()),
        signed=True,
        secret_variable="ACME_VIDEO_WEBHOOK_SECRET",  # noqa: S106
        optional=True,  # Acme signs its calls only where a secret is set in its console
    )
    file_note = "Acme takes URLs only"

    def recent(self, base_url: str | None = None) -> Flow[Listing | None]:
        """`GET /v2/clips`: the last day's clips, at most 100."""
        reply = (
            yield from self.ask(LIST.build_request(page_size=PAGE), base_url, "a list query")
        ).json()
        items = reply.get("clips") if isinstance(reply, dict) else None
        tasks = self.read_list(items, created=("clip.made_at",), model=("clip.engine",))
        return Listing(tasks, complete=len(tasks) < PAGE, running_only=False)

    def read_error(self, reply: Reply) -> tuple[str | None, str]:
        """Acme's code of an error is its `kind`."""
        code, message = super().read_error(reply)
        try:
            facts = reply.json().get("error")
        except (BadReplyError, AttributeError):
            return code, message
        kind = facts.get("kind") if isinstance(facts, dict) else None
        return (kind if isinstance(kind, str) and kind else code), message

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`clip_` and letters."""
        return f"clip_{letters[:12]}"
