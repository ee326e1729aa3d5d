"""What a vendor is to polyreel: its routes, its words, and how to talk to it.

One file in `polyreel.providers`, or in a package with an entry point in the group
`polyreel.providers`, subclasses `Provider` and fills in tables. Everything else is derived.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self

from ...errors import BadReplyError, TaskNotFoundError, VendorError
from ...flows import Flow, Part, Reply, Send, send_patiently
from ...places import Json, JsonObject
from .answers import (
    alone,
    first,
    fraction,
    is_number,
    is_task_id,
    moment,
    object_or_items,
    printable,
    urls,
    word_or_number,
)
from .calling import QueryPaths, own_path, query_paths_of, task_request, without_repetition
from .contract import Contract, Operation
from .facts import Facts, Listed, Listing, Reads, SimulatedTask, Status, Survey, Webhook, status_of
from .links import links_by_shape
from .reasons import reason_by_name
from .refusals import ERROR_CODES, ERROR_MESSAGES, Refusal, read_refusal, says_error
from .results import facts_of_job
from .routes import Route, Routes
from .unfinished import unfinished_facts

LOG: Final = logging.getLogger("polyreel")
UNPAYABLE: Final = 402
UNKNOWN_MODEL: Final = frozenset({"model_not_found", "unsupported_model"})
"""The names that contracts give to examples of errors for a model that is not sold."""


def _variable(vendor: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", vendor.upper())


class Provider:
    """One vendor. Subclasses fill in the tables; most methods are right for most vendors."""

    id: ClassVar[str]
    """The vendor id, such as `acme-video`."""
    name: ClassVar[str]
    """The vendor's own name."""
    key_variable: ClassVar[str]
    """The environment variable that holds the key."""
    routes: ClassVar[tuple[Route, ...]]
    """What the vendor sells."""
    read_only_routes: ClassVar[tuple[Route, ...]] = ()
    """What stored bodies of the vendor are read by, and no request is written by.

    Their calls are marked `x-polyreel-read-only` in the contract.
    """
    statuses: ClassVar[Mapping[str, Status]]
    """The vendor's status words, in lower case. They come before the common ones in SYNONYMS.

    A word that is in neither is `unknown`, never final.
    """
    reads: ClassVar[Reads]
    """Where the replies hold the facts of a job."""
    webhook: ClassVar[Webhook | None] = None
    """How the vendor calls back; None where it documents nothing."""
    files: ClassVar[Literal["multipart", "upload", "none"]] = "none"
    """How local files get to the vendor."""
    file_kinds: ClassVar[frozenset[str]] = frozenset({"image", "video"})
    """The kinds of local files that can be sent this way."""
    file_doubts: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Why a kind of local files may be refused all the same: a warning in the plan."""
    file_note: ClassVar[str] = ""
    """Why other local files are refused."""
    own_links: ClassVar[tuple[str, ...]] = ()
    """What links begin with that this vendor alone can read, such as `acme://`."""
    upload_seconds: ClassVar[float | None] = None
    """Seconds that an uploaded file is kept; None where the vendor does not say.

    Such a file is uploaded anew for each job.
    """
    output_seconds: ClassVar[int | None] = None
    """Seconds that output URLs work; None where the vendor does not say."""
    poll_floor: ClassVar[float] = 3.0
    """The shortest pause between status queries, in seconds."""
    survey: ClassVar[Survey | None] = None
    """How one call asks about several tasks; None where the vendor has no such call."""

    @cached_property
    def contract(self) -> Contract:
        """The vendor's OpenAPI document; the default is the shipped one named like the vendor."""
        return Contract.load(self.id.replace("-", "_"))

    @classmethod
    def load(cls) -> Self:
        """Make the provider; entry points call this."""
        return cls()

    # -- hosts -----------------------------------------------------------------------------------

    @cached_property
    def base_url(self) -> str:
        """The documented base URL."""
        return str(self.contract.document["servers"][0]["url"])

    own_base_url_variable: ClassVar[str] = ""
    """The vendor's own name of the variable for another base URL, where it has one."""

    @property
    def base_url_variable(self) -> str:
        """The environment variable for another base URL, such as that of a gateway."""
        return f"{_variable(self.id)}_BASE_URL"

    @property
    def upload_url_variable(self) -> str:
        """The environment variable for another base URL of the vendor's other hosts."""
        return f"{_variable(self.id)}_UPLOAD_URL"

    @property
    def headers_variable(self) -> str:
        """The environment variable for more headers, one in a line: `Name: value`."""
        return f"{_variable(self.id)}_HEADERS"

    def without_repetition(self, base_url: str, *, uploads: bool = False) -> str:
        """A base URL without what paths begin with anyway: gateways print theirs with `/v1`.

        With `uploads`, one of the vendor's other hosts.
        """
        operations = self.contract.operations.values()
        paths = [one.path for one in operations if (one.server != self.base_url) is uploads]
        found = without_repetition(base_url, paths)  # the own host needs the own path
        return self.base_url if self.base_url.startswith(f"{found}/") and not uploads else found

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """Every base URL of the vendor, hosts of files included. The key goes to no other host."""
        others = (operation.server for operation in self.contract.operations.values())
        return tuple(dict.fromkeys([self.base_url, *others]))

    @cached_property
    def unknown_model_codes(self) -> frozenset[str]:
        """The error codes for a model that the vendor does not sell, by the contract's examples."""
        codes = set[str]()
        for operation in self.contract.operations.values():
            for status, _, name, body in self.contract.replies(operation):
                if name in UNKNOWN_MODEL:
                    code, _ = self.read_error(Reply(status, {}, json.dumps(body).encode()))
                    codes |= {code} if code else set()
        return frozenset(codes)

    def operation(self, route: Route) -> Operation:
        """The operation of the contract that a route calls."""
        return self._operations[route.operation.METHOD, route.operation.PATH]

    @cached_property
    def _operations(self) -> Mapping[tuple[str, str], Operation]:
        """The calls that routes can make, by method and path; the first of each counts."""
        contract = self.contract
        known = [*contract.operations.values(), *contract.read_only_operations.values()]
        return {(one.method, one.path): one for one in reversed(known)}

    def call(self, request: Mapping[str, Any], base_url: str | None = None) -> Send:
        """The step for a call that costs nothing, from the result of a `build_request`."""
        return Send(
            self.id,
            request["method"].upper(),
            (base_url or self.base_url) + request["url"],
            content=json.dumps(request["json"]).encode() if "json" in request else None,
            headers=request.get("headers", {}),
            params=request.get("params", {}),
        )

    # -- routes ----------------------------------------------------------------------------------

    @cached_property
    def readable_routes(self) -> Routes:
        """The routes that bodies are read by: those that the vendor sells, then the others."""
        return Routes((*self.routes, *self.read_only_routes))

    def routes_of_body(
        self, body: Mapping[str, Any], path: str | None = None, model: str | None = None
    ) -> Iterator[Route]:
        """The routes that a native body can belong to, by their constants, the likeliest first.

        A `path` and a `model` (family, or what a path says in its place), where given, exclude
        other routes. `Route.strangeness` says what is likely. A constant that says the workflow
        may be missing: the fields tell it, too.
        """
        candidates = [
            route
            for route in self.readable_routes.with_model(path, body.get("model"))
            if model in {None, route.model, route.path.removeprefix("/")}
            and all(row.matches(body) or row.is_left_out(body) for row in route.constants)
        ]
        likeliest = partial(Route.strangeness, body=body, contract=self.contract)
        return iter(sorted(candidates, key=likeliest) if len(candidates) > 1 else candidates)

    def defaults(self, route: Route) -> Mapping[str, Any]:
        """The shared values that the vendor documents for fields that a body leaves out."""
        if route not in self._defaults:
            self._defaults[route] = route.defaults_in(self.contract)
        return self._defaults[route]

    @cached_property
    def _defaults(self) -> dict[Route, JsonObject]:
        return {}

    # -- calls -----------------------------------------------------------------------------------

    def get_request(self, task_id: str) -> Mapping[str, Any]:
        """The request of a status query, as a `build_request` returns it: the call with the role
        `get`, and where its path needs more than the id, the first path that a route makes.
        """
        if (path := self.query_paths.of(task_id)[0]) is not None:
            return {"method": "get", "url": path}
        return task_request(self.contract, self._status_query, [task_id])

    @cached_property
    def query_paths(self) -> QueryPaths:
        """The paths of the status query, where they need more than the id of a task."""
        return query_paths_of(self.contract, getattr(self, "routes", ()))

    @cached_property
    def _status_query(self) -> Operation:
        found = self.contract.operation("get")
        if found is None:
            raise LookupError(f"the contract of {self.id} has no operation with the role get")
        return found

    def get(
        self, task_id: str, base_url: str | None = None, locator: str | None = None
    ) -> Flow[Facts]:
        """Ask for the state of a task; TaskNotFoundError where the vendor has no such task.

        `locator` is the path of the query, where the vendor gave one for the job.
        """
        if not is_task_id(task_id):
            raise TaskNotFoundError(f"{task_id[:80]!r} is not a task id", vendor=self.id)
        return (yield from facts_of_job(self, task_id, base_url, locator))

    def ask_about(
        self, task_ids: Sequence[str], base_url: str | None = None
    ) -> Flow[Mapping[str, Facts]]:
        """Ask for the states of several tasks with the one call that `survey` describes.

        Tasks that the answer leaves out are missing in the result, and are then asked for singly.
        It is the call with the role `get`, where that takes several ids.
        """
        request = task_request(self.contract, self._status_query, task_ids)
        body = (yield from self.ask(request, base_url, "a query for several tasks")).json()
        place = self._status_query.spec.get("x-polyreel-tasks", "")
        items = first(body, (place,)) if isinstance(body, dict) else None
        if isinstance(items, list):
            items = [alone(body, place, one) for one in items]
        return self.facts_of_several(items, task_ids)

    def recent(self, base_url: str | None = None) -> Flow[Listing | None]:
        """Ask for the vendor's list of tasks, to find a lost job; None where none is documented."""
        yield from ()
        return None

    def ask(
        self,
        request: Mapping[str, Any],
        base_url: str | None,
        what: str,
        unknown: type[VendorError] = VendorError,
    ) -> Flow[Reply]:
        """Make a call that costs nothing, and return its 2xx reply.

        `what` names the call in messages. Raises a VendorError for any other answer, or `unknown`
        where the vendor says that the task does not exist.
        """
        reply = yield from send_patiently(self.call(request, base_url))
        if not self.is_error(reply):
            return reply
        code, message = self.read_error(reply)
        text = f"{self.id} answered HTTP {reply.status} to {what}: {message}"
        error = unknown if self.is_not_found(reply.status, code) else VendorError
        raise error(
            text, vendor=self.id, status=reply.status, code=code, request_id=self.request_id(reply)
        )

    def upload(self, file: Part, name: str) -> Flow[str]:
        """Upload a file first and return its URL; for vendors with `files = "upload"`.

        `file` has the content and its type. `name` is a file name made of the content, so that the
        vendor keeps one file for one content.
        """
        raise NotImplementedError

    # -- reading replies -------------------------------------------------------------------------

    def read(self, reply: Reply, webhook: Webhook | None = None) -> Facts:
        """What a reply, or a webhook's body, says about a job; BadReplyError for no JSON object."""
        raw = reply.json()
        if not isinstance(raw, dict):
            raise BadReplyError(
                f"{self.id} answered with something that is not an object", vendor=self.id
            )
        return self.facts(raw, webhook)

    def facts(self, raw: JsonObject, webhook: Webhook | None = None) -> Facts:
        """What an object says about a job: a status query's answer, or a webhook's body."""
        reads = webhook.reads if webhook else self.reads
        identity, word = first(raw, reads.id), first(raw, reads.status)
        estimate = first(raw, reads.estimate)
        code, message = first(raw, reads.error_code), first(raw, reads.error_message)
        words = (webhook and webhook.statuses) or self.statuses
        status, two_calls = status_of(word, words), self.contract.operation("result") is not None
        links, element = urls(raw, reads.outputs), word_or_number(first(raw, reads.element))
        by_result = status == "succeeded" and two_calls and not webhook
        said = word_or_number(code) or (isinstance(message, str) and message)
        if by_result and said:  # an error in the place of a result
            status, by_result = "failed", False
        if not (links or element or webhook or by_result) and status in {"succeeded", "unknown"}:
            links = self._links_elsewhere(raw, named=bool(word))
        if not (said or webhook) and status in {"failed", "canceled", "unknown"}:
            code, message = reason_by_name(raw, failed=status == "failed")
        return Facts(
            id=identity if isinstance(identity, str) and identity else None,
            status=status,
            word=word if isinstance(word, str) else None,
            urls=links,
            progress=fraction(first(raw, reads.progress), reads.progress_end),
            usage=object_or_items(first(raw, reads.usage)),
            estimated_seconds=float(estimate) if is_number(estimate) and estimate >= 0 else None,
            error_code=word_or_number(code),
            error_message=message if isinstance(message, str) and message else None,
            raw=raw,
            locator=own_path(self.servers, first(raw, reads.locator)) if reads.locator else None,
            element=element,
        )

    def _links_elsewhere(self, raw: JsonObject, *, named: bool) -> tuple[str, ...]:
        """The links that look like outputs at a place that is not documented.

        Without a word for the status, such as in the answer to a submit, they must end as files do.
        """
        found = links_by_shape(raw, files_only=not named)
        if found is None:
            return ()
        # Not the link itself: it may be signed.
        LOG.warning("%s: took a link at %s, which no document names", self.id, found.place[:200])
        return found.urls

    def facts_of_several(self, items: Json, wanted: Sequence[str]) -> Mapping[str, Facts]:
        """What a list of such objects says about some tasks; BadReplyError where it is no list.

        Of those that go on, it is only that, unless a vendor reads objects in a way of its own.
        """
        usual, asked = type(self).facts is Provider.facts, frozenset(wanted)
        briefly = partial(unfinished_facts, reads=self.reads, statuses=self.statuses)
        found = ((usual and briefly(one)) or self.facts(one) for one in self._objects(items))
        return {facts.id: facts for facts in found if facts.id in asked and facts.word is not None}

    def read_list(
        self,
        items: Json,
        *,
        created: tuple[str, ...] = (),
        model: tuple[str, ...] = (),
        body: tuple[str, ...] = (),
        own_id: tuple[str, ...] = (),
    ) -> tuple[Listed, ...]:
        """The tasks of a list, without items that make no sense; BadReplyError where it is no list.

        `created`, `model`, `body` and `own_id` are the dotted places of these facts in an item.
        """
        found: dict[str, Listed] = {}
        for item in self._objects(items):
            identity = first(item, self.reads.id)
            if isinstance(identity, str) and is_task_id(identity):
                name, request, own = (first(item, one) for one in (model, body, own_id))
                found[identity] = Listed(
                    identity,
                    status_of(first(item, self.reads.status), self.statuses),
                    moment(first(item, created)),
                    name if isinstance(name, str) and name else None,
                    request if isinstance(request, dict) else None,
                    own if isinstance(own, str) and own else None,
                )
        return tuple(found.values())

    def _objects(self, items: Json) -> Iterator[JsonObject]:
        """The objects in a list of tasks; BadReplyError where it is no list."""
        if not isinstance(items, list):
            text = f"{self.id} answered with something that is not a list of tasks"
            raise BadReplyError(text, vendor=self.id)
        return (item for item in items if isinstance(item, dict))

    def read_error(self, reply: Reply) -> tuple[str | None, str]:
        """The vendor's code and text of an HTTP error, in any usual form; plain text as it is."""
        try:
            body = reply.json()
        except BadReplyError:
            text = printable(reply.content.decode("utf-8", "replace"))[:300]
            return None, text or "an empty answer"
        if not isinstance(body, dict):
            return None, printable(str(body))[:300]
        code = first(body, ERROR_CODES)
        message = first(body, ERROR_MESSAGES)
        text = printable(str(message if message is not None else body))[:500]
        return word_or_number(code), text

    def read_refusal(self, operation: Operation, reply: Reply) -> Refusal:
        """What an error that answers a paid call proves; see `refusals.read_refusal`."""
        code, _ = self.read_error(reply)
        ids = self.reads.id + (self.webhook.reads.id if self.webhook else ())
        return read_refusal(self.contract, operation, reply, code, ids)

    def says_no_money(self, status: int, code: str | None) -> bool:
        """Whether a refusal says that the account cannot pay, by its status or code."""
        return not {status, code}.isdisjoint({UNPAYABLE, *self.contract.no_money})

    def is_error(self, reply: Reply) -> bool:
        """Whether a reply is an error: by its HTTP status, or as the contract says of 2xx ones."""
        return not reply.ok or says_error(self.contract, reply)

    def is_not_found(self, status: int, code: str | None) -> bool:
        """Whether an error says that the task does not exist."""
        return status == 404

    def request_id(self, reply: Reply) -> str | None:
        """The vendor's id of the call, for its support."""
        return reply.header("x-request-id")

    # -- the simulator's side --------------------------------------------------------------------

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """The contract's example reply for a state, with this task's facts in it."""
        raise NotImplementedError

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """A task id in the vendor's form.

        `number` counts the tasks, `created` is in seconds since 1970, and `letters` are 32 random
        ones of [a-z0-9].
        """
        raise NotImplementedError
