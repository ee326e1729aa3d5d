"""Signatures of the calls that a gateway makes to its clients, as the vendor of a face makes them.

Where that signs with a secret of the client's, each token has one. Where it publishes its keys, the
gateway publishes its own in their place. Where it does not sign, calls have the headers of Standard
Webhooks all the same, with the secret of the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from ..serving import signing

if TYPE_CHECKING:
    from ..flows import Reply
    from ..ledger.gateway_rows import GatewayJob, GatewayRows
    from ..providers.base.provider import Provider
    from ..serving.calls import Call


class CallSignatures:
    """Signs calls with secrets that the ledger keeps, the same for all gateways on it."""

    def __init__(self, rows: GatewayRows) -> None:
        self._secret = rows.secret("callbacks")
        self._key = signing.SigningKey(rows.secret("callback-key"), "polyreel")

    def secret_of(self, token: str) -> str:
        """The secret that signs calls to the client of a token; with no name, where none is asked
        for.
        """
        made = hmac.new(self._secret, token.encode(), hashlib.sha256).digest()
        return f"whsec_{base64.b64encode(made).decode()}"

    def headers(
        self, provider: Provider | None, row: GatewayJob, content: bytes, now: float
    ) -> dict[str, str]:
        """The headers of a call made at `now`, in seconds since 1970, in the words of a face.

        None stands for the gateway's own API. Raises MissingExtraError where a library is missing.
        """
        if provider is not None and provider.webhook and provider.webhook.published:
            return self._key.signed(provider.webhook.published, row.id, content, now)
        identity, secret = f"msg_{row.id}", self.secret_of(row.token)
        if provider is None:
            return signing.standard(identity, content, secret, now)
        return signing.sign(provider, identity, content, secret, now)

    def keys(self, call: Call) -> Reply:
        """The key set of the gateway, as the vendor of a face publishes its own.

        Raises MissingExtraError where the library is missing.
        """
        return signing.keys_reply(call, self._key.public())
