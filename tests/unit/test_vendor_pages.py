"""The page of each vendor is made of its spec and its tables: what they say, it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from polyreel.mapping.items import TypedItems
from polyreel.providers.base import registry
from polyreel.providers.base.provider import Provider
from polyreel.testing.registration import registered
from polyreel.verification.reports import with_document
from support.odd_queue import QueueVendor
from support.paths import ROOT
from support.server import PROVIDERS

SECTIONS = (
    "What the spec says",
    "Models and workflows",
    "Calls",
    "A job's life",
    "Webhooks",
    "Files",
    "Answers",
    "Errors",
    "Prices",
    "What is inferred",
    "Fields",
)
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that makes the pages."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("vendor_pages")


@each_vendor
def test_a_page_has_all_of_a_vendor(provider: Provider, scripts: ModuleType) -> None:
    """Every call, model, workflow, shared field, native place, status word and variable."""
    text = scripts.page(provider)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [*SECTIONS]
    wanted = {f"`{one.method} {one.path}`" for one in provider.contract.operations.values()}
    wanted |= {f"`{word}`" for word in provider.statuses}
    rows = [row for route in provider.routes for row in route.rows]
    wanted |= {f"`{one}`" for row in rows if not isinstance(row, TypedItems) for one in row.places}
    wanted |= {f"`{field}`" for route in provider.routes for field in route.by_name}
    wanted |= {f"### {route.model} {route.workflow}\n" for route in provider.routes}
    wanted |= {f"`{provider.key_variable}`", provider.base_url}
    assert sorted(one for one in wanted if one not in text) == []
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 100


@each_vendor
def test_errors_of_other_calls_say_nothing_of_a_submit(
    provider: Provider, scripts: ModuleType
) -> None:
    """Only what answers a submit has a verdict."""
    contract, rows = provider.contract, scripts.page(provider).splitlines()
    named: dict[bool, set[tuple[int, str]]] = {True: set(), False: set()}
    for one in contract.operations.values():
        for status, _, name, _ in contract.replies(one):
            if status >= 400:
                named[one.role in {"create", "stream"}].add((status, name.replace("_", " ")))
    for status, name in sorted(named[False] ^ named[True]):
        (row, *_) = (
            one for one in rows if one.startswith(f"| {status} |") and f"| {name} |" in one
        )
        assert row.endswith("| - |") is ((status, name) in named[False]), row


def test_only_own_vendors_have_a_page(scripts: ModuleType) -> None:
    """That of another package's vendor is for that package."""
    before = registry.entry_points
    try:
        other = registered(QueueVendor)
        assert other.id in registry.all_providers()
        assert [path.stem for path in scripts.pages()] == [one.id for one in PROVIDERS]
    finally:
        registry.entry_points = before
        registry.all_providers.cache_clear()


# -- what a spec says anew -------------------------------------------------------------------------


def create_of(document: Any) -> Any:
    """The first paid call of a document."""
    calls = (call for item in document["paths"].values() for call in item.values())
    return next(call for call in calls if call.get("x-polyreel-role") == "create")


def with_error(document: Any, status: str, body: Any) -> None:
    """One more documented error of the first paid call."""
    reply = create_of(document)["responses"][status]
    while "$ref" in reply:
        reply = document["components"]["responses"][reply["$ref"].rpartition("/")[2]]
    reply["content"]["application/json"]["examples"]["odd_error"] = {"value": body}


def schema_of(provider: Provider, document: Any) -> Any:
    """The schema of the vendor's first route."""
    return document["components"]["schemas"][provider.routes[0].schema]


def prove(provider: Provider, document: Any) -> Iterator[str]:
    body = error_like(provider)
    with_error(document, "500", body)
    yield "| odd error |"
    yield "| proves nothing |"


def error_like(provider: Provider) -> Any:
    """The body of a documented error of a paid call."""
    create = provider.contract.operation("create")
    assert create is not None
    return next(body for status, _, _, body in provider.contract.replies(create) if status == 401)


def price(provider: Provider, document: Any) -> Iterator[str]:
    schema_of(provider, document)["x-polyreel-price"] = {
        "credits_per_second": "7.25",
        "seconds": {"of": "duration"},
        "round_to": "0.01",
        "source": "a page of 1 May 2026",
    }
    document["x-polyreel-money"] = [
        {"as_of": "2026-05-01", "credits_per_usd": "10", "source": "the same page"}
    ]
    yield "7.25 credits = $0.725000 | a page of 1 May 2026 |"
    yield "A dollar buys 10 credits since 2026-05-01 (the same page)."


def mark(provider: Provider, document: Any) -> Iterator[str]:
    facts = {"x-polyreel-mark": "inferred", "minLength": 3, "type": "string"}
    schema_of(provider, document).setdefault("allOf", []).append(facts)
    yield '`{"minLength": 3, "type": "string"}` |'


def describe(provider: Provider, document: Any) -> Iterator[str]:
    document["info"]["description"] = "Two pages of June 2026 disagree."
    yield "\n## What the spec says\n\nTwo pages of June 2026 disagree.\n"


def cancel(provider: Provider, document: Any) -> Iterator[str]:
    query = next(
        (path, call)
        for path, item in document["paths"].items()
        for call in item.values()
        if call.get("x-polyreel-role") == "get"
    )
    call = {**query[1], "operationId": "stop", "x-polyreel-role": "cancel"}
    call["x-polyreel-cancel"] = {"statuses": {"202": "too-late"}, "bill": "half of it is billed"}
    document["paths"][f"{query[0]}/stop"] = {"delete": call}
    yield f"`polyreel cancel` asks with `DELETE {query[0]}/stop`."
    yield "`202` means too late."
    yield "The bill: half of it is billed."


@pytest.mark.matrix("provider", "change")
@pytest.mark.parametrize("change", [prove, price, mark, describe, cancel])
@each_vendor
def test_what_a_spec_says_the_page_says(
    provider: Provider, change: Callable[[Provider, Any], Iterator[str]], scripts: ModuleType
) -> None:
    """Each fact has its words; nothing is typed by hand."""
    document = json.loads(json.dumps(provider.contract.document))
    for path, item in [*document["paths"].items()]:
        kept = {name: one for name, one in item.items() if one.get("x-polyreel-role") != "cancel"}
        document["paths"] = {**document["paths"], path: kept}
    wanted = list(change(provider, document))
    before, after = scripts.page(provider), scripts.page(with_document(provider, document))
    joined = " ".join(after.split())
    missing = [one for one in wanted if " ".join(one.split()) not in joined]
    assert missing == []
    assert before != after
