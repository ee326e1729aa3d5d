"""What serves the APIs of vendors for `polyreel gateway`: made, announced, and run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ledger.commands import command
from ..mapping.textfiles import read_bytes
from ..providers.base.registry import all_providers, get_provider
from . import show
from .options import prices, settings
from .simulated import remembering

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from ..client import AsyncClient
    from ..gateway.application import GatewayApplication
    from ..gateway.tokens import Doorkeeper
    from ..jobs.locations import Location
    from ..ledger.store import LedgerStore
    from ..mapping.reports import Allowance
    from .gateway_routing import RoutingOptions


def client(
    behind: list[str],
    ledger: LedgerStore,
    *,
    live: bool,
    speed: float,
    prices_file: Path | None,
    spans: bool,
) -> AsyncClient:
    """The client that has the jobs made."""
    from ..client import AsyncClient

    options = settings(behind, live=live, ledger=ledger, prices=prices(prices_file))
    if not live:
        options["simulator"] = remembering(ledger, speed)
    if spans:
        from ..drivers.spans import OpenTelemetryHook

        options["hooks"] = [OpenTelemetryHook()]
    return AsyncClient(**options)


def application(
    client: AsyncClient,
    *,
    routing: RoutingOptions,
    allow: dict[str, Allowance],
    dedupe: float | None,
    door: Doorkeeper,
    private_callbacks: bool,
    store: Location | None,
    edge: dict[str, Any],
) -> GatewayApplication:
    """The application that serves the faces."""
    from .. import asgi, environment
    from ..gateway.application import Edge, GatewayApplication
    from ..gateway.behind import Behind, webhook_addresses
    from ..gateway.creating import Creator
    from ..gateway.faces import Faces
    from ..gateway.jobs import FacedJobs

    assert client.ledger is not None
    usable = all_providers() if client.vendors is None else client.vendors
    vendors, others = (
        tuple(get_provider(one) for one in names if one in usable)
        for names in (routing.vendors, routing.others)
    )
    jobs = FacedJobs(client, client.ledger.companion_file("gateway"), store)
    secrets = environment.webhook_secrets()
    behind = Behind(
        vendors=vendors,
        prefer=routing.prefer or "order",
        allow=allow,
        prices=client.prices,
        webhooks=webhook_addresses((*vendors, *others), edge["public_url"], secrets),
        by_model=routing.by_model,
        others=others,
    )
    creator = Creator(jobs, behind, dedupe)
    creator.private_callbacks = private_callbacks
    jobs.files.purge()
    webhooks = asgi.webhooks(client, secrets)
    return GatewayApplication(Faces(jobs, creator, door), Edge(**edge), webhooks)


def use_records(made: GatewayApplication, record: Path | None, replay: Path | None) -> None:
    """Have the traffic recorded, or answered from a recording."""
    from ..gateway.recording import Recorder, Replay

    if record is not None:
        made.recorder = Recorder(record)
    if replay is not None:
        content = read_bytes(str(replay), f"--replay {replay}")
        made.replay = Replay(content, str(replay), made.faces, made.own)


def use_spans(made: GatewayApplication) -> None:
    """Have a span made of each request."""
    from ..gateway.spans import RequestSpans

    made.spans = RequestSpans()


def announce(made: GatewayApplication, url: str, *, as_json: bool) -> None:
    """Say what is served, where, and who makes the jobs."""
    from ..simulator.server import mounts

    addresses = {name: url + path for name, path in mounts(made.edge.vendors).items()}
    behind = [one.id for one in made.faces.creator.behind.every_vendor]
    simulated = made.faces.jobs.client.simulated
    if as_json:
        show.document({"url": url, "faces": addresses, "to": behind, "live": not simulated})
        sys.stdout.flush()
    else:
        for name, address in addresses.items():
            show.note(f"{name}: {address}")
    if made.replay is not None:
        show.note("Answers are those of a recording: no job is made. Stop with Ctrl-C.")
        return
    show.note(f"Jobs are made by {', '.join(behind)}.")
    paid = "Simulated: nothing is sent or paid." if simulated else "LIVE: jobs cost money."
    show.note(f"{paid} Stop with Ctrl-C.")


def warn(made: GatewayApplication, host: str, port: int) -> None:
    """Say who is let in, and aloud what is open to others than programs of this machine."""
    if not made.faces.door.is_open:
        ledger = made.faces.jobs.client.ledger
        listing = command("gateway", "tokens", "list", ledger=ledger.named if ledger else None)
        show.note(f"Clients need a token: {listing}")
    elif made.edge.access.addresses or not made.faces.jobs.client.simulated:
        who = f"whoever can reach {host} port {port}"
        paid = "" if made.faces.jobs.client.simulated else ", and you pay for them"
        show.note(f"WARNING: {who} can have jobs made here without a token{paid}.")


def run(
    made: GatewayApplication, bound: socket, tls: dict[str, str], ready: Callable[[], None]
) -> None:
    """Serve until the end is asked for; `ready` is called when nothing is in the way.

    Raises DownloadError where nothing can be stored.
    """
    from ..gateway import server

    async def serve() -> None:
        await made.faces.jobs.files.try_store()
        if made.replay is None:
            made.faces.creator.behind.warm_up(get_provider(name) for name in made.edge.vendors)
        ready()
        await server.serve(made, bound, **tls)

    server.run(serve())
