"""Settings of a client from the environment, a `.env` file and the stored keys."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

from .. import environment
from ..errors import RequestError
from ..mapping.media import local_path, shown
from ..mapping.textfiles import text_of

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..drivers.hooks import Hook
    from ..ledger.store import LedgerStore
    from ..money.book import PriceBook
    from ..network import Network

ENV_FILE: Final = ".env"


class EnvOptions(TypedDict, total=False):
    """The settings of a client that can be given beside the environment, and go before it."""

    ledger: LedgerStore | str | Path | None
    retries: int
    call_timeout: float
    prices: PriceBook | None
    listener: Callable[[Job], None] | None
    network: Network | None
    hooks: Sequence[Hook]


def variables(file: str | Path | None = None) -> dict[str, str]:
    """The variables of a `.env` file and of the process; those of the process go before.

    Without `file` it is `.env` in the current folder, if there is one. Nothing is put into the
    environment of the process. Raises RequestError where the file cannot be read.
    """
    return {**_of_file(file), **os.environ}


def _of_file(given: str | Path | None) -> Mapping[str, str]:
    path = local_path(ENV_FILE if given is None else given)
    if given is None and not path.is_file():
        return {}
    import dotenv

    try:
        stream = io.StringIO(text_of(path.read_bytes()))
    except OSError as error:
        raise RequestError([f"env_file: {shown(str(path))}: {error.strerror}"]) from None
    except UnicodeError:
        problem = "it is not UTF-8 text"
        raise RequestError([f"env_file: {shown(str(path))}: {problem}"]) from None
    found = dotenv.dotenv_values(stream=stream, interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def settings(
    file: str | Path | None, *, live: bool | None, vendors: Sequence[str] | None, given: EnvOptions
) -> dict[str, Any]:
    """The arguments of a client: see `Client.from_env`."""
    known = variables(file)
    names = list(vendors or environment.vendor_order(known))
    has_keys = any(environment.key_state(name, known) != "not set" for name in names)
    is_live = has_keys if live is None else live
    found: dict[str, Any] = {"vendors": names}
    if is_live:
        found["keys"] = environment.keys(names, known)
        found["vendors"] = list(found["keys"])
        found["limits"] = environment.kept_limits(found["vendors"], known)
    network = given.get("network")
    found["network"] = environment.network(
        network, found["vendors"], live=is_live, environment=known
    )
    if "ledger" not in given:
        found["ledger"] = environment.ledger_place(known)
    return {**given, **found}
