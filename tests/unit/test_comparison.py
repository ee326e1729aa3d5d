"""Matrix, difference, advice and drift: derived from routes and specs, so they are checked against
plans.
"""

import json
from typing import Any

import pytest
from polyreel.mapping.rows import Field
from polyreel.mapping.workflows import kind_of
from polyreel.places import JsonObject
from polyreel.plans.capabilities import capabilities
from polyreel.plans.choosing import plan
from polyreel.plans.comparison import advise, cell, difference, drift, matrix
from polyreel.plans.requests import check_request
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.scaffold.published import published
from polyreel.testing.laws import planned
from support.drafts import as_published
from support.loops import in_one_test
from support.matrix import one_of_each
from support.requests import EXAMPLES, ROUTES, every_route

PROVIDERS = list(all_providers().values())


def changed(provider: Provider, schema: str, change: Any) -> Contract:
    """The vendor's contract with one schema changed."""
    document = json.loads(json.dumps(provider.contract.document))
    named = document["components"]["schemas"][schema]
    inline(named, provider.contract)
    change(named)
    return Contract(document)


def inline(schema: JsonObject, contract: Contract) -> None:
    """Put copies of the schemas of an object's members in the place of references, however deep."""
    for name, child in schema.get("properties", {}).items():
        found = json.loads(json.dumps(contract.resolve(child)))
        schema["properties"][name] = found
        inline(found, contract)


def holder(schema: JsonObject, name: str) -> JsonObject:
    """The object in a schema that has a member of this name; the schema itself where none has."""
    inside = [schema, *schema["properties"].values()]
    return next((one for one in inside if name in one.get("properties", {})), schema)


def test_the_matrix_has_every_route_once() -> None:
    """Every workflow has a sheet, every vendor and model a column of it."""
    columns = [(sheet.workflow, *column) for sheet in matrix() for column in sheet.columns]
    routes = {(route.workflow, provider.id, route.model) for provider, route in ROUTES}
    assert set(columns) == routes
    assert len(columns) == len(routes)
    assert all(len(cells) == len(sheet.columns) for sheet in matrix() for _, cells in sheet.rows)


@every_route
def test_cells_tell_the_truth(provider: Provider, route: Any) -> None:
    """A field that a cell calls not offered is refused by the plan, with the cell's note as the
    reason.
    """
    kind = kind_of(route.workflow)
    bases = [
        {**one, "model": route.model}
        for one in EXAMPLES.values()
        if check_request(one).kind == kind
    ]
    base = next(request for request in bases if not planned(request, provider, route).refused)
    for item in capabilities(provider, route):
        if not item.offered:
            made = planned({**base, item.field: SAMPLES.get(item.field, "x")}, provider, route)
            assert item.field in {problem.field for problem in made.problems}
            assert cell(item) == "-"


SAMPLES: dict[str, Any] = {
    "duration": 5,
    "aspect_ratio": "16:9",
    "resolution": "720p",
    "audio": True,
    "keep_source_audio": True,
    "guidance_scale": 0.5,
    "watermark": True,
    "callback_url": "https://example.com/hook",
    "elements": ["7"],
    "shots": [{"prompt": "x"}],
    "shot_mode": "automatic",
    "character_orientation": "image",
    "reference_images": ["https://example.com/a.png"],
    **dict.fromkeys(("first_frame", "last_frame", "character_image"), "https://example.com/a.png"),
    **dict.fromkeys(
        ("source_video", "reference_video", "motion_video"), "https://example.com/a.mp4"
    ),
}


def test_a_vendor_does_not_differ_from_itself() -> None:
    """The difference of a vendor and itself is nothing."""
    for provider in PROVIDERS:
        assert list(difference(provider, provider)) == []


def test_difference_tells_losses_both_ways() -> None:
    """What is lost one way is gained the other way."""
    for one in PROVIDERS:
        for other in PROVIDERS:
            lost = {
                (d.model, d.workflow, d.field)
                for d in difference(one, other)
                if d.kind == "field lost"
            }
            gained = {
                (d.model, d.workflow, d.field)
                for d in difference(other, one)
                if d.kind == "field gained"
            }
            assert lost == gained


@pytest.mark.matrix
@in_one_test(
    lambda: (
        (name, (name,))
        for name in one_of_each(EXAMPLES, kind=lambda name: check_request(EXAMPLES[name]).workflow)
    )
)
def test_advice_agrees_with_plans(name: str) -> None:
    """The first advice is a vendor that serves the request, if any does."""
    found = advise(EXAMPLES[name])
    assert {advice.vendor for advice in found} == set(all_providers())
    served = any(not plan(EXAMPLES[name], provider).refused for provider in PROVIDERS)
    assert (not found[0].refused) == served


def shape(schema: JsonObject) -> str:
    """What an object calls the ratio of a clip."""
    return next(
        one for one in ("aspect_ratio", "ratio") if one in holder(schema, one)["properties"]
    )


CHANGES: list[tuple[str, Any, str, str]] = [
    (
        "narrower",
        lambda s: holder(s, "duration")["properties"]["duration"].update(maximum=4),
        "duration",
        "range narrowed",
    ),
    (
        "wider",
        lambda s: holder(s, "duration")["properties"]["duration"].update(maximum=99),
        "duration",
        "range widened",
    ),
    (
        "gone",
        lambda s: holder(s, shape(s))["properties"].pop(shape(s)),
        "aspect_ratio",
        "field lost",
    ),
    ("new", lambda s: s["properties"].update(novelty={"type": "integer"}), "", "field gained"),
    (
        "default",
        lambda s: holder(s, "duration")["properties"]["duration"].update(default=9),
        "duration",
        "default changed",
    ),
    (
        "required",
        lambda s: holder(s, "duration").setdefault("required", []).append("duration"),
        "duration",
        "now required",
    ),
    ("optional", lambda s: s.update(required=[]), "prompt", "no longer required"),
    (
        "retyped",
        lambda s: holder(s, "duration")["properties"]["duration"].update(type="string"),
        "duration",
        "range narrowed",
    ),
    (
        "word gone",
        lambda s: holder(s, shape(s))["properties"][shape(s)]["enum"].pop(),
        "aspect_ratio",
        "range narrowed",
    ),
    (
        "word added",
        lambda s: holder(s, shape(s))["properties"][shape(s)]["enum"].append("5:4"),
        "aspect_ratio",
        "range widened",
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "field", "kind"), CHANGES, ids=[change[0] for change in CHANGES]
)
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
def test_drift_names_the_shared_field(
    provider: Provider, name: str, change: Any, field: str, kind: str
) -> None:
    """A changed spec is told in shared fields and routes, and nothing else is."""
    route = next(r for r in provider.routes if r.workflow == "text-to-video")
    schema = provider.contract.schema(route.schema)
    if name == "optional" and "prompt" not in schema.get("required", ()):
        return
    length = provider.contract.property(route.schema, route.by_name["duration"].places[0])
    if name in {"wider", "retyped"} and "maximum" not in (length or {}):
        return
    found = list(drift(provider, provider.contract, changed(provider, route.schema, change)))
    touched = {r.workflow for r in provider.routes if r.schema == route.schema}
    assert {item.workflow for item in found} == touched
    assert (field, kind) in {(item.field.split(", ")[0], item.kind) for item in found}
    assert all(item.breaking for item in found if item.kind == "range narrowed")


def test_no_drift_without_a_change() -> None:
    """A spec does not drift from itself; a call or schema that is gone takes its routes along."""
    for provider in PROVIDERS:
        assert list(drift(provider, provider.contract, provider.contract)) == []
        document = json.loads(json.dumps(provider.contract.document))
        document["paths"].pop(provider.routes[0].operation.PATH)
        gone = list(drift(provider, provider.contract, Contract(document)))
        assert {item.kind for item in gone} == {"route lost"}
        document["components"]["schemas"].pop(provider.routes[0].schema)
        assert next(drift(provider, provider.contract, Contract(document))).kind == "route lost"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
def test_a_published_document_is_compared_as_it_is(provider: Provider) -> None:
    """Its schemas have other names, and none of polyreel's facts; what it changes is found."""
    plain = as_published(provider.contract.document)
    assert list(drift(provider, provider.contract, Contract(published(plain)))) == []
    route = next(r for r in provider.routes if r.workflow == "text-to-video")
    row = route.by_name["duration"]
    schema = plain["components"]["schemas"][f"{route.schema}Published"]
    assert isinstance(row, Field)
    inline(schema, Contract(plain))
    name = row.native.rpartition(".")[2]
    del holder(schema, name)["properties"][name]
    found = list(drift(provider, provider.contract, Contract(published(plain))))
    assert ("duration", "field lost") in {(item.field, item.kind) for item in found}
