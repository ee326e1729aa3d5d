"""EvoLink: `POST /v1/videos/generations`, one endpoint whose `model` chooses the body.

Facts from its reference pages (kling-o3-reference-to-video and its siblings: early 2026,
Mar-Apr 2026, Oct 2026), as marked in specs/evolink.yaml and specs/evolink/. The tables of Kling's
families and of the others are in files of their own beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from attrs import evolve
from polyreel_generated.evolink import api, models

from .. import (
    Facts,
    Flow,
    JsonObject,
    Listed,
    Listing,
    Part,
    Provider,
    Reads,
    Send,
    SimulatedTask,
    Status,
    Survey,
    VendorError,
    Webhook,
    first,
    is_number,
    now,
    send_patiently,
)
from .alibaba import ALIBABA
from .families import FAMILIES
from .kling import KLING

LIST_LIMIT: Final = 50
"""Tasks on one page of the list."""
LIST_PAGES: Final = 4
"""The most pages of the list that are read."""


class EvoLink(Provider):
    """EvoLink (api.evolink.ai)."""

    id = "evolink"
    name = "EvoLink"
    key_variable = "EVOLINK_API_KEY"
    routes = (*KLING, *FAMILIES, *ALIBABA)
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
        # The page says that result_data has it; where in it is inferred.
        element=("result_data.element_id", "result_data.0.element_id"),
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
            "result_data": {"element_id": task.element}
            if task.element
            else [{"url": url} for url in task.urls],
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
