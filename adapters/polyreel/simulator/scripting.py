"""What can be scripted: documented errors, ends of jobs, and faults of submits."""

from __future__ import annotations

from typing import Final

from ..errors import UnknownNameError
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import answers
from .faults import FAULTS, Fault
from .tasks import End

ENDS: Final[tuple[End, ...]] = ("failed", "canceled")


def scriptable(provider: Provider) -> list[str]:
    """What `Simulator.script` can let happen to a submit, by the vendor's contract."""
    failures = [
        one[2]
        for operation in answers.submits(provider)
        for one in answers.errors(provider, operation)
    ]
    shown = {name for _, _, name, _ in provider.contract.replies(answers.query(provider))}
    return [*dict.fromkeys(failures), *(end for end in ENDS if end in shown)]


def scripted(vendor: str, events: tuple[str, ...]) -> list[str | Fault]:
    """The events of a script, faults looked up; UnknownNameError for an event that there is not."""
    documented = scriptable(get_provider(vendor))
    faults = {name: fault for name, fault in FAULTS.items() if fault.call == "submit"}
    for event in events:
        if event not in documented and event not in faults:
            known = ", ".join([*documented, *faults])
            raise UnknownNameError(f"{vendor} documents no {event!r}; there are {known}")
    return [event if event in documented else faults[event] for event in events]
