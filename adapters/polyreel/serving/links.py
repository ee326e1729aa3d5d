"""Links in answers: to output files, plain or signed; and those of documented examples.

No link of an answer leads to a real host: a program that follows one would call it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from ..places import Json
from ..providers.base.links import IMAGE, VIDEO

_LINK: Final = re.compile(r"https?://[^\s\"\\]+")


def _ending(link: str) -> str:
    """The kind of the file that a link seems to lead to: its suffix, the same for all images."""
    suffix = link.partition("?")[0].rpartition("/")[2].rpartition(".")[2].lower()
    return "image" if suffix in IMAGE else "video" if suffix in VIDEO else link


@frozen
class Links:
    """Makes the links to one vendor's outputs, and checks them when they are used."""

    public: str
    """The URL below which output files are found."""
    seconds: float | None = None
    """How long a link works; None for always."""
    secret: bytes = field(default=b"", repr=False)

    def url(self, task: str, name: str, now: float) -> str:
        """The link to a file of a task, made at `now` (seconds since 1970)."""
        path = f"/outputs/{task}/{name}"
        if self.seconds is None:
            return self.public + path
        issued = f"{now:.3f}"
        return f"{self.public}{path}?issued={issued}&signature={self._signature(path, issued)}"

    def here(self, value: Json, servers: Iterable[str], outputs: Sequence[str] = ()) -> Any:
        """A copy of a documented answer whose links lead here, and nowhere else.

        Those to one of the vendor's `servers` keep their path. Another one becomes the first of
        `outputs` where it is a file of the same type.
        """
        if isinstance(value, dict):
            return {name: self.here(item, servers, outputs) for name, item in value.items()}
        if isinstance(value, list):
            return [self.here(item, servers, outputs) for item in value]
        if not isinstance(value, str):
            return value
        if value.lstrip()[:1] in {"{", "["}:  # JSON as text
            return _LINK.sub(lambda found: self._here(found[0], servers, outputs), value)
        return self._here(value, servers, outputs) if _LINK.fullmatch(value) else value

    def _here(self, link: str, servers: Iterable[str], outputs: Sequence[str]) -> str:
        scheme, _, rest = link.partition("://")
        host, slash, path = rest.partition("/")
        if f"{scheme}://{host}" in {"/".join(server.split("/", 3)[:3]) for server in servers}:
            return f"{self.public}{slash}{path}"
        ending = _ending(path)
        same = (output for output in outputs if _ending(output) == ending)
        return next(same, f"{self.public}/links/{host}{slash}{path}")

    def refusal(self, path: str, query: Mapping[str, str], now: float) -> int | None:
        """None where a link works; else an HTTP status.

        It is 403 for a link that was never given out, 410 for one that is too old.
        """
        if self.seconds is None:
            return None
        issued, signature = query.get("issued", ""), query.get("signature", "")
        # Bytes: `compare_digest` takes no text beyond ASCII.
        if not hmac.compare_digest(self._signature(path, issued).encode(), signature.encode()):
            return 403
        return 410 if now - float(issued) > self.seconds else None

    def _signature(self, path: str, issued: str) -> str:
        message = f"{path} {issued}".encode("utf-8", "replace")
        return hmac.new(self.secret, message, "sha256").hexdigest()[:32]
