"""An HTTP/1.1 server, on loopback unless asked otherwise, for the simulator and for webhooks.

Its answers can break on purpose (see `polyreel.flows.Answer`). It closes the connections of clients
that are too slow, and refuses the requests of web pages from elsewhere.
"""

from .connections import Limits
from .messages import LOOPBACK, Access, Handler, HttpRequest, plain
from .server import HOST, listen, max_open_files, running, serve

__all__ = [
    "HOST",
    "LOOPBACK",
    "Access",
    "Handler",
    "HttpRequest",
    "Limits",
    "listen",
    "max_open_files",
    "plain",
    "running",
    "serve",
]
