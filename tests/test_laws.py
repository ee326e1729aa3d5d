"""Laws of the lens, checked by Hypothesis over every route of every vendor."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polyreel.mapping import Fate, Field, Group, leaves
from polyreel.planning import Plan, plan
from polyreel.provider import Provider, Route
from polyreel.translation import read
from support.requests import FIELDS, IMAGE_FIELDS, ROUTE_IDS, ROUTES, requests_for

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
every_route = pytest.mark.parametrize(("provider", "route"), ROUTES, ids=ROUTE_IDS)
CARRIED = {Fate.EXACT, Fate.CONVERTED}


def at(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer."""
    for part in pointer.strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


@every_route
@given(data=st.data())
@LAW
def test_what_is_written_reads_back(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 1: a field that a plan calls exact or converted comes back as it was."""
    request = data.draw(requests_for(route))
    made = plan(request, provider)
    if made.refused or made.route is None:
        return
    reading = read(made.body, provider, made.route.operation.PATH)
    assert not reading.problems
    again = {**provider.defaults(made.route), **reading.request}
    for verdict in made.verdicts:
        if verdict.source and verdict.verdict in CARRIED and verdict.field != "extra":
            assert at(again, verdict.source) == at(request, verdict.source)


@every_route
@given(data=st.data())
@LAW
def test_every_leaf_has_exactly_one_verdict(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 3: nothing the caller said is left without a word, and nothing is told twice."""
    request = data.draw(requests_for(route))
    made = plan(request, provider)
    assert sorted(v.source for v in made.verdicts if v.source) == sorted(pointer for pointer, _ in leaves(request))


@every_route
def test_every_field_and_every_property_is_known(provider: Provider, route: Route) -> None:
    """Law 4: every shared field has an answer, every native property is mapped or listed with a reason."""
    native = set(provider.contract.properties(route.schema))
    known = set(route.by_place) | set(route.ignored)
    assert native <= known, "native fields that nobody speaks of"
    assert known <= native, "tables speak of fields that the contract does not have"
    assert not set(route.by_place) & set(route.ignored) - {"model_params.multi_shot"}
    kind = IMAGE_FIELDS if route.workflow == "generate-image" else FIELDS
    assert set(route.by_name) <= set(kind) | {"callback_url"}


@every_route
@given(data=st.data())
@LAW
def test_plans_are_sound(provider: Provider, route: Route, data: st.DataObject) -> None:
    """Law 5: what is not refused fits the closed contract, and the generated model agrees to the letter."""
    request = data.draw(requests_for(route))
    made = plan(request, provider)
    if made.refused or made.route is None:
        assert made.violations
        return
    assert provider.contract.sends(made.route.schema, made.body) == []
    assert provider.contract.accepts(made.route.schema, made.body) == []
    typed = made.route.body.from_dict(made.body)
    sent = made.route.operation.build_request(body=typed)
    assert sent["json"] == json.loads(made.content) == made.body
    assert (sent["method"].upper(), made.url) == (made.method, provider.base_url + sent["url"])


@every_route
@given(data=st.data())
@LAW
def test_lenience_changes_nothing_that_strictness_accepts(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """Law 6: an allowance that is not needed is not used."""
    request = data.draw(requests_for(route, stray=False))
    strict = plan(request, provider)
    if not strict.refused:
        allow: Any = {name: data.draw(st.sampled_from(["drop", "nearest"])) for name in request}
        assert plan(request, provider, allow=allow).content == strict.content


@every_route
@given(data=st.data())
@LAW
def test_dropping_everything_leaves_only_missing_inputs(provider: Provider, route: Route, data: st.DataObject) -> None:
    """What may be dropped is dropped and told, so that only what is needed and not there can refuse a plan."""
    request = data.draw(requests_for(route))
    loose: Plan = plan(request, provider, allow=dict.fromkeys(request, "drop"))
    if not loose.refused:
        fates = {v.source: v.verdict for v in loose.verdicts if v.source}
        assert set(fates.values()) <= {Fate.EXACT, Fate.CONVERTED, Fate.DROPPED}


@every_route
def test_rows_name_places_once(provider: Provider, route: Route) -> None:
    """No two rows write to one place, and no two rows claim one shared field."""
    places = [row.native for row in route.rows if isinstance(row, Field)]
    places += [place for row in route.rows if isinstance(row, Group) for place in row.places]
    names = [name for row in route.rows for name in row.names]
    assert len(places) == len(set(places))
    assert len(names) == len(set(names))
