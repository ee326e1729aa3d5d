"""Law 0, the anchor of the laws: what polyreel's own specs and tables are on record to mean."""

import json
from typing import Any

from polyreel.plans.reading import read
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers

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
