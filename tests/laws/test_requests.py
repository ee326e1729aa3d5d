"""The requests that the laws are tried with come from the shared spec, with all of its fields."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from polyreel import plan
from polyreel.mapping.rows import Absent, Field
from polyreel.mapping.workflows import REQUESTS, WORKFLOWS
from polyreel.plans.capabilities import NOT_FIELDS
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.testing.laws import completed
from polyreel.testing.requests import fields_of, requests_for, shared_spec
from support.requests import ROUTES, every_table, every_workflow

KINDS = [*REQUESTS.values()]
NEW: dict[str, dict[str, Any]] = {
    "variant": {"type": "integer", "minimum": 0, "maximum": 4_294_967_295},
    "camera_path": {"type": "string", "enum": ["pan", "dolly"]},
    "color": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    "title": {"type": "string", "minLength": 3, "maxLength": 8},
    "strength": {"type": "number", "minimum": 2, "maximum": 3},
    "loop": {"type": ["boolean", "null"]},
    "frames": {"type": "array", "minItems": 2, "items": {"$ref": "#/components/schemas/Shot"}},
    "frame_shape": {"$ref": "#/components/schemas/AspectRatio"},
    "labels": {"type": "object", "additionalProperties": True},
    "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]},
}
"""Fields that no spec has yet, one of each kind of schema."""


def extended() -> Contract:
    """The shared spec with the new fields in both kinds of request."""
    document = copy.deepcopy(shared_spec().document)
    for kind in KINDS:
        document["components"]["schemas"][kind]["properties"] |= NEW
    return Contract(document)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_spec_is_drawn(kind: str) -> None:
    """All but the model, which is the route's, and `extra`, which belongs to one vendor."""
    spec = shared_spec()
    assert set(fields_of(spec, kind)) == set(spec.schema(kind)["properties"]) - NOT_FIELDS


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_drawn_fits_the_spec(kind: str, data: st.DataObject) -> None:
    """Of the fields that the spec has, and of those that it may have some day."""
    spec = extended()
    for name, values in fields_of(spec, kind).items():
        value = data.draw(values)
        assert spec.accepts(kind, {name: value}) == [], name


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("workflow", ["generate-image", "text-to-video"])
def test_a_new_field_of_the_spec_is_drawn_at_once(name: str, workflow: str) -> None:
    """A row in a vendor's table is enough: nothing in the tests says how to draw the field."""
    old = next(route for _, route in ROUTES if route.workflow == workflow)
    new = evolve(old, rows=(*old.rows, Field(name, name)))
    assert name in found(requests_for(new, spec=extended()), lambda request: name in request)
    assert all(name not in shared_spec().schema(kind)["properties"] for kind in KINDS)


@every_table
@given(data=st.data())
def test_without_stray_only_fields_of_the_route_are_drawn(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """With it, others are drawn too, so that refusals are tried."""
    assert not odd(route, data.draw(requests_for(route, provider.contract, stray=False)))


def test_with_stray_other_fields_are_drawn() -> None:
    """Now and then."""
    _, route = ROUTES[0]
    assert found(requests_for(route), lambda request: bool(odd(route, request)))


def odd(route: Route, request: dict[str, Any]) -> set[str]:
    """The fields of a request that the route has no row for, or that it refuses."""
    return set(request) - taken(route) - {"model"}


def taken(route: Route) -> set[str]:
    """The fields that a route has a row for, and does not refuse."""
    return {name for row in route.rows if not isinstance(row, Absent) for name in row.names}


@every_workflow
def test_requests_can_be_planned(provider: Provider, route: Route) -> None:
    """So that the laws see whole plans, with more in them than what a workflow needs.

    (Those of its inputs that the route takes: one for which `last_frame` is absent has one less.)
    """
    needed = 1 + len(taken(route) & set(WORKFLOWS[route.workflow]))
    drawn = found(
        requests_for(route, provider.contract, stray=False).map(
            lambda request: completed(request, provider, route)
        ),
        lambda request: len(request) > needed + 2 and not plan(request, provider).refused,
    )
    assert not plan(drawn, provider).refused


def found(requests: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    """A request of a kind, or NoSuchExample."""
    quick = settings(max_examples=1000, database=None, phases=[Phase.generate])
    return find(requests, wanted, settings=quick)


def test_a_schema_that_cannot_be_drawn_is_an_error() -> None:
    """And not a field that is silently left out."""
    spec = extended()
    spec.schema("VideoRequest")["properties"]["odd"] = {"not": {"type": "string"}}
    with pytest.raises(ValueError, match="no strategy"):
        fields_of(spec, "VideoRequest")
