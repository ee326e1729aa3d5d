"""Faces: the API of each vendor, spoken to clients, with other vendors behind.

A call is read as the contract of the face says, a job is made by a vendor behind, and the answer
has the shape of the face again. No vendor is known by name here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

from attrs import Factory, evolve, frozen

from ..errors import MissingExtraError, PolyreelError
from ..flows import Reply
from ..providers.base.calling import key_scheme_of
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import answers, calls, queries
from ..serving.calls import (
    MAX_JSON_BYTES,
    MAX_UPLOAD_BYTES,
    Call,
    CallRefusedError,
    IncomingRequest,
)
from ..serving.links import Links
from ..serving.task_answers import task_reply
from . import refusals
from .accounts import credits_reply, models_reply
from .creating import Creator, Made, untold_header
from .files import FileAnswer
from .jobs import FacedJobs
from .listing import list_alone, only_known
from .signatures import CallSignatures
from .streams import StreamAnswer, events_of
from .tasks import FacedTask
from .tokens import Doorkeeper, needed
from .wishes import read_wish

if TYPE_CHECKING:
    from ..ledger.gateway_rows import GatewayJob
    from ..ledger.gateway_tokens import GatewayToken
    from ..plans.reading import Reading

LOG: Final = logging.getLogger("polyreel")
SMALL: Final = 64 * 1024
"""The longest body, in bytes, that is read at once, and not in a thread."""
LISTED: Final = 1000
"""How many jobs, the newest, a list has at most."""
NO_FILE: Final = Reply(404, {"content-type": "text/plain"}, b"no such file")
_OUTPUT: Final = re.compile(r"/outputs/([^/]+)/([0-9]{1,3})(\.[A-Za-z0-9]+)?")


FaceAnswer = Reply | FileAnswer | StreamAnswer


@frozen
class FaceRequest:
    """One HTTP request to a face."""

    face: str
    """The vendor whose API is spoken."""
    method: str
    target: str
    """The path (and query) below the vendor's host, quoted as in a URL."""
    headers: Mapping[str, str]
    """By lower-case names."""
    content: bytes
    public: str
    """The URL below which clients find the face."""
    client: str = ""
    """The address that it came from."""
    seen: dict[str, str] = Factory(dict)
    """What was found out about it, for the access log: the `call`, and the name of the `token`."""

    def with_content(self, content: bytes) -> FaceRequest:
        """The same request with its body."""
        return evolve(self, content=content)


class Faces:
    """The faces of a gateway."""

    def __init__(self, jobs: FacedJobs, creator: Creator, door: Doorkeeper | None = None) -> None:
        """Answer for these jobs whom `door` lets in: everybody, where it is left out."""
        self.jobs, self.creator = jobs, creator
        self.door = door or Doorkeeper()
        self.uploads = creator.uploads
        self.signatures = CallSignatures(jobs.kept)

    def incoming(self, request: FaceRequest) -> IncomingRequest:
        """A request as the calls of a contract read it."""
        path, _, query = request.target.partition("?")
        pairs = parse_qs(query, keep_blank_values=True).items()
        return IncomingRequest(
            vendor=request.face,
            method=request.method,
            path=path,
            links=Links(request.public, self.jobs.link_seconds, self.jobs.link_secret),
            number=0,
            request_id=f"polyreel-{secrets.token_hex(8)}",
            query={name: values[0] for name, values in pairs},
            headers=request.headers,
            content=request.content,
        )

    def body_limit(self, request: FaceRequest) -> int:
        """How long the body of a request may be."""
        path = request.target.partition("?")[0]
        found = get_provider(request.face).contract.match(request.method, path)
        takes_files = found is not None and (
            found[0].takes_files or found[0].role.startswith("upload")
        )
        is_put = request.method == "PUT" and path.startswith("/uploads/")
        return MAX_UPLOAD_BYTES if takes_files or is_put else MAX_JSON_BYTES

    async def admits(self, request: FaceRequest) -> bool:
        """Whether the client of a request is one that may call, or has a link for a file."""
        if request.method == "PUT" and request.target.startswith("/uploads/"):
            return self.uploads.is_given(self.incoming(request))
        scheme = key_scheme_of(get_provider(request.face).contract)
        return await self.door.knows(scheme.key_in(request.headers))

    def refusal(self, request: FaceRequest, names: tuple[str, ...], text: str) -> Reply:
        """The answer to a request that cannot be answered in another way, in the face's words."""
        incoming, provider = self.incoming(request), get_provider(request.face)
        found = provider.contract.match(request.method, incoming.path)
        if found is None:
            return refusals.unknown(provider, incoming)
        return refusals.with_reason(Call(incoming, provider, *found), names, text)

    async def answer(self, request: FaceRequest) -> FaceAnswer:
        """Answer one request to a face."""
        provider = get_provider(request.face)
        incoming = self.incoming(request)
        if incoming.path.startswith("/outputs/"):
            return await self._output(provider, incoming)
        if incoming.path.startswith("/uploads/") and request.method == "PUT":
            return await asyncio.to_thread(self.uploads.put, incoming)
        found = provider.contract.match(request.method, incoming.path)
        if found is None:
            return refusals.unknown(provider, incoming)
        call = Call(incoming, provider, *found)
        request.seen["call"] = call.operation.role or call.operation.id
        try:
            if call.operation.role == "webhook-keys":  # they are public
                return self.webhook_keys(call)
            scheme = key_scheme_of(provider.contract)
            key = scheme.key_in(call.headers)
            if key is None:
                raise CallRefusedError("unauthorized", message=needed(scheme))
            token = await self.door.token(key, request.client)
            request.seen["token"] = token.name
            calls.header_parameters(call)
            return await self._by_role(call, token)
        except CallRefusedError as error:
            return refusals.refused(call, error)
        except PolyreelError as error:
            LOG.warning("%s %s: %s", request.method, call.operation.id, error)
            return refusals.failed(call, error)

    async def _output(self, provider: Provider, request: IncomingRequest) -> Reply | FileAnswer:
        """The file behind a link of the gateway's own, or why there is none."""
        found = _OUTPUT.fullmatch(request.path) if request.method in {"GET", "HEAD"} else None
        if found is None:
            return NO_FILE
        path = unquote(request.path)
        if refusal := request.links.refusal(path, request.query, self.jobs.now()):
            return evolve(NO_FILE, status=refusal, content=b"this link does not work")
        query = answers.status_query(provider)
        call = Call(request, provider, query)
        tasks = await self.jobs.tasks(
            call, await self.jobs.rows(provider.id, [unquote(found[1])], None)
        )
        try:
            return (
                await self.jobs.file(tasks[0].row, tasks[0].job, int(found[2]))
                if tasks
                else NO_FILE
            )
        except PolyreelError as error:
            LOG.warning("%s: %s", path, error)
            return evolve(NO_FILE, status=502, content=b"the file cannot be fetched")

    async def _by_role(self, call: Call, token: GatewayToken) -> FaceAnswer:
        if call.operation.role.startswith("upload"):
            return await asyncio.to_thread(self.uploads.upload, call)
        serve = ROLES.get(call.operation.role)
        if serve is not None:
            return await serve(self, call, token)
        text = f"the gateway does not serve {call.operation.id}: no vendor behind tells it"
        return refusals.with_reason(call, refusals.NOT_SERVED, text)

    async def create(self, call: Call, token: GatewayToken) -> Reply:
        """Have a job made by a vendor behind, once."""
        made, reading = await self._made(call, token)
        task = self.jobs.task(call, made.shown, reading)
        status, body = task_reply(call, task, "queued", made.shown.row.created_at, call.operation)
        headers = {**made.headers, **untold_header(dict.fromkeys(task.untold))}
        own = call.operation.spec.get("x-polyreel-idempotency", {}).get("replayed-header")
        if own and made.is_repeated:
            headers[own.lower()] = "true"
        return answers.reply(call, status, body, headers)

    async def _made(self, call: Call, token: GatewayToken) -> tuple[Made, Reading]:
        creator = self.creator
        read = partial(read_wish, private=creator.private_callbacks)
        if len(call.content) <= SMALL:
            wish = read(call, token, creator.uploads)
        else:  # files are written
            wish = await asyncio.to_thread(read, call, token, creator.uploads)
        return await self.creator.made(wish), wish.reading

    async def stream(self, call: Call, token: GatewayToken) -> StreamAnswer:
        """Have a job made, and tell of its states until it ends."""
        made, _ = await self._made(call, token)
        return StreamAnswer(events_of(self.jobs, call, made.shown.row), made.headers)

    async def get(self, call: Call, token: GatewayToken) -> Reply:
        """Say how jobs are, by their ids."""
        rows = await self.jobs.rows(call.provider.id, call.task_ids, token.name)
        if (parameter := own_id_of(call)) is not None and call.request.query.get(parameter):
            own_id, known = call.request.query[parameter], {one.id for one in rows}
            found = await self.jobs.of_own_id(call.provider.id, own_id, token.name)
            rows += [one for one in found if one.id not in known]
        return await self._shown(call, rows, queries.get)

    async def list(self, call: Call, token: GatewayToken) -> Reply:
        """List jobs, the newest first."""
        rows = await self.jobs.newest(call.provider.id, token.name, LISTED)
        return await self._shown(call, rows, queries.newest_first, whole=False)

    async def several(self, call: Call, token: GatewayToken) -> Reply:
        """Say how several jobs are, by the ids in a body."""
        body = calls.body(call)
        ids = [one for value in body.values() if isinstance(value, list) for one in value]
        texts = [one for one in ids if isinstance(one, str)]
        rows = await self.jobs.rows(call.provider.id, texts, token.name)
        return await self._shown(call, rows, queries.several, whole=False)

    async def _shown(
        self,
        call: Call,
        rows: Sequence[GatewayJob],
        show: Callable[[Mapping[tuple[str, str], FacedTask], float, Call], Reply],
        *,
        whole: bool = True,
    ) -> Reply:
        """What a query shows of some jobs, with their states of now."""
        tasks = await self.jobs.tasks(call, rows)
        found = {(call.provider.id, one.id): one for one in tasks}
        reply = show(found, self.jobs.now(), call)
        untold = dict.fromkeys(name for one in tasks for name in one.untold)
        if not whole and reply.ok:
            reply, more = list_alone(call, reply)
            untold |= dict.fromkeys(more)
        return evolve(reply, headers={**reply.headers, **untold_header(untold)})

    async def cancel(self, call: Call, token: GatewayToken) -> Reply:
        """Ask the vendor behind to stop a job, as far as it offers that."""
        rows = await self.jobs.rows(call.provider.id, call.task_ids, token.name)
        if not rows:
            raise CallRefusedError("not_found")
        done = await self.jobs.cancel(rows[0])
        if done.result == "too-late":
            return refusals.with_reason(call, ("too_late", *calls.INVALID), done.text)
        if done.result == "not-offered":
            return refusals.with_reason(call, ("too_late", *refusals.NOT_SERVED), done.text)
        place = call.operation.spec.get("x-polyreel-cancel", {}).get("place", "")
        first = answers.first_success(call)
        return only_known(call, first, lambda at, _: ".".join(map(str, at)) == place)[0]

    async def credits(self, call: Call, token: GatewayToken) -> Reply:
        """Say what credits there are, as far as anybody here knows."""
        return await credits_reply(call, token, self.creator)

    async def models(self, call: Call, token: GatewayToken) -> Reply:
        """List the models that the vendors behind can make."""
        return await asyncio.to_thread(models_reply, call, token, self.creator)

    def webhook_keys(self, call: Call) -> Reply:
        """Give the public key that signs calls to clients; none where nothing can sign."""
        try:
            return self.signatures.keys(call)
        except MissingExtraError:
            return only_known(call, answers.first_success(call), lambda _at, _value: False)[0]

    async def content(self, call: Call, token: GatewayToken) -> Reply | FileAnswer:
        """Give the file of a job."""
        calls.query_parameters(call)
        rows = await self.jobs.rows(call.provider.id, call.task_ids, token.name)
        tasks = await self.jobs.tasks(call, rows)
        if not tasks:
            raise CallRefusedError("not_found")
        if tasks[0].status(self.jobs.now()) != "succeeded":
            raise CallRefusedError("not_completed", *calls.INVALID)
        return await self.jobs.file(tasks[0].row, tasks[0].job, 1)


def own_id_of(call: Call) -> str | None:
    """The parameter of a query that takes the client's own id of a job; None without one."""
    found = call.operation.spec.get("parameters", ())
    resolved = map(call.provider.contract.resolve, found)
    names = (one["name"] for one in resolved if one.get("x-polyreel-own-id"))
    return next(names, None)


ROLES: Final[Mapping[str, Callable[[Faces, Call, GatewayToken], Awaitable[FaceAnswer]]]] = {
    "create": Faces.create,
    "stream": Faces.stream,
    "get": Faces.get,
    "get-fallback": Faces.get,
    "result": Faces.get,
    "list": Faces.list,
    "list-running": Faces.list,
    "batch-get": Faces.several,
    "cancel": Faces.cancel,
    "content": Faces.content,
    "credits": Faces.credits,
    "models": Faces.models,
}
"""What answers the calls of a contract, by their roles."""
