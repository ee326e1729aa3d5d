"""The gateway as an ASGI application, with Starlette: it reads requests, and writes answers."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..errors import MissingExtraError, PolyreelError
from ..flows import EVENT_STREAM, Reply
from ..providers.base.calling import BEARER
from ..providers.base.registry import all_providers
from ..serving.answers import plain
from ..serving.calls import INVALID, CallRefusedError
from ..simulator.http import LOOPBACK, Access
from ..simulator.server import mounts
from .bodies import RequestBody
from .callbacks import Callbacks
from .faces import FaceAnswer, FaceRequest, Faces
from .files import FileAnswer
from .metrics import CONTENT_TYPE, Labels, Metrics
from .own import OWN, OwnApis
from .recording import Recorder, Replay
from .refusals import UNKNOWN, UNREACHED
from .streams import StreamAnswer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .spans import RequestSpans

LOG: Final = logging.getLogger("polyreel")
ACCESS: Final = logging.getLogger("polyreel.access")
BODY_SECONDS: Final = 60.0
"""How long a body may take to arrive."""
PROMPT_SECONDS: Final = 1.0
"""How long one is waited for before it is asked whether its client has a token."""
SMALL: Final = 64 * 1024
"""The longest body, in bytes, that is read from anybody."""
MOST_RANGES: Final = 10
"""How many parts of a file one request can ask for; one that asks for more gets all of it."""
ANSWER_SECONDS: Final = 100.0
"""How long a client waits for its answer; a submit that takes longer goes on."""


def check_installed() -> None:
    """Raise MissingExtraError where Starlette or uvicorn is not installed."""
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        text = "the gateway needs Starlette and uvicorn: pip install 'polyreel[gateway]'"
        raise MissingExtraError(text)


Serving = Faces | OwnApis | Replay


@frozen
class Edge:
    """How a gateway is reached."""

    access: Access = LOOPBACK
    """By which names clients may call, and from which pages."""
    public_url: str | None = None
    """The URL by which clients reach it; else the one that each request names."""
    vendors: tuple[str, ...] = field(factory=lambda: tuple(all_providers()))
    """The vendors whose APIs are spoken."""


class GatewayApplication:
    """What answers the requests of a gateway."""

    def __init__(self, faces: Faces, edge: Edge, webhooks: ASGIApp | None = None) -> None:
        """Serve these faces; `webhooks` is what takes the calls of vendors, as `polyreel.asgi`."""
        self._webhooks = webhooks
        self.faces, self.edge, self.metrics = faces, edge, Metrics()
        self.own = OwnApis(faces)
        self.callbacks = Callbacks(faces, self.own.job_of)
        self.recorder: Recorder | None = None
        """What writes the traffic down."""
        self.replay: Replay | None = None
        """What answers in the place of vendors."""
        self.spans: RequestSpans | None = None
        """What makes a span of each request."""
        self.working: set[asyncio.Task[FaceAnswer]] = set()
        """Calls that are being answered: they are finished, also where nobody waits any more."""

    def starlette(self) -> Starlette:
        """The application; MissingExtraError is raised where Starlette is not installed."""
        check_installed()
        from starlette.applications import Starlette  # noqa: PLC0415
        from starlette.requests import Request  # noqa: PLC0415
        from starlette.routing import Mount, Route  # noqa: PLC0415

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            calling = asyncio.create_task(self.callbacks.run())
            try:
                yield
            finally:
                calling.cancel()
                await asyncio.wait([calling])
                if self.working:  # a submit that is under way is written down first
                    await asyncio.wait(self.working, timeout=ANSWER_SECONDS)
                await self.callbacks.wire.aclose()
                await self.faces.jobs.client.close()

        async def face(scope: Scope, receive: Receive, send: Send) -> None:
            answer = await self._face(Request(scope, receive, send))
            await answer(scope, receive, send)

        routes = [
            Route("/", self._index),
            Route("/healthz", self._health),
            Route("/readyz", self._readiness),
            Route("/metrics", self._metrics),
            Route("/v1/openapi.json", self._openapi),
            *([Mount("/webhooks", self._webhooks)] if self._webhooks is not None else []),
        ]
        made = Starlette(routes=routes, lifespan=lifespan)
        # Not by a route: its pattern would leave out paths with a line feed, and some methods.
        made.router.default = face
        made.router.redirect_slashes = False
        return made

    async def _health(self, _: Request) -> Response:
        """Whether the process is at work at all."""
        return _response(plain(200, {"status": "ok"}))

    async def _readiness(self, _: Request) -> Response:
        """Whether jobs can be taken: the ledger can be read."""
        try:
            await asyncio.to_thread(self.faces.jobs.kept.ping)
        except PolyreelError as error:
            LOG.error("not ready: %s", error)
            return _response(plain(503, {"status": "the ledger cannot be used"}))
        return _response(plain(200, {"status": "ok"}))

    async def _openapi(self, _: Request) -> Response:
        """The contract of the gateway's own APIs."""
        return _response(plain(200, OWN.contract.document))

    async def _metrics(self, request: Request) -> Response:
        """What was counted, for Prometheus; a token that may read it is needed where one is."""
        if (refused := self._unwelcome(request)) is not None:
            return refused
        key = BEARER.key_in({"authorization": request.headers.get("authorization", "")})
        try:
            token = await self.faces.door.token(key or "", _client_of(request))
        except CallRefusedError as error:
            return _response(plain(401, {"message": error.message}))
        if not token.metrics:
            return _response(plain(403, {"message": "the token may not read the metrics"}))
        text = await asyncio.to_thread(self.metrics.text, self._gauges())
        return _response(Reply(200, {"content-type": CONTENT_TYPE}, text.encode()))

    def _gauges(self) -> Iterator[tuple[str, str, list[tuple[Labels, float]]]]:
        """What the ledger and the client know now."""
        jobs, creator = self.faces.jobs, self.faces.creator
        under_way = jobs.kept.under_way(simulated=jobs.client.simulated)
        found: list[tuple[Labels, float]] = [
            ((("vendor", vendor), ("state", state)), count) for vendor, state, count in under_way
        ]
        yield "polyreel_jobs", "Jobs in the ledger that have not ended.", found
        rests = jobs.client.health.rests
        resting: list[tuple[Labels, float]] = [
            ((("vendor", one.id),), rests(one.id, jobs.now()))
            for one in creator.behind.every_vendor
        ]
        text = "Seconds for which a vendor is not asked, after failures in a row."
        yield "polyreel_vendor_rests_seconds", text, resting
        spent: list[tuple[Labels, float]] = [
            ((("token", one.name),), float(creator.budgets.spent(one.name)))
            for one in jobs.kept.tokens.listed()
        ]
        text = "Dollars that the jobs of tokens with a budget or a rate may have cost."
        yield "polyreel_gateway_spent_dollars", text, spent

    async def _index(self, request: Request) -> Response:
        """What is served here, as JSON."""
        if (refused := self._unwelcome(request)) is not None:
            return refused
        base = self._base(request)
        addresses = {name: base + path for name, path in mounts(self.edge.vendors).items()}
        behind = [one.id for one in self.faces.creator.behind.every_vendor]
        live = not self.faces.jobs.client.simulated
        return _response(
            plain(200, {"gateway": "polyreel", "live": live, "faces": addresses, "to": behind})
        )

    async def _face(self, request: Request) -> Response:
        begin = time.monotonic()
        seen: dict[str, str] = {}
        path = request.scope["path"]
        if self.spans is None:
            answer = await self._answered(request, seen)
        else:
            with self.spans.request(request.method, path[:200], request.headers) as span:
                answer = await self._answered(request, seen)
                self.spans.answered(span, answer.status_code, seen)
        seconds = time.monotonic() - begin
        if "face" in seen:
            role = seen.get("call", "unknown")
            self.metrics.note(seen["face"], role, answer.status_code, seconds)
        if ACCESS.isEnabledFor(logging.INFO):
            ACCESS.info(
                "%s %s %s %s: %d in %.0f ms",
                _client_of(request) or "-",
                seen.get("token") or "-",
                request.method,
                ascii(path[:200])[1:-1],  # without the query: it can have a signature
                answer.status_code,
                seconds * 1000,
            )
        return answer

    async def _answered(self, request: Request, seen: dict[str, str]) -> Response:
        if (refused := self._unwelcome(request)) is not None:
            return refused
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        # Some servers leave the query in it.
        path = raw.decode("ascii", "replace").partition("?")[0]
        face, _, rest = path.lstrip("/").partition("/")
        is_own = face == "v1"
        if is_own:
            face, rest = OWN.id, f"v1/{rest}"
        if face not in self.edge.vendors and not is_own:
            names = ", ".join(self.edge.vendors)
            return _response(plain(404, {"message": f"there is no such face; there are {names}"}))
        seen["face"] = face
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        wanted = FaceRequest(
            face=face,
            method=request.method,
            target=f"/{rest}" + (f"?{query}" if query else ""),
            headers={name.lower(): value for name, value in request.headers.items()},
            content=b"",
            public=self._base(request) + ("" if is_own else f"/{face}"),
            client=_client_of(request),
            seen=seen,
        )
        serving = self.replay or (self.own if is_own else self.faces)
        limit = serving.body_limit(wanted)
        try:
            content = await self._body(request, serving, wanted, limit)
        except TimeoutError:
            return _response(plain(408, {"message": "the body did not arrive in time"}))
        except ConnectionError:  # nobody sees the answer
            return _response(plain(400, {"message": "the body ended early"}))
        if content is None:
            text = f"the body is longer than {limit} bytes"
            return _response(serving.refusal(wanted, ("too_large", *INVALID), text))
        wanted = wanted.with_content(content)
        answer = await self._in_time(serving, wanted)
        if isinstance(answer, FileAnswer):
            _limit_ranges(request)
        return _response(self.recorder.recorded(wanted, answer) if self.recorder else answer)

    async def _body(
        self, request: Request, serving: Serving, wanted: FaceRequest, limit: int
    ) -> bytes | None:
        """The body of a request; None where it is longer than the limit.

        That of a stranger is not waited for, and not read where it is long: without it, the request
        is refused as it would be with it. Raises TimeoutError, and ConnectionError where the client
        has gone.
        """
        body, patience = RequestBody(request, limit), _patience(request)
        if patience:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await body.content()
        if not await serving.admits(wanted):
            return b""
        async with asyncio.timeout(BODY_SECONDS):
            return await body.content()

    async def _in_time(self, serving: Serving, wanted: FaceRequest) -> FaceAnswer:
        """The answer, or after some time that there is none yet. What is under way goes on."""
        work = asyncio.create_task(serving.answer(wanted))
        self.working.add(work)
        work.add_done_callback(self.working.discard)
        try:
            done, _ = await asyncio.wait({work}, timeout=ANSWER_SECONDS)
        except asyncio.CancelledError:  # the gateway ends, and waits no longer with an answer
            done = set()
        try:
            if done:
                return work.result()
            text = "the vendor takes long; ask again under the same idempotency key"
        except Exception as error:  # of any kind: the client must get an answer in its shape
            # The message of an exception may quote the request, the places in the code do not.
            place = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("a request could not be answered: %s\n%s", type(error).__name__, place)
            text = "the gateway has failed; ask again, for a job under the same idempotency key"
        return serving.refusal(wanted, UNKNOWN if wanted.method == "POST" else UNREACHED, text)

    def _base(self, request: Request) -> str:
        return self.edge.public_url or f"{request.scope['scheme']}://{request.headers['host']}"

    def _unwelcome(self, request: Request) -> Response | None:
        """The answer to a request by another name, or from a page of a stranger; else None."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self.edge.access.knows_host(host):
            text = "the Host header must name this gateway; --allow-host adds a name"
            return _response(plain(400, {"message": text}))
        if origin is not None and not self.edge.access.knows_origin(origin, host):
            return _response(plain(403, {"message": "web pages from elsewhere get nothing here"}))
        return None


def _patience(request: Request) -> float:
    """For how many seconds a body is waited for, whoever sends it."""
    length = request.headers.get("content-length", "0")
    is_small = length.isdecimal() and int(length) <= SMALL
    return PROMPT_SECONDS if is_small and "transfer-encoding" not in request.headers else 0.0


def _limit_ranges(request: Request) -> None:
    """Forget a header that asks for very many parts of a file: each costs a read of its own."""
    kept = [
        (name, value)
        for name, value in request.scope["headers"]
        if name != b"range" or value.count(b",") < MOST_RANGES
    ]
    request.scope["headers"] = kept


def _client_of(request: Request) -> str:
    """The address that a request came from."""
    return request.client.host if request.client is not None else ""


def _response(answer: FaceAnswer) -> Response:
    from starlette.responses import FileResponse, Response, StreamingResponse  # noqa: PLC0415

    if isinstance(answer, StreamAnswer):
        headers = {**answer.headers, "cache-control": "no-cache"}
        return StreamingResponse(answer.events, media_type=EVENT_STREAM, headers=headers)

    if isinstance(answer, FileAnswer):
        return FileResponse(answer.path, media_type=answer.content_type)
    return Response(answer.content, answer.status, dict(answer.headers))
