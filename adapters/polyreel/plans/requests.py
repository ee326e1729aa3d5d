"""The shared request, checked once: plain values, and what they ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from attrs import evolve, frozen

from ..errors import RequestError, did_you_mean
from ..mapping.inputs import with_texts
from ..mapping.reports import Allowance
from ..mapping.workflows import REQUESTS, Kind, kind_of, workflow_of
from ..places import JsonObject, leaves
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, unknown_vendor
from . import mistakes
from .quick import MAX_DEPTH, SURROGATES, read_quickly

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError


# Without slots: they double the time that a frozen class takes to fill.
@frozen(slots=False)
class CheckedRequest:
    """A shared request after its one check: plain values, no unset fields, of one kind.

    It goes through planning as this one value. The constructor checks nothing: see `check_request`.
    """

    fields: JsonObject
    kind: Kind

    @property
    def workflow(self) -> str:
        """What is asked for, from the inputs that are set."""
        return workflow_of(self.fields, self.kind)

    @property
    def written(self) -> Mapping[str, Any]:
        """The fields that the rows of a route write."""
        if "model" not in self.fields and "extra" not in self.fields:
            return self.fields
        return {k: v for k, v in self.fields.items() if k not in {"model", "extra"}}

    @property
    def model(self) -> str | None:
        """The model family that is asked for, if any."""
        return self.fields.get("model")

    @property
    def extra(self) -> Mapping[str, JsonObject]:
        """Native fields, by vendor."""
        found: Mapping[str, JsonObject] = self.fields.get("extra", {})
        return found

    def of_model(self, family: str | None) -> CheckedRequest:
        """The same request for another model family; for any where `family` is None."""
        rest = {name: value for name, value in self.fields.items() if name != "model"}
        return evolve(self, fields=rest if family is None else {**rest, "model": family})


def check_allowances(allow: Mapping[str, Allowance] | None) -> Mapping[str, Allowance]:
    """What may become of which field. RequestError for other fields and words: they would do
    nothing.
    """
    if not allow:
        return {}
    if not isinstance(allow, Mapping):
        example = '{"duration": "nearest"}'
        raise RequestError([f"allow: a mapping, such as {example}, not {type(allow).__name__}"])
    contract, words = Contract.load("polyreel"), get_args(Allowance)
    known = [one for name in REQUESTS.values() for one in contract.schema(name)["properties"]]
    problems = [
        f"allow: {name}: no such field{did_you_mean(str(name), known)}"
        for name in allow
        if name not in known
    ]
    problems += [
        f"allow: {name}: {what!r} is none of {', '.join(words)}{did_you_mean(str(what), words)}"
        for name, what in allow.items()
        if what not in words
    ]
    if problems:
        raise RequestError(problems)
    return allow


def check_request(
    request: BaseModel | Mapping[str, Any] | CheckedRequest, kind: Kind | None = None
) -> CheckedRequest:
    """Check a request. Raises RequestError that names every bad field.

    A mapping is a request for images or a subject where only those have such fields or such a
    model, unless `kind` says what it is. Paths, bytes, open files and PIL images in it become
    texts: see `mapping.inputs`. A request that is checked already is the result itself.
    """
    if type(request) is dict:  # the usual one first: the tests below take longer than this one
        return _check_mapping(request, kind)
    if isinstance(request, CheckedRequest):
        return request
    if isinstance(request, Mapping):
        return _check_mapping(dict(request), kind)
    from polyreel_generated import shared  # noqa: PLC0415

    kinds = (one for one, name in REQUESTS.items() if isinstance(request, getattr(shared, name)))
    kind = next(kinds, None)
    if kind is None:
        raise RequestError(
            [
                "a request is a VideoRequest, an ImageRequest, an ElementRequest or a mapping, "
                f"not {type(request).__name__}"
            ]
        )
    plain = request.model_dump(exclude_unset=True, exclude_none=True)
    # The model has checked all but what is in `extra`.
    if "extra" in plain and (problem := _unwritable(plain)):
        raise RequestError([problem])
    return _of_known_vendors(CheckedRequest(plain, kind))


def _check_mapping(request: JsonObject, kind: Kind | None) -> CheckedRequest:
    kind = kind or _kind_of(request)
    plain = read_quickly(request, kind)
    if plain is None:
        plain = _check_slowly(with_texts(request), kind)
    found = CheckedRequest(plain, kind)
    return found if "extra" not in plain else _of_known_vendors(found)


def _check_slowly(request: JsonObject, kind: Kind) -> JsonObject:
    """The plain values of a request that may be wrong. RequestError says what is."""
    plain = read_quickly(request, kind)  # its files are texts now
    if plain is None:
        if problem := _unwritable(request):
            raise RequestError([problem])
        plain = _read_by_model(request, kind, _nulls(request))
    return plain


def _read_by_model(request: JsonObject, kind: Kind, nulls: list[str]) -> JsonObject:
    """The request as plain values. Raises RequestError; `nulls` are problems that are known."""
    adapter = _adapter(kind)
    try:
        model = adapter.validator.validate_python(request)
    except _validation_error() as error:
        raise RequestError(nulls or mistakes.problems(request, error, REQUESTS[kind])) from None
    if nulls:
        raise RequestError(nulls)
    plain: JsonObject = adapter.serializer.to_python(model, exclude_unset=True)
    return plain


def _kind_of(request: Mapping[str, Any]) -> Kind:
    """`image` or `element` for a mapping that only such a request can be, else `video`.

    A number of outputs without a model and without a word of videos is one of images.
    """
    if "output_format" in request or request.get("resolution") in ("1K", "2K"):
        return "image"
    model = request.get("model")
    if model is not None:
        name = model if isinstance(model, str) else ""  # whatever else it is has no kind
        sold = NOTHING.union(
            *(_sold_by(one).get(name, NOTHING) for one in all_providers().values())
        )
        if sold:
            return next(iter(sold)) if len(sold) == 1 else "video"
    elif "count" in request and _fields("image") >= request.keys():
        return "image"
    own, rest = _of_subjects()
    is_subject = not own.isdisjoint(request) and rest.isdisjoint(request)
    return "element" if is_subject else "video"


NOTHING: Final[frozenset[Kind]] = frozenset()


@cache
def _sold_by(vendor: Provider) -> Mapping[str, frozenset[Kind]]:
    """What a vendor makes with each of its models: each plan asks, and there are many routes."""
    found: dict[str, frozenset[Kind]] = {}
    for route in vendor.routes:
        found[route.model] = found.get(route.model, NOTHING) | {kind_of(route.workflow)}
    return found


@cache
def _of_subjects() -> tuple[frozenset[str], frozenset[str]]:
    """The fields that only requests for subjects have, and those that they have not."""
    others = _fields("video") | _fields("image")
    return _fields("element") - others, others - _fields("element")


@cache
def _fields(kind: Kind) -> frozenset[str]:
    return frozenset(Contract.load("polyreel").schema(REQUESTS[kind])["properties"])


@cache
def _adapter(kind: Kind) -> TypeAdapter[Any]:
    """What checks requests of a kind. Made at the first request: pydantic takes long to import."""
    from polyreel_generated import shared  # noqa: PLC0415
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(getattr(shared, REQUESTS[kind]))


def _validation_error() -> type[ValidationError]:
    """The error class of pydantic, which is imported only once there is an error."""
    from pydantic import ValidationError  # noqa: PLC0415

    return ValidationError


def _nulls(request: JsonObject) -> list[str]:
    """The problem of each null in a request."""
    return [
        f"{at.strip('/')}: null is no value; leave the field out"
        for at, value in leaves(request)
        if value is None
    ]


def _of_known_vendors(request: CheckedRequest) -> CheckedRequest:
    """The request itself. Raises RequestError where its `extra` names no vendor."""
    unknown = [name for name in request.extra if name not in all_providers()]
    if unknown:
        raise RequestError([f"extra.{name}: {unknown_vendor(name)}" for name in unknown])
    return request


def _unwritable(request: Mapping[Any, Any]) -> str | None:
    """Why no JSON text can carry a request, or None."""
    if any(not isinstance(name, str) for name in request):
        return "the names of fields are text"
    try:
        for at, value in leaves(dict(request)):
            if at.count("/") > MAX_DEPTH:
                return f"{_printable(at)}: nested too deeply"
            if isinstance(value, float) and not math.isfinite(value):
                return f"{_printable(at)}: {value} is not a number that JSON has"
            if any(SURROGATES.search(text) for text in (at, value) if isinstance(text, str)):
                reason = "not valid Unicode text (a lone surrogate), which no JSON can carry"
                return f"{_printable(at)}: {reason}"
    except RecursionError:
        return "the request is nested too deeply"
    return None


def _printable(at: str) -> str:
    return at.strip("/").encode("ascii", "backslashreplace").decode()[:80]
