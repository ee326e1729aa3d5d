"""The TLS settings of every connection: whom to trust, and what to show."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from ..errors import RequestError
from ..network import Network

CERTIFICATES: Final = frozenset({".cer", ".crt", ".pem"})


def tls_settings(network: Network) -> ssl.SSLContext:
    """The TLS settings that network settings ask for; RequestError where a file is unusable."""
    if network.ca is None and network.client_certificate is None:
        return _usual()
    context = _trusting(network.ca)
    if network.client_certificate is not None:
        try:
            context.load_cert_chain(
                network.client_certificate, network.client_key, network.client_key_password or ""
            )
        except (OSError, ValueError) as error:
            files = f"{network.client_certificate} (client_certificate)"
            raise RequestError(
                [f"{files}: no certificate with its key: {_reason(error)}"]
            ) from None
    return context


@cache
def _usual() -> ssl.SSLContext:
    """What most clients want, for all of them: reading the public authorities takes a while."""
    return _trusting(None)


def _trusting(ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        import httpx  # noqa: PLC0415

        return httpx.create_ssl_context(trust_env=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca.is_dir():
            _trust_folder(context, ca)
        else:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise RequestError(
            [f"{ca} (ca, SSL_CERT_FILE or SSL_CERT_DIR): no certificates: {_reason(error)}"]
        ) from None
    return context


def _trust_folder(context: ssl.SSLContext, folder: Path) -> None:
    """Trust the certificates of a folder, whether or not their names are OpenSSL's hashes."""
    context.load_verify_locations(capath=folder)
    for file in sorted(folder.iterdir()):
        if file.suffix in CERTIFICATES:
            with suppress(ssl.SSLError):  # a key, or something else
                context.load_verify_locations(cafile=file)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return getattr(error, "strerror", None) or type(error).__name__
