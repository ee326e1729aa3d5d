"""skills.video: one endpoint per model, whose `feature` chooses the workflow.

Facts from its reference pages (Kling O3 Video, Kling O3 Image, Kling V2.6, newest renders, 2026),
as marked in specs/skills_video.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from polyreel_generated.skills_video import api

from .. import (
    Facts,
    Flow,
    JsonObject,
    Listing,
    Provider,
    Reads,
    SimulatedTask,
    Status,
    Survey,
    Webhook,
)
from .kling import ROUTES

LIST_LIMIT: Final = 100
"""The longest list of running generations that can be asked for."""

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
    name = url.partition("?")[0].rpartition("/")[2]
    return {**example, "url": url, "file_name": name, "content_type": task.content_type, **size}


PROVIDER: Final = SkillsVideo
