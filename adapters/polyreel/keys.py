"""API keys: checked when they are given, and never shown."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from typing import Final
from weakref import WeakValueDictionary

from .errors import KeyMissingError
from .places import Json

AROUND: Final = " \t\r\n\ufeff\u00a0\u200b"
"""What copying can add around a key: blanks, a byte order mark, no-break and zero-width spaces."""
SHORTEST_REDACTED: Final = 16
"""No vendor has shorter keys. Replacing shorter values would only damage words."""


ESCAPES: Final = ("\\", "%", "&#", "\0")
"""Marks of texts in which characters can be written in other ways: JSON, URLs, HTML, UTF-16."""
NUL: Final = "\\u0000"
"""A NUL as JSON has it."""
NULS: Final = "\0{0,3}"
"""What stands between the characters of UTF-16 and UTF-32, read byte by byte."""


@cache
def _character(character: str) -> str:
    r"""A pattern for one character of a key: itself, `\/`, `\uXXXX`, `%XX` or `&#NN;`.

    Escapes can be escaped again, as in JSON that stands in a text of JSON, a few times: without a
    limit, a long row of them would take very long.
    """
    code = ord(character)
    digits = "".join(f"[{one.upper()}{one}]" for one in f"{code:02x}")

    def spaced(*parts: str) -> str:
        return NULS.join(parts)

    backslashes = rf"(?:\\{NULS}){{1,8}}"
    percent = spaced("%", rf"(?:2{NULS}5{NULS}){{0,4}}")
    hexadecimal = spaced(*re.findall(r"\[..\]", digits))
    number = spaced(*str(code))
    itself = rf"(?:\\{NULS}){{0,8}}/" if character == "/" else re.escape(character)
    return (
        rf"(?:{itself}"
        rf"|{backslashes}u{NULS}0{NULS}0{NULS}{hexadecimal}"
        rf"|{percent}{hexadecimal}"
        rf"|{spaced('&', '#')}{NULS}(?:[xX]{NULS}0{{0,6}}{hexadecimal}|0{{0,6}}{number}){NULS};)"
    )


def is_written_in(key: str, text: str) -> bool:
    """Whether a text may have a key in it, escaped or in Base64. Quick where it has no escapes."""
    cores = _base64_cores(key)
    for _ in range(9):
        if key in text or any(core in text for core in cores):
            return True
        if not any(mark in text for mark in ESCAPES):
            return False
        before, text = text, _unescaped(text.replace("\0", ""))
        if text == before:
            return False
    return True


def _unescaped(text: str) -> str:
    """A text with the usual escapes of URLs, HTML and JSON taken away once."""
    import html  # noqa: PLC0415 - few texts have escapes
    from urllib.parse import unquote  # noqa: PLC0415

    text = re.sub(r"\\+u00([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)
    return html.unescape(unquote(re.sub(r"\\+/", "/", text)))


def _base64_cores(key: str) -> tuple[str, ...]:
    """What the Base64 of any text with the key has in it, wherever the key begins in it."""
    found = []
    for before in range(3):
        raw = b64encode(b"\0" * before + key.encode()).decode()
        whole = (before + len(key)) // 3 * 4
        core = raw[4 if before else 0 : whole]
        found += [core, core.replace("+", "-").replace("/", "_")]
    return tuple(dict.fromkeys(found))


def _stars(found: re.Match[str]) -> str:
    """Four stars, as wide as the characters that they replace."""
    wide = re.search("\0+", found[0])
    return (wide[0] if wide else "").join("****")


def without_held_keys(text: str) -> str:
    """A text without any key that something in this process holds."""
    for held in _HELD.valuerefs():
        secret = held()
        text = text if secret is None else secret.redact_text(text)
    return text


def value_without_held_keys(value: Json) -> Json:
    """A JSON value without any key that something in this process holds."""
    for held in _HELD.valuerefs():
        secret = held()
        value = value if secret is None else secret.redact_value(value)
    return value


class Secret:
    """A key that does not show itself: not in `repr`, not in `str`, not in a log."""

    __slots__ = ("__weakref__", "_cores", "_shortest", "_value", "_written")

    def __init__(self, value: str, shortest: int = SHORTEST_REDACTED) -> None:
        self._value = value
        self._shortest = shortest
        self._cores: tuple[str, ...] = ()
        self._written: re.Pattern[str] | None = None
        """How the key can be written; made when it is first looked for."""

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
        made = cls(value)
        _HELD[id(made)] = made
        return made

    def reveal(self) -> str:
        """The key itself, for the one header it belongs in."""
        return self._value

    def redact(self, content: bytes) -> bytes:
        """An answer without the key. Some servers repeat it in their errors."""
        if len(self._value) < self._shortest:
            return content
        text = content.decode("latin-1")
        shown = self.redact_text(text)
        return content if shown is text else shown.encode("latin-1")

    def redact_text(self, text: str) -> str:
        """A text without the key. Headers and errors can quote it."""
        if len(self._value) < self._shortest:
            return text
        if self._written is None:
            self._cores = _base64_cores(self._value)
            self._written = self._pattern()
        has_escapes = "\\" in text or "%" in text or "&#" in text or "\0" in text
        if has_escapes or self._value in text:
            text = self._written.sub(_stars, text)
        for core in self._cores:
            if core in text:
                text = text.replace(core, "****")
        return text

    def may_be_in(self, document: str) -> bool:
        """Whether any text of a JSON document may have the key in it: quick, and yes in doubt."""
        # As JSON, a NUL is six letters, and some letters of keys have a backslash before them.
        if NUL in document or not {'"', "\\"}.isdisjoint(self._value):
            return True
        return self.redact_text(document) != document

    def redact_value(self, value: Json) -> Json:
        """A JSON value without the key in any text of it."""
        if isinstance(value, dict):
            return {self.redact_text(name): self.redact_value(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.redact_value(one) for one in value]
        return self.redact_text(value) if isinstance(value, str) else value

    def _pattern(self) -> re.Pattern[str]:
        """The key, and its Base64, with each character as it is or escaped in any usual way."""
        forms = (self._value, *self._cores)
        # Most places of most texts are passed by their first character.
        first = "".join(re.escape(form[0]) for form in forms)
        written = "|".join(NULS.join(map(_character, form)) for form in forms)
        return re.compile(rf"(?=[{first}\\%&])(?:{written})")

    def __repr__(self) -> str:
        return "Secret('****')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")


_HELD: Final[WeakValueDictionary[int, Secret]] = WeakValueDictionary()
"""The keys that clients hold just now."""
