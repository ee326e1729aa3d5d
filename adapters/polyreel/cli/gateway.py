"""The command that serves vendors' APIs with other vendors behind: gateway."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..errors import did_you_mean
from ..jobs.routing import Preference
from ..providers.base.registry import all_providers, get_provider
from . import show
from .options import (
    Allow,
    AsJson,
    LedgerPlace,
    Live,
    PricesFile,
    allowances,
    announced,
    files_in_general,
    finite,
    known_vendors,
    open_ledger,
    prices,
    settings,
)
from .serve import LOOPBACK, Port, access_by, listen_on

if TYPE_CHECKING:
    from socket import socket

    from ..client import AsyncClient
    from ..gateway.application import GatewayApplication
    from ..ledger.store import LedgerStore
    from ..mapping.reports import Allowance


def gateway(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENDOR",
            help="Vendor that makes the jobs; of several, the next is asked where the one before "
            "is proved unpaid.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    prefer: Annotated[
        str,
        typer.Option(
            metavar="order|cheapest",
            help="Which of the vendors is asked first. Without --to, cheapest is of all.",
        ),
    ] = "order",
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
    host: Annotated[
        str, typer.Option(help="Address to listen on; one beyond loopback lets others in.")
    ] = LOOPBACK,
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
    speed: Annotated[
        float,
        typer.Option(
            min=0.01, max=1e6, callback=finite, help="How many times faster simulated jobs run."
        ),
    ] = 10.0,
    prices_file: PricesFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Serve the APIs of all vendors, with the vendors of your choice behind.

    Programs keep their code for one vendor, and get another one by changing their base URL. Jobs
    are simulated unless --live is given; then they cost money, and are paid with your keys. On
    loopback unless --host is given. See docs/gateway.md.
    """
    from ..gateway.application import check_installed

    check_installed()
    behind = _behind(to or [], prefer)
    faces = tuple(get_provider(one).id for one in dict.fromkeys(face or all_providers()))
    allowed = allowances(allow)
    show.log(logging.INFO)
    with open_ledger(ledger) as opened:
        client = _client(behind, opened, live=live, speed=speed, prices_file=prices_file)
        made = _application(
            client,
            behind=behind,
            prefer=cast("Preference", prefer),
            allow=allowed,
            dedupe=dedupe,
            edge={
                "access": access_by(host, allow_host or [], []),
                "public_url": public_url.rstrip("/") if public_url else None,
                "vendors": faces,
            },
        )
        bound, url = listen_on(port, host)
        notice = files_in_general(live=live)
        with suppress(KeyboardInterrupt), bound, announced(notice):
            _announce(made, public_url or url, as_json=as_json)
            _warn(made, host, port)
            asyncio.run(_serve(made, bound))
    show.note("stopped")


def _behind(to: list[str], prefer: str) -> list[str]:
    """The vendors behind, by id."""
    known = get_args(Preference)
    if prefer not in known:
        text = f"{prefer[:40]!r} is neither {' nor '.join(known)}{did_you_mean(prefer, known)}"
        raise typer.BadParameter(text, param_hint="--prefer")
    if not to and prefer == "order":
        raise typer.BadParameter(
            "name a vendor that makes the jobs, or write --prefer cheapest", param_hint="--to"
        )
    return [get_provider(one).id for one in dict.fromkeys(to or all_providers())]


def _client(
    behind: list[str],
    ledger: LedgerStore,
    *,
    live: bool,
    speed: float,
    prices_file: Path | None,
) -> AsyncClient:
    """The client that has the jobs made."""
    from ..client import AsyncClient

    options = settings(behind, live=live, ledger=ledger, prices=prices(prices_file))
    if not live:
        from ..simulator import RunningClock, Simulator
        from ..simulator.memory import remember

        simulator = Simulator(clock=RunningClock(speed))
        remember(simulator, ledger.companion_file("simulated"))
        newest = max((task.created for task in simulator.tasks.values()), default=0.0)
        ahead = max(newest, ledger.last_simulated()) - simulator.clock.now()
        cast("RunningClock", simulator.clock).advance(ahead)
        options["simulator"] = simulator
    return AsyncClient(**options)


def _application(
    client: AsyncClient,
    *,
    behind: list[str],
    prefer: Preference,
    allow: dict[str, Allowance],
    dedupe: float | None,
    edge: dict[str, Any],
) -> GatewayApplication:
    from ..gateway.application import Edge, GatewayApplication
    from ..gateway.behind import Behind
    from ..gateway.creating import Creator
    from ..gateway.faces import Faces
    from ..gateway.jobs import FacedJobs

    assert client.ledger is not None
    usable = [one for one in behind if client.vendors is None or one in client.vendors]
    vendors = tuple(get_provider(one) for one in usable)
    jobs = FacedJobs(client, client.ledger.companion_file("gateway"))
    creator = Creator(jobs, Behind(vendors, prefer, allow, client.prices), dedupe)
    creator.uploads.purge()
    return GatewayApplication(Faces(jobs, creator), Edge(**edge))


def _announce(made: GatewayApplication, url: str, *, as_json: bool) -> None:
    from ..simulator.server import mounts

    addresses = {name: url + path for name, path in mounts(made.edge.vendors).items()}
    behind = [one.id for one in made.faces.creator.behind.vendors]
    simulated = made.faces.jobs.client.simulated
    if as_json:
        show.document({"url": url, "faces": addresses, "to": behind, "live": not simulated})
        sys.stdout.flush()
    else:
        for name, address in addresses.items():
            show.note(f"{name}: {address}")
    show.note(f"Jobs are made by {', '.join(behind)}.")
    paid = "Simulated: nothing is sent or paid." if simulated else "LIVE: jobs cost money."
    show.note(f"{paid} Stop with Ctrl-C.")


def _warn(made: GatewayApplication, host: str, port: int) -> None:
    """Say aloud what is open to others than programs of this machine."""
    if made.edge.access.addresses:
        show.note(
            f"WARNING: every machine that can reach {host} port {port} can have jobs made here, "
            "without a password."
        )


async def _serve(made: GatewayApplication, bound: socket) -> None:
    from ..gateway.server import serve

    await serve(made, bound)
