"""An invented vendor with a queue: a URL for each job, and a result of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from polyreel.mapping.codecs import Choice
from polyreel.mapping.rows import Field, Forced
from polyreel.providers import (
    Contract,
    Reads,
    Route,
    SpecifiedProvider,
    Status,
    Webhook,
    body,
    operation,
)

from support.odd_contracts import JSON, LINK, answer, parameter, request

# -- the vendor with a queue -----------------------------------------------------------------------

QUEUE: Final = "https://queue.example"
WEBHOOK: Final = {
    "post": {
        "parameters": [parameter("webhook-signature", "header")],
        "requestBody": {
            "content": {
                JSON: {
                    "examples": {
                        "succeeded": {"value": {"request_id": "9f1c", "status": "COMPLETED"}},
                        "failed": {
                            "value": {"request_id": "9f1c", "status": "COMPLETED", "error": "no"}
                        },
                    }
                }
            }
        },
    }
}
JOB: Final = f"{QUEUE}/acme/video/requests/9f1c"


def job(status: str, **more: Any) -> dict[str, Any]:
    """A job as the queue shows it."""
    return {
        "status": status,
        "request_id": "9f1c",
        "status_url": f"{JOB}/status",
        "response_url": JOB,
        **more,
    }


ON_JOB: Final = [parameter(name, "path") for name in ("owner", "app", "request_id")]
UNAUTHORIZED: Final = answer("Detail", unauthorized={"detail": "no key"})
NOT_FOUND: Final = answer("Detail", not_found={"detail": "no such request"})
QUEUE_DOCUMENT: Final = {
    "openapi": "3.1.0",
    "info": {"title": "Queue vendor", "version": "1"},
    "servers": [{"url": QUEUE}],
    "webhooks": {"job": WEBHOOK},
    "security": [{"key": []}],
    "paths": {
        "/{endpoint}": {
            "post": {
                "operationId": "submit",
                "x-polyreel-role": "create",
                "x-polyreel-idempotency": {"mode": "none"},
                "x-polyreel-not-accepted": [401, 402, 422, 429],
                "parameters": [parameter("endpoint", "path", **{"x-polyreel-slashes": True})],
                "requestBody": request("Clip", text={"prompt": "a cat", "duration": "5"}),
                "responses": {
                    "200": answer("Job", queued=job("IN_QUEUE", queue_position=0)),
                    "401": UNAUTHORIZED,
                    "402": answer("Detail", insufficient_credits={"detail": "no money"}),
                    "422": answer("Detail", invalid_request={"detail": "a field is wrong"}),
                    "429": answer("Detail", rate_limited={"detail": "too fast"}),
                },
            }
        },
        "/{owner}/{app}/requests/{request_id}/status": {
            "get": {
                "operationId": "status",
                "x-polyreel-role": "get",
                "parameters": ON_JOB,
                "responses": {
                    "200": answer(
                        "Job",
                        queued=job("IN_QUEUE", queue_position=1),
                        running=job("IN_PROGRESS"),
                        succeeded=job("COMPLETED"),
                        failed=job("COMPLETED", error="the prompt is not allowed"),
                        canceled=job("CANCELED"),
                    ),
                    "401": UNAUTHORIZED,
                    "404": NOT_FOUND,
                },
            }
        },
        "/{owner}/{app}/requests/{request_id}/cancel": {
            "put": {
                "operationId": "cancel",
                "x-polyreel-role": "cancel",
                "x-polyreel-cancel": {
                    "place": "status",
                    "words": {"asked": "asked", "late": "too-late"},
                    "bill": "a job that has not begun costs nothing",
                },
                "parameters": ON_JOB,
                "responses": {
                    "202": answer("Job", asked=job("asked")),
                    "400": answer("Job", too_late=job("late")),
                    "401": UNAUTHORIZED,
                    "404": NOT_FOUND,
                },
            }
        },
        "/{owner}/{app}/requests/{request_id}": {
            "get": {
                "operationId": "result",
                "x-polyreel-role": "result",
                "parameters": ON_JOB,
                "responses": {
                    "200": answer("Output", succeeded={"video": {"url": LINK}, "seed": 7}),
                    "401": UNAUTHORIZED,
                    "404": NOT_FOUND,
                },
            }
        },
    },
    "components": {
        "securitySchemes": {
            "key": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "x-polyreel-prefix": "Key ",
            }
        },
        "schemas": {
            "Clip": {
                "type": "object",
                "required": ["prompt"],
                "properties": {
                    "prompt": {"type": "string"},
                    "duration": {"type": "string", "enum": ["5", "10"], "default": "5"},
                },
            },
            "Job": {
                "type": "object",
                "required": ["status", "request_id"],
                "properties": {"status": {"type": "string"}, "request_id": {"type": "string"}},
            },
            "Output": {"type": "object", "properties": {"video": {"type": "object"}}},
            "Detail": {
                "type": "object",
                "required": ["detail"],
                "properties": {"detail": {"type": "string"}},
            },
        },
    },
}
QUEUES: Final = Contract(QUEUE_DOCUMENT)


def tier(name: str, resolution: str) -> Route:
    """The route of one tier, which is a part of the path."""
    return Route(
        "queue-one",
        "text-to-video",
        operation(QUEUES, "submit"),
        body(QUEUES, "Clip"),
        (
            Field("prompt", "prompt"),
            Field("duration", "duration", Choice({5: "5", 10: "10"})),
            Forced("resolution", value=resolution, reason=f"{name} is a part of the path"),
        ),
        path_values={
            "endpoint": f"acme/video/{name}/text-to-video",
            "owner": "acme",
            "app": "video",
        },
    )


class QueueVendor(SpecifiedProvider):
    """One call for all models; a job has URLs of its own."""

    document = QUEUES
    id = "queue-vendor"
    name = "Queue vendor"
    key_variable = "QUEUE_VENDOR_API_KEY"
    routes = (tier("standard", "720p"), tier("pro", "1080p"))
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "in_queue": "queued",
            "in_progress": "running",
            "completed": "succeeded",
            "canceled": "canceled",
        }
    )
    reads = Reads(
        id=("request_id",),
        status=("status",),
        outputs=("video",),
        error_message=("error",),
        locator=("status_url",),
        result=("response_url",),
    )
    webhook = Webhook(
        Reads(id=("request_id",), status=("status",), outputs=()),
        signed=True,
        secret_variable="QUEUE_VENDOR_WEBHOOK_SECRET",
        optional=True,
    )
    file_note = "the vendor takes URLs only"

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """Letters."""
        return letters


__all__ = ["QUEUES", "QueueVendor"]
