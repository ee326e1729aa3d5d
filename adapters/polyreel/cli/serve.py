"""The commands that serve until interrupted: simulate, listen."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Annotated

import typer

from .. import environment
from ..ledger import Delivered
from ..registry import all_providers
from ..webhooks import Event
from . import show
from .options import AsJson, LedgerFile, LiveJobs, client, finite, open_ledger

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(simulate)
    app.command()(listen)


def _listen(port: int) -> tuple[socket.socket, str]:
    from .. import loopback  # noqa: PLC0415

    try:
        bound = loopback.listen(port)
    except OSError as error:
        raise typer.BadParameter(f"{port} cannot be used: {error.strerror}", param_hint="--port") from None
    return bound, f"http://{loopback.HOST}:{bound.getsockname()[1]}"


def _announce(url: str, addresses: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        show.document({"url": url, "vendors": addresses})
        sys.stdout.flush()
    else:
        for vendor, address in addresses.items():
            show.note(f"{vendor}: {address}")


def simulate(
    port: Port = 8765,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1e6, callback=finite, help="How many times faster than life jobs run.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of ids and durations.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve the simulated vendors on loopback until interrupted."""
    from ..simulator import RunningClock, Simulator, server  # noqa: PLC0415

    bound, url = _listen(port)
    _announce(url, {vendor: url + mount for vendor, mount in server.mounts().items()}, as_json=as_json)
    show.note("Any bearer token is a valid key. Nothing is paid. Stop with Ctrl-C.")
    with suppress(KeyboardInterrupt), bound:
        server.serve(bound, Simulator(clock=RunningClock(speed), seed=seed))
    show.note("stopped")


def listen(port: Port = 8766, live: LiveJobs = False, ledger: LedgerFile = None, as_json: AsJson = False) -> None:
    """Take webhooks in on loopback until interrupted, and write what they tell into the ledger.

    Put a tunnel or a proxy of yours in front of it. Signed webhooks need their secret in the environment (several,
    with blanks between, while it changes); unsigned ones only make the vendor be asked. A webhook that never comes
    harms nothing: `polyreel resume` asks.
    """
    from .. import loopback  # noqa: PLC0415
    from ..receiver import LIMITS, Receiver  # noqa: PLC0415

    def told(event: Event, done: Delivered) -> None:
        show.note(f"{event.vendor} {event.task_id}: {event.facts.status}, {done.effect}")

    bound, url = _listen(port)
    takers = [vendor for vendor, provider in all_providers().items() if provider.webhook]
    with suppress(KeyboardInterrupt), bound, open_ledger(ledger) as opened, client(live=live, ledger=opened) as made:
        _announce(url, {vendor: f"{url}/{vendor}" for vendor in takers}, as_json=as_json)
        for vendor, secrets in environment.webhook_secrets().items():
            webhook = all_providers()[vendor].webhook
            if not secrets and webhook and webhook.signed:
                show.note(f"{vendor} signs its webhooks: without {webhook.secret_variable} none is believed")
        with Receiver(made, environment.webhook_secrets(), told) as receiver:
            loopback.serve(bound, receiver.handle, LIMITS)
    show.note("stopped")
