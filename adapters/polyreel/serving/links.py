"""Links to output files: plain ones that work for ever, or signed ones that expire."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Links:
    """Makes the links of one vendor's outputs, and tells which of them still work."""

    public: str
    """The URL below which output files are found."""
    seconds: float | None = None
    """How long a link works; None is for ever."""
    secret: bytes = field(default=b"", repr=False)

    def url(self, task: str, name: str, now: float) -> str:
        """The link to a file, as it is given out now."""
        path = f"/outputs/{task}/{name}"
        if self.seconds is None:
            return self.public + path
        issued = f"{now:.3f}"
        return f"{self.public}{path}?issued={issued}&signature={self._signature(path, issued)}"

    def refusal(self, path: str, query: Mapping[str, str], now: float) -> int | None:
        """The HTTP status for a link that does not work: 403 where it was never given out, 410 where it is too old."""
        if self.seconds is None:
            return None
        issued, signature = query.get("issued", ""), query.get("signature", "")
        # Bytes: `compare_digest` takes no text beyond ASCII.
        if not hmac.compare_digest(self._signature(path, issued).encode(), signature.encode()):
            return 403
        return 410 if now - float(issued) > self.seconds else None

    def _signature(self, path: str, issued: str) -> str:
        return hmac.new(
            self.secret, f"{path} {issued}".encode("utf-8", "replace"), "sha256"
        ).hexdigest()[:32]
