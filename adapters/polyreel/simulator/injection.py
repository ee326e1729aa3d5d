"""Which fault happens to which call: rules, tried in the order in which they were made."""

from __future__ import annotations

import random
from collections.abc import Set as AbstractSet

from attrs import define, field

from .faults import CallKind, Fault, When


@define(eq=False)
class Rule:
    """One injected fault. It draws from random numbers of its own, which no other rule changes."""

    fault: Fault
    vendor: str | None = None
    """None for all vendors."""
    share: float = 1.0
    """The part of the calls it fits that it happens to, from 0 to 1."""
    left: int | None = 1
    """How often it may still happen; None for always."""
    number: int = 0
    """Which rule of its simulator it is, from 1 on."""
    random: random.Random = field(factory=random.Random, repr=False)

    def fits(self, vendor: str, kind: CallKind, facts: AbstractSet[When]) -> bool:
        """Whether it may happen to a call."""
        fault = self.fault
        return (
            self.left != 0
            and self.vendor in {None, vendor}
            and fault.call == kind
            and fault.when in facts
        )

    def draw(self) -> bool:
        """Decide at random whether it happens this time."""
        return self.random.random() < self.share

    def count_down(self) -> None:
        """Note that it has happened."""
        if self.left is not None:
            self.left -= 1


@define(eq=False)
class Rules:
    """The rules of one simulator."""

    seed: int | None = None
    _rules: list[Rule] = field(factory=list, init=False)
    _made: int = field(default=0, init=False)

    def add(self, fault: Fault, vendor: str | None, share: float, times: int | None) -> None:
        """Add a rule. With the same seed, the same rules happen to the same calls."""
        if not 0 <= share <= 1 or (times is not None and times < 0):
            raise ValueError("a share is between 0 and 1, and times are not negative")
        self._made += 1
        seed = None if self.seed is None else f"fault {self._made} of {self.seed}"
        self._rules.append(Rule(fault, vendor, share, times, self._made, random.Random(seed)))

    def clear(self, number: int | None = None) -> None:
        """Remove all rules, or the one with this number."""
        self._rules[:] = [one for one in self._rules if number not in {None, one.number}]

    def active(self) -> list[Rule]:
        """The rules that may still happen, in order."""
        return [rule for rule in self._rules if rule.left != 0]

    def refusing(self, vendor: str, kind: CallKind) -> Rule | None:
        """The rule that refuses a connection, unless an earlier rule is certain to happen."""
        for rule in self._rules:
            if not rule.fits(vendor, kind, {"always"}):
                continue
            if rule.fault.refuses and rule.draw():
                return rule
            if not rule.fault.refuses and rule.share == 1:
                return None
        return None

    def pick(
        self, vendor: str, kind: CallKind, facts: AbstractSet[When], *, connected: bool
    ) -> Rule | None:
        """The first rule that happens to a call. An accepted connection is not refused later."""
        for rule in self._rules:
            if connected and rule.fault.refuses:
                continue
            if rule.fits(vendor, kind, facts) and rule.draw():
                return rule
        return None
