"""The last calls of the simulated vendors, with their bodies, as they may be shown: no keys."""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from ..verification.documents import UnreadableDocumentError, from_json
from ..verification.exchanges import RecordedExchange, content_type
from ..verification.redaction import NAMES, Redactor, redactor_of

if TYPE_CHECKING:
    from ..flows import Answer, Ending
    from ..serving.calls import IncomingRequest

MOST_CALLS: Final = 100
"""How many calls are kept: the last ones."""
MOST_BODY: Final = 64 * 1024
"""Bytes of a body that is kept; of a longer one, only its length is."""
TRANSPORT: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
)
"""Headers that say nothing of the vendor, by lower-case names."""
ENDINGS: Final[Mapping[str, str]] = {
    "reset": "the connection is reset before the answer",
    "close": "the connection is closed before the answer",
    "silence": "no answer comes",
    "cut": "the answer breaks off halfway",
    "drip": "the answer comes too slowly to arrive",
}
"""What becomes of an answer that does not arrive whole."""


@frozen
class KeptBody:
    """A body, or what is known of one that is not kept."""

    content: bytes
    kind: str
    """Its media type."""
    size: int

    @classmethod
    def of(cls, content: bytes, headers: Mapping[str, str]) -> KeptBody:
        """A body, whose bytes are kept where they are a short text."""
        kind = content_type(headers)
        is_text = kind.startswith("text/") or "json" in kind or not kind
        is_kept = is_text and len(content) <= MOST_BODY
        return cls(content if is_kept else b"", kind, len(content))

    def shown(self, redactor: Redactor) -> str:
        """As it may be shown."""
        if self.size > len(self.content):
            return f"({self.size:,} bytes of {self.kind or 'an unknown kind'})"
        try:
            value = from_json(self.content)
        except UnreadableDocumentError:
            return redactor.text(self.content.decode("utf-8", "replace"))
        return json.dumps(redactor.value(value), indent=2, ensure_ascii=False)


@frozen
class KeptCall:
    """One call, and its answer."""

    number: int
    at: float
    """When it was answered, in seconds since 1970 on the simulator's clock."""
    vendor: str
    method: str
    path: str
    query: Mapping[str, str]
    status: int
    ending: Ending
    request: KeptBody
    answer: KeptBody
    request_headers: Mapping[str, str] = field(repr=False)
    answer_headers: Mapping[str, str] = field(repr=False)

    @property
    def outcome(self) -> str:
        """The status, or what becomes of an answer that does not arrive whole."""
        return ENDINGS.get(self.ending, str(self.status))

    @property
    def is_good(self) -> bool:
        """Whether it was answered, and is no error."""
        return self.ending == "whole" and self.status < 400

    def shown(self) -> ShownCall:
        """The call without secrets."""
        exchange = RecordedExchange(
            number=self.number,
            method=self.method,
            url="https://vendor.invalid/",
            request_headers=self.request_headers,
            request_body=self.request.content,
            status=self.status,
            response_headers=self.answer_headers,
            response_body=self.answer.content,
        )
        redactor = redactor_of([exchange])
        query = [f"{name}={redactor.value(text, name)}" for name, text in self.query.items()]
        return ShownCall(
            call=self,
            target=f"{self.path}{'?' if query else ''}{'&'.join(query)}",
            request_headers=tuple(_headers(self.request_headers, redactor)),
            answer_headers=tuple(_headers(self.answer_headers, redactor)),
            request=self.request.shown(redactor) if self.request.size else "",
            answer=self.answer.shown(redactor) if self.answer.size else "",
        )


def _headers(headers: Mapping[str, str], redactor: Redactor) -> Iterator[tuple[str, str]]:
    """The headers that are no secrets, and that a vendor documents."""
    for name, text in headers.items():
        if name not in TRANSPORT and not NAMES.search(name):
            yield name, redactor.text(text)


@frozen
class ShownCall:
    """A call as it may be shown."""

    call: KeptCall
    target: str
    """Path and query."""
    request_headers: tuple[tuple[str, str], ...]
    answer_headers: tuple[tuple[str, str], ...]
    request: str
    answer: str


@define(eq=False)
class KeptCalls:
    """Keeps the last calls. Threads may share one."""

    run: str = field(factory=lambda: secrets.token_hex(4))
    """Tells the calls of this process from those of a studio before, which had the same numbers."""
    _calls: deque[KeptCall] = field(factory=lambda: deque(maxlen=MOST_CALLS), repr=False)
    _noted: int = 0
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def note(self, at: float, request: IncomingRequest, answer: Answer) -> None:
        """Keep a call."""
        headers = {name.lower(): text for name, text in answer.headers.items()}
        with self._lock:
            self._noted += 1
            self._calls.append(
                KeptCall(
                    number=self._noted,
                    at=at,
                    vendor=request.vendor,
                    method=request.method,
                    path=request.path,
                    query=request.query,
                    status=answer.status,
                    ending=answer.ending,
                    request=KeptBody.of(request.content, request.headers),
                    answer=KeptBody.of(answer.content, headers),
                    request_headers=request.headers,
                    answer_headers=headers,
                )
            )

    def after(self, number: int) -> Sequence[KeptCall]:
        """The calls after the one with this number, the newest first."""
        with self._lock:
            return [one for one in reversed(self._calls) if one.number > number]

    def call(self, number: int) -> KeptCall | None:
        """The call with a number; None where it is not kept any more."""
        return next((one for one in self.after(0) if one.number == number), None)
