"""The laws of the lens (polyreel.testing.laws), checked by Hypothesis over every route of every
vendor.

Every law sees every example, so that examples are drawn once.
"""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.mapping.rows import Field
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.testing import laws
from polyreel.testing.bodies import bodies, examples_of, malformed
from polyreel.testing.requests import requests_for
from support.laws import (
    READINGS,
    anchored,
    hold_for_body,
    hold_for_request,
    readings,
    vendors,
)
from support.requests import every_route, every_table, every_workflow

others = st.sampled_from(vendors())


@every_table
@given(data=st.data())
def test_laws_of_requests(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Laws 1, 3 and 5, and what planning and checking leave out to be quick."""
    hold_for_request(data.draw(requests_for(route, provider.contract)), provider, route)


@every_table
@given(data=st.data(), middle=others, target=others)
def test_laws_of_bodies(
    provider: Provider, route: Route, data: st.DataObject, middle: Provider, target: Provider
) -> None:
    """Laws 2 and 8, A -> B -> A, and law 3 for bodies."""
    hold_for_body(data.draw(bodies(provider, route)), provider, route, middle, target)


@every_table
@given(data=st.data(), target=others)
def test_every_malformed_body_is_accounted_for(
    provider: Provider, route: Route, data: st.DataObject, target: Provider
) -> None:
    """Law 3, however malformed a body is: a clear refusal or a report, never an exception or a
    silent loss.
    """
    laws.accounted(data.draw(malformed(provider, route)), provider, target)


@every_route
def test_every_field_and_every_property_is_known(provider: Provider, route: Route) -> None:
    """Law 4."""
    laws.totality(provider, route)


@every_route
def test_what_is_offered_is_accepted(provider: Provider, route: Route) -> None:
    """Law 4, the other half: a field that the tables offer can really be sent."""
    laws.offered_is_accepted(provider, route)


@every_table
@given(data=st.data())
def test_lenience_changes_nothing_that_strictness_accepts(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """Law 6."""
    request = data.draw(requests_for(route, provider.contract, stray=False))
    allow: Any = {name: data.draw(st.sampled_from(["drop", "nearest"])) for name in request}
    laws.lenience_is_idle(request, provider, allow)


@every_workflow
def test_a_detour_loses_no_less_of_one_clip(provider: Provider, route: Route) -> None:
    """Law 8, where a vendor makes one clip whatever is asked, and so writes no count."""
    count = route.by_name.get("count")
    if not isinstance(count, Field):
        return
    for body in examples_of(provider, route)[:2]:
        for middle, target in itertools.permutations(vendors(), 2):
            laws.triangle({**body, count.native: 1}, provider, route, middle, target)


@pytest.mark.parametrize("provider", vendors(), ids=lambda provider: provider.id)
def test_examples_mean_what_they_are_on_record_to_mean(
    provider: Provider, pytestconfig: pytest.Config
) -> None:
    """Law 0, the anchor: tables that are wrong in both directions at once are wrong here."""
    if pytestconfig.getoption("--update-plans"):
        READINGS.mkdir(exist_ok=True)
        text = json.dumps(readings(provider), indent=1, ensure_ascii=False)
        (READINGS / f"{provider.id}.json").write_text(text + "\n", encoding="utf-8")
    anchored(provider)
