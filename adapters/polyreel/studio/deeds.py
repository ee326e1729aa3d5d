"""What can be done about a job: cancel, resume, reconcile, adopt, give up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from ..errors import PolyreelError, StillRunningError

if TYPE_CHECKING:
    from ..client import AsyncClient
    from .cards import JobCard
    from .studio import Studio

RESUMING: Final = 20.0
"""Seconds that a job is waited for when it is resumed by hand."""


async def acted(studio: Studio, card: JobCard, what: str, given: Mapping[str, str]) -> str:
    """Do something about a job; what became of it, in words."""
    own = card.own
    client = studio.client_of(own.vendor, simulated=own.simulated)
    if client is None:
        return f"It is a live job, and the studio has no key for {own.vendor}: start it with --live"
    if what not in card.actions:
        return f"The job is {card.state}: that cannot be done about it any more"
    try:
        return await DEEDS[what](studio, client, card, given)
    except StillRunningError:
        return "It is still running. This page follows it"
    except PolyreelError as error:
        return str(error)


async def _cancel(_: Studio, client: AsyncClient, card: JobCard, given: Mapping[str, str]) -> str:
    done = await client.cancel(card.entry.id)
    return f"{done.text}. Bill: {done.bill}"


async def _resume(_: Studio, client: AsyncClient, card: JobCard, given: Mapping[str, str]) -> str:
    await client.resume(card.entry.id, timeout=RESUMING)
    return "Its files are saved"


async def _reconcile(
    _: Studio, client: AsyncClient, card: JobCard, given: Mapping[str, str]
) -> str:
    findings = await client.reconcile(card.entry.id)
    if not findings:
        return "It is not ambiguous any more"
    found = findings[0]
    likely = f". It may be: {', '.join(found.candidates)}" if found.candidates else ""
    told = "It has its job" if found.result == "found" else "Not found"
    return f"{told}: {found.text}{likely}"


async def _adopt(_: Studio, client: AsyncClient, card: JobCard, given: Mapping[str, str]) -> str:
    task = given.get("task", "").strip()
    if not task:
        return "Type the task's id, as the vendor's dashboard shows it"
    found = await client.adopt(card.entry.id, task)
    return f"It is the vendor's task {found.id}: {found.status}"


async def _abandon(studio: Studio, _: AsyncClient, card: JobCard, given: Mapping[str, str]) -> str:
    await asyncio.to_thread(studio.ledger.abandon, card.entry.id)
    return "It is given up. The vendor was not told"


DEEDS: Final[
    Mapping[str, Callable[[Studio, AsyncClient, JobCard, Mapping[str, str]], Awaitable[str]]]
] = {
    "cancel": _cancel,
    "resume": _resume,
    "reconcile": _reconcile,
    "adopt": _adopt,
    "abandon": _abandon,
}
"""What can be done about a job."""
