"""Vendors in tests, which take their names from what is installed."""

from collections.abc import Iterable
from typing import cast

from polyreel_generated.contracts.vendors import VendorId


def vendor_id(name: str) -> VendorId:
    """A name of `all_providers()`, as the clients' type takes it."""
    return cast(VendorId, name)


def vendor_ids(names: Iterable[str]) -> list[VendorId]:
    """Several of them."""
    return [*map(vendor_id, names)]
