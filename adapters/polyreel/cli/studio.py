"""The command that opens the page in the browser: studio."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .. import environment
from . import show
from .options import (
    AsJson,
    LedgerPlace,
    Live,
    PricesFile,
    SimulatedSpeed,
    announced,
    files_in_general,
    open_ledger,
    prices,
    settings,
)
from .serve import LOOPBACK, Host, Port, access_by, listen_on

if TYPE_CHECKING:
    from ..client import AsyncClient
    from ..ledger.store import LedgerStore
    from ..money.book import PriceBook

OWN_DOOR: Final = "POLYREEL_STUDIO_TOKEN"
"""The variable with a token of the user's own, which stays when the studio is started again."""
SHORTEST_TOKEN: Final = 16


def studio(
    *,
    live: Live = False,
    port: Port = 8780,
    host: Host = LOOPBACK,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name by which browsers may call, several times.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where clips and dropped files are kept; beside the ledger if left out.",
            show_default=False,
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the browser; print the address.")
    ] = False,
    speed: SimulatedSpeed = 10.0,
    prices_file: PricesFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Open a page that shows what every vendor would be sent, and runs it.

    Jobs are simulated. With --live those of vendors whose key is there can be paid too, each after
    its price has been typed. The address that is printed has a token: whoever has it can use the
    studio. See docs/studio.md.
    """
    from ..gateway import server
    from ..studio.application import application, check_installed
    from ..studio.door import Door
    from ..studio.studio import Studio

    check_installed()
    access = access_by(host, allow_host or [], [])
    token = _own_token()
    show.log(logging.WARNING)
    with ExitStack() as stack:
        opened = stack.enter_context(open_ledger(ledger))
        book = prices(prices_file)
        made = Studio(
            client=_simulated(opened, speed, book),
            folder=(output or opened.companion_file("studio")).absolute(),
            live=_live(opened, book) if live else None,
            door=Door(access, token) if token else Door(access),
        )
        bound, url = listen_on(port, host)
        address = made.door.address(url)
        stack.enter_context(bound)
        stack.enter_context(announced(files_in_general(live=False)))
        if as_json:
            show.document({"url": url, "address": address, "live": sorted(made.live_vendors)})
        else:
            show.line(address)
        sys.stdout.flush()
        paid = f"LIVE: jobs at {', '.join(sorted(made.live_vendors))} cost money." if live else ""
        show.note(f"{paid or 'Simulated: nothing is sent or paid.'} Stop with Ctrl-C.")
        if access.addresses or access.hosts:
            show.note(f"WARNING: whoever can reach {host} and knows the token can use the studio.")
        if not no_browser and not as_json:
            import webbrowser

            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.run(server.serve_app(application(made), bound, made.runner.stop.set))
    show.note("stopped")


def _own_token() -> str | None:
    token = os.environ.get(OWN_DOOR, "").strip()
    if token and len(token) < SHORTEST_TOKEN:
        text = f"{OWN_DOOR} is shorter than {SHORTEST_TOKEN} characters: others could guess it"
        raise typer.BadParameter(text)
    return token or None


def _simulated(ledger: LedgerStore, speed: float, book: PriceBook) -> AsyncClient:
    """The client whose jobs cost nothing. It remembers those of studios before."""
    from ..client import AsyncClient
    from .simulated import remembering

    simulator = remembering(ledger, speed)
    return AsyncClient(**settings([], live=False, ledger=ledger, simulator=simulator, prices=book))


def _live(ledger: LedgerStore, book: PriceBook) -> AsyncClient:
    from ..client import AsyncClient

    vendors = environment.vendor_order()
    return AsyncClient(**settings(vendors, live=True, ledger=ledger, prices=book))
