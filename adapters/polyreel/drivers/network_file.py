"""Reads a file with network settings: TOML, with the names of `polyreel.Network`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ..depth import toml_is_deep
from ..errors import RequestError, did_you_mean
from ..mapping.textfiles import text_of
from ..network import Network

MAX_BYTES: Final = 1_000_000


class NetworkSettings(BaseModel):
    """The whole file; `polyreel.Network` says what each setting means."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    proxy: str | dict[str, str] | None = None
    no_proxy: list[str] | str = []
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    client_key_password: str | None = None
    headers: dict[str, dict[str, str]] = {}
    user_agent: str | None = None
    base_urls: dict[str, str] = {}
    upload_urls: dict[str, str] = {}
    fast: bool = False
    trust_environment: bool = True


EXPECTED: Final = {
    **dict.fromkeys(("ca", "client_certificate", "client_key"), "the path of a file"),
    **dict.fromkeys(("client_key_password", "user_agent"), "a text"),
    **dict.fromkeys(("fast", "trust_environment"), "true or false"),
    **dict.fromkeys(("base_urls", "upload_urls"), "a table of URLs by vendor"),
    "headers": "a table for each vendor, with texts by header",
    "no_proxy": "a list of hosts",
    "proxy": "a URL, or a table of URLs for http, https and all",
}
"""What each setting can hold, in the words of error messages."""


def read_network(file: Path) -> Network:
    """The settings in a file; RequestError with every problem in them, and with no value.

    Paths in it are those beside the file.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        text = text_of(content)
        if len(content) > MAX_BYTES or toml_is_deep(text):
            raise RequestError([f"{file}: it is too large, or nested too deeply"])
        settings = NetworkSettings.model_validate(tomllib.loads(text))
    except RequestError:
        raise
    except OSError as error:
        raise RequestError([f"{file}: {error.strerror or error}"]) from None
    except ValidationError as error:
        wrong = dict.fromkeys(str(found["loc"][0]) for found in error.errors())
        raise RequestError([f"{file}: {_problem(name)}" for name in wrong]) from None
    except ValueError:
        raise RequestError([f"{file}: not TOML"]) from None
    given = settings.model_dump(exclude_unset=True)
    try:
        return Network(**_beside(file, given))
    except RequestError as error:
        raise RequestError([f"{file}: {problem}" for problem in error.problems]) from None


def _beside(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the paths of files as seen from here."""
    places = {
        name: file.parent / Path(given[name]).expanduser()
        for name in ("ca", "client_certificate", "client_key")
        if given.get(name)
    }
    return {**given, **places}


def _problem(name: str) -> str:
    if name not in EXPECTED:
        known = f"{', '.join(sorted(EXPECTED))}{did_you_mean(name, EXPECTED)}"
        return f"unknown setting {name[:40]!r}; there are {known}"
    return f"{name}: {EXPECTED[name]}"
