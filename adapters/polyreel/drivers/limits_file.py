"""Keeps what vendors said of their models: a small file for each vendor, with the day in it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import RequestError
from ..providers.base.answers import is_number
from ..providers.base.limits import KeptLimits

MAX_BYTES: Final = 8_000_000


@frozen
class LimitsFolder:
    """The files of one folder."""

    path: Path

    def file(self, vendor: str) -> Path:
        """The file of a vendor."""
        return self.path / f"{vendor}.json"

    def read(self, vendor: str) -> KeptLimits | None:
        """What a vendor said; None where nothing usable is kept."""
        try:
            with self.file(vendor).open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
            found = json.loads(content) if len(content) <= MAX_BYTES else None
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("vendor") != vendor:
            return None
        base_url, asked_at, models = (
            found.get(name) for name in ("base_url", "asked_at", "models")
        )
        if not isinstance(base_url, str) or not is_number(asked_at) or not 0 < asked_at < 1e11:
            return None
        entries = (
            [one for one in models if isinstance(one, dict)] if isinstance(models, list) else []
        )
        return KeptLimits(vendor, base_url, float(asked_at), tuple(entries))

    def keep(self, kept: KeptLimits) -> Path:
        """Write what a vendor said, in the place of what it said before. The result is the file.

        Raises RequestError where it cannot be written.
        """
        facts = {
            "vendor": kept.vendor,
            "date": kept.date,
            "asked_at": kept.asked_at,
            "base_url": kept.base_url,
            "models": list(kept.models),
        }
        target = self.file(kept.vendor)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path, prefix=f".{kept.vendor}-")
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                json.dump(facts, opened, indent=1)
            os.replace(name, target)
        except OSError as error:
            raise RequestError([f"limits: {target}: {error.strerror}"]) from None
        return target
