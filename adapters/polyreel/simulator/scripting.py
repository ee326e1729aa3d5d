"""What can be scripted: documented errors, ends of jobs, and faults of submits."""

from __future__ import annotations

from typing import Final

from ..errors import UnknownNameError, did_you_mean
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import answers
from .faults import FAULTS, Fault
from .tasks import End

ENDS: Final[tuple[End, ...]] = ("failed", "canceled")


def scriptable(provider: Provider) -> list[str]:
    """The events that `Simulator.script` takes for a vendor, by its contract."""
    errors = [
        shown.name
        for operation in answers.submits(provider)
        for shown in answers.errors(provider, operation)
    ]
    query = answers.status_query(provider)
    shown_states = {name for _, _, name, _ in provider.contract.replies(query)}
    return [*dict.fromkeys(errors), *(end for end in ENDS if end in shown_states)]


def scripted(vendor: str, events: tuple[str, ...]) -> list[str | Fault]:
    """The events of a script, with the faults among them; UnknownNameError for any other event."""
    documented = scriptable(get_provider(vendor))
    faults = {name: fault for name, fault in FAULTS.items() if fault.call == "submit"}
    for event in events:
        if event not in documented and event not in faults:
            known = [*documented, *faults]
            text = f"there are {', '.join(known)}{did_you_mean(event, known)}"
            raise UnknownNameError(f"{vendor} documents no {event!r}; {text}")
    return [event if event in documented else faults[event] for event in events]
