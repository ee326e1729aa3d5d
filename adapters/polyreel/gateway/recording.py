"""Traffic of a gateway, recorded for tests of clients, and served again from the record.

A line of the file is a call, in the form that `polyreel verify` reads, at the address of the vendor
whose API is spoken. No line has a key, or a link that opens anything.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from attrs import evolve, frozen

from ..drivers import origin
from ..errors import RequestError
from ..flows import EVENT_STREAM, Reply
from ..places import Json, JsonObject
from ..providers.base.registry import all_providers
from ..verification.documents import UnreadableDocumentError, from_json
from ..verification.exchanges import RecordedExchange
from ..verification.recordings import read_recording
from ..verification.redaction import HIDDEN, NAMES, Redactor, redactor_of
from .faces import FaceAnswer, FaceRequest, Faces
from .files import FileAnswer
from .own import OwnApis
from .refusals import NOT_SERVED
from .streams import StreamAnswer

LOG: Final = logging.getLogger("polyreel")
MOST_BYTES: Final = 4_000_000
"""How long the body of a file, or of a form, is that is recorded."""
SIGNED: Final = ("/outputs/", "/uploads/")
"""How paths begin whose queries are signatures."""
LEFT_OUT: Final = frozenset({"host", "content-length", "connection", "date", "server"})
"""Headers that say nothing about a call."""


class Recorder:
    """Writes calls and their answers to a file, one a line."""

    def __init__(self, path: Path) -> None:
        """Append to a file, which only its owner may read. RequestError where nobody can."""
        self.path = path
        self._lock = threading.Lock()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        except OSError as error:
            raise RequestError([f"{path} cannot be written: {error.strerror}"]) from None

    def recorded(self, request: FaceRequest, answer: FaceAnswer) -> FaceAnswer:
        """The same answer, which is written down, an event stream at its end."""
        if isinstance(answer, StreamAnswer):
            return evolve(answer, events=self._streamed(request, answer))
        if isinstance(answer, FileAnswer):
            with suppress(OSError), answer.path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
                headers = {"content-type": answer.content_type}
                self._write(request, Reply(200, headers, content))
        else:
            self._write(request, answer)
        return answer

    async def _streamed(self, request: FaceRequest, answer: StreamAnswer) -> AsyncIterator[bytes]:
        found = bytearray()
        try:
            async for piece in answer.events:
                found += piece
                yield piece
        finally:
            headers = {**answer.headers, "content-type": EVENT_STREAM}
            self._write(request, Reply(200, headers, bytes(found)))

    def _write(self, request: FaceRequest, reply: Reply) -> None:
        line = json.dumps(line_of(request, reply), ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock, self.path.open("ab") as file:
                file.write(line)
        except OSError as error:  # the job goes on
            LOG.warning("%s: a call is not recorded: %s", self.path, error.strerror)


def line_of(request: FaceRequest, reply: Reply) -> JsonObject:
    """A call and its answer, without secrets."""
    exchange = RecordedExchange(
        number=1,
        method=request.method,
        url=_address(request),
        request_headers=request.headers,
        request_body=request.content,
        status=reply.status,
        response_headers=reply.headers,
        response_body=reply.content,
    )
    hiding = redactor_of([exchange])
    path, _, query = exchange.url.partition("?")
    return {
        "method": request.method,
        "url": hiding.text(path) + (f"?{_query(hiding, query)}" if query else ""),
        "gateway": {
            "face": request.face,
            "public": request.public,
            "path": hiding.text(request.target.partition("?")[0]),
        },
        "request": {
            "headers": _headers(hiding, request.headers),
            **_body(hiding, request.headers, request.content),
        },
        "response": {
            "status": reply.status,
            "headers": _headers(hiding, reply.headers),
            **_body(hiding, reply.headers, reply.content),
        },
    }


def _address(request: FaceRequest) -> str:
    """The URL of a call at the vendor of its face; that of a file is the gateway's own."""
    provider = all_providers().get(request.face)
    path = request.target.partition("?")[0]
    found = provider.contract.match(request.method, path) if provider is not None else None
    server = origin(found[0].server) if found is not None else request.public
    return server + request.target


def _query(hiding: Redactor, query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    shown = [(name, HIDDEN if NAMES.search(name) else hiding.text(text)) for name, text in pairs]
    return urlencode(shown, safe="*")


def _headers(hiding: Redactor, headers: Mapping[str, str]) -> JsonObject:
    kept = {name: text for name, text in headers.items() if name.lower() not in LEFT_OUT}
    return {name: str(hiding.value(text, name)) for name, text in kept.items()}


def _body(hiding: Redactor, headers: Mapping[str, str], content: bytes) -> JsonObject:
    """A body as a line has it: JSON, a text, or bytes in Base64; without one that is too long."""
    if not content:
        return {}
    if len(content) > MOST_BYTES:
        return {"left_out": f"more than {MOST_BYTES} bytes"}
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    with suppress(UnicodeDecodeError):
        text = content.decode()
        with suppress(ValueError):
            if kind.endswith("json"):
                return {"body": hidden(hiding, json.loads(text))}
        if not kind.startswith(("multipart/", "video/", "image/")):
            return {"body": hiding.text(text)}
    return {"body": base64.b64encode(content).decode(), "encoding": "base64"}


def hidden(hiding: Redactor, value: Json, name: str = "") -> Any:
    """A value without secrets, in which everything keeps its type."""
    if isinstance(value, dict):
        return {key: hidden(hiding, item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(hiding, item, name) for item in value]
    return hiding.value(value, name) if isinstance(value, str) else value


# -- served again ----------------------------------------------------------------------------------


@frozen
class _Recorded:
    """An answer of a recording."""

    public: str
    reply: Reply | None
    """None where its body was too long to be recorded."""


class Replay:
    """Answers calls as a recording has it: equal calls in the order in which they were recorded,
    and from then on with the last answer.
    """

    def __init__(self, content: bytes, name: str, faces: Faces, own: OwnApis) -> None:
        """Read a recording; RequestError where it is none of a gateway."""
        self._faces, self._own = faces, own
        self._answers: dict[Hashable, deque[_Recorded]] = {}
        exchanges = read_recording(content, name)
        lines = [line for line in content.splitlines() if line.strip()]
        for line, exchange in zip(lines, exchanges, strict=False):
            try:
                call = from_json(line)
                key, public = _key(call), call["gateway"]["public"]
                is_whole = "left_out" not in call["response"]
            except (UnreadableDocumentError, KeyError, TypeError):
                text = f"{name}: it is no recording of polyreel gateway --record"
                raise RequestError([text]) from None
            reply = Reply(
                exchange.status or 200, exchange.response_headers, exchange.response_body or b""
            )
            recorded = _Recorded(public, reply if is_whole else None)
            self._answers.setdefault(key, deque()).append(recorded)

    def body_limit(self, request: FaceRequest) -> int:
        """How long the body of a request may be."""
        return self._serving(request).body_limit(request)

    async def admits(self, _: FaceRequest) -> bool:
        """Whether the client of a request is one that may call: everybody is."""
        return True

    def refusal(self, request: FaceRequest, names: tuple[str, ...], text: str) -> Reply:
        """The answer to a request that cannot be answered in another way."""
        return self._serving(request).refusal(request, names, text)

    def _serving(self, request: FaceRequest) -> Faces | OwnApis:
        return self._faces if request.face in all_providers() else self._own

    async def answer(self, request: FaceRequest) -> FaceAnswer:
        """Answer one request."""
        found = self._answers.get(_key(line_of(request, Reply(204, {}, b""))))
        if not found:
            text = "the recording has no such call: make it once with --record"
            return self.refusal(request, NOT_SERVED, text)
        recorded = found.popleft() if len(found) > 1 else found[0]
        if recorded.reply is None:
            text = f"the answer was longer than {MOST_BYTES} bytes, and is not recorded"
            return self.refusal(request, NOT_SERVED, text)
        here = recorded.reply.content.replace(recorded.public.encode(), request.public.encode())
        return evolve(recorded.reply, content=here)


def _key(line: JsonObject) -> Hashable:
    """What equal calls have in common: all but their headers, and the boundaries of their forms."""
    at, sent = line["gateway"], line["request"]
    query = "" if at["path"].startswith(SIGNED) else line["url"].partition("?")[2]
    body = None if "encoding" in sent else sent.get("body")
    public = at["public"]
    text = json.dumps(body, sort_keys=True).replace(public, "")
    return at["face"], line["method"], at["path"], frozenset(parse_qsl(query)), text
