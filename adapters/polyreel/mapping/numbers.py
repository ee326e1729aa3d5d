"""Codecs of numbers: digits as text, and seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .codecs import CannotExpressError, MeaninglessError, word


@frozen
class Digits:
    """A whole number as text."""

    def encode(self, value: Any, shared: Mapping[str, Any]) -> str:
        """The text."""
        if not isinstance(value, int):
            raise CannotExpressError(f"{word(value)} is not offered", limit="a whole number")
        return str(value)

    def decode(self, value: Any, shared: Mapping[str, Any]) -> int:
        """The number."""
        if not (isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value)):
            raise ValueError(f"{word(value)} is no whole number as text")
        return int(value)


@frozen
class Seed:
    """A seed where one number asks the vendor for a random one, as leaving it out does."""

    random: int = -1

    def encode(self, value: int, shared: Mapping[str, Any]) -> int:
        """The seed itself."""
        if value == self.random:
            raise CannotExpressError("the vendor takes it for a random seed")
        return value

    def decode(self, value: Any, shared: Mapping[str, Any]) -> int:
        """The seed itself."""
        if value == self.random:
            raise MeaninglessError("asks for a random seed, as leaving it out does")
        if not isinstance(value, int):
            raise ValueError("not a whole number")
        return value
