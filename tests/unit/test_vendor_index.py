"""A vendor's own index of parameters, transcribed, beside its spec: `drift` tells what differs."""

import json
from typing import Any, Final

import pytest
from polyreel.plans.comparison import drift
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.registry import all_providers
from ruamel.yaml import YAML
from support.paths import TESTS

FACTS: Final = TESTS / "facts"
INDEXES: Final = {path.stem.removesuffix("-parameters"): path for path in FACTS.glob("*.yaml")}
LEFT_OUT: Final = ("model", "callback_url")
"""Fields that the index does not list."""


def known(index: dict[str, Any]) -> set[str]:
    """What differs, and is wanted: the fixture has the reason of each."""
    return {text for group in index["differences"] for text in group["found"]}


def native(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a field as a JSON schema."""
    kind = facts["type"]
    uri = {"type": "string", "format": "uri"}
    if kind == "uri":
        return {**facts, **uri}
    return {**facts, "type": "array", "items": uri} if isinstance(kind, list) else facts


def as_the_index_has_it(contract: Contract, index: dict[str, Any]) -> Contract:
    """The contract with the fields of the index in the place of its own."""
    document = json.loads(json.dumps(contract.document))
    made = Contract(document)
    schemas = document["components"]["schemas"]
    names = {
        one["properties"]["model"].get("const"): name
        for name, one in schemas.items()
        if "model" in one.get("properties", {})
    }
    for model, facts in index["models"].items():
        own = schemas[names[model]]
        kept = {name: own["properties"][name] for name in LEFT_OUT}
        places = {place: made.property(names[model], place) or {} for place in facts["fields"]}
        own["properties"] = kept
        own["required"] = ["model", *facts["required"]]
        for place, field in facts["fields"].items():
            node = own["properties"]
            *parents, last = place.split(".")
            for parent in parents:
                node = node.setdefault(parent, {"type": "object", "properties": {}})["properties"]
            media = places[place].get("x-polyreel-media")
            node[last] = {**native(field), **({"x-polyreel-media": media} if media else {})}
    return made


@pytest.mark.parametrize("vendor", list(INDEXES))
def test_the_spec_and_the_vendors_own_index_agree(vendor: str) -> None:
    """But for differences that are known, and each has its reason."""
    provider = all_providers()[vendor]
    index = YAML(typ="safe", pure=True).load(INDEXES[vendor].read_text(encoding="utf-8"))
    found = drift(provider, provider.contract, as_the_index_has_it(provider.contract, index))
    reported = {
        f"{one.model} {one.workflow}: {one.kind}, {one.before.partition(':')[0]}" for one in found
    }
    assert reported == known(index)


@pytest.mark.parametrize("vendor", list(INDEXES))
def test_a_wrong_fact_is_seen(vendor: str) -> None:
    """Every field of the index is compared: a changed one drifts."""
    provider = all_providers()[vendor]
    text = INDEXES[vendor].read_text(encoding="utf-8")
    for old, new in (("maximum: 15", "maximum: 14"), ("default: 5", "default: 6"), ("1080p", "2k")):
        index = YAML(typ="safe", pure=True).load(text.replace(old, new))
        found = list(
            drift(provider, provider.contract, as_the_index_has_it(provider.contract, index))
        )
        assert len(found) > len(known(index))
        assert any(one.breaking for one in found)
