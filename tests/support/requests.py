"""Shared requests for tests: the examples on disk, and every route there is."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from polyreel.providers.base.registry import all_providers

from .loops import Case, in_one_test
from .matrix import covered, whole
from .paths import TESTS

EXAMPLES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((TESTS / "requests").glob("*.json"))
}
ROUTES = [(provider, route) for provider in all_providers().values() for route in provider.routes]
LEAST_EXAMPLES = 4
"""How many examples a sampled route of a law has at least."""
ROUTE_IDS = [
    f"{provider.id}-{route.model}-{route.body.__name__}-{route.workflow}"
    for provider, route in ROUTES
]


def every_route(law: Callable[..., None]) -> Callable[..., None]:
    """One test that goes through every body of every vendor, and every workflow.

    Workflows of one family may share a body and its rows. `scripts/matrix` goes through all.
    """
    in_one: Callable[..., None] = pytest.mark.matrix(in_one_test(_routes)(law))
    return in_one


def _routes() -> Iterator[Case]:
    """A covering sample of the routes, by name."""
    named = zip(ROUTE_IDS, ROUTES, strict=True)
    yield from covered(named, lambda one: ((one[1][0].id, one[1][1].schema), one[1][1].workflow))


def every_table(law: Callable[..., None]) -> Callable[..., None]:
    """A test with drawn examples, for every workflow of every vendor and every kind of row.

    A family whose rows are those of others adds nothing that a law has not seen: only what is drawn
    for it costs time. All are run by `scripts/matrix` and `scripts/laws`.
    """
    return _sampled(shortened(law), "provider.id+route.workflow", "route.rows*")


def every_workflow(test: Callable[..., None]) -> Callable[..., None]:
    """A test for one route of each workflow of every vendor."""
    return _sampled(test, "provider.id+route.workflow")


def shortened(law: Callable[..., None]) -> Callable[..., None]:
    """A law with fewer examples, the more routes there are; with all in the whole matrix.

    Many routes are alike: what one of them is not tried with, another one is.
    """
    examples = settings().max_examples
    share = max(LEAST_EXAMPLES, -(-60 * examples // len(ROUTES)))
    fewer: Callable[..., None] = settings(max_examples=min(examples, share))(law)
    return law if whole() else fewer


def _sampled(law: Callable[..., None], *axes: str) -> Callable[..., None]:
    routes = pytest.mark.parametrize(("provider", "route"), ROUTES, ids=ROUTE_IDS)
    sampled: Callable[..., None] = pytest.mark.matrix(*axes)(routes(law))
    return sampled
