"""An HTTP/1.1 server on loopback, for the simulator and for webhooks.

Its answers can end badly on purpose (see `polyreel.flows.Answer`), guests that are slow on purpose are shown out, and
web pages from elsewhere get nothing.
"""

from .connections import Limits
from .messages import Handler, HttpRequest, plain
from .server import HOST, listen, running, serve

__all__ = ["HOST", "Handler", "HttpRequest", "Limits", "listen", "plain", "running", "serve"]
