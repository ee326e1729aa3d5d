"""The command that serves tools for agents: mcp."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import consent, show
from .files import prepare
from .options import (
    LedgerPlace,
    Live,
    PricesFile,
    files_in_general,
    open_ledger,
    prices,
    settings,
)

if TYPE_CHECKING:
    from socket import socket

    from ..agents.service import AgentService
    from ..agents.tools import AgentTools


def mcp(
    *,
    live: Live = False,
    max_cost: Annotated[
        str | None,
        typer.Option(
            "--max-cost",
            metavar="USD",
            help="The most that all jobs of agents may cost together, over all calls and "
            "restarts. --live needs it.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Name of the budget: its jobs stand in the ledger as NAME/JOB.")
    ] = "agents",
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder for the files of all jobs.")
    ] = "clips",
    files: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder from which files may be sent, several times; --output always is one.",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        bool,
        typer.Option("--http", help="Serve over HTTP on loopback, not over stdin and stdout."),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for --http; 0 takes a free one.")
    ] = 8767,
    prices_file: PricesFile = None,
    ledger: LedgerPlace = None,
) -> None:
    """Serve tools for agents over the Model Context Protocol: plan, price, generate and more.

    Simulated unless --live is given. A repeated call is never billed again: see docs/agents.md.
    """
    from ..agents.limits import check_limit
    from ..agents.server import check_installed
    from ..agents.service import AgentService
    from ..agents.tools import AgentTools
    from ..client import AsyncClient
    from ..client.checks import local_folder
    from .serve import listen_on

    check_installed()
    limit = consent.dollars(max_cost)
    check_limit(limit, live=live)
    folder = local_folder(output)
    prepare(folder)
    with open_ledger(ledger) as opened:
        options = settings((), live=live, ledger=opened, prices=prices(prices_file))
        service = AgentService(
            AsyncClient(**options), folder, name=name, max_cost=limit, files=files or ()
        )
        bound = None
        if http:
            bound, url = listen_on(port)
            show.note(f"tools for agents: {url}/mcp")
        _print_limits(service)
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(AgentTools(service), bound))


def _print_limits(service: AgentService) -> None:
    """Say what agents may spend. It goes to stderr: stdout belongs to the protocol."""
    if notice := files_in_general(live=not service.client.simulated):
        show.note(notice)
    if service.client.simulated:
        show.note("Simulated: nothing is sent or paid.")
    else:
        spent, _ = service.budget.spent()
        show.note(
            f"Live: agents may spend ${service.max_cost:f} in all under the name {service.name}, "
            f"of which ${spent:f} are spent."
        )


async def _serve(tools: AgentTools, bound: socket | None) -> None:
    from ..agents import server

    built = server.build(tools)
    async with tools.service.client, tools.service:
        if bound is None:
            await server.serve_streams(built)
        else:
            await server.serve_http(built, bound)
