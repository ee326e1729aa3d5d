"""Kling's own API: the model is in the path. Stored bodies of its older generation are read.

Facts from the vendor's pages as mirrored in Sep and Oct 2026, as marked in specs/kling.yaml and
specs/kling/.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from polyreel_generated.kling import api, models

from .. import (
    BadReplyError,
    Flow,
    JsonObject,
    Listed,
    Listing,
    Provider,
    Reads,
    Reply,
    SimulatedTask,
    Status,
    Survey,
    Webhook,
    filled_in,
    first,
)
from .families import SOLD
from .stored import STORED

LIST_PAGES: Final = 4
LIST_LIMIT: Final = 500


class Kling(Provider):
    """Kling's own API (api-singapore.klingai.com)."""

    id = "kling"
    name = "Kling's own API"
    key_variable = "KLINGAI_API_KEY"
    routes = SOLD
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "submitted": "queued",
            "processing": "running",
            "succeeded": "succeeded",
            "failed": "failed",
        }
    )
    # A query answers with a list, a create with one task, and a list has tasks alone.
    reads = Reads(
        id=("data.0.id", "data.id", "id"),
        status=("data.0.status", "data.status", "status"),
        outputs=("data.0.outputs", "outputs"),
        usage=("data.0.billing", "billing"),
        error_message=("data.0.message",),
    )
    webhook = Webhook(
        Reads(
            id=("id",),
            status=("status",),
            outputs=("outputs",),
            usage=("billing",),
            error_message=("message",),
        ),
        signed=True,
        secret_variable="KLING_WEBHOOK_SECRET",  # noqa: S106
        optional=True,
    )
    file_note = "Kling takes URLs, and offers no upload"
    output_seconds = 30 * 24 * 3600
    # How many ids one query takes is unknown.
    survey = Survey(50)
    read_only_routes = STORED

    def recent(self, base_url: str | None = None) -> Flow[Listing | None]:
        """`POST /tasks`, at most four pages of clips of the last 30 days.

        The list has no requests.
        """
        found: dict[str, Listed] = {}
        complete, asked = (
            False,
            {
                "limit": LIST_LIMIT,
                "filters": [{"key": "product_type", "values": ["video"]}],
            },
        )
        for _ in range(LIST_PAGES):
            request = api.list_tasks.build_request(body=models.TaskSelection.from_dict(asked))
            body = (yield from self.ask(request, base_url, "a list query")).json()
            page = body if isinstance(body, dict) else {}
            items = first(page, ("data.result",))
            tasks = self.read_list(items, created=("create_time",), own_id=("external_id",))
            fresh = {task.id: task for task in tasks if task.id not in found}
            found |= fresh
            complete = first(page, ("data.has_more",)) is False and len(tasks) == len(items)
            cursor = first(page, ("data.next_cursor",))
            if complete or not fresh or not isinstance(cursor, str) or not cursor:
                break
            asked = {**asked, "cursor": cursor}
        return Listing(tuple(found.values()), complete, running_only=False)

    def is_not_found(self, status: int, code: str | None) -> bool:
        """404, or the code for what does not exist. No page says what an unknown id answers."""
        return status == 404 or code == "1203"

    def request_id(self, reply: Reply) -> str | None:
        """The id in the answer's envelope."""
        try:
            body = reply.json()
        except BadReplyError:
            return None
        found = first(body, ("request_id",)) if isinstance(body, dict) else None
        return found if isinstance(found, str) else None

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A task in Kling's shape: alone, in a list, or as a callback has it."""
        shown = filled_in(example, task, self.reads)
        inside = shown.get("data", shown)
        own_id = first(task.body, ("options.external_task_id",))
        facts = {
            "create_time": task.created * 1000,
            "update_time": (task.created + task.elapsed) * 1000,
            "external_id": own_id or "",
        }
        for one in inside if isinstance(inside, list) else [inside]:
            one.update({name: fact for name, fact in facts.items() if name in one})
            for output in one.get("outputs", ()):
                output["duration"] = str(task.duration)
            for charge in one.get("billing", ()):
                charge["amount"] = f"{task.credits:g}"
        return shown

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """18 digits, as the samples have it."""
        return str(10**17 + int(letters, 36) % (9 * 10**17))


PROVIDER: Final = Kling
