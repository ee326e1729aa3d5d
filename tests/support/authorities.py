"""The authorities that a process of the tests trusts by default."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import certifi

NOBODY: Final = Path(__file__).with_name("authority.pem")
"""An authority whose key nobody has."""


def trust_nobody() -> None:
    """Have httpx read one authority for each client, and not 140, which takes 20 ms of CPU.

    No test calls anybody whom one of these has certified.
    """
    certifi.where = lambda: str(NOBODY)
