"""OpenRouter: one body for the video models of many makers.

Facts from the vendor's own OpenAPI document (Aug 2026), its SDK and pages (Nov 2026), as marked in
specs/openrouter.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from . import (
    AT,
    Choice,
    Constant,
    Field,
    FrameSize,
    GeneratedClient,
    Item,
    JsonObject,
    Prompt,
    Provider,
    Reads,
    Route,
    Row,
    SimulatedTask,
    Status,
    TypedItems,
    Webhook,
    filled_in,
)

CLIENT: Final = GeneratedClient("openrouter")
CREATE: Final = CLIENT.operation("createVideo")
SIZES: Final = Choice(
    {
        **{side: side for side in ("360p", "480p", "720p", "768p", "1080p")},
        "2k": "2K",
        "4k": "4K",
    },
    nameless=frozenset({"1K"}),
)
PICTURE: Final = {"type": "image_url"}
IMAGES: Final = Item("reference_images", PICTURE, "image_url.url")
VIDEOS: Final = Item("reference_videos", {"type": "video_url"}, "video_url.url")
SOUNDS: Final = Item("reference_audio", {"type": "audio_url"}, "audio_url.url")
FRAMES: Final = TypedItems(
    "frame_images",
    tuple(
        Item(frame, {**PICTURE, "frame_type": frame}, "image_url.url")
        for frame in ("first_frame", "last_frame")
    ),
)
REFERENCES: Final = TypedItems("input_references", (IMAGES, VIDEOS, SOUNDS))
ROWS: Final[tuple[Row, ...]] = (
    Field(
        "prompt",
        "prompt",
        Prompt(
            AT,
            lambda shared: {},
            nameless="OpenRouter documents no way to cite an input: the mark stays text",
        ),
    ),
    Field("duration", "duration"),
    Field("resolution", "resolution", SIZES),
    Field("aspect_ratio", "aspect_ratio"),
    FrameSize("size"),
    Field("audio", "generate_audio"),
    Field("seed", "seed"),
    Field("end_user_id", "user"),
    Field("callback_url", "callback_url"),
    FRAMES,
    REFERENCES,
)
UPSCALING: Final = "for models that enlarge clips, which the shared model has no workflow for"
IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "provider.options": "what is handed on to the company that runs the model; use extra. "
        "OpenRouter drops unknown options without a word",
        "creativity": UPSCALING,
        "upscale_factor": UPSCALING,
        "previous_job_id": "what is done with an earlier job is not documented; use extra",
        "session_id": "groups calls on the vendor's pages; use extra",
        "trace": "what the vendor's traces show; use extra",
    }
)
BY_ID: Final = {"model": "the id of the model: give it in extra", **IGNORED}


def family(model: str, *own: Row, others: Mapping[str, str] = IGNORED) -> tuple[Route, ...]:
    """The workflows of the one body, told apart by its inputs."""
    workflows, rows = ("text-to-video", "image-to-video", "reference-to-video"), (*own, *ROWS)
    body = CLIENT.body("VideoGeneration")
    return tuple(Route(model, name, CREATE, body, rows, others) for name in workflows)


class OpenRouter(Provider):
    """OpenRouter (openrouter.ai)."""

    id = "openrouter"
    name = "OpenRouter"
    key_variable = "OPENROUTER_API_KEY"
    routes = (
        *family("veo-3.1", Constant("model", "google/veo-3.1", "model")),
        *family("by-id", others=BY_ID),
    )
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "pending": "queued",
            "in_progress": "running",
            "completed": "succeeded",
            "failed": "failed",
            "cancelled": "canceled",
            "expired": "failed",
        }
    )
    reads = Reads(
        id=("id",),
        status=("status",),
        outputs=("urls", "unsigned_urls"),  # the former need no key
        usage=("usage",),
        error_message=("error",),
        locator=("polling_url",),
    )
    webhook = Webhook(
        Reads(
            id=("data.id",),
            status=("data.status",),
            outputs=("data.urls", "data.unsigned_urls"),
            usage=("data.usage",),
            error_message=("data.error",),
        ),
        signed=True,
        secret_variable="OPENROUTER_WEBHOOK_SECRET",  # noqa: S106
        optional=True,
    )
    file_note = "OpenRouter documents URLs only, and offers no upload"

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A job in OpenRouter's shape, with links to its own call for the file."""
        return filled_in(example, task, self.reads)

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`gen-vid-<unix>-<20 letters>` (sdk)."""
        return f"gen-vid-{created}-{letters[:20]}"


PROVIDER: Final = OpenRouter
