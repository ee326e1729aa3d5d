"""A vendor that repeats the key that it was sent, written in some other way, wherever it can."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx
from attrs import define
from polyreel.simulator.transport import SimulatedTransport

KEY: Final = "sk-CANARY+0123/456789abcdef=="
HEART: Final = "CANARY+0123/456789"
"""What no text may hold, however it is written."""


def escapes(text: str) -> str:
    """A text as JSON can write it, every character by its number."""
    return "".join(f"\\u{ord(one):04x}" for one in text)


def in_json(text: str) -> str:
    """A text as it stands in a JSON document."""
    return json.dumps(text)[1:-1]


WRITTEN: Final[Mapping[str, Callable[[], str]]] = {
    "plain": lambda: KEY,
    "escaped-slash": lambda: KEY.replace("/", "\\/"),
    "unicode-escapes": lambda: escapes(KEY),
    "percent": lambda: quote(KEY, safe=""),
    "every-percent": lambda: "".join(f"%{ord(one):02X}" for one in KEY),
    "base64": lambda: base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "html": lambda: "".join(f"&#{ord(one)};" for one in KEY),
    "json-in-json": lambda: in_json(escapes(KEY)),
    "utf-16": lambda: KEY,
}
"""How the key stands in the bytes of a JSON document. The last one writes all of it in UTF-16."""

MODES: Final = ("beside", "refused", "unknown-task", "broken", "moved", "cut")
"""What a call is answered with: the right answer and the key beside it, an error, or nothing."""


@define
class EchoingTransport:
    """The simulated vendors, whose answers to chosen calls hold the key."""

    inner: SimulatedTransport
    form: str
    mode: str = "beside"
    paid: bool = True
    """Whether paid calls are answered by the mode; otherwise all others are."""
    texts: int = 0
    """How many answers held the key."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        self._reach(request)
        return self._echoed(request, self.inner.handle_request(request))

    def _reach(self, request: httpx.Request) -> None:
        if self.mode == "unreached" and (request.method == "POST") is self.paid:
            raise httpx.ConnectError(f"no way to {self._header}", request=request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one awaited request."""
        self._reach(request)
        response = await self.inner.handle_async_request(request)
        return self._echoed(request, response)

    def _echoed(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        is_paid = request.method == "POST"
        mode = self.mode if is_paid is self.paid else "beside"
        self.texts += 1
        headers = {"x-request-id": self._header, "x-seen": self._header}
        if mode == "nonsense":
            return httpx.Response(200, headers=headers, content=self._body([MARK]), request=request)
        if mode == "cut":
            raise httpx.ReadError(f"the peer said {self._header}", request=request)
        if mode == "moved":
            headers["location"] = f"/{self._header}?{self._header}"
            return httpx.Response(302, headers=headers, content=self._body({}), request=request)
        if mode != "beside":
            status = {"refused": 401, "unknown-task": 404, "broken": 500}[mode]
            return httpx.Response(
                status, headers=headers, content=self._body(_error()), request=request
            )
        kind = response.headers.get("content-type", "")
        content = b"".join(response.iter_bytes()) if hasattr(response, "stream") else b""
        if "json" in kind:
            content = self.beside(json.loads(content))
        return httpx.Response(
            response.status_code,
            headers={"content-type": kind, **headers},
            content=content,
            request=request,
        )

    @property
    def _header(self) -> str:
        return WRITTEN[self.form]()

    def beside(self, value: Any) -> bytes:
        """A JSON document with the key beside what it says."""
        return self._body(_beside(value))

    def _body(self, value: Any) -> bytes:
        text = json.dumps(value).replace(MARK, WRITTEN[self.form]())
        return text.encode("utf-16" if self.form == "utf-16" else "utf-8")


MARK: Final = "ECHO"


def _error() -> Any:
    """An error in the words of any vendor, with the key in each of them."""
    return {
        "error": {"message": f"bad {MARK}", "code": MARK, "type": MARK, MARK: [MARK]},
        "message": f"bad {MARK}",
        "code": MARK,
        "detail": [{"msg": MARK, "loc": [MARK]}],
        "data": {"message": MARK},
    }


def _beside(value: Any) -> Any:
    """An answer as it was, with the key in members that nobody has documented, and in links."""
    if isinstance(value, dict):
        changed = {name: _beside(one) for name, one in value.items()}
        return {**changed, "seen": f"Bearer {MARK}", MARK: MARK}
    if isinstance(value, list):
        return [_beside(one) for one in value]
    if isinstance(value, str) and value.startswith("http"):
        return f"{value}?token={MARK}"
    return value


CORES: Final = tuple(base64.b64encode(b"\0" * n + KEY.encode()).decode()[4:-8] for n in range(3))
"""What the Base64 of any text with the key has in it."""


def holds_key(content: bytes | str) -> bool:
    """Whether the key, or most of it, can be read out of a text in any of these ways."""
    text = content if isinstance(content, str) else content.decode("latin-1")
    text = text.replace("\0", "")
    for _ in range(6):
        if HEART in text or any(core in text for core in CORES):
            return True
        before = text
        if "\\" in text:
            text = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
            text = re.sub(r"\\+/", "/", text)
        text = html.unescape(unquote(text))
        if text == before:
            return False
    return HEART in text
