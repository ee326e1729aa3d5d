"""Vendors with and without published prices, and jobs that they charged for."""

from __future__ import annotations

from typing import Any

from polyreel.providers.base.registry import all_providers
from polyreel_generated.shared import Job

PRICED_ROUTES = [
    (provider, route)
    for provider in all_providers().values()
    for route in provider.routes
    if "x-polyreel-price" in provider.contract.schema(route.schema)
]
SELLER = PRICED_ROUTES[0][0]
PRICED = list(dict.fromkeys(provider.id for provider, _ in PRICED_ROUTES))
"""The vendors that publish prices."""
UNPRICED = [vendor for vendor in all_providers() if vendor not in PRICED]
REQUEST = {"prompt": "a cat", "duration": 5, "resolution": "1080p", "audio": True}

SAYING = {
    vendor: provider.contract.document["x-polyreel-usage"]
    for vendor, provider in all_providers().items()
    if "x-polyreel-usage" in provider.contract.document
}
SILENT = [vendor for vendor in all_providers() if vendor not in SAYING]
CREDITED = [vendor for vendor, rule in SAYING.items() if "credits" in rule]
"""Those that say it in credits, which the simulator invents; others say dollars only."""
NOVEMBER = 1_795_000_000.0
"""A moment in November 2026."""


def job(vendor: str, usage: Any, status: str = "succeeded", **more: Any) -> Job:
    """A job whose vendor says this of its usage."""
    fixed = {
        "vendor": vendor,
        "model": "m",
        "workflow": "text-to-video",
        "id": "task",
        "simulated": False,
    }
    return Job.model_validate(
        {**fixed, "created_at": NOVEMBER, "status": status, "usage": usage, **more}
    )
