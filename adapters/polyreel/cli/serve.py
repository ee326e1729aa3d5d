"""The commands that serve until interrupted: simulate, listen."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress
from errno import EADDRNOTAVAIL
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from attrs import evolve

from .. import environment
from ..hosts import address_of
from ..ledger.store import Delivered
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.webhooks import Event
from . import show
from .options import (
    AsJson,
    LedgerPlace,
    LiveJobs,
    Speed,
    client,
    files_in_general,
    open_ledger,
)

if TYPE_CHECKING:
    from ..simulator import Simulator
    from ..simulator.faultfile import Setup
    from ..simulator.http import Access

LOOPBACK: Final = "127.0.0.1"
Host = Annotated[
    str, typer.Option(help="Address to listen on; one beyond loopback lets others in.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]


def listen_on(port: int, host: str = LOOPBACK) -> tuple[socket.socket, str]:
    """A socket that listens, and its URL."""
    from ..simulator import http

    try:
        bound = http.listen(port, host)
    except (OSError, UnicodeError) as error:  # a name that no name can be is a UnicodeError
        problem = error.strerror if isinstance(error, OSError) else "it is no host name"
        named = isinstance(error, UnicodeError | socket.gaierror) or error.errno == EADDRNOTAVAIL
        hint, value = ("--host", host) if named else ("--port", str(port))
        raise typer.BadParameter(f"{value} cannot be used: {problem}", param_hint=hint) from None
    name = LOOPBACK if _is_wildcard(host) else f"[{host}]" if ":" in host else host
    return bound, f"http://{name}:{bound.getsockname()[1]}"


def _is_wildcard(host: str) -> bool:
    """Whether a host stands for all addresses of this machine."""
    address = address_of(host)
    return address is not None and address.is_unspecified


def access_by(host: str, names: list[str], origins: list[str]) -> Access:
    """Who may ask beside loopback: what was named on the command line, each thing explicitly."""
    from ..simulator.http import Access

    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", name):
            problem = f"{name!r} is no host name; write it without a scheme and a port"
            raise typer.BadParameter(problem, param_hint="--allow-host")
    for origin in origins:
        if not re.fullmatch(r"https?://[^\s/?#@*]+", origin):
            problem = f"{origin!r} is no origin; write one such as http://localhost:3000"
            raise typer.BadParameter(problem, param_hint="--allow-origin")
    known = {name.lower() for name in names}
    address = address_of(host)
    if address is not None:
        beyond = not address.is_loopback
    else:  # a name
        beyond = host.lower() != "localhost"
        known |= {host.lower()} if beyond else set()
    return Access(frozenset(known), beyond, frozenset(origin.lower() for origin in origins))


def _warn(access: Access, host: str, bound: socket.socket) -> None:
    """Say loudly what is open to others than programs of this machine."""
    if access.addresses:
        port = bound.getsockname()[1]
        names = ", ".join(["its IP addresses", *sorted(access.hosts)])
        show.note(
            f"WARNING: every machine that can reach {host} port {port} can use this simulator and "
            f"read its requests and bill, without a password. It answers to {names}; another host "
            "name needs --allow-host."
        )
    elif access.hosts:
        show.note(
            f"WARNING: requests that name {', '.join(sorted(access.hosts))} as their host are "
            "answered: web pages that resolve to it can read what the simulator answers."
        )
    if access.origins:
        show.note(
            f"WARNING: scripts of pages from {', '.join(sorted(access.origins))} can send "
            "requests here and read the answers."
        )


def _announce(url: str, addresses: dict[str, str], *, as_json: bool, **more: str) -> None:
    if as_json:
        show.document({"url": url, "vendors": addresses, **more})
        sys.stdout.flush()
    else:
        for name, address in {**addresses, **more}.items():
            show.note(f"{name}: {address}")


def _latency(text: str | None) -> tuple[float, float] | None:
    from ..simulator.faultfile import span

    try:
        return None if text is None else span(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--latency") from None


def _setup(file: Path | None, vendors: list[str]) -> Setup:
    """What the fault file says, with the chosen vendors in the place of its own."""
    from ..simulator import faultfile

    chosen = tuple(get_provider(vendor).id for vendor in dict.fromkeys(vendors))
    try:
        setup = faultfile.read(file, list(all_providers()), chosen) if file else faultfile.Setup()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None
    return evolve(setup, vendors=chosen or setup.vendors)


def _valid_keys(keys: list[str]) -> frozenset[str]:
    """The keys of the command line, as a fault file may hold them."""
    for key in keys:
        if not key or key != key.strip():
            problem = "a key is a text without blanks around it"
            raise typer.BadParameter(problem, param_hint="--key")
    return frozenset(keys)


def _simulator(setup: Setup, speed: float, seed: int | None, memory: Path | None) -> Simulator:
    """The vendors as a setup wants them; the option goes before the file."""
    from ..simulator import RunningClock, Simulator
    from ..simulator.memory import remember

    wanted = {name: getattr(setup, name) for name in ("keys", "balance", "link_seconds")}
    given = {name: value for name, value in wanted.items() if value is not None}
    clock, chosen = RunningClock(speed), seed if seed is not None else setup.seed
    simulator = Simulator(clock=clock, seed=0 if chosen is None else chosen, **given)
    if memory is not None:
        if memory.is_dir():
            raise typer.BadParameter(f"{memory} is a folder", param_hint="--remember")
        remember(simulator, memory)
        # The clock of the process before may have run ahead: its jobs must not be in the future.
        clock.advance(
            max((task.created for task in simulator.tasks.values()), default=0.0) - clock.now()
        )
    for fault in setup.faults:
        fault.into(simulator)
    return simulator


def simulate(
    *,
    port: Port = 8765,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; one beyond loopback lets other machines in."),
    ] = LOOPBACK,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name by which clients may call, several times, such as that of a container.",
            show_default=False,
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin of web pages whose scripts may call, such as http://localhost:3000.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="A valid key, several times: any other is a 401. Left out: all are valid.",
            show_default=False,
        ),
    ] = None,
    speed: Speed = 10.0,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of ids, durations and chances; 0 if left out.", show_default=False),
    ] = None,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            help="Vendor id, several times: only these answer. Left out: all.", show_default=False
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that says what goes wrong; see docs/simulator.md.", show_default=False
        ),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(
            help="Seconds by which answers are late, such as 0.2 or 0.1-0.5.", show_default=False
        ),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            "--remember",
            help="File to keep jobs and charges in, for the next start.",
            show_default=False,
        ),
    ] = None,
    allow_webhook_hosts: Annotated[
        bool,
        typer.Option("--allow-webhook-hosts", help="Let webhooks be sent to other machines too."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the simulated vendors until interrupted, on loopback unless --host is given. A browser
    shows what they are doing.

    The control API below /_polyreel/ reads the bill and the requests, lets things go wrong, moves
    the clock and sends webhooks; what changes something needs the token that is printed.
    docs/simulator.md has examples.
    """
    from ..simulator import server

    late = _latency(latency)
    setup = _setup(faults, vendor or [])
    if key:
        setup = evolve(setup, keys=_valid_keys(key))
    access = access_by(host, allow_host or [], allow_origin or [])
    simulator = _simulator(setup, speed, seed, memory)
    options = server.Options(
        setup.vendors or (),
        late or setup.latency or (0.0, 0.0),
        any_host=allow_webhook_hosts,
        access=access,
    )
    bound, url = listen_on(port, host)
    with suppress(KeyboardInterrupt), bound:
        addresses = {name: url + mount for name, mount in server.mounts(options.vendors).items()}
        _announce(
            url, addresses, as_json=as_json, control=f"{url}{server.PREFIX}/", token=options.token
        )
        keys = (
            "Any bearer token is a valid key"
            if setup.keys is None
            else "Only the keys of --key are valid"
            if key
            else "Only the keys of the fault file are valid"
        )
        _warn(access, host, bound)
        if notice := files_in_general(live=False):
            show.note(notice)
        show.note(f"{keys}. Nothing is paid. Stop with Ctrl-C.")
        server.serve(bound, simulator, options=options)
    show.note("stopped")


def listen(
    port: Port = 8766,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; one beyond loopback is for a proxy on another machine."
        ),
    ] = LOOPBACK,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Take webhooks in until interrupted, and write what they tell into the ledger: on loopback
    unless --host is given.

    Put a tunnel or a proxy of yours in front of it: it speaks no TLS. Signed webhooks need their
    secret in the environment (several, with blanks between, while it changes); unsigned ones only
    make the vendor be asked. A webhook that never comes harms nothing: `polyreel resume` asks.
    """
    from ..gateway.receiver import LIMITS, WebhookReceiver
    from ..simulator import http

    def print_delivery(event: Event, done: Delivered) -> None:
        show.note(f"{event.vendor} {event.task_id}: {event.facts.status}, {done.effect}")

    bound, url = listen_on(port, host)
    takers = [vendor for vendor, provider in all_providers().items() if provider.webhook]
    with (
        suppress(KeyboardInterrupt),
        bound,
        open_ledger(ledger) as opened,
        client(live=live, ledger=opened) as made,
    ):
        for vendor, secrets in environment.webhook_secrets().items():
            webhook = all_providers()[vendor].webhook
            if not secrets and webhook and webhook.signed:
                believed = "they are hints only" if webhook.optional else "none is believed"
                show.note(
                    f"{vendor} signs its webhooks: without {webhook.secret_variable} {believed}"
                )
        _announce(url, {vendor: f"{url}/{vendor}" for vendor in takers}, as_json=as_json)
        with WebhookReceiver(made, environment.webhook_secrets(), print_delivery) as receiver:
            http.serve(bound, receiver.handle, LIMITS)
    show.note("stopped")
