"""fal: one queue for all endpoints, whose path says the model.

Facts from fal's own clients and endpoint types (fal-js, Aug 2026; fal_client, Aug 2026) and its
pages (Nov 2026), as marked in specs/fal.yaml and specs/fal/. The tables of a maker's families are
in a file of their own beside this one.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from .. import (
    Flow,
    JsonObject,
    Part,
    Provider,
    PublishedKeys,
    Reads,
    Reply,
    SimulatedTask,
    Status,
    Webhook,
    filled_in,
    first,
    upload_by_link,
)
from .kling import KLING_O1, KLING_O3, KLING_V2, KLING_V3
from .makers import HAILUO, SEEDANCE, VEO_31, VIDU, WAN

SIGNED: Final = "x-fal-webhook"
"""What the names of the headers of a signed delivery begin with."""


class Fal(Provider):
    """fal (queue.fal.run)."""

    id = "fal"
    name = "fal"
    key_variable = "FAL_KEY"
    routes = (
        *(*KLING_O3, *KLING_V3, *KLING_V2, *KLING_O1),
        *(*VEO_31, *SEEDANCE, *HAILUO, *VIDU, *WAN),
    )
    # COMPLETED means failed, too, where an error stands beside it (py client, Aug 2026).
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {"in_queue": "queued", "in_progress": "running", "completed": "succeeded"}
    )
    reads = Reads(
        id=("request_id",),
        status=("status",),
        outputs=("video",),
        error_code=("error_type",),
        error_message=("error",),
        locator=("status_url",),
        result=("response_url",),
    )
    webhook = Webhook(
        Reads(
            id=("request_id",),
            status=("status",),
            outputs=("payload.video",),
            error_code=("payload.detail.0.type",),
            error_message=("error",),
        ),
        signed=True,
        secret_variable=None,
        statuses=MappingProxyType({"ok": "succeeded", "error": "failed"}),
        published=PublishedKeys(
            id=f"{SIGNED}-request-id",
            timestamp=f"{SIGNED}-timestamp",
            signature=f"{SIGNED}-signature",
            lines=(f"{SIGNED}-request-id", f"{SIGNED}-user-id", f"{SIGNED}-timestamp"),
        ),
    )
    files: ClassVar[Literal["multipart", "upload", "none"]] = "upload"

    def upload(self, file: Part, name: str) -> Flow[str]:
        """`POST /storage/upload/initiate` on the files host, and a PUT to the link it gives."""
        return upload_by_link(self, file, name)

    def read_error(self, reply: Reply) -> tuple[str | None, str]:
        """The first of the errors in `detail`, where that is a list."""
        code, message = super().read_error(reply)
        try:
            body = reply.json()
        except ValueError:
            return code, message
        kind = first(body, ("detail.0.type", "error_type")) if isinstance(body, dict) else None
        text = first(body, ("detail.0.msg",)) if isinstance(body, dict) else None
        return (
            kind if isinstance(kind, str) else code,
            text if isinstance(text, str) else message,
        )

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """A job, or its result, in fal's shape: with URLs of the owner and the app alone."""
        made = filled_in(example, task, self.reads)
        for name in ("response_url", "status_url", "cancel_url"):
            if isinstance(link := made.get(name), str):
                before, _, after = link.partition("/requests/")
                host = "/".join(before.split("/")[:-2])
                place = "/".join(task.path_values[one] for one in ("owner", "app"))
                _, slash, action = after.partition("/")
                made[name] = f"{host}/{place}/requests/{task.id}{slash}{action}"
        return made

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """A UUID, as all published samples have it."""
        return str(uuid.UUID(bytes=letters[:16].encode(), version=4))


PROVIDER: Final = Fal
