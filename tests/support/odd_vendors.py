"""An invented vendor that keeps tasks in a list.

Ids in the query, several at once; typed items; errors with HTTP 200; ids of ours in the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from polyreel.mapping.items import Item, TypedItems
from polyreel.mapping.rows import Field
from polyreel.providers import (
    AT,
    Contract,
    Prompt,
    Reads,
    Route,
    SpecifiedProvider,
    Status,
    Survey,
    body,
    cited_inputs,
    operation,
)

from support.odd_contracts import LINK, answer, item, parameter, request

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


SEVERAL: Final = {"x-polyreel-task-id": {"separator": ","}}
OWN: Final = {"x-polyreel-own-id": True}
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
                    parameter("task_ids", "query", required=False, **SEVERAL),
                    parameter("own_ids", "query", required=False, **OWN),
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


__all__ = ["LINK", "LISTS", "ListVendor"]
