"""What the environment says: keys, base URLs, the order of vendors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import platformdirs

from .errors import KeyMissingError, RequestError, UnknownNameError
from .keys import Secret
from .providers.base.registry import all_providers, get_provider, ordered

ORDER_VARIABLE: Final = "POLYREEL_VENDORS"
LEDGER_VARIABLE: Final = "POLYREEL_LEDGER"
SHORTEST_KEY: Final = 8
"""Shorter values are no keys. Hiding them would only damage words."""


def vendor_order(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The vendors to try where none is named, in order.

    POLYREEL_VENDORS has their ids with commas between. Without it: all, in alphabetical order.
    """
    names = [
        name.strip() for name in environment.get(ORDER_VARIABLE, "").split(",") if name.strip()
    ]
    try:
        return [provider.id for provider in ordered(names)]
    except UnknownNameError as error:
        raise UnknownNameError(f"{ORDER_VARIABLE}: {error}") from None


def ledger_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The ledger of the command line: POLYREEL_LEDGER, or a file in the user's data folder."""
    named = environment.get(LEDGER_VARIABLE, "").strip()
    return Path(named) if named else platformdirs.user_data_path("polyreel") / "ledger.sqlite3"


def webhook_secrets(environment: Mapping[str, str] = os.environ) -> dict[str, list[str]]:
    """The secrets of vendors that sign their webhooks. A variable may hold several, with blanks."""
    variables = {
        name: one.webhook.secret_variable for name, one in all_providers().items() if one.webhook
    }
    return {
        name: environment.get(variable, "").split()
        for name, variable in variables.items()
        if variable
    }


def keys(vendors: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The keys of these vendors that are set.

    Raises KeyMissingError where none is set, or where one cannot be a key.
    """
    variables = {vendor: get_provider(vendor).key_variable for vendor in vendors}
    found = {vendor: environment.get(variable, "") for vendor, variable in variables.items()}
    found = {vendor: key for vendor, key in found.items() if key.strip()}
    if not found:
        raise KeyMissingError(
            f"a live call needs an API key: set {' or '.join(variables.values())}"
        )
    return {vendor: Secret.check(key, variables[vendor]).reveal() for vendor, key in found.items()}


def key_state(vendor: str, environment: Mapping[str, str] = os.environ) -> str:
    """Whether a vendor's key is set, or what is wrong with it; never the key."""
    if not environment.get(get_provider(vendor).key_variable, "").strip():
        return "not set"
    try:
        keys([vendor], environment)
    except KeyMissingError as error:
        return str(error)
    return "set"


def base_urls(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Other base URLs, for vendors whose route many hosts sell.

    Raises RequestError where one cannot be used.
    """
    found = {}
    for vendor, provider in all_providers().items():
        variable = provider.base_url_variable
        if variable and (url := environment.get(variable, "").strip()):
            if reason := _url_problem(url):
                # The value is not shown: it may hold a password.
                raise RequestError([f"{variable}: {reason}"])
            found[vendor] = url
    return found


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        return "not an http(s) URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "a base URL has no user name, query or fragment"
    return None


def without_keys(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text without any key or secret of the environment: the last check before output."""
    for provider in all_providers().values():
        key = environment.get(provider.key_variable, "").strip()
        if len(key) >= SHORTEST_KEY:
            text = text.replace(key, "****")
    for secret in (
        secret for secrets in webhook_secrets(environment).values() for secret in secrets
    ):
        if len(secret) >= SHORTEST_KEY:
            text = text.replace(secret, "****")
    return text
