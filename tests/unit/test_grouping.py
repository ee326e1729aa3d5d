"""Awaited writes that wait are written in groups: few in one at a time, many in two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import pytest
from polyreel.drivers import GroupedWrites
from polyreel.drivers.grouping import AT_A_TIME, LEAST
from support.fleet import JumpingLoop

FLOWS: Final = 32
SECONDS = 20.0
"""How long a thread waits for another one at most."""


class Noted:
    """Makes writes, and notes how many were in each group."""

    def __init__(self) -> None:
        self.groups = list[int]()

    def __call__(self, writes: Sequence[int]) -> list[int]:
        self.groups.append(len(writes))
        return [*writes]


def test_many_are_written_in_two_groups_at_a_time() -> None:
    """Neither would end without the other."""
    meet, groups = threading.Barrier(AT_A_TIME, timeout=SECONDS), list[int]()

    def write_all(writes: Sequence[int]) -> list[int]:
        groups.append(len(writes))
        meet.wait()
        return [*writes]

    async def write() -> Sequence[int]:
        grouped = GroupedWrites[int](write_all, lambda *_: False)
        found: list[int] = await asyncio.gather(*map(grouped.write, range(AT_A_TIME * LEAST)))
        return found

    assert asyncio.run(write()) == [*range(AT_A_TIME * LEAST)]
    assert groups == [LEAST] * AT_A_TIME


def test_where_commits_take_long_many_are_written_in_one_group() -> None:
    """There are fewer commits then."""
    write_all = Noted()

    async def write() -> None:
        seconds = count()
        asyncio.get_running_loop().time = lambda: next(seconds)  # type: ignore[method-assign]
        grouped = GroupedWrites[int](write_all, lambda *_: False)
        await grouped.write(0)
        await asyncio.gather(*map(grouped.write, range(AT_A_TIME * LEAST)))

    asyncio.run(write())
    assert write_all.groups == [1, AT_A_TIME * LEAST]


@pytest.mark.parametrize(
    ("commit", "size"), [(0.001, FLOWS // AT_A_TIME), (0.1, FLOWS)], ids=["quick", "slow"]
)
@pytest.mark.parametrize("work", [3e-5, 1e-4, 3e-3], ids=["fast", "usual", "slow machine"])
def test_how_fast_a_machine_is_does_not_matter(work: float, commit: float, size: int) -> None:
    """Slow work is not taken for slow commits: these alone decide, beside all the work there is."""
    loop, groups = JumpingLoop(), list[int]()
    commit *= work / 1e-4

    def begin_all(
        writes: Sequence[int], written: Callable[[list[int] | Callable[[], list[int]]], None]
    ) -> bool:
        groups.append(len(writes))
        loop.seconds += work * len(writes)
        loop.call_later(2 * work * len(writes) + commit, written, [*writes])
        return True

    async def write(grouped: GroupedWrites[int]) -> None:
        for number in range(60):
            await grouped.write(number)

    async def write_all() -> None:
        grouped = GroupedWrites[int](lambda writes: [*writes], begin_all)
        await asyncio.gather(*(write(grouped) for _ in range(FLOWS)))

    loop.run_until_complete(write_all())
    loop.close()
    last = groups[-20:-4]
    assert sum(groups) == 60 * FLOWS
    assert last == [size] * len(last)


def test_what_only_threads_can_write_goes_in_one_group() -> None:
    """As into a file, which has one writer at a time."""
    write_all = Noted()

    async def write() -> None:
        grouped = GroupedWrites[int](write_all)
        await asyncio.gather(*map(grouped.write, range(AT_A_TIME * LEAST)))

    asyncio.run(write())
    assert write_all.groups == [AT_A_TIME * LEAST]


def test_who_goes_on_writes_with_those_who_wait() -> None:
    """Flows that came one after the other are together from then on."""
    write_all = Noted()

    async def write() -> None:
        grouped = GroupedWrites[int](write_all)

        async def flow() -> None:
            for one in range(3):
                await grouped.write(one)

        first = asyncio.create_task(flow())
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # its first write has begun
        await asyncio.gather(first, flow(), flow())

    asyncio.run(write())
    assert write_all.groups == [1, 3, 3, 2]


def test_few_gather_while_others_are_written() -> None:
    begun, go_on, groups = threading.Event(), threading.Event(), list[Sequence[int]]()

    def write_all(writes: Sequence[int]) -> list[int]:
        groups.append(writes)
        begun.set()
        assert go_on.wait(SECONDS)
        return [*writes]

    async def write() -> None:
        grouped = GroupedWrites[int](write_all)
        first = asyncio.create_task(grouped.write(0))
        assert await asyncio.to_thread(begun.wait, SECONDS)
        others = [asyncio.create_task(grouped.write(one)) for one in range(1, LEAST)]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(first, *others) == [*range(LEAST)]

    asyncio.run(write())
    assert groups == [[0], [*range(1, LEAST)]]
