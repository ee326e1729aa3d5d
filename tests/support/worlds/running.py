"""Run many worlds, make a failing one small, and tell its story."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs
from attrs import evolve, frozen

from .mutants import SWITCHES, broken
from .plot import Actor, Mishap, Plot, plot_of
from .world import Ending, SimulatedWorld

MOST_TRIES: Final = 400
"""How many smaller worlds are tried for a failing one."""


@frozen
class Failure:
    """A world in which something happened that must not."""

    plot: Plot
    ending: Ending


@contextmanager
def silence() -> Iterator[None]:
    """Keep polyreel's warnings back: in most worlds something goes wrong."""
    logger = logging.getLogger("polyreel")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def happen(plot: Plot) -> Ending:
    """Let a world happen."""
    with silence():
        return SimulatedWorld(plot).happen()


def failures(seeds: Iterable[int], look: Callable[[int, Ending], None]) -> Iterator[Failure]:
    """The worlds of these seeds in which something happened that must not; `look` sees each one."""
    for seed in seeds:
        plot = plot_of(seed)
        ending = happen(plot)
        look(seed, ending)
        if ending.violations:
            yield Failure(plot, ending)


def found_after(rule: str, most: int, first: int = 0) -> int | None:
    """How many worlds it takes to find a mutant; None where so many do not find it."""
    with broken(rule):
        for number in range(1, most + 1):
            if happen(plot_of(first + number - 1)).violations:
                return number
    return None


# -- smaller worlds --------------------------------------------------------------------------------


def shrunk(failure: Failure) -> Failure:
    """The same failure in a smaller world: fewer actors, fewer mishaps, simpler ones."""
    wanted, tries = failure.ending.violations[0], 0
    while True:
        for plot in _smaller(failure.plot):
            tries += 1
            ending = happen(plot)
            if wanted in ending.violations:
                failure = Failure(plot, ending)
                break
            if tries >= MOST_TRIES:
                return failure
        else:
            return failure


def _smaller(plot: Plot) -> Iterator[Plot]:
    for actor in plot.actors:
        if len(plot.actors) > 1:
            yield evolve(plot, actors=tuple(one for one in plot.actors if one is not actor))
    for mishap in plot.mishaps:
        yield evolve(plot, mishaps=tuple(one for one in plot.mishaps if one is not mishap))
    for actor in plot.actors:
        simple = Actor(actor.number, actor.process, actor.deed, 0.0)
        for name in ("start", "retries", "prompts", "reference"):
            value = getattr(simple, name)
            if getattr(actor, name) != value:
                changed = evolve(actor, **{name: value})
                yield evolve(
                    plot, actors=tuple(changed if one is actor else one for one in plot.actors)
                )


# -- its story -------------------------------------------------------------------------------------


def story(plot: Plot) -> Iterator[str]:
    """What there is in a world, and what happens in it, line by line."""
    yield from map(_facts, plot.actors)
    yield from map(_facts, plot.mishaps)
    if plot.boot_sleeps:
        yield "The clock since the start of the machine stands still while the machine sleeps."
    reported: list[str] = []
    with silence():
        SimulatedWorld(plot, reported).happen()
    yield from reported


def _facts(one: Actor | Mishap) -> str:
    """An actor or a mishap, without what is as usual."""
    shown = []
    for fact in attrs.fields(type(one)):
        value = getattr(one, fact.name)
        if value != fact.default:
            shown.append(
                f"{fact.name} {value:g}" if isinstance(value, float) else f"{fact.name} {value}"
            )
    return f"{type(one).__name__}: {', '.join(shown)}"


__all__ = ["SWITCHES", "Failure", "failures", "found_after", "happen", "shrunk", "story"]
