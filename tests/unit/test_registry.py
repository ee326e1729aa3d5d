"""Vendors are found again when another one is registered, and stay the same objects."""

from __future__ import annotations

import copy
import pickle

from polyreel.providers.base import registry


def test_a_vendor_is_one_object_however_often_all_are_looked_for() -> None:
    """Routes and vendors that a program has already are those that copies come back as."""
    before = dict(registry.all_providers())
    registry.all_providers.cache_clear()
    for vendor, provider in before.items():
        assert registry.get_provider(vendor) is provider
        assert copy.deepcopy(provider) is provider
        assert pickle.loads(pickle.dumps(provider.routes[0])) is provider.routes[0]
