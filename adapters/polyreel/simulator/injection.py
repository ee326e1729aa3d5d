"""Which fault meets which call: rules, in the order in which they were made."""

from __future__ import annotations

import random
from collections.abc import Set as AbstractSet

from attrs import define, field

from .faults import CallKind, Fault, When


@define(eq=False)
class Rule:
    """One fault that was asked for. Its chance is its own: nothing else that is random changes with it."""

    fault: Fault
    vendor: str | None = None
    """None for all of them."""
    share: float = 1.0
    left: int | None = 1
    """How often it may still happen; None for always."""
    chance: random.Random = field(factory=random.Random, repr=False)

    def fits(self, vendor: str, kind: CallKind, facts: AbstractSet[When]) -> bool:
        """Whether it may happen to a call."""
        fault = self.fault
        return (
            self.left != 0
            and self.vendor in {None, vendor}
            and fault.call == kind
            and fault.when in facts
        )

    def strikes(self) -> bool:
        """Whether it happens this time."""
        return self.chance.random() < self.share

    def spend(self) -> None:
        """It has happened."""
        if self.left is not None:
            self.left -= 1


@define(eq=False)
class Rules:
    """The rules of one simulator."""

    seed: int | None = None
    _rules: list[Rule] = field(factory=list, init=False)
    _made: int = field(default=0, init=False)

    def add(self, fault: Fault, vendor: str | None, share: float, times: int | None) -> None:
        """Add a rule; the same rules of the same seed strike the same calls."""
        if not 0 <= share <= 1 or (times is not None and times < 0):
            raise ValueError("a share is between 0 and 1, and times are not negative")
        self._made += 1
        chance = (
            random.Random()
            if self.seed is None
            else random.Random(f"fault {self._made} of {self.seed}")
        )
        self._rules.append(Rule(fault, vendor, share, times, chance))

    def clear(self) -> None:
        """Let nothing happen any more."""
        self._rules.clear()

    def refusing(self, vendor: str, kind: CallKind) -> Rule | None:
        """The rule by which a connection is refused, unless a rule before it is sure to strike."""
        for rule in self._rules:
            if not rule.fits(vendor, kind, {"always"}):
                continue
            if rule.fault.refuses and rule.strikes():
                return rule
            if not rule.fault.refuses and rule.share == 1:
                return None
        return None

    def pick(
        self, vendor: str, kind: CallKind, facts: AbstractSet[When], *, connected: bool
    ) -> Rule | None:
        """The first rule that strikes a call; where a connection was made, it is not refused any more."""
        for rule in self._rules:
            if connected and rule.fault.refuses:
                continue
            if rule.fits(vendor, kind, facts) and rule.strikes():
                return rule
        return None
