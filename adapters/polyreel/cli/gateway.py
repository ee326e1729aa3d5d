"""The command that serves vendors' APIs with other vendors behind: gateway."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..errors import did_you_mean
from ..providers.base.registry import all_providers, get_provider
from . import gateway_tokens, show
from .gateway_routing import Prefer, To, read_routing
from .gateway_tokens import (
    Days,
    MaxCost,
    MayReadMetrics,
    Models,
    PerDay,
    Rate,
    UnknownPrices,
)
from .labels import Labels, read_labels
from .options import (
    Allow,
    AsJson,
    LedgerPlace,
    Live,
    PricesFile,
    SimulatedSpeed,
    allowances,
    announced,
    files_in_general,
    finite,
    known_vendors,
    open_ledger,
    read_ledger,
)
from .serve import LOOPBACK, Host, Port, access_by, listen_on

READING: Final = (["list"], ["revoke"])
"""What is done with tokens that were made before."""

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[check|tokens make|list|secret|revoke NAME]",
        help="Check the settings, or make, list or revoke tokens, or print what signs the calls "
        "to a token's client; left out: serve.",
        show_default=False,
    ),
]


def gateway(
    words: Words = None,
    *,
    to: To = None,
    prefer: Prefer = None,
    face: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENDOR",
            help="Vendor whose API is spoken, several times; all if left out.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    live: Live = False,
    allow: Allow = None,
    dedupe: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=86400,
            callback=lambda value: value if value is None else finite(value),
            help="Answer a repeated body with the first job, without an idempotency key too.",
            show_default=False,
        ),
    ] = None,
    port: Port = 8770,
    host: Host = LOOPBACK,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name by which clients may call, several times.", show_default=False
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL by which clients reach it, where that is a proxy's.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where files of finished jobs are fetched to and stay, such as s3://bucket/clips; "
            "clients get links of the gateway to them.",
            show_default=False,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Append the traffic to a file, without secrets: for polyreel verify and --replay.",
            show_default=False,
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Answer as a recording of --record has it; no job is made.",
            show_default=False,
        ),
    ] = None,
    spans: Annotated[
        bool,
        typer.Option(
            "--spans",
            help="Make OpenTelemetry spans of requests and calls; opentelemetry-instrument says "
            "where they go.",
        ),
    ] = False,
    everybody: Annotated[
        bool,
        typer.Option("--everybody", help="Let in whoever can reach it, without a token."),
    ] = False,
    private_callbacks: Annotated[
        bool,
        typer.Option(
            "--private-callbacks", help="Call clients back in private networks too, also over HTTP."
        ),
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificate (PEM) to serve over TLS, with --certificate-key.",
            show_default=False,
        ),
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key (PEM).", show_default=False)
    ] = None,
    model: Models = None,
    label: Labels = None,
    per_day: PerDay = None,
    max_cost: MaxCost = None,
    unknown_prices: UnknownPrices = False,
    rate: Rate = None,
    days: Days = None,
    metrics: MayReadMetrics = False,
    speed: SimulatedSpeed = 10.0,
    prices_file: PricesFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Serve the APIs of all vendors, with the vendors of your choice behind.

    Programs keep their code for one vendor, and get another one by changing their base URL. Jobs
    are simulated unless --live is given; then they cost money, and are paid with your keys. On
    loopback unless --host is given. Clients need a token where jobs cost money, or others can call:
    `polyreel gateway tokens make NAME`. See docs/gateway.md.
    """
    from ..client.checks import located
    from ..gateway.application import check_installed
    from . import gateway_starting as starting

    check_installed()
    what, *rest = words or ["serve"]
    allowed, routing = allowances(allow), read_routing(to or (), prefer or ())
    token = partial(
        gateway_tokens.made_of,
        routing=routing,
        models=model or (),
        labels=read_labels(label),
        per_day=per_day,
        in_all=max_cost,
        unknown_prices=unknown_prices,
        rate=rate,
        dedupe=dedupe,
        allow=allowed,
        days=days,
        metrics=metrics,
    )
    if what == "tokens":
        with (read_ledger if rest[:1] in READING else open_ledger)(ledger) as opened:
            gateway_tokens.run(rest, opened, token, json=as_json)
        return
    if what not in {"serve", "check"} or rest:
        text = f"{what[:40]!r} is neither check nor tokens{did_you_mean(what, ['check', 'tokens'])}"
        raise typer.BadParameter(text, param_hint="WORDS")
    own = {name for name, given in _of_tokens(token("name")).items() if given}
    if own:
        text = f"{', '.join(sorted(own))}: it goes with tokens make"
        raise typer.BadParameter(text)
    if replay is None or to:
        routing = routing.of_all()
    behind = [*routing.vendors, *routing.others]
    where = None if store is None else located(store)
    if what == "check":
        with open_ledger(ledger) as opened:
            gateway_tokens.check(opened, behind, where, live=live, as_json=as_json)
        return
    faces = tuple(get_provider(one).id for one in dict.fromkeys(face or all_providers()))
    access = access_by(host, allow_host or [], [])
    _check_replay(replay, live=live, record=record)
    tls = _tls(certificate, certificate_key)
    show.log(logging.INFO)
    with open_ledger(ledger) as opened:
        reachable = access.addresses or bool(access.hosts) or public_url is not None
        door = gateway_tokens.door(opened, live=live, reachable=reachable, everybody=everybody)
        if replay is not None and not door.is_open:
            text = "it answers without a token: write --everybody to let in whoever can reach it"
            raise typer.BadParameter(text, param_hint="--replay")
        client = starting.client(
            behind, opened, live=live, speed=speed, prices_file=prices_file, spans=spans
        )
        made = starting.application(
            client,
            routing=routing,
            allow=allowed,
            dedupe=dedupe,
            door=door,
            private_callbacks=private_callbacks,
            store=where,
            edge={"access": access, "public_url": _public(public_url), "vendors": faces},
        )
        starting.use_records(made, record, replay)
        if spans:
            starting.use_spans(made)
        bound, url = listen_on(port, host)
        url = url.replace("http:", "https:", 1) if tls else url
        notice = files_in_general(live=live)
        with suppress(KeyboardInterrupt), bound, announced(notice):

            def ready() -> None:
                starting.announce(made, _public(public_url) or url, as_json=as_json)
                starting.warn(made, host, port)

            starting.run(made, bound, tls, ready)
    show.note("stopped")


def _check_replay(replay: Path | None, *, live: bool, record: Path | None) -> None:
    if replay is not None and (live or record is not None):
        raise typer.BadParameter("it goes with neither --live nor --record", param_hint="--replay")


def _of_tokens(token: GatewayToken) -> dict[str, object]:
    """The options that are about a token alone."""
    return {
        "--model": token.models,
        "--label": token.labels,
        "--per-day": token.per_day is not None,
        "--max-cost": token.in_all is not None,
        "--unknown-prices": token.unknown_prices,
        "--rate": token.rate,
        "--days": token.expires_at,
        "--metrics": token.metrics,
    }


def _public(url: str | None) -> str | None:
    if url is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        text = f"{url[:80]!r} is no URL such as https://gateway.example.com"
        raise typer.BadParameter(text, param_hint="--public-url")
    return url.rstrip("/") if url else None


def _tls(certificate: Path | None, key: Path | None) -> dict[str, str]:
    """What uvicorn needs for TLS; nothing where it is not asked for."""
    if (certificate is None) is not (key is None):
        raise typer.BadParameter("TLS needs both --certificate and --certificate-key")
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise typer.BadParameter(f"{path} is no file")
    if certificate is None or key is None:
        return {}
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
