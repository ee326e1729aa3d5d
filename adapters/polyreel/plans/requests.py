"""The shared request: checked, plain, and read for what it asks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ..errors import RequestError
from ..places import JsonObject, leaves
from ..providers.base.registry import all_providers

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError


MAX_DEPTH: Final = 64


_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def request_kind(request: Mapping[str, Any]) -> str:
    """`image` for a mapping that only an image request can be, else `video`."""
    if (
        "count" in request
        or "output_format" in request
        or request.get("resolution") in ("1K", "2K")
    ):
        return "image"
    model = request.get("model")
    if model is None:
        return "video"
    sold = {
        route.workflow
        for p in all_providers().values()
        for route in p.routes
        if route.model == model
    }
    return "image" if sold == {"generate-image"} else "video"


def normalize(
    request: BaseModel | Mapping[str, Any], kind: str | None = None
) -> tuple[JsonObject, str]:
    """A checked plain request without unset fields, and its kind; raises RequestError naming every bad field."""
    if isinstance(request, Mapping):
        return _normalize_mapping(dict(request), kind)
    from polyreel_generated.shared import ImageRequest, VideoRequest  # noqa: PLC0415

    if not isinstance(request, (VideoRequest, ImageRequest)):
        raise RequestError(
            [
                f"a request is a VideoRequest, an ImageRequest or a mapping, not {type(request).__name__}"
            ]
        )
    plain = request.model_dump(exclude_unset=True, exclude_none=True)
    # The model has checked all but what is in `extra`.
    if "extra" in plain and (trouble := _unwritable(plain)):
        raise RequestError([trouble])
    return _with_known_extra(plain), "image" if isinstance(request, ImageRequest) else "video"


def _normalize_mapping(request: JsonObject, kind: str | None) -> tuple[JsonObject, str]:
    clean = _is_clean(request)
    if not clean and (trouble := _unwritable(request)):
        raise RequestError([trouble])
    kind = kind or request_kind(request)
    adapter = _adapter("image" if kind == "image" else "video")
    nulls = [] if clean else _nulls(request)
    try:
        model = adapter.validator.validate_python(request)
    except _validation_error() as error:
        problems = nulls or [
            _pydantic_problem(item, kind) for item in error.errors(include_url=False)
        ]
        raise RequestError(problems) from None
    if nulls:
        raise RequestError(nulls)
    return _with_known_extra(adapter.serializer.to_python(model, exclude_unset=True)), kind


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    """Checks and reads requests of a kind. Loaded at the first request: pydantic takes long to import."""
    from polyreel_generated.shared import ImageRequest, VideoRequest  # noqa: PLC0415
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(ImageRequest if kind == "image" else VideoRequest)


def _validation_error() -> type[ValidationError]:
    """What pydantic raises; asked for only where something was raised."""
    from pydantic import ValidationError  # noqa: PLC0415

    return ValidationError


def _nulls(request: JsonObject) -> list[str]:
    """What to say of every null in a request."""
    return [
        f"{at.strip('/')}: null is no value; leave the field out"
        for at, value in leaves(request)
        if value is None
    ]


def _with_known_extra(plain: JsonObject) -> JsonObject:
    """The request itself; RequestError where its extra is for nobody."""
    if "extra" not in plain:
        return plain
    strangers = [name for name in plain["extra"] if name not in all_providers()]
    if strangers:
        raise RequestError([f"extra.{name}: no vendor is called {name}" for name in strangers])
    return plain


def _is_clean(value: Any, depth: int = 0) -> bool:
    """Whether a value is plain JSON without nulls beyond doubt: then no leaf of it has to be looked at alone."""
    kind = type(value)
    if kind is str:
        return value.isascii() or not _SURROGATES.search(value)
    if kind is dict and depth < MAX_DEPTH:
        return all(
            type(name) is str and name.isascii() and _is_clean(item, depth + 1)
            for name, item in value.items()
        )
    if kind is list and depth < MAX_DEPTH:
        return all(_is_clean(item, depth + 1) for item in value)
    return kind is int or kind is bool or (kind is float and math.isfinite(value))


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
            if any(_SURROGATES.search(text) for text in (at, value) if isinstance(text, str)):
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
        hint = (
            " in a request for images"
            if kind == "image" and item["type"] == "extra_forbidden"
            else ""
        )
        return f"{place}: {_TEXTS[item['type']]}{hint}"
    if item["type"] == "string_pattern_mismatch":
        ratio = place.endswith("aspect_ratio")
        return f"{place}: {'must be width:height, such as 16:9' if ratio else 'must not be blank'}"
    shown = repr(item["input"])
    return f"{place}: {item['msg'][0].lower()}{item['msg'][1:]}" + (
        f", not {shown}" if len(shown) <= 60 else ""
    )
