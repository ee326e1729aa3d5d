"""API keys: checked when they are given, and never shown."""

from __future__ import annotations

from typing import Final

from .errors import KeyMissingError

AROUND: Final = " \t\r\n\ufeff\u00a0\u200b"
"""What copying can add around a key: blanks, a byte order mark, no-break and zero-width spaces."""
SHORTEST_REDACTED: Final = 16
"""No vendor has shorter keys. Replacing shorter values would only damage words."""


class Secret:
    """A key that does not show itself: not in `repr`, not in `str`, not in a log."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def check(cls, text: str | None, origin: str) -> Secret:
        """A pasted key without blanks around it. Raises KeyMissingError, which never shows it."""
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
        """An answer without the key. Some servers repeat it in their errors."""
        if len(self._value) < SHORTEST_REDACTED:
            return content
        return content.replace(self._value.encode(), b"****")

    def redact_text(self, text: str) -> str:
        """A text without the key. Headers and errors can quote it."""
        if len(self._value) < SHORTEST_REDACTED:
            return text
        return text.replace(self._value, "****")

    def __repr__(self) -> str:
        return "Secret('****')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")
