"""Calls for jobs in the words of a vendor: read, checked, and written for the vendors behind."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from attrs import Factory, frozen

from ..hosts import not_public_https
from ..ledger.rows import random_text
from ..mapping import media
from ..places import JsonObject, get, is_missing
from ..plans.reading import Reading
from ..providers.base.calling import filled, own_id_place
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from ..serving import calls
from ..serving.calls import INVALID, UNKNOWN_MODEL, Call, CallRefusedError
from .behind import Behind, Offers
from .creating import KEY, checked_key

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken
    from .uploads import KeptUploads

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


@frozen
class FaceWish:
    """A call for a job, read and checked as the vendor of the face would."""

    call: Call
    token: GatewayToken
    path: str
    """The path of the plain call, where this one streams."""
    body: JsonObject
    reading: Reading
    callback: str | None = None
    files: Mapping[str, str] = Factory(dict)
    """Files of this machine, by the links that stand for them in the body."""

    @property
    def face(self) -> str:
        """The vendor in whose words it is."""
        return self.call.provider.id

    @property
    def model(self) -> str | None:
        """The model family that is asked for."""
        return self.reading.route.model

    @property
    def key(self) -> str | None:
        """By what a client says that it repeats a call: its key, or its own id in the body."""
        key = checked_key(calls.idempotency_key(self.call) or self.call.headers.get(KEY))
        return key or (f"own id {self.own_id}" if self.own_id else None)

    @property
    def own_id(self) -> str | None:
        """The client's own id of the job, where the vendor of the face has a place for one."""
        place = own_id_place(self.call.provider.operation(self.reading.route))
        value = get(self.body, place) if place else None
        return value if isinstance(value, str) and value else None

    def new_id(self, now: float) -> str:
        """An id in the shape of the vendor's."""
        return new_id(self.call.provider, now)

    def offers(self, behind: Behind) -> Offers:
        """What the vendors behind make of it."""
        return behind.offers(self.reading, self._for_others(), self.path, self.files)

    def _for_others(self) -> JsonObject:
        """The body without what is between the client and the gateway: an id, and an address."""
        provider, route = self.call.provider, self.reading.route
        place = own_id_place(provider.operation(route))
        row = route.by_name.get("callback_url")
        places = [*([place] if place else []), *(row.places if row is not None else ())]
        found = [one for one in places if not is_missing(get(self.body, one))]
        body: JsonObject = json.loads(json.dumps(self.body)) if found else self.body
        for one in found:
            *parents, last = one.split(".")
            holder = get(body, ".".join(parents)) if parents else body
            del holder[last]
            if parents and not holder:
                del body[parents[0]]
        return body


def check_model(token: GatewayToken, model: str | None) -> None:
    """Raise CallRefusedError where a token may not ask for a model family."""
    if token.models and model not in token.models:
        other = f"not {model}" if model else "and the request names no model"
        text = f"the token may ask for {', '.join(token.models)}, {other}: name one of these"
        raise CallRefusedError("forbidden_model", "forbidden", *UNKNOWN_MODEL, message=text)


def check_media(request: JsonObject, local: Mapping[str, str] | None = None) -> None:
    """Raise CallRefusedError where a request names a file of this machine.

    `local` are files that clients have sent, which it may name.
    """
    for name, _, value, _ in media.inputs(request):
        if value not in (local or ()) and media.is_local(value) and not media.is_inline(value):
            text = f"{name}: give a public URL or the content itself, not the name of a file"
            raise CallRefusedError(*INVALID, message=text)


def read_wish(
    call: Call, token: GatewayToken, uploads: KeptUploads, *, private: bool = False
) -> FaceWish:
    """Read a call for a job; CallRefusedError where the vendor, or the gateway, would refuse it.

    `private` says whether clients in private networks may be called back.
    """
    parts, public = calls.form(call), call.request.links.public
    body = calls.body(call)
    if parts is not None:
        body = uploads.of_form(call.request, parts, body)
    reading = calls.read_submit(call, body)
    plain = calls.creating(call.provider, call.operation)
    path = filled(plain.path, call.parameters, slashes=True)
    check_model(token, reading.route.model)
    check_media(reading.request)
    callback = _callback_of(call, reading)
    if callback is not None:
        check_callback(call.provider, calls.creating(call.provider, call.operation))
        check_address(callback, private=private)
        callback = wanted_call(callback, public)
    return FaceWish(call, token, path, body, reading, callback, uploads.files_in(body, public))


def wanted_call(url: str, public: str) -> str:
    """Who wants to be called, and the URL below which they find the face, as it is kept."""
    return json.dumps({"url": url, "public": public})


def check_callback(provider: Provider, operation: Operation) -> None:
    """Raise CallRefusedError where the gateway cannot call as the vendor of the face would."""
    webhook = provider.webhook
    if webhook is None and not operation.spec.get("callbacks"):
        text = "this API documents no calls: ask for the status instead"
        raise CallRefusedError(*INVALID, message=text)
    if webhook is not None and webhook.published and find_spec("cryptography") is None:
        text = "the gateway cannot sign calls as this API does: ask for the status instead"
        raise CallRefusedError(*INVALID, message=text)


def check_address(url: str, *, private: bool) -> None:
    """Raise CallRefusedError for an address that nobody calls."""
    problem = None if private else not_public_https(url)
    if problem is not None:
        raise CallRefusedError(*INVALID, message=f"the address to be called: {problem}")


def _callback_of(call: Call, reading: Reading) -> str | None:
    """The address that a client wants to be called at; CallRefusedError where it is none."""
    for problem in reading.problems:  # what is read of the body later is without it
        if problem.field == "callback_url":
            raise CallRefusedError(*INVALID, message=problem.reason)
    row = reading.route.by_name.get("callback_url")
    native = next(iter(row.places), "") if row is not None else ""
    in_query = call.request.query.get(native[1:]) if native.startswith("?") else None
    found = reading.request.get("callback_url") or in_query
    return str(found) if found else None


def new_id(provider: Provider, now: float) -> str:
    """An id for a client, in the shape of a vendor's."""
    return provider.new_task_id(secrets.randbelow(10**9), int(now), random_text(LETTERS, 32))
