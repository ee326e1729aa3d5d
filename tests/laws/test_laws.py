"""The laws of the lens (polyreel.testing.laws), checked by Hypothesis over every route of every
vendor.
"""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.mapping.reports import Fate, MappingReport
from polyreel.mapping.rows import Field
from polyreel.plans.choosing import plan
from polyreel.plans.courses import has_work
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.testing import laws
from polyreel.testing.bodies import bodies, examples_of, malformed
from polyreel.testing.requests import requests_for
from support.laws import READINGS, anchored, readings, vendors
from support.requests import every_route, every_table, every_workflow

others = st.sampled_from(vendors())


@every_table
@given(data=st.data())
def test_what_is_written_reads_back(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 1."""
    laws.reads_back(data.draw(requests_for(route, provider.contract)), provider, route)


@every_table
@given(data=st.data())
def test_what_is_read_writes_back(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 2."""
    laws.writes_back(data.draw(bodies(provider, route)), provider, route)


@every_table
@given(data=st.data())
def test_every_leaf_has_exactly_one_verdict(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """Law 3, for shared requests."""
    laws.every_leaf_has_a_verdict(
        data.draw(requests_for(route, provider.contract)), provider, route
    )


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
def test_plans_are_sound(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 5."""
    laws.sound(data.draw(requests_for(route, provider.contract)), provider, route)


@every_table
@given(data=st.data())
def test_lenience_changes_nothing_that_strictness_accepts(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """Law 6."""
    request = data.draw(requests_for(route, provider.contract, stray=False))
    allow: Any = {name: data.draw(st.sampled_from(["drop", "nearest"])) for name in request}
    laws.lenience_is_idle(request, provider, allow)


@every_table
@given(data=st.data(), middle=others, target=others)
def test_a_detour_loses_no_less(
    provider: Provider, route: Route, data: st.DataObject, middle: Provider, target: Provider
) -> None:
    """Law 8."""
    laws.triangle(data.draw(bodies(provider, route)), provider, route, middle, target)


@every_workflow
def test_a_detour_loses_no_less_of_one_clip(provider: Provider, route: Route) -> None:
    """Law 8, where a vendor makes one clip whatever is asked, and so writes no count."""
    count = route.by_name.get("count")
    if not isinstance(count, Field):
        return
    for body in examples_of(provider, route)[:2]:
        for middle, target in itertools.permutations(vendors(), 2):
            laws.triangle({**body, count.native: 1}, provider, route, middle, target)


@every_table
@given(data=st.data(), target=others)
def test_there_and_back_is_the_same(
    provider: Provider, route: Route, data: st.DataObject, target: Provider
) -> None:
    """A -> B -> A."""
    laws.there_and_back(data.draw(bodies(provider, route)), provider, route, target)


@every_table
@given(data=st.data(), target=others)
def test_every_body_is_accounted_for(
    provider: Provider, route: Route, data: st.DataObject, target: Provider
) -> None:
    """Law 3, for native bodies, however malformed: a clear refusal or a report, never an exception
    or a silent loss.
    """
    laws.accounted(data.draw(malformed(provider, route)), provider, target)
    laws.accounted(data.draw(bodies(provider, route)), provider, target)


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


@every_table
@given(data=st.data())
def test_what_may_be_dropped_is_dropped_and_reported(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """With every loss allowed, only what is needed and not there can refuse a plan, and no leaf is
    refused.
    """
    request = data.draw(requests_for(route, provider.contract))
    loose = plan(request, provider, allow=dict.fromkeys(request, "drop"))
    if not loose.refused:
        assert {v.verdict for v in loose.verdicts if v.source} <= {
            Fate.EXACT,
            Fate.CONVERTED,
            Fate.DROPPED,
        }


@every_table
@given(data=st.data())
def test_rows_that_planning_leaves_out_have_nothing_to_say(
    route: Route, provider: Provider, data: st.DataObject
) -> None:
    """Planning asks only the rows with work for the fields that are set; the others would write and
    report nothing.
    """
    request = data.draw(requests_for(route, provider.contract))
    for row in route.rows:
        body: dict[str, Any] = {}
        report = MappingReport()
        if not has_work(row, request):
            row.write(request, body, {}, report)
        assert (body, report) == ({}, MappingReport())


@every_table
@given(data=st.data())
def test_no_broken_rule_is_left_out(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Checking asks only for the rules whose fields a body has; whatever breaks one is told all the
    same.
    """
    contract = provider.contract
    body = laws.planned(data.draw(requests_for(route, provider.contract)), provider, route).body
    reported = contract.accepts(route.schema, body)
    assert all(
        violation in reported
        for _, violation in contract.broken_rules(contract.schema(route.schema), body)
    )
