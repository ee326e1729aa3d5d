"""The drivers: they pump flows, and are the only code that touches sockets, files on arrival and clocks."""

from .crew import Crew, completed
from .pump import arun, run
from .wire import Clock, RealClock, Wire, origin

__all__ = ["Clock", "Crew", "RealClock", "Wire", "arun", "completed", "origin", "run"]
