"""What a vendor's models take, as the vendor says it when it is asked: the role `models`.

The contract says how to read the answer, beside the call:

    x-polyreel-limits:
      models: data           # the place of the list
      id: id                 # where an entry has the id of its model
      model: model           # where a body has it
      fields:                # places of a body, each with the member that says what it may hold
        resolution: supported_resolutions
        frame_images.frame_type: supported_frame_images
      shown: [pricing_skus]  # members that are only shown

A member that is a list has the values that may stand there; `false` means none. Everything else,
and a list that is empty or has anything but words and numbers, says nothing: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from attrs import field, frozen

from ...errors import BadReplyError, UnknownNameError
from ...flows import Flow, now
from ...places import Json, JsonObject, get, is_missing
from .answers import first
from .contract import Contract
from .provider import Provider

KEY: Final = "x-polyreel-limits"
_NUMBER: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(?:s|secs?|seconds?)?")


@frozen
class KeptLimits:
    """The models of a vendor, as its own call lists them."""

    vendor: str
    base_url: str
    """Where it was asked."""
    asked_at: float
    """When, in seconds since 1970."""
    models: tuple[JsonObject, ...] = field(repr=False)
    """The entries as they came."""

    @property
    def date(self) -> str:
        """The day of the answer, in UTC."""
        return datetime.fromtimestamp(self.asked_at, UTC).date().isoformat()


@frozen
class BrokenLimit:
    """A value of a body that its model does not take."""

    path: tuple[str | int, ...]
    value: Json
    model: str
    member: str
    """The member of the entry that says so."""
    allowed: tuple[Json, ...]
    """The values that the model takes; empty where it takes none."""


def has_limits(contract: Contract) -> bool:
    """Whether a vendor has a call that lists its models with what they take."""
    return contract.operation("models") is not None


def fetch_limits(provider: Provider, base_url: str | None = None) -> Flow[KeptLimits]:
    """Ask a vendor for its models: a free call.

    Raises UnknownNameError for a vendor without such a call, and VendorError where there is no
    usable answer.
    """
    operation = provider.contract.operation("models")
    if operation is None:
        text = f"{provider.id} documents no call that lists what its models take"
        raise UnknownNameError(text, vendor=provider.id)
    request = {"method": operation.method, "url": operation.path}
    reply = yield from provider.ask(request, base_url, "a query for its models")
    models = tuple(_entries(operation.spec[KEY], reply.json()))
    if not models:
        raise BadReplyError(f"{provider.id} answered with no list of models", vendor=provider.id)
    moment = yield from now()
    return KeptLimits(provider.id, base_url or provider.base_url, moment, models)


def _entries(how: JsonObject, answer: Json) -> Iterator[JsonObject]:
    """The entries of an answer that name a model."""
    listed = first(answer, (how["models"],)) if isinstance(answer, dict) else answer
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get(how["id"]), str):
            yield one


def reading_of(contract: Contract) -> JsonObject:
    """How the contract reads its list of models; nothing where it has none."""
    operation = contract.operation("models")
    found: JsonObject = operation.spec[KEY] if operation else {}
    return found


def broken_limits(contract: Contract, kept: KeptLimits, body: JsonObject) -> Iterator[BrokenLimit]:
    """The values of a body that its model does not take; none where the model is not listed."""
    how = reading_of(contract)
    model = get(body, how["model"]) if how else None
    if not isinstance(model, str):
        return
    entry = next((one for one in kept.models if one.get(how["id"]) == model), {})
    for place, member in how["fields"].items():
        allowed = _allowed(entry.get(member))
        if allowed is None:
            continue
        taken = {_plain(one) for one in allowed}
        for path, value in _values(body, place):
            if value is not False and _plain(value) not in taken:
                yield BrokenLimit(path, value, model, member, allowed)


def _allowed(said: Json) -> tuple[Json, ...] | None:
    """The values that a model takes; None where nothing certain is said."""
    if said is False:
        return ()
    if not isinstance(said, list) or not said:
        return None
    known = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in said)
    return tuple(said) if known else None


def _values(body: JsonObject, place: str) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """The values at a dotted place of a body, in each item where it leads into a list."""
    whole = get(body, place)
    if not is_missing(whole):
        if whole is not None:
            yield tuple(place.split(".")), whole
        return
    name, _, rest = place.partition(".")
    listed = body.get(name)
    for at, item in enumerate(listed) if isinstance(listed, list) and rest else ():
        value = get(item, rest) if isinstance(item, dict) else None
        if isinstance(value, str | int | float):
            yield (name, at, *rest.split(".")), value


def _plain(value: Json) -> str | float:
    """A value in one form: `"8"`, `"8s"` and 8 are the same, as are `4k` and `4K`."""
    text = str(value).strip().lower()
    number = _NUMBER.fullmatch(text)
    return float(number[1]) if number else text
