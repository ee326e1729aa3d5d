"""The vendors, simulated: one engine without I/O, as an httpx transport or as a server on loopback."""

from .clock import RunningClock, VirtualClock
from .engine import Bill, Simulator

__all__ = ["Bill", "RunningClock", "Simulator", "VirtualClock"]
