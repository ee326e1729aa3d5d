"""What `polyreel doctor --live` asks the vendors, and what it tells of their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import typer
from attrs import asdict, frozen

from .. import environment
from ..client import Client
from ..drivers import run
from ..errors import BadReplyError, PolyreelError, TransportError
from ..places import JsonObject
from ..providers.base.registry import all_providers, broken_plugins, get_provider
from ..verification.probing import KEY_STATUSES
from ..verification.readiness import AskedCall, Readiness, State, check_readiness
from . import show
from .exits import INTERNAL, exit_code
from .failures import as_own
from .options import client
from .verify import DIFFERENCE_HEADERS, difference_facts, difference_row

KEY: Final = 4
CODES: Final[Mapping[State, int]] = {
    "key refused": KEY,
    "not reached": 3,
    "failing": 3,
    "differs": 5,
    "ready": 0,
}
WORST: Final = (INTERNAL, KEY, 3, 5)
"""Exit codes: the first that is true of any vendor is that of the command."""
BILLED: Final = "Nothing was billed: only free calls were made."


@frozen
class NotAsked:
    """Why a vendor was not asked."""

    state: str
    key: str
    """The state of its key."""
    code: int
    problem: str = ""


def check_vendors(named: Sequence[str] | None, *, as_json: bool) -> None:
    """Ask these vendors, or all, and print what they answer; typer.Exit where not all is well."""
    vendors = [get_provider(one).id for one in dict.fromkeys(named or all_providers())]
    found: dict[str, Readiness | NotAsked] = {}
    for vendor in vendors:
        key = environment.key_state(vendor)
        missing = key == "not set"
        # Without a key, a vendor that nobody has named is not used: that is no error.
        code = 0 if missing and not named else KEY
        problem = "" if missing else key
        found[vendor] = NotAsked("no key" if missing else "key unusable", key, code, problem)
    if usable := [vendor for vendor in vendors if environment.has_key(vendor)]:
        with client(usable, live=True) as made:
            found |= {vendor: _asked(made, vendor) for vendor in usable}
    codes = {_code(one) for one in found.values()}
    code = next((one for one in (*WORST, *sorted(codes)) if one in codes), 0)
    if as_json:
        vendors_found = [_document(vendor, one) for vendor, one in found.items()]
        show.document({"status": "not ready" if code else "ready", "vendors": vendors_found})
    else:
        _print(found)
    for vendor, one in found.items():
        for text in _notes(vendor, one):
            show.note(text)
    for name, reason in broken_plugins().items():
        show.note(f"not asked: {name}, a plugin that cannot be loaded ({reason})")
    show.note(BILLED)
    if code:
        raise typer.Exit(code)


def _asked(made: Client, vendor: str) -> Readiness | NotAsked:
    """What a vendor answers; why it was not asked, where polyreel or a plugin is at fault."""
    try:
        return run(check_readiness(get_provider(vendor), made.base_urls.get(vendor)), made.wire)
    except PolyreelError as error:
        return NotAsked("failing", "set", exit_code(error), str(error))
    except Exception as error:
        return NotAsked("failing", "set", INTERNAL, str(as_own(error)).removeprefix("error: "))


def _code(one: Readiness | NotAsked) -> int:
    return one.code if isinstance(one, NotAsked) else CODES[one.state]


# -- what is told --------------------------------------------------------------------------------


def _print(found: Mapping[str, Readiness | NotAsked]) -> None:
    show.table(
        ["vendor", "address", "key", "calls", "state"],
        [_row(vendor, one) for vendor, one in found.items()],
        beneath=("address", "calls"),
    )
    differences = [
        difference_row(difference)
        for one in found.values()
        if isinstance(one, Readiness)
        for difference in one.differences
    ]
    if differences:
        show.table(list(DIFFERENCE_HEADERS), differences)


def _row(vendor: str, one: Readiness | NotAsked) -> list[str]:
    if isinstance(one, NotAsked):
        variable = get_provider(vendor).key_variable
        key = f"{variable} is not set" if one.state == "no key" else one.key
        return [vendor, "-", key, "-", one.state]
    calls = ", ".join(f"{each.role} {each.status}" for each in one.calls)
    return [vendor, one.address, one.key, calls or "-", one.state]


def _notes(vendor: str, one: Readiness | NotAsked) -> Iterator[str]:
    """What is wrong with a vendor, and what to do next."""
    if isinstance(one, NotAsked):
        if one.code:
            yield f"error: {vendor}: {one.problem or 'there is no key'}"
        if one.code == KEY:
            yield _next_key(vendor)
        return
    yield from (f"error: {text}" for call in one.calls for text in _problems(vendor, call))
    if one.failure is not None:
        yield f"error: {one.failure}"
    if one.state == "key refused":
        yield _next_key(vendor)
    elif one.state == "not reached" or any(call.outcome == "foreign" for call in one.calls):
        yield _next_address(vendor, one.address)
    elif one.state == "failing":
        yield _next_time(vendor, "doctor")
    elif one.key == "not proved":
        words = "; ".join(call.words for call in one.calls if call.outcome == "id refused")
        yield f"{vendor}: no answer shows whether the key is accepted" + (
            f" ({words})" * bool(words)
        )
    if one.state == "differs":
        yield (
            f"{vendor}: it answers otherwise than its spec says; polyreel reads what it can, and "
            f"polyreel verify --live {vendor} --task ID shows a patch of the spec"
        )


def _next_key(vendor: str) -> str:
    variable = get_provider(vendor).key_variable
    return f"{vendor}: set {variable} to a valid key, or store one: polyreel keys set {vendor}"


def _next_address(vendor: str, address: str) -> str:
    variable = get_provider(vendor).base_url_variable
    return (
        f"{vendor}: is {address} its address (--base-url {vendor}=URL, {variable}), and can this "
        "machine reach it (--proxy, --ca)?"
    )


def _next_time(vendor: str, command: str) -> str:
    return f"{vendor}: ask it again later: polyreel {command} --live --vendor {vendor}"


def next_step(error: PolyreelError, vendor: str, address: str, command: str) -> str:
    """What to do after a free call of a command has failed at a vendor."""
    if error.status in KEY_STATUSES:
        return _next_key(vendor)
    if isinstance(error, TransportError | BadReplyError):
        return _next_address(vendor, address)
    return _next_time(vendor, command)


def _problems(vendor: str, call: AskedCall) -> Iterator[str]:
    if call.outcome == "key refused":
        yield f"{vendor} did not accept the key: HTTP {call.status}: {call.words}"
    elif call.outcome in {"failed", "foreign"}:
        yield f"{vendor} answered HTTP {call.status} to {call.method} {call.path}: {call.words}"


def _document(vendor: str, one: Readiness | NotAsked) -> JsonObject:
    facts: JsonObject = {"vendor": vendor, "state": one.state, "exit_code": _code(one)}
    if isinstance(one, NotAsked):
        return {**facts, "key": one.key, "problem": one.problem or None}
    return {
        **facts,
        "key": one.key,
        "address": one.address,
        "calls": [asdict(call) for call in one.calls],
        "problem": None if one.failure is None else str(one.failure),
        "differences": [difference_facts(each) for each in one.differences],
    }
