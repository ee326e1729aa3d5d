"""The laws that see one example together, and law 0, the anchor of the laws: what polyreel's own
specs and tables are on record to mean.
"""

import json
from typing import Any

from polyreel.mapping.reports import Fate, MappingReport
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.plans.courses import has_work
from polyreel.plans.reading import read
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.routes import Route
from polyreel.testing import laws

from .paths import TESTS

READINGS = TESTS / "readings"


def readings(provider: Provider) -> dict[str, Any]:
    """What every example body of a vendor's spec says in shared words: the anchor of all laws."""
    found: dict[str, Any] = {}
    contract = provider.contract
    for operation in (*contract.operations.values(), *contract.read_only_operations.values()):
        if operation.role == "create" or operation.is_read_only:
            for name, body in operation.request_examples.items():
                reading = read(body, provider, operation.example_paths[name])
                said = {**provider.defaults(reading.route), **reading.request}
                found[f"{operation.id} {name}"] = {
                    "workflow": reading.route.workflow,
                    "asked": said,
                }
    return found


def anchored(provider: Provider) -> None:
    """Law 0: the spec's own examples mean what they are on record to mean."""
    record = json.loads((READINGS / f"{provider.id}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(readings(provider))) == record


def vendors() -> list[Provider]:
    """Every vendor."""
    return list(all_providers().values())


def hold_for_request(request: JsonObject, provider: Provider, route: Route) -> None:
    """Laws 1, 3 and 5, and what planning and checking leave out to be quick."""
    laws.reads_back(request, provider, route)
    laws.every_leaf_has_a_verdict(request, provider, route)
    laws.sound(request, provider, route)
    what_may_be_dropped_is_dropped(request, provider)
    rows_without_work_say_nothing(request, route)
    no_broken_rule_is_left_out(request, provider, route)


def what_may_be_dropped_is_dropped(request: JsonObject, provider: Provider) -> None:
    """With every loss allowed, only what is needed and not there can refuse a plan, and no leaf is
    refused.
    """
    loose = plan(request, provider, allow=dict.fromkeys(request, "drop"))
    if not loose.refused:
        assert {v.verdict for v in loose.verdicts if v.source} <= {
            Fate.EXACT,
            Fate.CONVERTED,
            Fate.DROPPED,
        }


def rows_without_work_say_nothing(request: JsonObject, route: Route) -> None:
    """Planning asks only the rows with work for the fields that are set; the others would write and
    report nothing.
    """
    for row in route.rows:
        body: dict[str, Any] = {}
        report = MappingReport()
        if not has_work(row, request):
            row.write(request, body, {}, report)
        assert (body, report) == ({}, MappingReport())


def no_broken_rule_is_left_out(request: JsonObject, provider: Provider, route: Route) -> None:
    """Checking asks only for the rules whose fields a body has; whatever breaks one is told all the
    same.
    """
    contract = provider.contract
    body = laws.planned(request, provider, route).body
    reported = contract.accepts(route.schema, body)
    assert all(
        violation in reported
        for _, violation in contract.broken_rules(contract.schema(route.schema), body)
    )


def hold_for_body(
    body: JsonObject, provider: Provider, route: Route, middle: Provider, target: Provider
) -> None:
    """Laws 2 and 8, A -> B -> A, and law 3 for bodies."""
    laws.writes_back(body, provider, route)
    laws.triangle(body, provider, route, middle, target)
    laws.there_and_back(body, provider, route, target)
    laws.accounted(body, provider, target)
