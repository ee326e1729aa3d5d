"""What happens in a world: who does what when, and what goes wrong. A seed decides it all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

from attrs import frozen
from polyreel.providers.base.registry import all_providers
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.scripting import ENDS, scriptable

VENDORS: Final = tuple(all_providers())
PROMPTS: Final = ("a cat", "a dog")
REFERENCES: Final = ("order 1", "order 2")
HOUR: Final = 3600.0
LATE: Final = 1000
"""The number of who looks much later."""
FREE_FAULTS: Final = tuple(
    fault.name for fault in FAULTS.values() if fault.call in {"poll", "list", "download"}
)
SUBMIT_FAULTS: Final = tuple(fault.name for fault in FAULTS.values() if fault.call == "submit")
LOST: Final = tuple(name for name in SUBMIT_FAULTS if FAULTS[name].accepted)

Deed = Literal[
    "generate",
    "submit",
    "batch",
    "jobs",
    "resume",
    "reconcile",
    "adopt",
    "resubmit",
    "abandon",
    "webhooks",
]
"""What a program, a command of the command line, or a vendor's webhooks do."""
COMMANDS: Final[tuple[Deed, ...]] = (
    "jobs",
    "resume",
    "reconcile",
    "reconcile",
    "adopt",
    "resubmit",
    "abandon",
)
Trouble = Literal[
    "fault", "end", "kill", "interrupt", "locked", "full", "torn", "row", "wall", "sleep", "reboot"
]
"""What goes wrong: a fault or an end of jobs at a vendor; a process is killed, a thread is
interrupted; the ledger is locked, full, unreadable, or has a torn row; the wall clock is set; the
machine sleeps, or is started anew.
"""


@frozen
class Actor:
    """A thread of a process, and what it does."""

    number: int
    process: int
    deed: Deed
    start: float
    """Seconds since the world began."""
    reference: str | None = None
    prompts: tuple[str, ...] = (PROMPTS[0],)
    """One for each job; a batch has several."""
    vendors: tuple[str, ...] = (VENDORS[0],)
    retries: int = 0
    word: bool = True
    """Whether the user accepts to be billed twice."""
    keeps: bool = True
    """Whether its client keeps a ledger."""
    limit: int | None = None
    """How many dollars a batch may cost. Each job costs one."""


@frozen
class Mishap:
    """One thing that goes wrong."""

    number: int
    trouble: Trouble
    start: float = 0.0
    seconds: float = 0.0
    """How long it lasts, or by how much a clock is set."""
    name: str = ""
    """The fault, or the end of the job."""
    vendor: str | None = None
    share: float = 1.0
    times: int | None = 1
    target: int = 0
    """The process that is killed, or the actor that is interrupted."""
    step: int = 0
    """Before which of its steps."""


@frozen
class Plot:
    """A whole world before it happens."""

    seed: int
    actors: tuple[Actor, ...]
    mishaps: tuple[Mishap, ...]
    boot_sleeps: bool = False
    """Whether the clock since the machine's start stands still while the machine sleeps."""


def plot_of(seed: int) -> Plot:
    """The world of a seed."""
    chance = random.Random(f"plot {seed}")
    actors = tuple(_actors(chance))
    liar = chance.choice(("none", "none", "wall", "sleep", "sleep", "reboot"))
    mishaps = tuple(_mishaps(chance, actors, liar))
    if actors[0].keeps and chance.random() < 0.15:
        late = chance.uniform(0.1, 9) * HOUR
        actors = (*actors, _late_look(actors[0], late))
        mishaps = (*mishaps, *_lost(chance, actors[0], late if liar == "wall" else None))
    return Plot(
        seed,
        actors,
        mishaps,
        boot_sleeps=liar == "sleep" and chance.random() < 0.5,
    )


def _late_look(first: Actor, late: float) -> Actor:
    """Somebody looks much later what became of the submits of an actor."""
    return Actor(LATE, LATE, "reconcile", late, vendors=first.vendors)


def _lost(chance: random.Random, first: Actor, late: float | None) -> Iterator[Mishap]:
    """An answer is lost, and the wall clock may be set back as if no time had passed since."""
    name, vendor = chance.choice(LOST), first.vendors[0]
    yield Mishap(LATE, "fault", name=name, vendor=vendor)
    if late is not None:
        seconds = -late + chance.uniform(-0.2, 0.9) * HOUR
        yield Mishap(LATE + 1, "wall", chance.uniform(0.5, 1) * late, seconds=seconds)


def _moment(chance: random.Random) -> float:
    """Soon, or hours later."""
    return 10.0 ** chance.uniform(-1, 2) if chance.random() < 0.7 else chance.uniform(1, 9) * HOUR


def _actors(chance: random.Random) -> Iterator[Actor]:
    number = process = 0
    vendor = chance.choice(VENDORS)
    keeps = chance.random() < 0.9
    batches = keeps and chance.random() < 0.15
    for _ in range(chance.randint(1, 2)):
        process += 1
        for _ in range(chance.choice((1, 1, 2))):
            number += 1
            vendors: tuple[str, ...] = (vendor,)
            if chance.random() < 0.15:
                vendors = tuple(chance.sample(VENDORS, 2))
            yield Actor(
                number,
                process,
                "generate" if chance.random() < 0.75 else "submit",
                0.0 if chance.random() < 0.6 else _moment(chance),
                reference=chance.choice((*REFERENCES, None)) if keeps else None,
                prompts=(chance.choice((PROMPTS[0], *PROMPTS)),),
                vendors=vendors,
                retries=chance.choice((0, 0, 2)),
                keeps=keeps,
            )
    for run in range(2 if batches else 0):
        number, process = number + 1, process + 1
        yield Actor(
            number,
            process,
            "batch",
            run * chance.uniform(100, 3000),
            prompts=tuple(f"row {run * chance.choice((0, 1)) + row}" for row in range(2)),
            vendors=(vendor,),
            limit=chance.choice((2, 3)),
        )
    for _ in range(chance.choice((0, 1, 2, 3, 4)) if keeps else 0):
        number, process = number + 1, process + 1
        deed = chance.choice(COMMANDS)
        word = chance.random() < 0.8
        yield Actor(number, process, deed, _moment(chance), vendors=(vendor,), word=word)
    if keeps and chance.random() < 0.4:
        yield Actor(number + 1, process + 1, "webhooks", 0.0, vendors=(vendor,))


def _mishaps(chance: random.Random, actors: tuple[Actor, ...], liar: str) -> Iterator[Mishap]:
    number = 0

    def made(trouble: Trouble, start: float = 0.0, **more: object) -> Mishap:
        nonlocal number
        number += 1
        return Mishap(number, trouble, start, **more)  # type: ignore[arg-type]

    vendor = actors[0].vendors[0]
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        name = chance.choice((chance.choice(LOST), chance.choice(SUBMIT_FAULTS)))
        yield made("fault", name=name, vendor=vendor, times=chance.choice((1, 1, 2)))
    for _ in range(chance.choice((0, 0, 1, 2))):
        yield made("fault", name=chance.choice(FREE_FAULTS), share=0.5, times=3)
    if chance.random() < 0.15 and (ends := _ends(vendor)):
        yield made("end", name=chance.choice(ends), vendor=vendor)
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        kind: Trouble = chance.choice(("kill", "kill", "interrupt"))
        actor = chance.choice(actors)
        target = actor.process if kind == "kill" else actor.number
        yield made(kind, target=target, step=chance.choice((*range(12), 20, 30, 50)))
    if chance.random() < 0.3:
        outage: Trouble = chance.choice(("locked", "full", "torn"))
        yield made(outage, 10.0 ** chance.uniform(-1, 2), seconds=10.0 ** chance.uniform(0, 3))
    if chance.random() < 0.03:
        yield made("row", _moment(chance), target=chance.randrange(9))
    if liar == "wall":
        for _ in range(chance.choice((1, 1, 2))):
            set_by = chance.choice((-1, 1)) * 10.0 ** chance.uniform(1, 5.5)
            yield made("wall", _moment(chance), seconds=set_by)
    elif liar in {"sleep", "reboot"}:
        trouble: Trouble = "sleep" if liar == "sleep" else "reboot"
        yield made(trouble, 10.0 ** chance.uniform(-1, 2), seconds=chance.uniform(0.01, 20) * HOUR)


@cache
def _ends(vendor: str) -> tuple[str, ...]:
    known = scriptable(all_providers()[vendor])
    return tuple(end for end in ENDS if end in known)
