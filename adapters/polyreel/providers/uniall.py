"""UniAll: `POST /v1/video/generations`, the route that many new-api gateways share.

Facts from docs.uniall.ai (Kling pages, 2026) and new-api's source, as marked in specs/uniall.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from attrs import evolve, frozen
from polyreel_generated.uniall import api

from . import (
    AT,
    Absent,
    CannotExpressError,
    Choice,
    Default,
    Field,
    GeneratedClient,
    Group,
    JsonObject,
    Names,
    Prompt,
    Provider,
    Reads,
    Reply,
    Route,
    Row,
    SimulatedTask,
    Status,
    check_members,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("uniall")
CREATE: Final = CLIENT.operation("createVideo")
MODELS: Final = Names(
    "model",
    ("resolution", "audio"),
    {
        ("720p", False): "kling-v3-std-silent",
        ("720p", True): "kling-v3-std-audio",
        ("1080p", False): "kling-v3-pro-silent",
        ("1080p", True): "kling-v3-pro-audio",
    },
)
# "intelligent" here, unlike Kling's own "intelligence" (Kling overview page, 2026).
SHOT_MODES: Final = Choice({"custom": "customize", "automatic": "intelligent"})


@frozen
class ShotPrompts:
    """Shots as bare prompts: the documented items have no duration."""

    def encode(self, value: list[JsonObject], shared: Mapping[str, Any]) -> list[JsonObject]:
        """Items of one prompt each."""
        bare = [{"prompt": shot["prompt"]} for shot in value]
        timed = tuple(
            f"/{index}/duration" for index, shot in enumerate(value) if "duration" in shot
        )
        if timed:
            raise CannotExpressError(
                "shots have no duration of their own here", without=bare, leaves=timed
            )
        return bare

    def decode(self, value: list[JsonObject], shared: Mapping[str, Any]) -> list[JsonObject]:
        """The prompts."""
        for item in value:
            check_members(item, "prompt")
        return [{"prompt": item["prompt"]} for item in value]


def rows(*own: Row) -> tuple[Row, ...]:
    """The rows of both workflows around their own."""
    return (
        Group(
            ("resolution", "audio"),
            ("model",),
            MODELS,
            defaults={
                "resolution": Default("720p", "the model name demands a size; 720p is the smaller"),
                "audio": Default(
                    value=False, reason="the model name demands a choice; silent is the plainer"
                ),
            },
        ),
        *own,
        Field("aspect_ratio", "aspect_ratio"),
        Field(
            "duration",
            "duration",
            default=Default(
                5,
                "left out, a gateway may bill another length than it makes; "
                "5 s is Kling's own default",
            ),
        ),
        Field("negative_prompt", "extra_body.negative_prompt"),
        Field("guidance_scale", "extra_body.cfg_scale"),
        Absent(
            "elements",
            reason="UniAll lists extra_body.element_list without saying what its items look like; "
            "use extra",
        ),
        Absent("watermark", reason="UniAll documents no watermark switch"),
        Absent("callback_url", reason="UniAll documents no callback"),
    )


IGNORED: Final = {"extra_body.element_list": "the shape of its items is not documented"}
PROMPT: Final = Field("prompt", "prompt")
MODE: Final = Field("shot_mode", "extra_body.shot_type", SHOT_MODES)
SHOT_MODE: Final = evolve(
    MODE, default=Default("custom", "shots are planned by the request", when="shots")
)

ROUTES: Final = (
    Route(
        "kling-v3",
        "text-to-video",
        CREATE,
        CLIENT.body("KlingV3TextToVideo"),
        rows(
            PROMPT,
            MODE,
            Absent("shots", reason="multi_prompt is documented for image-to-video only"),
        ),
        ignored=IGNORED,
    ),
    Route(
        "kling-v3",
        "image-to-video",
        CREATE,
        CLIENT.body("KlingV3ImageToVideo"),
        rows(
            Field("first_frame", "image"),
            Field("last_frame", "last_image"),
            Field("shots", "extra_body.multi_prompt", ShotPrompts()),
            SHOT_MODE,
            # In image mode the page forbids it beside multi_prompt.
            Field("prompt", "prompt", Prompt(AT, cited_inputs, replaced_by="shots")),
        ),
        ignored=IGNORED,
    ),
)


class UniAll(Provider):
    """UniAll (api.uniall.ai), or another gateway with the same route: set UNIALL_BASE_URL."""

    id = "uniall"
    name = "UniAll"
    key_variable = "UNIALL_API_KEY"
    routes = ROUTES
    # The first words are those of the query pages of UniAll's video models (2026). Upper-case words
    # and the rest are new-api's; its forks mix them.
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "queued": "queued",
            "submitted": "queued",
            "pending": "queued",
            "not_start": "queued",
            "in_progress": "running",
            "processing": "running",
            "running": "running",
            "completed": "succeeded",
            "succeeded": "succeeded",
            "succeed": "succeeded",
            "success": "succeeded",
            "failed": "failed",
            "failure": "failed",
            "expired": "failed",
            "cancelled": "canceled",
        }
    )
    # The places of results are in the documented order. result_url may hold an error text on
    # failure: only http(s) values count, and only after the status says success.
    reads = Reads(
        id=("id", "task_id", "data.task_id"),
        status=("status", "data.status", "data.task_status"),
        outputs=(
            "video_url",
            "result.video_url",
            "result.outputs",
            "metadata.url",
            "url",
            "result_url",
            "data.result_url",
            "data.url",
            "data.fail_reason",
        ),
        progress=("progress", "data.progress"),
        error_code=("error.code",),
        error_message=("error.message", "fail_reason", "data.fail_reason"),
    )
    file_note = "UniAll takes URLs only: it documents no upload"
    poll_floor = 5.0  # the gateway asks its upstream every 15 s; faster polling gains nothing

    def get_request(self, task_id: str) -> Mapping[str, Any]:
        """`GET /v1/videos/{id}`, always with the id of the create reply: task_id may be another."""
        return api.get_video.build_request(task_id)

    def is_not_found(self, status: int, code: str | None) -> bool:
        """The gateway answers 400 task_not_exist to an unknown id, 404 to an unknown route."""
        return code == "task_not_exist" or status == 404

    def request_id(self, reply: Reply) -> str | None:
        """The value of new-api's own header."""
        return reply.header("x-oneapi-request-id")

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A task in UniAll's shape, or in the gateway's envelope."""
        if isinstance(record := example.get("data"), dict):
            return {**example, "data": self._record(record, task)}
        facts: JsonObject = {
            "id": task.id,
            "created_at": task.created,
            "model": task.model,
            "progress": example.get("progress") if task.status == "failed" else task.progress,
            "seconds": str(task.duration),
            "video_url": task.urls[0],
            "result": {"outputs": list(task.urls), "video_url": task.urls[0]},
        }
        # In the example of a finished task it is another one: that of the gateway's own vendor.
        if example.get("task_id") == example.get("id"):
            facts["task_id"] = task.id
        return {**example, **{name: value for name, value in facts.items() if name in example}}

    def _record(self, record: JsonObject, task: SimulatedTask) -> JsonObject:
        begun = ("created_at", "submit_time", "start_time")
        moments = dict.fromkeys(begun, task.created)
        moments |= dict.fromkeys(("updated_at", "finish_time"), task.created + task.elapsed)
        # A moment that has not come yet is 0 in the example.
        facts: JsonObject = {name: moment for name, moment in moments.items() if record.get(name)}
        facts["task_id"] = task.id
        facts["action"] = "generate" if "image" in task.body else "textGenerate"
        if task.status == "succeeded":
            facts["result_url"] = task.urls[0]
        facts["properties"] = {**record["properties"], "origin_model_name": task.model}
        return {**record, **facts}

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`task_` and 32 letters, as new-api makes them since Feb 2026."""
        return f"task_{letters}"


PROVIDER: Final = UniAll
