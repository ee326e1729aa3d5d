"""API keys: checked when given, shown by nobody."""

from __future__ import annotations

from typing import Final

from .errors import KeyMissingError

AROUND: Final = " \t\r\n\ufeff\u00a0\u200b"
"""What copying a key brings along on either side: blanks, a byte order mark, a no-break or zero-width space."""
SHORTEST_REDACTED: Final = 16
"""Shorter values are no vendor's keys; replacing them would only spoil words."""


class Secret:
    """A key that does not show itself: not in `repr`, not in `str`, not in a log."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def check(cls, text: str | None, origin: str) -> Secret:
        """A key as it was pasted, without the blanks around it; raises KeyMissingError, which never holds the key."""
        value = (text or "").strip(AROUND)
        if not value:
            raise KeyMissingError(f"{origin} is empty")
        for position, character in enumerate(value, 1):
            if not 0x21 <= ord(character) <= 0x7E:
                name = f"U+{ord(character):04X}"
                raise KeyMissingError(
                    f"{origin} has a character no key can have: {name} at position {position}"
                )
        return cls(value)

    def reveal(self) -> str:
        """The key itself, for the one header it belongs in."""
        return self._value

    def redact(self, content: bytes) -> bytes:
        """An answer without the key, which some servers repeat in their errors."""
        return (
            content.replace(self._value.encode(), b"****")
            if len(self._value) >= SHORTEST_REDACTED
            else content
        )

    def redact_text(self, text: str) -> str:
        """A text without the key, which headers and errors can quote."""
        return text.replace(self._value, "****") if len(self._value) >= SHORTEST_REDACTED else text

    def __repr__(self) -> str:
        return "Secret('****')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")
