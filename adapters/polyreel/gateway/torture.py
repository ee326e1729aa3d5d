"""What a program under torture calls where a gateway is before the vendors: `polyreel torture`.

Faults happen to submits at the vendors behind the gateway, or to those between the program and the
gateway.
"""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

from attrs import frozen

from ..client import AsyncClient
from ..flows import Reply
from ..ledger.opening import open_ledger
from ..providers.base.registry import all_providers, get_provider
from ..serving.calls import IncomingRequest
from ..simulator import RunningClock, Simulator
from ..simulator import server as simulated
from ..testing.torture import Cell, Scene
from .application import Edge, GatewayApplication
from .behind import Behind
from .creating import Creator
from .faces import Faces
from .jobs import FacedJobs
from .own import OWN
from .server import running

Where = Literal["behind", "before"]
"""Where faults happen: at the vendors behind the gateway, or between it and the program."""
OF_THE_CONNECTION: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
PATIENCE: Final = 120.0
"""Seconds that an answer of the gateway may take."""


@frozen
class GatewayScene:
    """A gateway before simulated vendors: the face of a vendor, with all others behind."""

    where: Where = "behind"
    dedupe: float | None = None
    """Within how many seconds the same body is the same job."""
    is_own: bool = False
    """Whether the program calls the gateway's own APIs instead: the vendor makes the job then."""

    @contextmanager
    def __call__(self, cell: Cell, speed: float) -> Iterator[Scene]:
        """What the program calls, while the block runs."""
        face = OWN.id if self.is_own else cell.vendor
        vendors = Simulator(clock=RunningClock(speed), seed=1)
        playing = {**all_providers(), OWN.id: OWN}
        before = Simulator(clock=RunningClock(speed), seed=1, providers=playing)
        cell.afflict(vendors if self.where == "behind" else before)
        if self.is_own:
            behind = [get_provider(cell.vendor)]
        else:
            behind = [one for one in all_providers().values() if one.id != face]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ledger = stack.enter_context(open_ledger(str(folder / "ledger.sqlite3")))
            client = AsyncClient(simulator=vendors, ledger=ledger)
            creator = Creator(
                FacedJobs(client, folder / "gateway"), Behind((*behind,)), self.dedupe
            )
            edge = Edge(vendors=() if self.is_own else (face,))
            made = GatewayApplication(Faces(creator.jobs, creator), edge)
            url, fired = stack.enter_context(running(made)), vendors.fired
            if self.where == "before":
                below = url if self.is_own else f"{url}/{face}"
                before.upstream = Forwarding(below)
                url, fired = stack.enter_context(simulated.running(before)), before.fired
                url += f"/{face}" if self.is_own else ""
            path = "" if self.is_own else simulated.mounts()[face]
            yield Scene(url + path, vendors.bill, fired)


@frozen
class Forwarding:
    """Hands calls on, once each, and gives their answers."""

    url: str
    """What the paths of calls are below."""

    def __call__(self, request: IncomingRequest) -> Reply:
        """The answer of the server."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = {
            name: value for name, value in request.headers.items() if name not in OF_THE_CONNECTION
        }
        url = urlsplit(self.url)
        connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
        try:
            path = f"{url.path}{request.path}{query}"
            connection.request(request.method, path, request.content or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        kept = {
            name.lower(): value
            for name, value in answer.getheaders()
            if name.lower() not in OF_THE_CONNECTION
        }
        return Reply(answer.status, kept, content)
