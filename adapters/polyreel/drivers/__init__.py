"""The drivers: they pump flows, and are the only code that touches sockets, files on arrival and clocks."""

from .pump import arun, run
from .wire import Clock, RealClock, Wire, origin

__all__ = ["Clock", "RealClock", "Wire", "arun", "origin", "run"]
