"""Links to output files: plain links that always work, or signed links that expire."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from attrs import field, frozen


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
