"""Two invented vendors that use every way of calling that a contract can describe.

`ListVendor` keeps tasks in a list: ids in the query, several at once, typed items, errors with HTTP
200. `QueueVendor` is a queue: one call for all models, a URL for each job, and a result that is
fetched by a call of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from polyreel.mapping.codecs import Choice
from polyreel.mapping.items import Item, TypedItems
from polyreel.mapping.rows import Field, Forced
from polyreel.providers import (
    AT,
    Contract,
    Prompt,
    Reads,
    Route,
    SpecifiedProvider,
    Status,
    Survey,
    Webhook,
    body,
    cited_inputs,
    operation,
)

JSON: Final = "application/json"
LINK: Final = "https://example.com/a.png"


def answer(schema: str, **examples: Any) -> dict[str, Any]:
    """One documented answer."""
    shown = {name: {"value": value} for name, value in examples.items()}
    return {
        "description": schema,
        "content": {
            JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": shown}
        },
    }


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    """A parameter that takes text."""
    schema = more.pop("schema", {"type": "string"})
    return {"name": name, "in": place, "required": True, "schema": schema, **more}


def request(*schemas: str, **examples: Any) -> dict[str, Any]:
    """The body of a paid call."""
    references = [{"$ref": f"#/components/schemas/{one}"} for one in schemas]
    shown = {name: {"value": value} for name, value in examples.items()}
    schema = references[0] if len(references) == 1 else {"oneOf": references}
    return {"required": True, "content": {JSON: {"schema": schema, "examples": shown}}}


def item(kind: str, **properties: Any) -> dict[str, Any]:
    """The schema of one kind of item."""
    return {
        "type": "object",
        "required": ["type", *properties],
        "properties": {
            "type": {"type": "string", "const": kind},
            "id": {"type": "string"},
            **properties,
        },
    }


# -- the vendor with lists -------------------------------------------------------------------------


def task(status: str, **more: Any) -> dict[str, Any]:
    """A task in a list."""
    return {"id": "7001", "status": status, **more}


def shown(*tasks: dict[str, Any]) -> dict[str, Any]:
    """An answer that holds tasks."""
    return {"code": 0, "message": "ok", "data": list(tasks)}


def refused(code: int, message: str) -> dict[str, Any]:
    """An error, which has the HTTP status 200."""
    return {"code": code, "message": message, "data": None}


URI: Final = {"type": "string", "format": "uri"}
LIST_DOCUMENT: Final = {
    "openapi": "3.1.0",
    "info": {"title": "List vendor", "version": "1"},
    "servers": [{"url": "https://api.list.example/v9"}],
    "security": [{"own": []}],
    "x-polyreel-ok": {"place": "code", "values": [0]},
    "x-polyreel-usage": {"settled": ["succeeded"], "credits": ["items.0.amount"]},
    "paths": {
        "/{series}/{model}": {
            "post": {
                "operationId": "create",
                "x-polyreel-role": "create",
                "x-polyreel-idempotency": {"mode": "own-id", "place": "settings.own_id"},
                "x-polyreel-not-accepted": [401, 429],
                "x-polyreel-not-accepted-codes": {"200": [1200, 1101]},
                "parameters": [
                    parameter("series", "path"),
                    parameter("model", "path"),
                    parameter("X-Version", "header", schema={"type": "string", "const": "9"}),
                ],
                "requestBody": request(
                    "Clip",
                    text={"contents": [{"type": "prompt", "text": "a cat"}]},
                    frame={"contents": [{"type": "first_frame", "url": LINK}]},
                    image={
                        "contents": [
                            {"type": "first_frame", "url": LINK},
                            {"type": "refer_image", "id": "image_1", "url": LINK},
                            {"type": "prompt", "text": "@Image1 waves"},
                        ],
                        "settings": {"duration": 5},
                    },
                ),
                "responses": {
                    "200": answer(
                        "Created",
                        queued={"code": 0, "message": "ok", "data": task("submitted")},
                        invalid_request=refused(1200, "a parameter is wrong"),
                        insufficient_credits=refused(1101, "no money"),
                    ),
                    "401": answer("Error", unauthorized=refused(1000, "no key")),
                    "429": answer("Error", rate_limited=refused(1302, "too fast")),
                },
            }
        },
        "/tasks": {
            "get": {
                "operationId": "getTasks",
                "x-polyreel-role": "get",
                "x-polyreel-tasks": "data",
                "parameters": [
                    parameter("task_ids", "query", **{"x-polyreel-task-id": {"separator": ","}}),
                    parameter("own_ids", "query", **{"x-polyreel-own-id": True}),
                ],
                "responses": {
                    "200": answer(
                        "Tasks",
                        queued=shown(task("submitted")),
                        running=shown(task("processing")),
                        succeeded=shown(
                            task("succeeded", outputs=[{"url": LINK}], billing=[{"amount": 3}])
                        ),
                        failed=shown(task("failed", message="the prompt is not allowed")),
                        not_found=refused(1203, "no such task"),
                    ),
                    "401": answer("Error", unauthorized=refused(1000, "no key")),
                },
            }
        },
    },
    "components": {
        "securitySchemes": {"own": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        "schemas": {
            "Clip": {
                "type": "object",
                "required": ["contents"],
                "properties": {
                    "contents": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "oneOf": [
                                {"$ref": f"#/components/schemas/{name}"}
                                for name in ("PromptItem", "FrameItem", "ReferenceItem")
                            ]
                        },
                    },
                    "settings": {"$ref": "#/components/schemas/Settings"},
                },
            },
            "PromptItem": item("prompt", text={"type": "string", "maxLength": 2000}),
            "FrameItem": item("first_frame", url=URI),
            "ReferenceItem": item("refer_image", url=URI) | {"x-polyreel-most": 7},
            "Settings": {
                "type": "object",
                "properties": {
                    "duration": {"type": "integer", "minimum": 3, "maximum": 15},
                    "own_id": {"type": "string"},
                },
            },
            "Created": {
                "type": "object",
                "required": ["code"],
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            },
            "Tasks": {
                "type": "object",
                "required": ["code"],
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            },
            "Error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            },
        },
    },
}
LISTS: Final = Contract(LIST_DOCUMENT)
CONTENTS: Final = TypedItems(
    "contents",
    (
        Item("first_frame", {"type": "first_frame"}, "url"),
        Item("reference_images", {"type": "refer_image"}, "url", name="image_{}"),
        Item("prompt", {"type": "prompt"}, "text", Prompt(AT, cited_inputs)),
    ),
)
DURATION: Final = Field("duration", "settings.duration")


class ListVendor(SpecifiedProvider):
    """Tasks in lists, inputs in typed items, the model in the path."""

    document = LISTS
    id = "list-vendor"
    name = "List vendor"
    key_variable = "LIST_VENDOR_API_KEY"
    routes = tuple(
        Route(
            "list-one",
            workflow,
            operation(LISTS, "create"),
            body(LISTS, "Clip"),
            (CONTENTS, DURATION),
            {"settings.own_id": "polyreel's own id of the job"},
            path_values={"series": "clips", "model": "list-one"},
        )
        for workflow in ("text-to-video", "image-to-video", "reference-to-video")
    )
    statuses: ClassVar[Mapping[str, Status]] = MappingProxyType(
        {
            "submitted": "queued",
            "processing": "running",
            "succeeded": "succeeded",
            "failed": "failed",
        }
    )
    reads = Reads(
        id=("data.id", "data.0.id", "id"),
        status=("data.status", "data.0.status", "status"),
        outputs=("data.0.outputs", "outputs"),
        usage=("data.0.billing", "billing"),
        error_message=("data.0.message", "message"),
    )
    survey = Survey(20)
    file_note = "the vendor takes URLs only"

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """A number."""
        return str(int(letters, 36) % 10**15)

    def is_not_found(self, status: int, code: str | None) -> bool:
        """By the code, since the HTTP status is 200."""
        return code == "1203"


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


__all__ = ["ListVendor", "QueueVendor"]
