"""The tokens of a gateway's clients, made, listed and revoked; and the check of a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .. import environment
from ..errors import PolyreelError, RequestError, did_you_mean
from ..ledger.commands import command
from ..ledger.gateway_tokens import GatewayToken
from ..ledger.keeping import StoredLedger
from . import show
from .consent import dollars
from .gateway_routing import check_model
from .network import given

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gateway.tokens import Doorkeeper
    from ..jobs.locations import Location
    from ..ledger.store import LedgerStore
    from ..mapping.reports import Allowance
    from .gateway_routing import RoutingOptions

ACTIONS: Final = ("make", "list", "revoke", "secret")
DAY: Final = 24 * 60 * 60
MODELS_HELP: Final = "Of a token: model family that it may ask for, several times; all if left out."
Models = Annotated[list[str] | None, typer.Option("--model", help=MODELS_HELP, show_default=False)]
PerDay = Annotated[
    str | None,
    typer.Option(
        metavar="USD",
        help="Of a token: the most that its jobs of a day (UTC) may cost.",
        show_default=False,
    ),
]
MaxCost = Annotated[
    str | None,
    typer.Option(
        metavar="USD", help="Of a token: the most that all its jobs may cost.", show_default=False
    ),
]
UnknownPrices = Annotated[
    bool,
    typer.Option(
        "--unknown-prices",
        help="Of a token: jobs whose price nobody knows may be made too, and do not count.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1e6,
        help="Of a token: jobs begun at each vendor in a minute, at most.",
        show_default=False,
    ),
]
Days = Annotated[
    float | None,
    typer.Option(
        min=0.001, max=36500, help="Of a token: for how many days it works.", show_default=False
    ),
]
MayReadMetrics = Annotated[
    bool, typer.Option("--metrics", help="Of a token: it may read /metrics.")
]
COLUMNS: Final = [
    *("token", "state", "vendors", "models", "a day", "in all"),
    *("spent", "simulated", "rate"),
]


def stored(ledger: LedgerStore) -> StoredLedger:
    """The ledger as one that can keep tokens."""
    assert isinstance(ledger, StoredLedger)
    return ledger


def run(
    words: Sequence[str], ledger: LedgerStore, token: Callable[[str], GatewayToken], *, json: bool
) -> None:
    """Do what `polyreel gateway tokens ...` asks; `token` is what its options make of a name."""
    action, name = (*words, None, None)[:2]
    nameless = action == "list" if action != "secret" else name is None
    if action not in ACTIONS or len(words) > 2 or nameless is not (name is None):
        near = did_you_mean(action, ACTIONS) if action else ""
        text = f"write tokens make NAME, tokens list, tokens secret NAME, tokens revoke NAME{near}"
        raise typer.BadParameter(text, param_hint="TOKENS")
    rows = stored(ledger).gateway.tokens
    if action == "list":
        _list(stored(ledger), as_json=json)
    elif action == "secret":
        _show_secret(stored(ledger), name or "", as_json=json)
    elif action == "make":
        made = token(str(name))
        text = rows.make(made)
        if json:
            show.document({"token": text, **_document(made, None)})
        else:
            show.line(text)
        show.note(f"this is the token {name}: it is shown now, and never again")
    else:
        revoked = rows.revoke(str(name), time.time())
        show.note(f"the token {name} works no more; gateways hear of it within seconds")
        if json:
            show.document(_document(revoked, None))


def made_of(
    name: str,
    *,
    routing: RoutingOptions,
    models: Sequence[str],
    labels: Mapping[str, str],
    per_day: str | None,
    in_all: str | None,
    allow: Mapping[str, Allowance],
    days: float | None,
    unknown_prices: bool,
    rate: float | None,
    dedupe: float | None,
    metrics: bool,
) -> GatewayToken:
    """A token by the options of the command line; errors name what is wrong with them."""
    for model in models:
        check_model(model, "--model")
    now = time.time()
    return GatewayToken(
        name,
        vendors=routing.vendors,
        prefer=routing.prefer,
        by_model=routing.by_model,
        models=tuple(dict.fromkeys(models)),
        labels=labels,
        per_day=dollars(per_day, "--per-day"),
        in_all=dollars(in_all),
        allow=allow,
        created_at=now,
        expires_at=None if days is None else now + days * DAY,
        unknown_prices=unknown_prices,
        rate=rate,
        dedupe=dedupe,
        metrics=metrics,
    )


def _making(ledger: LedgerStore) -> str:
    """The command that makes a token."""
    return command("gateway", "tokens", "make", "NAME", ledger=ledger.named)


def _list(ledger: StoredLedger, *, as_json: bool) -> None:
    found = ledger.gateway.tokens.listed()
    spent = {one.name: _spent(ledger, one) for one in found}
    if as_json:
        show.document([_document(one, spent[one.name]) for one in found])
    elif not found:
        show.note(f"no token was made yet\nnext: {_making(ledger)}")
    else:
        show.table(COLUMNS, [_cells(one, spent[one.name]) for one in found])


def _show_secret(ledger: StoredLedger, name: str, *, as_json: bool) -> None:
    """Print what signs the calls to a token's client; UnknownNameError where there is no such."""
    from ..gateway.signatures import CallSignatures

    if name and name not in {one.name for one in ledger.gateway.tokens.listed()}:
        raise ledger.gateway.tokens.unknown(name)
    secret = CallSignatures(ledger.gateway).secret_of(name)
    if as_json:
        show.document({"name": name, "secret": secret})
    else:
        show.line(secret)


def _spent(ledger: StoredLedger, token: GatewayToken) -> dict[str, str]:
    """What its jobs may have cost, as far as they are counted: live ones, and simulated ones."""
    from ..gateway.tokens import Budgets

    return {
        name: format(Budgets(ledger.limits, simulated=simulated).spent(token.name), "f")
        for name, simulated in (("spent", False), ("spent_simulated", True))
    }


def _state(token: GatewayToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if not token.is_usable(time.time()):
        return "expired"
    if token.expires_at is None:
        return "usable"
    return f"usable until {datetime.fromtimestamp(token.expires_at, UTC):%Y-%m-%d %H:%M} UTC"


def _document(token: GatewayToken, spent: dict[str, str] | None) -> dict[str, object]:
    return {"name": token.name, "state": _state(token), **token.settings(), **(spent or {})}


def _of_models(token: GatewayToken) -> Iterator[str]:
    """Who makes the jobs of single model families."""
    for model, routing in token.by_model.items():
        yield from (f"{model}={vendor}" for vendor in routing.vendors)


def _cells(token: GatewayToken, spent: dict[str, str]) -> list[str]:
    limits = [token.per_day, token.in_all]
    return [
        token.name,
        _state(token),
        ", ".join([*token.vendors, *_of_models(token)]) or "all",
        ", ".join(token.models) or "all",
        *("-" if usd is None else f"${usd:f}" for usd in limits),
        f"${spent['spent']}",
        f"${spent['spent_simulated']}",
        "-" if token.rate is None else f"{token.rate:g}/min",
    ]


def door(ledger: LedgerStore, *, live: bool, reachable: bool, everybody: bool) -> Doorkeeper:
    """Who lets clients in; RequestError where they would need a token, and none was made.

    `reachable` says that others than programs of this machine can call, `everybody` that all are
    let in all the same.
    """
    from ..gateway.tokens import Doorkeeper

    tokens = stored(ledger).gateway.tokens
    found = tokens.listed()
    if everybody:
        return Doorkeeper()
    if any(one.is_usable(time.time()) for one in found):
        return Doorkeeper(tokens)
    if not (live or reachable or found):
        return Doorkeeper(tokens, until_made=True)
    why = (
        "its jobs cost money" if live else "others can reach it" if reachable else "tokens expired"
    )
    error = RequestError(
        [
            f"clients need a token, as {why}, and none is usable: make one, or let everybody in "
            "with --everybody"
        ]
    )
    error.add_note(f"next: {_making(ledger)}")
    raise error


# -- the check -------------------------------------------------------------------------------------


def check(
    ledger: LedgerStore,
    behind: Sequence[str],
    store: Location | None,
    *,
    live: bool,
    as_json: bool,
) -> None:
    """Try what a gateway needs, and say what it found; exit with 1 where it cannot serve."""
    rows = [*_checked(stored(ledger), behind, live=live), *_checked_store(store)]
    if as_json:
        show.document([dict(zip(("what", "ok", "found"), row, strict=True)) for row in rows])
    else:
        cells = [[what, "ok" if good else "NO", found] for what, good, found in rows]
        show.table(["what", "", "found"], cells)
    if not all(good for _, good, _ in rows):
        raise typer.Exit(1)


def _checked(
    ledger: StoredLedger, behind: Sequence[str], *, live: bool
) -> Iterator[tuple[str, bool, str]]:
    try:
        secret = ledger.gateway.secret("links")
        yield "ledger", bool(secret), "it can be read and written"
    except PolyreelError as error:
        yield "ledger", False, str(error)
        return
    folder = ledger.companion_file("gateway")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".check"
        probe.touch()
        probe.unlink()
        yield "files", True, str(folder)
    except OSError as error:
        yield "files", False, f"{folder}: {error.strerror}"
    usable = [one.name for one in ledger.gateway.tokens.listed() if one.is_usable(time.time())]
    needs = f" ({_making(ledger)})" if live and not usable else ""
    yield "tokens", bool(usable) or not live, f"{', '.join(usable) or 'none'}{needs}"
    for vendor in behind:
        state = environment.key_state(vendor) if live else "simulated"
        good = not live or environment.has_key(vendor)
        yield f"key of {vendor}", good, state


def _checked_store(store: Location | None) -> Iterator[tuple[str, bool, str]]:
    """Whether files can be stored there; nothing where they are not to be."""
    if store is None:
        return
    from ..drivers import Wire, run
    from ..gateway.files import trying
    from ..network import Network

    try:
        run(trying(store), Wire(network=given() or Network()))
        yield "store", True, str(store)
    except PolyreelError as error:
        yield "store", False, str(error)
