"""The simulated vendors: an engine without I/O, an httpx transport and a server on loopback."""

from .clock import RunningClock, VirtualClock
from .engine import Simulator
from .faults import FAULTS, Fault
from .ready_made import ReadyMadeWarning
from .tasks import Bill

__all__ = [
    "FAULTS",
    "Bill",
    "Fault",
    "ReadyMadeWarning",
    "RunningClock",
    "Simulator",
    "VirtualClock",
]
