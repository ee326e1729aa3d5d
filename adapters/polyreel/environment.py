"""What the environment says: keys, the network, the order of vendors; and stored keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import evolve

from .errors import KeyMissingError, MissingExtraError, RequestError, UnknownNameError
from .keys import Secret, is_written_in
from .mapping.media import local_path
from .network import ROUTES, Network, proxy_problem
from .providers.base.limits import has_limits
from .providers.base.registry import all_providers, get_provider, ordered

if TYPE_CHECKING:
    from .drivers.key_store import KeyStore
    from .drivers.limits_file import LimitsFolder
    from .providers.base.limits import KeptLimits

ORDER_VARIABLE: Final = "POLYREEL_VENDORS"
LEDGER_VARIABLE: Final = "POLYREEL_LEDGER"
LIMITS_VARIABLE: Final = "POLYREEL_LIMITS"
"""Names the folder of what vendors said of their models."""
KEYS_VARIABLE: Final = "POLYREEL_KEYS"
"""Names the file of the keys that are stored."""
NETWORK_VARIABLE: Final = "POLYREEL_NETWORK"
"""Names a file with network settings."""
USER_AGENT_VARIABLE: Final = "POLYREEL_USER_AGENT"
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


def ledger_place(environment: Mapping[str, str] = os.environ) -> str | Path:
    """The ledger of the command line: POLYREEL_LEDGER, or a file in the user's data folder."""
    import platformdirs  # noqa: PLC0415

    named = environment.get(LEDGER_VARIABLE, "").strip()
    if named:
        return named
    return platformdirs.user_data_path("polyreel") / "ledger.sqlite3"


def limits_folder(environment: Mapping[str, str] = os.environ) -> LimitsFolder:
    """What vendors said of their models: POLYREEL_LIMITS, or a folder of the user's state."""
    from .drivers.limits_file import LimitsFolder  # noqa: PLC0415

    if named := environment.get(LIMITS_VARIABLE, "").strip():
        return LimitsFolder(local_path(named))
    import platformdirs  # noqa: PLC0415

    return LimitsFolder(platformdirs.user_state_path("polyreel") / "limits")


def kept_limits(
    vendors: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, KeptLimits]:
    """What these vendors said of their models when `polyreel models --live` asked them."""
    asked = [vendor for vendor in vendors if has_limits(get_provider(vendor).contract)]
    found = {vendor: limits_folder(environment).read(vendor) for vendor in asked}
    return {vendor: kept for vendor, kept in found.items() if kept is not None}


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


# -- keys ------------------------------------------------------------------------------------------

_FROM_STORE: set[str] = set()
"""The stored keys that this process has seen, which no output may show."""


def key_store(environment: Mapping[str, str] = os.environ) -> KeyStore:
    """The stored keys: of the file that POLYREEL_KEYS names, or of one in the user's own folder."""
    from .drivers.key_store import KeyStore  # noqa: PLC0415

    if named := environment.get(KEYS_VARIABLE, "").strip():
        return KeyStore(local_path(named))
    import platformdirs  # noqa: PLC0415

    return KeyStore(platformdirs.user_config_path("polyreel") / "keys.json")


def hide(key: str) -> None:
    """Keep a key out of all output of this process."""
    if len(key) >= SHORTEST_KEY:
        _FROM_STORE.add(key)


def keys(vendors: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The keys of these vendors that are set in the environment, or else stored.

    A variable that is there and empty hides the stored key. Raises KeyMissingError where there is
    no key, or where one cannot be a key, or cannot be read.
    """
    found = {vendor: _key(vendor, environment) for vendor in vendors}
    usable = {vendor: key for vendor, key in found.items() if key is not None}
    if not usable:
        variables = " or ".join(get_provider(vendor).key_variable for vendor in vendors)
        raise KeyMissingError(
            f"a live call needs an API key: set {variables}, or store one with polyreel keys set"
        )
    return {vendor: key.reveal() for vendor, key in usable.items()}


def _key(vendor: str, environment: Mapping[str, str]) -> Secret | None:
    variable = get_provider(vendor).key_variable
    if variable in environment:
        text = environment[variable]
        return Secret.check(text, variable) if text.strip() else None
    stored = key_store(environment).find(vendor)
    if stored is None:
        return None
    key = Secret.check(stored.value, f"the key of {vendor} in {stored.place}")
    hide(key.reveal())
    return key


def key_state(vendor: str, environment: Mapping[str, str] = os.environ) -> str:
    """Whether a vendor's key is set, or what is wrong with it, or where it is stored; never the
    key.
    """
    variable = get_provider(vendor).key_variable
    try:
        if _key(vendor, environment) is None:
            return "not set"
        place = None if variable in environment else key_store(environment).place_of(vendor)
    except (KeyMissingError, MissingExtraError) as error:
        return str(error)
    return "set" if place is None else f"set in {place}"


def has_key(vendor: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a vendor has a key that can be used."""
    return key_state(vendor, environment).partition(" ")[0] == "set"


def vendor_urls(
    vendors: Iterable[str] | None = None, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Other base URLs of vendors, or of some of them: those of gateways.

    Raises RequestError where one cannot be used.
    """
    return _urls("_BASE_URL", vendors, environment)


def _urls(
    ending: str, vendors: Iterable[str] | None, environment: Mapping[str, str]
) -> dict[str, str]:
    found = {}
    for vendor in _mentioned(ending, vendors, environment):
        provider = get_provider(vendor)
        uploads = ending == "_UPLOAD_URL"
        ours, theirs = provider.base_url_variable, provider.own_base_url_variable
        for variable in [provider.upload_url_variable] if uploads else [ours, theirs]:
            if vendor not in found and (url := environment.get(variable, "").strip()):
                found[vendor] = base_url(vendor, url, variable, uploads=uploads)
    return found


def base_url(vendor: str, url: str, name: str, *, uploads: bool = False) -> str:
    """A base URL as calls take it. RequestError, with the setting's name, where it cannot be one.

    `uploads` says that it is for the vendor's other hosts. The value is not shown: it may hold a
    password.
    """
    if reason := _url_problem(url):
        raise RequestError([f"{name}: {reason}"])
    return get_provider(vendor).without_repetition(url, uploads=uploads)


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


# -- the network -----------------------------------------------------------------------------------


def network(
    given: Network | None = None,
    vendors: Iterable[str] | None = None,
    *,
    live: bool = True,
    base_urls: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Network:
    """The settings of calls to some vendors, or to all: what is given, then what is set outside.

    First what is given, then the variables of polyreel, then the file that POLYREEL_NETWORK names,
    then the variables of all programs, such as HTTPS_PROXY. Those are for live calls only.
    """
    settings = given or Network()
    settings = evolve(settings, base_urls={**settings.base_urls, **(base_urls or {})})
    if settings.trust_environment:
        settings = over(settings, _own_variables(vendors, environment))
        if named := environment.get(NETWORK_VARIABLE, "").strip():
            from .drivers.network_file import read_network  # noqa: PLC0415

            settings = over(settings, read_network(Path(named).expanduser()))
        if live and settings.trust_environment:
            settings = over(settings, _usual_variables(environment))
    checked = {
        vendor: base_url(vendor, url, f"the base URL of {vendor}")
        for vendor, url in settings.base_urls.items()
    }
    uploads = {
        vendor: base_url(vendor, url, f"the upload URL of {vendor}", uploads=True)
        for vendor, url in settings.upload_urls.items()
    }
    return evolve(settings, base_urls=checked, upload_urls=uploads)


def over(upper: Network, lower: Network) -> Network:
    """The settings of both, where those of `upper` come first."""
    by_vendor = {
        vendor: {**lower.headers.get(vendor, {}), **upper.headers.get(vendor, {})}
        for vendor in {**lower.headers, **upper.headers}
    }
    certificates = upper if upper.client_certificate else lower
    return Network(
        proxy=upper.proxy or lower.proxy,
        no_proxy=upper.no_proxy or lower.no_proxy,
        ca=upper.ca or lower.ca,
        client_certificate=certificates.client_certificate,
        client_key=certificates.client_key,
        client_key_password=certificates.client_key_password,
        headers=by_vendor,
        user_agent=upper.user_agent or lower.user_agent,
        base_urls={**lower.base_urls, **upper.base_urls},
        upload_urls={**lower.upload_urls, **upper.upload_urls},
        fast=upper.fast or lower.fast,
        trust_environment=upper.trust_environment and lower.trust_environment,
    )


def _own_variables(vendors: Iterable[str] | None, environment: Mapping[str, str]) -> Network:
    headers = {}
    for vendor in _mentioned("_HEADERS", vendors, environment):
        variable = get_provider(vendor).headers_variable
        if lines := environment.get(variable, "").strip():
            headers[vendor] = read_headers(lines.splitlines(), variable)
    return Network(
        headers=headers,
        user_agent=environment.get(USER_AGENT_VARIABLE, "").strip() or None,
        base_urls=vendor_urls(vendors, environment),
        upload_urls=_urls("_UPLOAD_URL", vendors, environment),
    )


def read_headers(lines: Iterable[str], name: str) -> dict[str, str]:
    """Headers from lines with `Name: value`; RequestError, with the setting's name, for others."""
    found = {}
    for line in filter(str.strip, lines):
        header, colon, value = line.partition(":")
        if not colon or not header.strip() or not value.strip():
            raise RequestError([f"{name}: each line is one header, written Name: value"])
        found[header.strip()] = value.strip()
    return found


def _mentioned(
    ending: str, vendors: Iterable[str] | None, environment: Mapping[str, str]
) -> Iterable[str]:
    """The vendors that may have a variable with this ending. All are loaded only where one may."""
    if vendors is not None:
        return vendors
    return all_providers() if any(name.endswith(ending) for name in environment) else ()


def _usual_variables(environment: Mapping[str, str]) -> Network:
    """What the variables say that all programs share, or else the settings of the system."""
    proxies = {scheme: _proxy_variable(scheme, environment) for scheme in ROUTES}
    no_proxy = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    if not any(proxies.values()) and sys.platform in {"darwin", "win32"}:
        from urllib.request import getproxies  # noqa: PLC0415

        found = getproxies()
        proxies = {scheme: found.get(scheme, "") for scheme in ROUTES}
        no_proxy = no_proxy or found.get("no", "")
    for scheme, url in proxies.items():
        if url and (problem := proxy_problem(url)):
            raise RequestError([f"{scheme.upper()}_PROXY: {problem}"])
    files = [environment.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
    return Network(proxy=proxies, no_proxy=no_proxy, ca=next(filter(None, files), None))


def _proxy_variable(scheme: str, environment: Mapping[str, str]) -> str:
    """A proxy's variable, in small letters first, as curl reads it."""
    name = f"{scheme}_proxy"
    if name in environment:
        return environment[name].strip()
    if scheme == "http" and "REQUEST_METHOD" in environment:
        return ""  # under CGI, a client's header Proxy would be this variable
    return environment.get(name.upper(), "").strip()


def without_keys(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text without any key or secret of the environment: the last check before output."""
    own = (environment.get(one.key_variable, "").strip() for one in all_providers().values())
    for key in (*own, *_FROM_STORE, *chain.from_iterable(webhook_secrets(environment).values())):
        if len(key) >= SHORTEST_KEY:
            text = text.replace(key, "****")
            if is_written_in(key, text):
                text = Secret(key).redact_text(text)
    return text
