"""What is to be done about jobs that are in the ledger, whoever carries it there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from ..ledger.database import Transaction


@frozen
class Submit:
    """Submit the entries that are queued. Those that are not are left alone."""

    ids: tuple[str, ...]


@frozen
class Tend:
    """Wait for the accepted jobs of one vendor, those in one of its shards, until all have ended.

    One at a time is enough for a shard. More would only ask the vendor more often.
    """

    vendor: str
    shard: int = 0
    shards: int = 1
    """How many there are. The number of a ledger's row decides in which of them it is."""


@frozen
class Save:
    """Save the files of a job that has succeeded."""

    id: str


Work = Submit | Tend | Save


CHUNK: Final = 50
"""How many submits are one piece of work at most."""


def chunks(ids: Sequence[str]) -> Iterator[Submit]:
    """Submits in pieces of work."""
    for start in range(0, len(ids), CHUNK):
        yield Submit(tuple(ids[start : start + CHUNK]))


class Engine(Protocol):
    """What carries work to where it is done. No money rests on it: all work can be done twice."""

    def put(self, work: Work, transaction: Transaction | None = None) -> None:
        """Have a piece of work done.

        With the transaction of a ledger, it is put there, and taken back with it.
        """

    async def run(self, do: Callable[[Work], Awaitable[None]]) -> None:
        """Do the work that there is."""
