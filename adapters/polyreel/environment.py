"""What the environment says: keys, base URLs, the order of vendors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from .errors import KeyMissingError
from .registry import all_providers, get_provider, ordered

ORDER_VARIABLE: Final = "POLYREEL_VENDORS"


def vendor_order(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The vendors to try where none is named: POLYREEL_VENDORS (ids with commas between), or all, alphabetically."""
    names = [name.strip() for name in environment.get(ORDER_VARIABLE, "").split(",") if name.strip()]
    return [provider.id for provider in ordered(names)]


def keys(vendors: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The keys of these vendors, as far as they are set; KeyMissingError where none is."""
    found = {vendor: environment.get(get_provider(vendor).key_variable, "") for vendor in vendors}
    found = {vendor: key for vendor, key in found.items() if key.strip()}
    if not found:
        names = " or ".join(get_provider(vendor).key_variable for vendor in vendors)
        raise KeyMissingError(f"a live call needs an API key: set {names}")
    return found


def base_urls(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Other base URLs, for vendors whose route is sold by many hosts."""
    variables = {vendor: provider.base_url_variable for vendor, provider in all_providers().items()}
    return {vendor: environment[name] for vendor, name in variables.items() if name and environment.get(name)}
