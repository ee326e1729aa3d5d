"""One request for every route, for tests where it does not matter what is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import RequestError
from ..mapping.workflows import WORKFLOWS
from ..places import JsonObject
from ..plans.planning import Plan
from ..plans.reading import UnreadableBodyError, read
from ..plans.requests import check_request
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from .bodies import examples_of
from .laws import VALUES, planned


def submittable(
    provider: Provider, route: Route, requests: Sequence[Mapping[str, Any]] = ()
) -> Plan:
    """A plan of one route.

    It is for one of these requests, for an example of the spec, or for a plain request.
    AssertionError where the vendor serves none of them, with the reasons for the last.
    """
    reasons: list[str] = []
    for request in _candidates(provider, route, requests):
        made = planned(request, provider, route)
        if made.route is route and not made.refused:
            return made
        reasons = [f"{request}: {violation.message}" for violation in made.violations]
    raise AssertionError(
        f"no request asks for {route.model} {route.workflow}; {'; '.join(reasons)}"
    )


def _candidates(
    provider: Provider, route: Route, requests: Sequence[Mapping[str, Any]]
) -> Iterator[JsonObject]:
    for request in requests:
        yield check_request(request).fields
    for body in examples_of(provider, route):
        try:
            yield read(body, provider, route.path, route.model).request
        except (UnreadableBodyError, RequestError, ValueError):
            continue
    inputs = WORKFLOWS[route.workflow]
    for count in (2, 1):  # of two inputs, a vendor may take the first alone
        values = {name: VALUES[name][0] for name in inputs[:count] if name in VALUES}
        plain = {"model": route.model, **values, "prompt": "a cat"}
        yield plain
        yield {**plain, "duration": 5}
