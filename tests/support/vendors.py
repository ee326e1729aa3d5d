"""Vendors in tests, which take their names from what is installed."""

from collections.abc import Iterable
from typing import cast

from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId


def vendor_id(name: str) -> VendorId:
    """A name of `all_providers()`, as the clients' type takes it."""
    return cast(VendorId, name)


def vendor_ids(names: Iterable[str]) -> list[VendorId]:
    """Several of them."""
    return [*map(vendor_id, names)]


def forgetful_vendor() -> Provider:
    """A vendor that takes a call that is made twice for two jobs, and bills both."""
    return next(
        provider
        for provider in reversed([*all_providers().values()])
        if all(
            operation.spec.get("x-polyreel-idempotency", {}).get("mode") == "none"
            for operation in provider.contract.operations.values()
            if operation.spec.get("x-polyreel-role") == "create"
        )
    )
