"""Shared requests for tests: the examples on disk, and every route there is."""

import json
from typing import Any

from polyreel.providers.base.registry import all_providers

from .paths import TESTS

EXAMPLES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((TESTS / "requests").glob("*.json"))
}
ROUTES = [(provider, route) for provider in all_providers().values() for route in provider.routes]
ROUTE_IDS = [
    f"{provider.id}-{route.model}-{route.body.__name__}-{route.workflow}"
    for provider, route in ROUTES
]
