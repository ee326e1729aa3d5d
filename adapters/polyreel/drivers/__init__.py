"""The drivers: they pump flows, and are the only code that touches sockets, files on arrival and clocks."""

from .many import ManyJobsDriver, completed
from .pump import arun, run
from .urls import origin
from .wire import Clock, RealClock, Wire

__all__ = ["Clock", "ManyJobsDriver", "RealClock", "Wire", "arun", "completed", "origin", "run"]
