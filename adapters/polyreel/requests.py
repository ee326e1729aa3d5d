"""The shared request: checked, plain, and read for what it asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .codecs import Json
from .errors import RequestError
from .mapping import leaves
from .provider import WORKFLOWS
from .registry import all_providers

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_DEPTH: Final = 64


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
        plain = request.model_dump(exclude_unset=True, exclude_none=True)
        # The model has checked all but what is in `extra`.
        if "extra" in plain and (trouble := _unwritable(plain)):
            raise RequestError([trouble])
        return _with_known_extra(plain), "image" if isinstance(request, ImageRequest) else "video"
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
        raise RequestError(
            nulls or [_pydantic_problem(item, kind) for item in error.errors(include_url=False)]
        ) from None
    if nulls:
        raise RequestError(nulls)
    return _with_known_extra(model.model_dump(exclude_unset=True)), kind


def _with_known_extra(plain: Json) -> Json:
    """The request itself; RequestError where its extra is for nobody."""
    strangers = [name for name in plain.get("extra", ()) if name not in all_providers()]
    if strangers:
        raise RequestError([f"extra.{name}: no vendor is called {name}" for name in strangers])
    return plain


def _unwritable(request: Mapping[Any, Any]) -> str | None:
    """Why a request could not be written as JSON text at all, or None."""
    if any(not isinstance(name, str) for name in request):
        return "the names of fields are text"
    try:
        for at, value in leaves(dict(request)):
            if at.count("/") > MAX_DEPTH:
                return f"{_printable(at)}: nested too deeply"
            if isinstance(value, float) and not math.isfinite(value):
                return f"{_printable(at)}: {value} is not a number that JSON has"
            if any(
                "\ud800" <= character <= "\udfff" for text in (at, value) if isinstance(text, str) for character in text
            ):
                return f"{_printable(at)}: not valid Unicode text (a lone surrogate), which no JSON can carry"
    except RecursionError:
        return "the request is nested too deeply"
    return None


def _printable(at: str) -> str:
    return at.strip("/").encode("ascii", "backslashreplace").decode()[:80]


_TEXTS: Final = {
    "extra_forbidden": "no such field",
    "missing": "is needed",
    "too_short": "must not be empty",
}


def _pydantic_problem(item: Any, kind: str) -> str:
    place = ".".join(map(str, item["loc"]))
    if item["type"] in _TEXTS:
        hint = " in a request for images" if kind == "image" and item["type"] == "extra_forbidden" else ""
        return f"{place}: {_TEXTS[item['type']]}{hint}"
    if item["type"] == "string_pattern_mismatch":
        ratio = place.endswith("aspect_ratio")
        return f"{place}: {'must be width:height, such as 16:9' if ratio else 'must not be blank'}"
    shown = repr(item["input"])
    return f"{place}: {item['msg'][0].lower()}{item['msg'][1:]}" + (f", not {shown}" if len(shown) <= 60 else "")


def workflow_of(request: Mapping[str, Any], kind: str) -> str:
    """What is asked, from which inputs are set."""
    if kind == "image":
        return "generate-image"
    return next(name for name, inputs in WORKFLOWS.items() if not inputs or any(input_ in request for input_ in inputs))
