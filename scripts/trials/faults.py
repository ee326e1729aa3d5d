"""What goes wrong at the vendors of a trial."""

from __future__ import annotations

from collections import Counter
from typing import Final

from polyreel.simulator import Simulator
from polyreel.simulator.faults import FAULTS

UNDETECTABLE: Final = {"file-changed"}
"""Another whole, valid file in the place of the right one: nobody could tell."""


def afflict(simulator: Simulator, share: float) -> None:
    """Let every kind of call go wrong in this share of cases, in every way there is, all equally
    often.
    """
    kinds = Counter(fault.call for fault in FAULTS.values() if fault.name not in UNDETECTABLE)
    for name, fault in FAULTS.items():
        if name not in UNDETECTABLE:
            simulator.inject(name, share=1 - (1 - share) ** (1 / kinds[fault.call]), times=None)
