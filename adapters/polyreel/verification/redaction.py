"""Hides secrets in what is shown of recorded traffic.

A secret is found by its name, by its shape, or because the same value stands elsewhere as a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen

from ..places import Json
from ..providers.base.answers import printable
from .documents import UnreadableDocumentError, from_json
from .exchanges import RecordedExchange

HIDDEN: Final = "****"
LONGEST: Final = 80
SHORTEST_KNOWN: Final = 6
"""Shorter values are hidden where they stand, and are not searched for elsewhere in texts."""
NAMES: Final = re.compile(
    r"authori[sz]ation|cookie|api[-_]?key|apikey|access[-_]?key|secret|passw|signature|credential"
    r"|session|private[-_]?key"
    r"|(?:^|[-_.])(?:key|auth|sig|token|jwt)(?:$|[-_.])|token$",
    re.IGNORECASE,
)
SHAPES: Final = re.compile(
    r"\b(?:Bearer|Basic)\s+[^\s\"',;]+"
    r"|\b(?:sk|pk|rk|whsec|gh[opsu]|xox[a-z])[-_][-_A-Za-z0-9]{8,}"
    r"|\b(?:AIza|AKIA|ASIA)[-_A-Za-z0-9]{12,}"
    r"|\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"
    r"|\b[0-9a-f]{40,}\b",
    re.IGNORECASE,
)
USER: Final = re.compile(r"(https?://)[^/\s@]+@", re.IGNORECASE)
QUERY: Final = re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE)


@frozen
class Redactor:
    """Hides secrets in texts and values."""

    known: frozenset[str] = frozenset()
    """Secrets that were found by their names."""

    @cached_property
    def _repeated(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self.known, key=len, reverse=True))))

    def text(self, text: str) -> str:
        """A text without secrets; it is not shortened."""
        text = self._repeated.sub(HIDDEN, text) if self.known else text
        # The query of a link may hold a signature under any name.
        text = QUERY.sub(rf"\1?{HIDDEN}", USER.sub(rf"\1{HIDDEN}@", text))
        return SHAPES.sub(HIDDEN, text)

    def value(self, value: Json, name: str = "") -> Any:
        """A JSON value without secrets; `name` is that of the member that it stands in."""
        if NAMES.search(name) and not isinstance(value, (dict, list, bool)) and value is not None:
            return HIDDEN
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, name) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def shown(self, value: Json, name: str = "") -> str:
        """A value without secrets, in one short line."""
        text = printable(json.dumps(self.value(value, name), ensure_ascii=False))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."

    def is_clean(self, value: Json, name: str = "") -> bool:
        """Whether nothing of a value has to be hidden."""
        return bool(self.value(value, name) == value)


def redactor_of(exchanges: Iterable[RecordedExchange]) -> Redactor:
    """A redactor that also hides the secrets of this traffic where they are repeated."""
    return Redactor(
        frozenset(
            text for one in exchanges for text in _secrets(one) if len(text) >= SHORTEST_KNOWN
        )
    )


def _secrets(exchange: RecordedExchange) -> Iterator[str]:
    for headers in (exchange.request_headers, exchange.response_headers):
        for name, value in headers.items():
            if NAMES.search(name):
                yield value
                yield from _cookies(value) if "cookie" in name else value.split()[1:]
    for name, value in parse_qsl(urlsplit(exchange.url).query):
        if NAMES.search(name):
            yield value
    for field in exchange.form or ():
        if NAMES.search(field.name) and field.text:
            yield field.text
    for body in (exchange.request_body, exchange.response_body):
        yield from _secret_members(body)


def _cookies(header: str) -> Iterator[str]:
    """The values of cookies, without attributes such as Max-Age."""
    for pair in re.split(r"[;,]", header):
        name, _, value = pair.strip().partition("=")
        if name.lower() not in {"expires", "max-age", "domain", "path", "samesite"}:
            yield value


def _secret_members(body: bytes | None) -> Iterator[str]:
    try:
        pending = [("", from_json(body))] if body and body.lstrip()[:1] in {b"{", b"["} else []
    except UnreadableDocumentError:
        return
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += [(str(key), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(name, item) for item in value]
        elif isinstance(value, str) and NAMES.search(name):
            yield value
