"""Who may use the studio: the browser that was opened with its token, on pages of its own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

from attrs import field, frozen

from ..simulator.http import LOOPBACK, Access

ENTRANCE: Final = "token"
"""The parameter of the address by which a browser is let in."""
SAFE: Final = frozenset({"GET", "HEAD"})
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a page of the studio may load: nothing from elsewhere, and nothing that stands in it."""
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
"""The headers of every answer."""


@lru_cache(maxsize=16)
def _session(token: str) -> str:
    return hmac.new(token.encode(), b"polyreel studio", hashlib.sha256).hexdigest()


Refusal = Literal["host", "origin", "token"]


@frozen
class Door:
    """Decides which requests are answered.

    Web pages of strangers can reach loopback too: by a name of theirs that resolves to it (the Host
    header is theirs then), or with a form or a script (the Origin header is theirs). Neither has
    the cookie, which the browser gets for the token in the address that the terminal shows.
    """

    access: Access = LOOPBACK
    """By which names a browser may call, and from which further pages."""
    token: str | None = field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    """What lets a browser in. None: whoever mounted the studio checks who asks."""

    @property
    def session(self) -> str:
        """The value of the cookie, from which nobody can tell the token."""
        return _session(self.token or "")

    @staticmethod
    def cookie_name(host: str) -> str:
        """The name of the cookie: browsers send those of all ports of a host to each of them."""
        port = host.rpartition(":")[2]
        return f"polyreel-studio-{port if port.isdecimal() else '80'}"

    def address(self, url: str) -> str:
        """The address that lets a browser in."""
        return url if self.token is None else f"{url}/?{ENTRANCE}={quote(self.token)}"

    def lets_in(self, token: str) -> bool:
        """Whether a token is the right one."""
        expected = (self.token or "").encode()
        return self.token is not None and hmac.compare_digest(token.encode(), expected)

    def refusal(
        self, method: str, headers: Mapping[str, str], cookies: Mapping[str, str]
    ) -> Refusal | None:
        """Why a request is not answered, by its Host, its Origin or its cookie; None if it is.

        `headers` has the names in lower case.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.access.knows_host(host):
            return "host"
        if not self._is_own_page(method, headers, host, origin):
            return "origin"
        if self.token is None:
            return None
        shown = cookies.get(self.cookie_name(host), "")
        is_known = hmac.compare_digest(shown.encode("utf-8", "replace"), self.session.encode())
        return None if is_known else "token"

    def _is_own_page(
        self, method: str, headers: Mapping[str, str], host: str, origin: str | None
    ) -> bool:
        """Whether a request comes from a page of the studio, or from no page at all.

        What changes something needs an Origin: every browser sends one with it.
        """
        site = headers.get("sec-fetch-site")
        if origin is None:
            return method in SAFE and site in {None, "none", "same-origin"}
        own = origin in {f"http://{host}", f"https://{host}"}
        return (own and site in {None, "same-origin"}) or origin in self.access.origins
