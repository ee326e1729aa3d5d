"""The shared request: checked, plain, and read for what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .codecs import Json
from .errors import RequestError
from .mapping import leaves
from .provider import WORKFLOWS
from .registry import all_providers

if TYPE_CHECKING:
    from pydantic import BaseModel


def request_kind(request: Mapping[str, Any]) -> str:
    """`image` for a mapping that only an image request can be, else `video`."""
    if any(name in request for name in ("count", "output_format")) or request.get("resolution") in ("1K", "2K"):
        return "image"
    model = request.get("model")
    sold = {route.workflow for p in all_providers().values() for route in p.routes if route.model == model}
    return "image" if sold == {"generate-image"} else "video"


def normalize(request: BaseModel | Mapping[str, Any], kind: str | None = None) -> tuple[Json, str]:
    """A checked plain request without unset fields, and its kind; raises RequestError naming every bad field."""
    from polyreel_generated.shared import ImageRequest, VideoRequest  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    if isinstance(request, (VideoRequest, ImageRequest)):
        kind = "image" if isinstance(request, ImageRequest) else "video"
        return request.model_dump(exclude_unset=True, exclude_none=True), kind
    if not isinstance(request, Mapping):
        raise RequestError([f"a request is a VideoRequest, an ImageRequest or a mapping, not {type(request).__name__}"])
    if trouble := _unwritable(request):
        raise RequestError([trouble])
    kind = kind or request_kind(request)
    nulls = [
        f"{at.strip('/')}: null is no value; leave the field out"
        for at, value in leaves(dict(request))
        if value is None
    ]
    try:
        model = (ImageRequest if kind == "image" else VideoRequest).model_validate(dict(request))
    except ValidationError as error:
        raise RequestError(nulls or [_pydantic_problem(item) for item in error.errors(include_url=False)]) from None
    if nulls:
        raise RequestError(nulls)
    return model.model_dump(exclude_unset=True), kind


def _unwritable(request: Mapping[Any, Any]) -> str | None:
    """Why a request could not be written as JSON text at all, or None."""
    if any(not isinstance(name, str) for name in request):
        return "the names of fields are text"
    for at, value in leaves(dict(request)):
        for text in (at, value):
            if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
                return f"{_printable(at)}: half a character (a lone surrogate), which no JSON text can carry"
    return None


def _printable(at: str) -> str:
    return at.strip("/").encode("ascii", "backslashreplace").decode()[:80]


def _pydantic_problem(item: Any) -> str:
    place = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"{place}: no such field"
    if item["type"] == "string_pattern_mismatch" and place.endswith("prompt"):
        return f"{place}: must not be blank"
    shown = repr(item["input"])
    return f"{place}: {item['msg'][0].lower()}{item['msg'][1:]}" + (f", not {shown}" if len(shown) <= 60 else "")


def workflow_of(request: Mapping[str, Any], kind: str) -> str:
    """What is asked, from which inputs are set."""
    if kind == "image":
        return "generate-image"
    return next(name for name, inputs in WORKFLOWS.items() if not inputs or any(input_ in request for input_ in inputs))
