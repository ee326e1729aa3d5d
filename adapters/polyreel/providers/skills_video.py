"""skills.video: one endpoint per model, whose `feature` chooses the workflow.

Facts from its reference pages (Kling O3 Video, Kling O3 Image, Kling V2.6, newest renders, 2026),
as marked in specs/skills_video.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from polyreel_generated.skills_video import api

from . import (
    AT,
    Absent,
    Alias,
    Choice,
    Constant,
    Facts,
    Field,
    Flow,
    GeneratedClient,
    JsonObject,
    Listing,
    Prompt,
    Provider,
    Reads,
    Route,
    Row,
    Seed,
    SimulatedTask,
    Status,
    Survey,
    Webhook,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("skills_video")
CREATE_O3: Final = CLIENT.operation("createKlingO3Video")
CREATE_V26: Final = CLIENT.operation("createKlingV26Video")
CREATE_IMAGE: Final = CLIENT.operation("createKlingO3Image")

TEXT_AND_IMAGE: Final = ("text-to-video", "image-to-video")
QUALITY: Final = Field("resolution", "quality", Choice({"720p": "standard", "1080p": "pro"}))
PROMPT: Final = Field("prompt", "prompt", Prompt(AT, cited_inputs))
AUDIO: Final = Field("audio", "generate_audio")
DURATION: Final = Field("duration", "duration")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
# The pages list the fields of all workflows in one bag. Which of them a workflow takes is inferred
# where no text says it, so that such a field can be sent all the same.
NO_NEGATIVE: Final = Absent(
    "negative_prompt",
    reason="skills.video lists it for the model, and does not say that this workflow takes it",
    inferred=NEGATIVE,
)
REFERENCES: Final = Field(
    "reference_images", "image_urls", aliases=(Alias("reference_image_urls"),)
)
KEEP: Final = Field("keep_source_audio", "keep_audio")
LIST_LIMIT: Final = 100
"""The longest list of running generations that can be asked for."""
NOT_OFFERED: Final = (
    Absent("callback_url", reason="skills.video calls back only the address set in its dashboard"),
    Absent("elements", reason="the page mentions elements and documents no field for them"),
    Absent("guidance_scale", reason="skills.video documents no prompt adherence for Kling"),
    Absent("shots", reason="skills.video documents no shots for Kling"),
    Absent("shot_mode", reason="skills.video documents no shots for Kling"),
    Absent("watermark", reason="skills.video documents no watermark switch"),
)


def feature(name: str, *rows: Row, default: bool = False) -> tuple[Row, ...]:
    """The rows of one workflow word; the default one may be left out of a body."""
    return (*rows, Constant("feature", name, optional=default), *NOT_OFFERED)


TEXT_OR_IMAGE: Final = feature(
    "text-image-to-video",
    PROMPT,
    Field("first_frame", "image_url"),
    Field("last_frame", "end_image_url"),
    DURATION,
    ASPECT,
    QUALITY,
    AUDIO,
    NEGATIVE,
    default=True,
)
V26_TEXT_OR_IMAGE: Final = feature(
    "text-image-to-video",
    PROMPT,
    Field("first_frame", "image_url"),
    Field("last_frame", "end_image_url"),
    DURATION,
    ASPECT,
    AUDIO,
    NEGATIVE,
    Absent("resolution", reason="Kling V2.6 has a quality tier for motion control only"),
    default=True,
)

# -- families with one or two pages of their own (specs/skills_video/) -----------------------------

COUNT: Final = Field("count", "n")
SEED: Final = Field("seed", "seed")
TEXT: Final = Field("prompt", "prompt")
SIZE: Final = Field("resolution", "resolution")
FIRST: Final = Field("first_frame", "first_frame_url")
LAST: Final = Field("last_frame", "last_frame_url")
ENHANCE: Final = Field("enhance_prompt", "prompt_optimizer")
SWITCHES: Final = (NOT_OFFERED[0], NOT_OFFERED[-1])
UNCLEAR_IMAGE: Final = {
    "image_url": "what it is beside first_frame_url is not documented; use extra"
}


def family(
    model: str,
    operation: str,
    schema: str,
    *rows: Row,
    workflows: Sequence[str] = TEXT_AND_IMAGE,
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Route, ...]:
    """The routes of a family whose workflows share a body."""
    call, body = CLIENT.operation(operation), CLIENT.body(schema)
    every = (TEXT, COUNT, *rows, *SWITCHES)
    return tuple(Route(model, workflow, call, body, every, ignored) for workflow in workflows)


def veo(model: str, name: str) -> tuple[Route, ...]:
    """The routes of a Veo family: `mode` says the workflow."""
    rows = (DURATION, SIZE, ASPECT, AUDIO, NEGATIVE, SEED)
    images = Field("reference_images", "reference_image_urls")
    forms: tuple[tuple[str, str, Constant, tuple[Row, ...]], ...] = (
        ("text-to-video", "Text", Constant("mode", "text-image", optional=True), ()),
        ("image-to-video", "Frames", Constant("mode", "frames"), (FIRST, LAST)),
        ("reference-to-video", "Reference", Constant("mode", "reference"), (images,)),
    )
    return tuple(
        route
        for workflow, form, mode, own in forms
        for route in family(
            model, f"create{name}Video", f"{name}{form}", *own, *rows, mode, workflows=(workflow,)
        )
    )


FAMILIES: Final = (
    *family(
        "kling-v3",
        "createKlingV3Video",
        "KlingV3Video",
        *(FIRST, LAST, DURATION, AUDIO, QUALITY, NEGATIVE, ASPECT),
        ignored=UNCLEAR_IMAGE,
    ),
    *veo("veo-3.1", "Veo31"),
    *veo("veo-3.1-fast", "Veo31Fast"),
    *family("sora-2", "createSora2Video", "Sora2", FIRST, DURATION, ASPECT, SIZE),
    *family(
        "sora-2-pro",
        "createSora2ProVideo",
        "Sora2Pro",
        *(FIRST, Field("duration", "seconds"), ASPECT, SIZE),
    ),
    *family(
        "seedance-1.5",
        "createSeedance15Video",
        "Seedance15",
        *(FIRST, Field("last_frame", "end_frame_url"), DURATION, ASPECT, SIZE, AUDIO),
        *(Field("camera_fixed", "camera_fixed"), Field("seed", "seed", Seed())),
        ignored={
            **UNCLEAR_IMAGE,
            "enable_safety_checker": "the shared model has no such switch; use extra",
        },
    ),
    *family(
        "vidu-q3",
        "createViduQ3Video",
        "ViduQ3",
        *(FIRST, DURATION, ASPECT, SIZE, SEED, Field("audio", "audio")),
        ignored={"generate_audio": "background music, for clips of 4 s only; use extra"},
    ),
    *(
        route
        for model, name in (("hailuo-2.3", "Hailuo23"), ("hailuo-2.3-fast", "Hailuo23Fast"))
        for route in family(
            model,
            f"create{name}Video",
            name,
            *(FIRST, DURATION, SIZE, ENHANCE),
            Absent("aspect_ratio", reason="the page documents none for Hailuo, only a first frame"),
            workflows=("image-to-video",),
        )
    ),
)

ROUTES: Final = (
    *(
        Route(
            "kling-o3", workflow, CREATE_O3, CLIENT.body("KlingO3TextImageToVideo"), TEXT_OR_IMAGE
        )
        for workflow in TEXT_AND_IMAGE
    ),
    Route(
        "kling-o3",
        "image-to-video",
        CREATE_O3,
        CLIENT.body("KlingO3FrameToVideo"),
        feature(
            "frame-to-video",
            PROMPT,
            Field("first_frame", "first_frame_url"),
            Field("last_frame", "last_frame_url"),
            DURATION,
            QUALITY,
            AUDIO,
            NEGATIVE,
            Absent(
                "aspect_ratio",
                reason="the clip has the aspect ratio of its first frame",
                inferred=ASPECT,
            ),
        ),
    ),
    Route(
        "kling-o3",
        "reference-to-video",
        CREATE_O3,
        CLIENT.body("KlingO3ReferenceToVideo"),
        feature(
            "reference-to-video",
            REFERENCES,
            PROMPT,
            Field("first_frame", "image_url", aliases=(Alias("start_image_url"),)),
            Field("last_frame", "end_image_url"),
            DURATION,
            ASPECT,
            QUALITY,
            AUDIO,
            NEGATIVE,
        ),
    ),
    Route(
        "kling-o3",
        "edit-video",
        CREATE_O3,
        CLIENT.body("KlingO3VideoToVideo"),
        feature(
            "video-to-video",
            Field("source_video", "video_url"),
            REFERENCES,
            PROMPT,
            KEEP,
            QUALITY,
            Absent("duration", reason="an edited clip is as long as its source", inferred=DURATION),
            Absent(
                "aspect_ratio",
                reason="an edited clip keeps the frame of its source",
                inferred=ASPECT,
            ),
            NO_NEGATIVE,
            Absent("audio", reason="editing keeps or drops the source's sound: keep_source_audio"),
        ),
    ),
    Route(
        "kling-o3",
        "reference-video",
        CREATE_O3,
        CLIENT.body("KlingO3VideoReferenceToVideo"),
        feature(
            "video-reference-to-video",
            Field("reference_video", "video_url"),
            REFERENCES,
            PROMPT,
            KEEP,
            DURATION,
            ASPECT,
            QUALITY,
            Absent(
                "audio",
                reason="whether this workflow makes sound of its own is not documented: "
                "keep_source_audio",
                inferred=AUDIO,
            ),
            NO_NEGATIVE,
        ),
    ),
    *(
        Route(
            "kling-v2.6",
            workflow,
            CREATE_V26,
            CLIENT.body("KlingV26TextImageToVideo"),
            V26_TEXT_OR_IMAGE,
        )
        for workflow in TEXT_AND_IMAGE
    ),
    Route(
        "kling-v2.6",
        "motion-control",
        CREATE_V26,
        CLIENT.body("KlingV26MotionControl"),
        feature(
            "motion-control",
            Field("character_image", "image_url"),
            Field("motion_video", "video_url"),
            PROMPT,
            Field("character_orientation", "character_orientation"),
            QUALITY,
            Field("keep_source_audio", "keep_original_sound"),
            Absent("duration", reason="the clip is as long as the motion video", inferred=DURATION),
            Absent("aspect_ratio", reason="the clip has the frame of its inputs", inferred=ASPECT),
            Absent(
                "audio",
                reason="motion control keeps or drops the source's sound: keep_source_audio",
                inferred=AUDIO,
            ),
            NO_NEGATIVE,
        ),
    ),
    Route(
        "kling-o3-image",
        "generate-image",
        CREATE_IMAGE,
        CLIENT.body("KlingO3ImageRequest"),
        (
            Field("reference_images", "image_urls"),
            PROMPT,
            ASPECT,
            Field("resolution", "resolution"),
            Field("count", "n"),
            Field("output_format", "output_format"),
            NOT_OFFERED[0],
        ),
    ),
    *FAMILIES,
)


# Words of the reference pages: of the newest render (2026), and of the older one in lower case.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "in_queue": "queued",
        "starting": "queued",
        "in_progress": "running",
        "processing": "running",
        "completed": "succeeded",
        "succeeded": "succeeded",
        "failed": "failed",
        "canceled": "canceled",
        "cancelled": "canceled",
    }
)


class SkillsVideo(Provider):
    """skills.video (open.skills.video)."""

    id = "skills-video"
    name = "skills.video"
    key_variable = "SKILLS_VIDEO_API_KEY"
    routes = ROUTES
    statuses = STATUSES
    reads = Reads(
        id=("id",),
        status=("status",),
        outputs=(
            "data.videos",
            "data.video",
            "data.images",
            "data.image",
            "data.video_url",
            "data.url",
        ),
        usage=("usage",),
        error_code=("code",),
        error_message=("message",),
    )
    # The webhook page (2026) shows the words of `state`, but not those of `status`: for these, the
    # words of the poll page are taken. It shows no place of the id or the result, either: `id` is
    # inferred, and the result is polled for.
    webhook = Webhook(
        Reads(id=("prediction.id",), status=("prediction.state", "prediction.status"), outputs=()),
        signed=True,
        secret_variable="SKILLS_VIDEO_WEBHOOK_SECRET",  # noqa: S106
        statuses=MappingProxyType({**STATUSES, "queued": "queued", "running": "running"}),
    )
    files: ClassVar[Literal["multipart", "upload", "none"]] = "multipart"
    poll_floor = 3.0  # the pace of the vendor's own client
    survey = Survey(LIST_LIMIT, running_only=True)

    def get_request(self, task_id: str) -> Mapping[str, Any]:
        """`GET /generation/{id}`."""
        return api.get_generation.build_request(task_id)

    def ask_about(
        self, task_ids: Sequence[str], base_url: str | None = None
    ) -> Flow[Mapping[str, Facts]]:
        """`GET /generations/running`: the generations that have not ended."""
        request = api.list_running_generations.build_request(limit=LIST_LIMIT)
        items = (yield from self.ask(request, base_url, "a list query")).json()
        return self.facts_of_several(items, task_ids)

    def recent(self, base_url: str | None = None) -> Flow[Listing | None]:
        """`GET /generations/running`, at most 100 queued and running generations.

        Each has its input, and no time. No list of ended generations is documented (2026).
        """
        request = api.list_running_generations.build_request(limit=LIST_LIMIT)
        items = (yield from self.ask(request, base_url, "a list query")).json()
        tasks = self.read_list(items, body=("input",))
        return Listing(tasks, complete=len(tasks) == len(items) < LIST_LIMIT, running_only=True)

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A generation in skills.video's shape."""
        facts: JsonObject = {"id": task.id, "input": task.body}
        # The total is zero in the examples of failures and of unfinished events.
        if example.get("usage", {}).get("total"):
            facts["usage"] = {"total": task.credits, "subscription": task.credits, "permanent": 0}
        if isinstance(data := example.get("data"), dict):
            single, several = ("image", "images") if "images" in data else ("video", "videos")
            items = [_item(data[single], task, url) for url in task.urls]
            own = {"n": len(items), "actual_prompt": task.prompt, several: items, single: items[0]}
            facts["data"] = {**data, **own}
        return {**example, **{name: value for name, value in facts.items() if name in example}}

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`gen_` and letters, after the pages' `gen_123`."""
        return f"gen_{letters[:16]}"


def _item(example: JsonObject, task: SimulatedTask, url: str) -> JsonObject:
    """The description of one output."""
    size = {"width": task.width, "height": task.height} if "width" in example else {}
    name = url.rpartition("/")[2]
    return {**example, "url": url, "file_name": name, "content_type": task.content_type, **size}


PROVIDER: Final = SkillsVideo
