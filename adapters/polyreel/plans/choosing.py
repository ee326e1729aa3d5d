"""The plan of a request: of the vendor that is asked, or of the first that can serve it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UnknownNameError
from ..mapping.reports import Allowance
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from .planning import Plan, badness, plan_checked
from .requests import CheckedRequest, check_allowances, check_request
from .shapes import SHAPES, Key, Values, sighted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..providers.base.registry import Vendor


def plan(
    request: BaseModel | Mapping[str, Any],
    vendor: Vendor,
    *,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
    base_url: str | None = None,
    override: bool = False,
    stream: bool = False,
) -> Plan:
    """Plan a request for one vendor. Nothing is sent, and no key is needed.

    Args:
        request: a VideoRequest, ImageRequest or ElementRequest, or a mapping with the same fields.
        vendor: a vendor's id.
        allow: the fields that may be left out (`"drop"`) or brought to the nearest value that the
            vendor takes (`"nearest"`), or that may be sent although only an inferred fact speaks
            against it (`"send"`). By default nothing may.
        preferences: values for unset fields, left out where the vendor has no words for them, or
            would refuse the plan for them.
        base_url: another address of the vendor's API.
        override: whether `extra` replaces what the other fields say.
        stream: whether the paid call is the one that answers with an event stream.

    Raises RequestError for a malformed request, and UnknownNameError for an unknown vendor. A plan
    that the vendor cannot take is returned all the same: see `violations`, or call `check()`.

    >>> from polyreel import plan
    >>> made = plan({"prompt": "a cat", "duration": 5}, "evolink")
    >>> made.refused, made.body["duration"]
    (False, 5)
    >>> print(plan({"prompt": "a cat", "aspect_ratio": "5:7"}, "evolink").violations[0].message)
    aspect_ratio: 5:7 is not offered; evolink takes one of 16:9, 9:16, 1:1
    """
    provider = get_provider(vendor)
    if base_url:
        base_url = provider.without_repetition(base_url)
    found = sighted(request, provider, base_url, allow, preferences, override, stream)
    if found is not None and (made := SHAPES.plan(*found)):
        return made
    base_urls = {provider.id: base_url} if base_url else {}
    return _planned(
        request, [provider], found, allow, preferences, base_urls, override=override, stream=stream
    )


def choose(
    request: BaseModel | Mapping[str, Any] | CheckedRequest,
    providers: Sequence[Provider],
    *,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
    base_urls: Mapping[str, str] | None = None,
    override: bool = False,
    stream: bool = False,
) -> Plan:
    """The plan of the first vendor that can serve a request, else the one with the fewest problems.

    Raises UnknownNameError where there is no vendor to choose from.
    """
    if not providers:
        raise UnknownNameError("no vendor to choose from")
    first = providers[0]
    base_url = base_urls.get(first.id) if base_urls else None
    found = sighted(request, first, base_url, allow, preferences, override, stream)
    if found is not None and (made := SHAPES.plan(*found)):
        return made
    return _planned(
        request,
        providers,
        found,
        allow,
        preferences,
        base_urls or {},
        override=override,
        stream=stream,
    )


def _planned(
    request: BaseModel | Mapping[str, Any] | CheckedRequest,
    providers: Sequence[Provider],
    found: tuple[Key, Values] | None,
    allow: Mapping[str, Allowance] | None,
    preferences: Mapping[str, Any] | None,
    base_urls: Mapping[str, str],
    *,
    override: bool,
    stream: bool,
) -> Plan:
    """The plan of a request whose shape is not known; `found` is its shape at the first vendor."""
    checked, allowed = check_request(request), check_allowances(allow)
    made = _best_of(
        plan_checked(
            checked,
            provider,
            allow=allowed,
            preferences=preferred,
            base_url=base_urls.get(provider.id),
            override=override,
            stream=stream,
        )
        for provider in providers
        for preferred in ([preferences, {}] if preferences else [{}])
    )
    if found is not None and made.provider is providers[0]:
        SHAPES.learn(*found, made, allow, preferences)
    return made


def _best_of(plans: Iterator[Plan]) -> Plan:
    """The first plan not refused, else one with a route, few problems, and most of the fields."""
    best = next(plans)
    if best.refused:
        for other in plans:
            best = min(best, other, key=badness)
            if not best.refused:
                break
    return best
