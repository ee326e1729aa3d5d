"""The command that stores API keys: polyreel keys. It never shows one."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from .. import environment
from ..errors import KeyMissingError, RequestError, UnknownNameError, did_you_mean
from ..keys import Secret
from ..mapping.textfiles import STANDARD_INPUT, read_bytes, text_of
from ..providers.base.registry import all_providers
from . import show
from .options import AsJson, known_vendors

ACTIONS: Final = ("set", "list", "remove")
Action = Annotated[str, typer.Argument(metavar="set|list|remove", help="What to do.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[VENDOR]",
        help="Whose key it is.",
        autocompletion=known_vendors,
        show_default=False,
    ),
]
InKeyring = Annotated[
    bool,
    typer.Option(
        "--keyring", help="Store the key in the keyring of the system: polyreel[keyring]."
    ),
]


def keys(
    action: Action,
    words: Words = None,
    keyring: InKeyring = False,
    as_json: AsJson = False,
) -> None:
    """Store a vendor's API key, say where keys come from, or forget one. No key is ever shown.

    A key is typed at a hidden prompt, or read from standard input, and kept in a file that only you
    can read. With --live, commands take the key that the vendor's variable has, or else this one;
    Client.from_env() does so too, and is live then.
    """
    # A key can be in any word that was typed: none is repeated.
    if action not in ACTIONS:
        text = f"the actions are {', '.join(ACTIONS)}{did_you_mean(action, ACTIONS)}"
        raise typer.BadParameter(text, param_hint="ACTION")
    vendor = words[0] if words else None
    if len(words or ()) > 1 or (action == "list" and vendor):
        text = "a key is not taken from the command line, where others see it; it is asked for"
        raise typer.BadParameter(text if action == "set" else "too many words", param_hint="VENDOR")
    if action == "list":
        _list(as_json=as_json)
        return
    if vendor is None:
        raise typer.BadParameter(f"name the vendor: polyreel keys {action} VENDOR")
    stored = environment.key_store().vendors()  # its problems are told before a key is typed
    if vendor not in {*all_providers(), *stored}:
        known, near = ", ".join(all_providers()), did_you_mean(vendor, all_providers())
        raise UnknownNameError(f"there is no such vendor; there are {known}{near}")
    if action == "set":
        _set(vendor, keyring=keyring)
    else:
        _remove(vendor)
    if as_json:
        show.document(_row(vendor))


def _set(vendor: str, *, keyring: bool) -> None:
    key = Secret.check(_typed(vendor), f"the key of {vendor}").reveal()
    environment.hide(key)
    place = environment.key_store().set(vendor, key, keyring=keyring)
    show.note(f"the key of {vendor} is in {place}")
    show.note(f"commands with --live, and Client.from_env(), can pay {vendor} with it")
    _warn_of_variable(vendor)


def _remove(vendor: str) -> None:
    if not environment.key_store().remove(vendor):
        raise UnknownNameError(f"no key of {vendor} is stored")
    show.note(f"the key of {vendor} is stored no more")
    _warn_of_variable(vendor)


def _warn_of_variable(vendor: str) -> None:
    if vendor in all_providers() and _source(vendor) == ENVIRONMENT:
        variable = all_providers()[vendor].key_variable
        show.note(f"{variable} is set in the environment, which goes before")


def _typed(vendor: str) -> str:
    """What is typed at a hidden prompt, or standard input."""
    if sys.stdin is None or not sys.stdin.isatty():
        try:
            return text_of(read_bytes(STANDARD_INPUT, "the key on standard input"))
        except UnicodeDecodeError:
            raise RequestError(["the key on standard input is not text"]) from None
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"key of {vendor} (not shown): ")
    except EOFError:
        return ""
    except getpass.GetPassWarning:
        problem = "this terminal cannot hide what is typed; give the key on standard input"
        raise KeyMissingError(problem) from None


# -- where keys come from --------------------------------------------------------------------------

ENVIRONMENT: Final = "the environment"


def _source(vendor: str) -> str:
    """Where a vendor's key comes from, or why there is none; never the key."""
    state = environment.key_state(vendor)
    return ENVIRONMENT if state == "set" else state.removeprefix("set in ")


def _row(vendor: str) -> dict[str, str | None]:
    known = all_providers().get(vendor)
    source = _source(vendor) if known else "stored, and no such vendor is installed"
    return {"vendor": vendor, "variable": known.key_variable if known else None, "key": source}


def _list(*, as_json: bool) -> None:
    vendors = dict.fromkeys([*all_providers(), *environment.key_store().vendors()])
    rows = [_row(vendor) for vendor in vendors]
    if as_json:
        show.document(rows)
    else:
        cells = [[value or "-" for value in row.values()] for row in rows]
        show.table(["vendor", "variable", "key"], cells)
