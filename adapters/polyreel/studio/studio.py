"""What the pages of the studio share: its clients, its files, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import Factory, field, frozen

from ..providers.base.registry import all_providers
from .calls import KeptCalls
from .door import Door
from .running import Runner
from .uploads import UploadFolder

if TYPE_CHECKING:
    from ..client import AsyncClient
    from ..ledger.store import LedgerStore
    from ..simulator import Simulator


@frozen
class Studio:
    """Everything that a request to the studio may need."""

    client: AsyncClient
    """The simulated client: its jobs cost nothing."""
    folder: Path
    """Where clips and dropped files are."""
    live: AsyncClient | None = None
    """The client with keys, where the studio was started with `--live`. Its jobs cost money."""
    door: Door = field(factory=Door)
    uploads: UploadFolder = field(
        default=Factory(lambda own: UploadFolder(own.folder / "uploads"), takes_self=True),
        init=False,
    )
    """The files that were dropped or pasted."""
    runner: Runner = field(
        default=Factory(lambda own: Runner(own.client, own.folder, own.live), takes_self=True),
        init=False,
    )
    """What submits jobs, and follows them."""
    calls: KeptCalls = field(factory=KeptCalls, init=False)
    """The last calls of the simulated vendors."""

    def __attrs_post_init__(self) -> None:
        clock = self.simulator.clock
        self.simulator.on_answer = lambda call, answer: self.calls.note(clock.now(), call, answer)

    @property
    def simulator(self) -> Simulator:
        """The vendors of the simulated client."""
        assert self.client.simulator is not None
        return self.client.simulator

    @property
    def ledger(self) -> LedgerStore:
        """The ledger of both clients."""
        assert self.client.ledger is not None
        return self.client.ledger

    def client_of(self, vendor: str, *, simulated: bool) -> AsyncClient | None:
        """The client for jobs of a vendor; None where it has no key for it."""
        if simulated:
            return self.client
        return self.live if vendor in self.live_vendors else None

    @property
    def live_vendors(self) -> frozenset[str]:
        """The vendors at which jobs can be paid."""
        return frozenset(self.live.vendors or ()) if self.live is not None else frozenset()

    @staticmethod
    def vendors() -> Mapping[str, str]:
        """The vendors' ids, each with the title of its spec."""
        return {
            name: str(one.contract.document["info"]["title"])
            for name, one in all_providers().items()
        }

    async def close(self) -> None:
        """End the work, and close the clients."""
        await self.runner.close()
        await self.client.close()
        if self.live is not None:
            await self.live.close()
