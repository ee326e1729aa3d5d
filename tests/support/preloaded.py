"""What programs of polyreel import: `forked` imports it once, before any of them begins.

No thread, file or connection is left open here, since each program inherits it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import av
import polyreel
import polyreel.cli.app
import polyreel.ledger.postgres
import polyreel.simulator.server
from PIL import Image
from polyreel.engines import procrastinate
from polyreel.providers.base.registry import all_providers

from .authorities import trust_nobody

__all__ = ["Image", "av", "procrastinate"]

trust_nobody()
for _module in pkgutil.iter_modules(polyreel.cli.__path__, "polyreel.cli."):
    import_module(_module.name)
with polyreel.Client(simulator=polyreel.Simulator()) as _client:
    for _vendor in all_providers().values():
        # Contracts, models and their validators are read when they are first used.
        _client.submit(_client.plan({"prompt": "a"}, _vendor))
