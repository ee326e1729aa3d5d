"""The vendors, simulated: one engine without I/O, as an httpx transport or as a server on loopback."""

from .clock import RunningClock, VirtualClock
from .engine import Simulator
from .faults import FAULTS, Fault
from .tasks import Bill

__all__ = ["FAULTS", "Bill", "Fault", "RunningClock", "Simulator", "VirtualClock"]
