"""The APIs of the gateway's own: `/v1/jobs` in the shared words, and `/v1/videos` as OpenAI has it.

The contract of both is specs/gateway.yaml.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..errors import PolyreelError, UnknownNameError
from ..flows import Reply
from ..jobs.waiting import is_complete
from ..places import JsonObject
from ..plans.requests import check_allowances, check_request
from ..providers.base.calling import BEARER
from ..providers.base.contract import Contract, Operation
from ..providers.base.facts import Reads
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import calls
from ..serving.answers import plain
from ..serving.calls import Call, CallRefusedError
from . import refusals, videos
from .creating import KEY, checked_key
from .faces import FaceRequest, Faces
from .files import FileAnswer
from .jobs import Shown
from .shared import JOBS, SharedWish
from .tokens import needed
from .videos import VIDEOS, video_of
from .wishes import check_address, check_media, check_model, wanted_call

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken

LOG: Final = logging.getLogger("polyreel")
TOLD: Final = ("vendor", "model", "workflow", "progress", "estimated_seconds", "element", "error")
"""What an answer has of a job as it is."""
PRICES: Final = ("estimate", "charge")
STATUSES: Final = {
    "unauthorized": 401,
    "insufficient_credits": 402,
    "forbidden": 403,
    "forbidden_model": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "not_completed": 409,
    "too_late": 409,
    "too_large": 413,
    "rate_limited": 429,
    "paid_outcome_unknown": 502,
    "unavailable": 503,
}
"""The HTTP statuses of refusals, by their codes; 400 for others."""
OUTPUT_NUMBER: Final = re.compile("[0-9]{1,3}")


class OwnProvider(Provider):
    """What stands for a vendor where calls of the gateway's own APIs are read."""

    id = "gateway"
    name = "polyreel"
    routes = ()
    reads = Reads(id=("id",), status=("status",), outputs=())

    @cached_property
    def contract(self) -> Contract:
        """specs/gateway.yaml."""
        return Contract.load("gateway")


OWN: Final = OwnProvider()


class OwnApis:
    """What answers the calls below `/v1`."""

    def __init__(self, faces: Faces) -> None:
        self.faces, self.jobs, self.creator = faces, faces.jobs, faces.creator

    def body_limit(self, request: FaceRequest) -> int:
        """How long the body of a request may be."""
        found = _call_at(request.method, request.target.partition("?")[0])
        return calls.MAX_UPLOAD_BYTES if found and found[0].takes_files else calls.MAX_JSON_BYTES

    async def admits(self, request: FaceRequest) -> bool:
        """Whether the client of a request is one that may call."""
        return await self.faces.door.knows(BEARER.key_in(request.headers))

    def refusal(self, request: FaceRequest, names: tuple[str, ...], text: str) -> Reply:
        """The answer to a request that cannot be answered in another way."""
        return _shape_at(request.target)(names[0], text)

    async def answer(self, request: FaceRequest) -> Reply | FileAnswer:
        """Answer one request."""
        incoming = self.faces.incoming(request)
        shape = _shape_at(incoming.path)
        found = _call_at(request.method, incoming.path)
        if found is None:
            if methods := OWN.contract.methods(incoming.path):
                allowed = ", ".join(methods)
                reply = shape("method_not_allowed", f"only {allowed} is possible here")
                return evolve(reply, headers={**reply.headers, "allow": allowed})
            return shape("not_found", f"there is no {request.method} {incoming.path[:200]}")
        call = Call(incoming, OWN, *found)
        request.seen["call"] = call.operation.id
        try:
            key = BEARER.key_in(call.headers)
            if key is None:
                raise CallRefusedError("unauthorized", message=needed(BEARER))
            token = await self.faces.door.token(key, request.client)
            request.seen["token"] = token.name
            return await SERVED[call.operation.id](self, call, token)
        except CallRefusedError as error:
            return shape(error.names[0], error.message or error.names[0])
        except PolyreelError as error:
            LOG.warning("%s %s: %s", request.method, call.operation.id, error)
            return _failed(shape, error)

    # -- jobs --------------------------------------------------------------------------------------

    async def create_job(self, call: Call, token: GatewayToken) -> Reply:
        """Have a job made for a shared request."""
        body = calls.body(call)
        asked = body.get("request")
        checked = check_request(asked) if isinstance(asked, dict) else None
        calls.check_body(call, "JobCall", body)
        assert checked is not None
        request: JsonObject = {**checked.fields}
        check_model(token, request.get("model"))
        check_media(request)
        public = call.request.links.public
        callback = request.pop("callback_url", None)
        if callback is not None:
            check_address(str(callback), private=self.creator.private_callbacks)
            callback = wanted_call(str(callback), public)
        wish = SharedWish(
            token=token,
            face=JOBS,
            path=call.request.path,
            body=body,
            request=evolve(checked, fields=request),
            key=checked_key(call.headers.get(KEY)),
            callback=callback,
            vendors=_named(body.get("vendors", ())),
            allow=check_allowances(body.get("allow")),
        )
        made = await self.creator.made(wish)
        shown = self.job_of(public, made.shown)
        return plain(200 if made.is_repeated else 201, shown, made.headers)

    def job_of(self, public: str, shown: Shown) -> JsonObject:
        """A job as `/v1/jobs` shows it; `public` is the URL by which clients reach the gateway."""
        job = shown.job
        found = job.model_dump(mode="json", exclude_none=True, include={*TOLD, *PRICES})
        outputs = [
            {
                "url": self._file_link(public, shown, number, one.url),
                **({"content_type": one.content_type} if one.content_type else {}),
            }
            for number, one in enumerate(job.outputs or (), 1)
        ]
        return {
            "id": shown.row.id,
            "task": job.id,
            "status": "running" if job.status == "unknown" or not is_complete(job) else job.status,
            "created_at": shown.row.created_at,
            "simulated": job.simulated,
            **found,
            **({"outputs": outputs} if outputs else {}),
        }

    def _file_link(self, public: str, shown: Shown, number: int, url: str) -> str:
        own = f"{public}/v1/jobs/{shown.row.id}/files/{number}"
        return own if self.jobs.files.are_given(shown.job.vendor, url) else url

    async def one(self, call: Call, token: GatewayToken, face: str) -> Shown:
        """The job that a call is about; CallRefusedError where there is none."""
        rows = await self.jobs.rows(face, [call.parameters["id"]], token.name)
        found = await self.jobs.shown(rows)
        if not found:
            name = f"{face.removesuffix('s')} {call.parameters['id'][:80]!r}"
            raise CallRefusedError("not_found", message=f"this token has no {name}")
        return found[0]

    async def several(self, call: Call, token: GatewayToken, face: str) -> list[Shown]:
        """The newest jobs, the newest first."""
        limit = int(calls.query_parameters(call)["limit"])
        rows = await self.jobs.newest(face, token.name, limit)
        return (await self.jobs.shown(rows))[::-1]

    async def get_job(self, call: Call, token: GatewayToken) -> Reply:
        """Say how a job is."""
        return plain(200, self.job_of(call.request.links.public, await self.one(call, token, JOBS)))

    async def list_jobs(self, call: Call, token: GatewayToken) -> Reply:
        """List jobs."""
        found = await self.several(call, token, JOBS)
        return plain(200, {"jobs": [self.job_of(call.request.links.public, one) for one in found]})

    async def cancel_job(self, call: Call, token: GatewayToken) -> Reply:
        """Ask the vendor to stop a job."""
        shown = await self.one(call, token, JOBS)
        done = await self.jobs.cancel(shown.row)
        job = self.job_of(call.request.links.public, evolve(shown, job=done.job))
        facts = {"result": done.result, "text": done.text, "bill": done.bill}
        return plain(200, {**facts, "job": job})

    async def job_file(self, call: Call, token: GatewayToken) -> FileAnswer:
        """Give an output of a job."""
        number = call.parameters["number"]
        shown = await self.one(call, token, JOBS)
        return await self.file(shown, int(number) if OUTPUT_NUMBER.fullmatch(number) else 0)

    async def file(self, shown: Shown, number: int) -> FileAnswer:
        """An output of a job; CallRefusedError where it has none yet."""
        if shown.job.status != "succeeded":
            raise CallRefusedError("not_completed", message=f"the job is {shown.job.status}")
        return await self.jobs.file(shown.row, shown.job, number)

    # -- videos ------------------------------------------------------------------------------------

    async def create_video(self, call: Call, token: GatewayToken) -> Reply:
        """Have a clip made, in OpenAI's words."""
        parts = calls.form(call)
        body = calls.body(call)
        if parts is not None:
            body = await asyncio.to_thread(self.creator.uploads.of_form, call.request, parts, body)
        calls.check_body(call, "VideoCall", body)
        public = call.request.links.public
        request = videos.request_of(body)
        check_model(token, request.get("model"))
        check_media(request)
        files = self.creator.uploads.files_in(request, public)
        local = {name: files.get(str(value), value) for name, value in request.items()}
        wish = SharedWish(
            token=token,
            face=VIDEOS,
            path=call.request.path,
            body=body,
            request=check_request(local),
            key=checked_key(call.headers.get(KEY)),
            files=files,
        )
        made = await self.creator.made(wish)
        return plain(200, video_of(made.shown, self.jobs.now()), made.headers)

    async def get_video(self, call: Call, token: GatewayToken) -> Reply:
        """Say how a clip is."""
        shown = await self.one(call, token, VIDEOS)
        return plain(200, video_of(shown, self.jobs.now()))

    async def list_videos(self, call: Call, token: GatewayToken) -> Reply:
        """List clips."""
        found = [video_of(one, self.jobs.now()) for one in await self.several(call, token, VIDEOS)]
        ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {}
        return plain(200, {"object": "list", "data": found, "has_more": False, **ends})

    async def video_file(self, call: Call, token: GatewayToken) -> FileAnswer:
        """Give a clip."""
        return await self.file(await self.one(call, token, VIDEOS), 1)


@lru_cache(maxsize=64)
def _call_at(method: str, path: str) -> tuple[Operation, Mapping[str, str]] | None:
    """The call for a method and a path, which each request asks for twice."""
    return OWN.contract.match(method, path)


def _named(vendors: Iterable[str]) -> tuple[Provider, ...]:
    """The vendors that a body names; CallRefusedError where there is none of a name."""
    try:
        return tuple(map(get_provider, vendors))
    except UnknownNameError as error:
        raise CallRefusedError(*calls.INVALID, message=f"vendors: {error}") from None


Refuse = Callable[[str, str], Reply]


def refusal(code: str, message: str) -> Reply:
    """An error of `/v1/jobs`."""
    return plain(STATUSES.get(code, 400), {"error": {"code": code, "message": message}})


def video_refusal(code: str, message: str) -> Reply:
    """An error of `/v1/videos`."""
    status = STATUSES.get(code, 400)
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return plain(status, {"error": error})


def _shape_at(path: str) -> Refuse:
    return video_refusal if path.startswith("/v1/videos") else refusal


def _failed(shape: Refuse, error: PolyreelError) -> Reply:
    """The answer where a job could not be made, or asked about."""
    names, text, later = refusals.failure_of(error)
    if isinstance(error, UnknownNameError):
        names, text = ("not_found",), str(error)
    reply = shape(names[0], text)
    if later is None:
        return reply
    return evolve(reply, headers={**reply.headers, "retry-after": str(max(1, round(later)))})


SERVED: Final[
    Mapping[str, Callable[[OwnApis, Call, GatewayToken], Awaitable[Reply | FileAnswer]]]
] = {
    "createJob": OwnApis.create_job,
    "listJobs": OwnApis.list_jobs,
    "getJob": OwnApis.get_job,
    "cancelJob": OwnApis.cancel_job,
    "getJobFile": OwnApis.job_file,
    "createVideo": OwnApis.create_video,
    "listVideos": OwnApis.list_videos,
    "getVideo": OwnApis.get_video,
    "getVideoContent": OwnApis.video_file,
}
"""What answers the calls of the contract, by their operation ids."""
