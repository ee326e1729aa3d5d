"""The drivers: they perform the steps of flows.

Only they use sockets, clocks and files that arrive.
"""

from .grouping import GroupedWrites
from .many import ManyJobsDriver, completed
from .pump import arun, run
from .urls import origin
from .wire import Clock, RealClock, Wire

__all__ = [
    "Clock",
    "GroupedWrites",
    "ManyJobsDriver",
    "RealClock",
    "Wire",
    "arun",
    "completed",
    "origin",
    "run",
]
