"""EvoLink: `POST /v1/videos/generations`, one endpoint whose `model` chooses the body.

Facts from its reference pages (kling-o3-reference-to-video and its siblings: early 2026,
Mar-Apr 2026, Oct 2026), as marked in specs/evolink.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from attrs import evolve
from polyreel_generated.evolink import api, models

from . import (
    ANGLE,
    MULTI_SHOT,
    Absent,
    Alias,
    CannotExpressError,
    Choice,
    Constant,
    Default,
    Facts,
    Field,
    Flow,
    Forced,
    GeneratedClient,
    Group,
    Items,
    JsonObject,
    Listed,
    Listing,
    MultiShot,
    Only,
    Part,
    Prompt,
    Provider,
    Reads,
    Route,
    Row,
    Send,
    SimulatedTask,
    Status,
    Survey,
    VendorError,
    Webhook,
    cited_inputs,
    first,
    is_number,
    now,
    send_patiently,
)

CLIENT: Final = GeneratedClient("evolink")
CREATE: Final = CLIENT.operation("createVideo")
LIST_LIMIT: Final = 50
"""Tasks on one page of the list."""
LIST_PAGES: Final = 4
"""The most pages of the list that are read."""
ON_OFF: Final = Choice({True: "on", False: "off"})
PROMPT: Final = Field("prompt", "prompt", Prompt(ANGLE, cited_inputs))


def frames_before(shared: Mapping[str, Any]) -> int:
    """How many frames EvoLink numbers before the reference images."""
    return int("first_frame" in shared)


# Inferred: the only published example with a first frame and references counts so.
SHOT_TEXT: Final = Prompt(
    ANGLE,
    cited_inputs,
    frames=frames_before,
    numbering="the first frame is taken for image 1, and the references for the images after it: "
    "inferred from EvoLink's only example with both",
)
SHOT_PROMPT: Final = Field(
    "prompt",
    "prompt",
    evolve(SHOT_TEXT, replaced_by="shots"),
    default=Default("", "the field is demanded, and ignored beside shots", when="shots"),
)
ELEMENTS: Final = Field("elements", "model_params.element_list", Items("element_id"))
NO_NEGATIVE: Final = Absent(
    "negative_prompt", reason="EvoLink lists no negative prompt for Kling O3"
)
NO_GUIDANCE: Final = Absent("guidance_scale", reason="EvoLink lists no prompt adherence for Kling")
SILENT: Final = Forced(
    "audio", value=False, reason="sound is forced off where there is a video input"
)
NO_SHOTS: Final = Absent(
    "shots", reason="the newer page (Oct 2026) no longer lists multi-shot fields for this model"
)
NO_SHOT_MODE: Final = Absent("shot_mode", reason=NO_SHOTS.reason)


def rows(model: str, *own: Row) -> tuple[Row, ...]:
    """The rows every Kling model of this vendor has, around its own."""
    return (
        Constant("model", model, field="model"),
        *own,
        Field("resolution", "quality"),
        Field("watermark", "model_params.watermark_info.enabled"),
        Field("callback_url", "callback_url"),
        NO_GUIDANCE,
    )


def made(*own: Row, automatic: str | None = None) -> tuple[Row, ...]:
    """The rows of models whose clips have a length, sound and shots of their own."""
    return (
        *own,
        Group(
            ("shots", "shot_mode"),
            MULTI_SHOT,
            MultiShot(automatic),
            homes={"shots": MULTI_SHOT[2], "shot_mode": MULTI_SHOT[1]},
            texts=SHOT_TEXT,
        ),
        SHOT_PROMPT,  # after the shots: beside them the text means nothing
        Field("duration", "duration"),
        Field("audio", "sound", ON_OFF),
    )


class Orientation:
    """`character_orientation`, which a subject forces to `video` (page of Kling V3, Oct 2026)."""

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The same word, where it is possible."""
        if "elements" in shared and value != "video":
            raise CannotExpressError(
                f"{value} is not possible beside elements", limit="only video", nearest="video"
            )
        return value

    def decode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The word that counts."""
        return "video" if "elements" in shared and value == "image" else value


def motion(*own: Row) -> tuple[Row, ...]:
    """The rows of motion control models: exactly one image and one video, in lists."""
    return (
        Field("character_image", "image_urls", Only()),
        Field("motion_video", "video_urls", Only()),
        *own,
        PROMPT,
        Field(
            "character_orientation",
            "model_params.character_orientation",
            Orientation(),
            default=Default(
                "video",
                "the field is demanded; "
                "video takes motion clips of up to 30 s, image of up to 10 s",
            ),
        ),
        Field("keep_source_audio", "model_params.keep_sound"),
        SILENT,
    )


FRAMES: Final = (Field("first_frame", "image_start"), Field("last_frame", "image_end"))
REFERENCES: Final = Field("reference_images", "image_urls")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
KEEP: Final = Field("keep_source_audio", "keep_original_sound")
O3_IMAGE: Final = rows(
    "kling-o3-image-to-video", *FRAMES, REFERENCES, ELEMENTS, *made(NO_NEGATIVE), ASPECT
)
# First frame, last frame and a reference make three images; with a last frame two are allowed.
NO_LAST_FRAME: Final = Absent(
    "last_frame", reason="a last frame is not allowed beside reference images"
)
O3_REFERENCE: Final = rows(
    "kling-o3-image-to-video",
    FRAMES[0],
    NO_LAST_FRAME,
    REFERENCES,
    ELEMENTS,
    *made(NO_NEGATIVE),
    ASPECT,
)
VIDEO_ALIASES: Final = (Alias("video_urls", Only(first=True)), Alias("video", Only(first=True)))

ROUTES: Final = (
    Route(
        "kling-o3",
        "text-to-video",
        CREATE,
        CLIENT.body("KlingO3TextToVideo"),
        rows("kling-o3-text-to-video", ELEMENTS, *made(NO_NEGATIVE), ASPECT),
    ),
    Route("kling-o3", "image-to-video", CREATE, CLIENT.body("KlingO3ImageToVideo"), O3_IMAGE),
    Route(
        "kling-o3",
        "reference-to-video",
        CREATE,
        CLIENT.body("KlingO3ImageToVideo"),
        O3_REFERENCE,
        ignored={"image_end": NO_LAST_FRAME.reason},
    ),
    Route(
        "kling-o3",
        "reference-video",
        CREATE,
        CLIENT.body("KlingO3ReferenceToVideo"),
        rows(
            "kling-o3-reference-to-video",
            # By the page of early 2026: video_url and video_urls come before video; of a list
            # the first item counts.
            Field("reference_video", "video_url", aliases=VIDEO_ALIASES),
            REFERENCES,
            ELEMENTS,
            PROMPT,
            KEEP,
            Field("duration", "duration"),
            ASPECT,
            SILENT,
            NO_SHOTS,
            NO_SHOT_MODE,
            NO_NEGATIVE,
        ),
        ignored={
            "sound": "ignored by the vendor: forced off with a video input (page of early 2026)",
            **dict.fromkeys(MULTI_SHOT, NO_SHOTS.reason),
        },
    ),
    Route(
        "kling-o3",
        "edit-video",
        CREATE,
        CLIENT.body("KlingO3VideoEdit"),
        rows(
            "kling-o3-video-edit",
            Field("source_video", "video_url"),
            REFERENCES,
            ELEMENTS,
            PROMPT,
            KEEP,
            SILENT,
            Absent("duration", reason="an edited clip is as long as its source"),
            Absent("aspect_ratio", reason="an edited clip keeps the frame of its source"),
            NO_NEGATIVE,
        ),
    ),
    Route(
        "kling-v3",
        "text-to-video",
        CREATE,
        CLIENT.body("KlingV3TextToVideo"),
        rows(
            "kling-v3-text-to-video",
            *made(Field("negative_prompt", "negative_prompt"), automatic="intelligence"),
            ASPECT,
        ),
    ),
    Route(
        "kling-v3",
        "image-to-video",
        CREATE,
        CLIENT.body("KlingV3ImageToVideo"),
        rows(
            "kling-v3-image-to-video",
            *FRAMES,
            ELEMENTS,
            *made(Field("negative_prompt", "negative_prompt"), automatic="intelligence"),
            Absent("aspect_ratio", reason="the clip has the aspect ratio of its first frame"),
        ),
    ),
    Route(
        "kling-v3",
        "motion-control",
        CREATE,
        CLIENT.body("KlingV3MotionControl"),
        rows("kling-v3-motion-control", *motion(ELEMENTS)),
    ),
    Route(
        "kling-v2.6",
        "motion-control",
        CREATE,
        CLIENT.body("KlingV26MotionControl"),
        rows("kling-v2.6-motion-control", *motion()),
    ),
)


class EvoLink(Provider):
    """EvoLink (api.evolink.ai)."""

    id = "evolink"
    name = "EvoLink"
    key_variable = "EVOLINK_API_KEY"
    routes = ROUTES
    # Task page, Mar-Apr 2026. `cancelled` is seen in the vendor's own clients, not on the page.
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "pending": "queued",
            "processing": "running",
            "completed": "succeeded",
            "failed": "failed",
            "cancelled": "canceled",
        }
    )
    reads = Reads(
        id=("id",),
        status=("status",),
        outputs=("results", "result_data"),
        progress=("progress",),
        usage=("usage",),
        estimate=("task_info.estimated_time",),
        error_code=("error.code",),
        error_message=("error.message",),
    )
    # The body of a callback is that of the status query. It is unsigned: the vendor's own build
    # script says so (2026).
    webhook = Webhook(reads, signed=False, secret_variable=None)
    files: ClassVar[Literal["multipart", "upload", "none"]] = "upload"
    # The upload page (2026) lists image types only; the vendor's own tools and a newer page (late
    # 2026) take video.
    file_doubts = MappingProxyType(
        {
            "video": "EvoLink's pages disagree on whether its upload takes video: older ones name "
            "images only. A refused upload costs nothing; a URL always works"
        }
    )
    upload_seconds = 72 * 3600  # as long as the upload pages (2026) say
    output_seconds = 24 * 3600
    poll_floor = 8.0  # the pace of the vendor's own client for video tasks
    # The size is known from the vendor's official client (read in Oct 2026); no docs page has it.
    survey = Survey(50)

    def get_request(self, task_id: str) -> Mapping[str, Any]:
        """`GET /v1/tasks/{task_id}`."""
        return api.get_task.build_request(task_id)

    def ask_about(
        self, task_ids: Sequence[str], base_url: str | None = None
    ) -> Flow[Mapping[str, Facts]]:
        """`POST /v1/tasks/batch`, whose answer leaves out ids that it does not know."""
        request = api.batch_get_tasks.build_request(
            body=models.TaskBatchRequest(task_ids=list(task_ids))
        )
        body = (yield from self.ask(request, base_url, "a query for several tasks")).json()
        tasks = first(body, ("data",)) if isinstance(body, dict) else None
        return self.facts_of_several(tasks, task_ids)

    def recent(self, base_url: str | None = None) -> Flow[Listing | None]:
        """`GET /v1/tasks`, newest first, at most four pages: ended tasks too.

        The list has no requests. It is known from the vendor's official client (read in Oct 2026);
        no docs page has it.
        """
        found: dict[str, Listed] = {}
        seen, read, complete = 0, 0, False
        for page in range(1, LIST_PAGES + 1):
            request = api.list_tasks.build_request(page=page, page_size=LIST_LIMIT)
            body = (yield from self.ask(request, base_url, "a list query")).json()
            items: Any = first(body, ("data",)) if isinstance(body, dict) else None
            tasks = self.read_list(items, created=("created_at",), model=("model",))
            fresh = {task.id: task for task in tasks if task.id not in found}
            found |= fresh
            seen, read = seen + len(items), read + len(tasks)
            # The largest page size is unknown, so a short page proves nothing: only `total` or an
            # empty page does.
            total = first(body, ("total",))
            ended = seen == total if is_number(total) else not items
            if ended or not fresh:
                complete = ended and seen == read and bool(fresh or not items)
                break
        return Listing(tuple(found.values()), complete, running_only=False)

    def upload(self, file: Part, name: str) -> Flow[str]:
        """`POST /api/v1/files/upload/stream` on the files host, where a same name overwrites."""
        operation = self.contract.operations["uploadFileStream"]
        parts = (evolve(file, name="file"), Part("file_name", name))
        url = operation.server + operation.path
        # A repeat of this upload is no second file; one after the file has expired is another.
        seconds = yield from now()
        headers = {"Idempotency-Key": f"upload-{name.partition('.')[0][:64]}-{int(seconds)}"}
        reply = yield from send_patiently(
            Send(self.id, operation.method, url, parts=parts, headers=headers, deadline=300.0)
        )
        link = first(reply.json(), ("data.file_url",)) if reply.ok else None
        if not isinstance(link, str):
            _, message = self.read_error(reply)
            raise VendorError(
                f"the upload of {file.path.name if file.path else 'a file'} failed: {message}",
                vendor=self.id,
                status=reply.status,
            )
        return link

    def is_not_found(self, status: int, code: str | None) -> bool:
        """404, or the 400 for an id that is not one of this vendor's."""
        return status == 404 or code in {"task_not_found", "invalid_task_id"}

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A task, or a line of the list, in EvoLink's shape."""
        facts: JsonObject = {
            "id": task.id,
            "created": task.created,
            "created_at": task.created,
            "model": task.model,
            "progress": example.get("progress")
            if task.status in {"failed", "canceled"}
            else task.progress,
            "results": list(task.urls),
            "result_data": [{"url": url} for url in task.urls],
            "result_count": len(task.urls),
            "duration": task.elapsed,  # of the job, not of the clip
            "credits_used": task.credits,
        }
        if "credits_used" in example.get("usage", {}):
            facts["usage"] = {"credits_used": task.credits}
        elif "usage" in example:
            facts["usage"] = {**example["usage"], "credits_reserved": task.credits}
        if "video_duration" in example.get("task_info", {}):
            facts["task_info"] = {**example["task_info"], "video_duration": task.duration}
        return {**example, **{name: value for name, value in facts.items() if name in example}}

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`task-unified-<unix>-<8 letters>`, as all published samples have it."""
        return f"task-unified-{created}-{letters[:8]}"


PROVIDER: Final = EvoLink
