"""Which routes of a vendor a request is for. They are looked up: each plan asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from .requests import CheckedRequest


def fitting_routes(
    request: CheckedRequest, provider: Provider, among: Sequence[Route] | None = None
) -> Sequence[Route]:
    """The routes that a vendor sells for a request's workflow and model, or some of them."""
    found = _sold(provider).get((request.workflow, request.model or None), ())
    return found if among is None else [route for route in found if route in among]


@cache
def _sold(provider: Provider) -> Mapping[tuple[str, str | None], Sequence[Route]]:
    """The routes of each workflow, for each model family and for any."""
    found: dict[tuple[str, str | None], list[Route]] = {}
    for route in provider.routes:
        for model in (route.model, None):
            found.setdefault((route.workflow, model), []).append(route)
    return found
