"""Vendors without a generated client: calls and bodies are made at run time, from the contract.

Such a vendor is two files: its OpenAPI document as JSON, and its provider file. Its bodies and
replies have no types of their own. The parts stand in a `Route` where generated ones stand.

    CONTRACT = load(__name__)  # openapi.json, beside this file
    CREATE = operation(CONTRACT, "createClip")
    ROUTE = Route("acme-one", "text-to-video", CREATE, body(CONTRACT, "TextClip"), ROWS)

    class AcmeVideo(SpecifiedProvider):
        document = CONTRACT
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import quote

from attrs import field, frozen

from ...depth import json_is_deep
from ...places import Json, JsonObject, get, is_missing, put
from .answers import LINK_NAMES, first
from .calling import PLACEHOLDER
from .contract import Contract, Operation, data_file
from .facts import Reads, SimulatedTask
from .provider import Provider
from .schemas import SchemaViolation


class OutsideContractError(ValueError):
    """A reply that is not what its contract promises; `violations` say where."""

    def __init__(self, message: str, violations: tuple[SchemaViolation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


def load(package: str, name: str = "openapi.json") -> Contract:
    """The contract beside a provider file, as JSON in the same package: `load(__name__)`."""
    return Contract(json.loads(data_file(package, name)))


def operation(contract: Contract, operation_id: str) -> SpecifiedOperation:
    """One call of a contract, by its operation id; LookupError names the existing ones."""
    if operation_id not in contract.operations:
        known = ", ".join(contract.operations)
        raise LookupError(f"the contract has no operation {operation_id!r}; there are {known}")
    return SpecifiedOperation(contract, contract.operations[operation_id])


def body(contract: Contract, schema: str) -> SpecifiedBody:
    """One request schema of a contract, by its name; LookupError names the existing ones."""
    known = contract.document.get("components", {}).get("schemas", {})
    if schema not in known:
        raise LookupError(f"the contract has no schema {schema!r}; there are {', '.join(known)}")
    return SpecifiedBody(schema)


@frozen
class SpecifiedContent:
    """One body of a request, in the place of an instance of a generated model."""

    value: JsonObject

    def to_dict(self) -> JsonObject:
        """The body as JSON."""
        return dict(self.value)


class SpecifiedBody:
    """A request schema, in the place of a generated model."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def from_dict(self, src_dict: Mapping[str, Any]) -> SpecifiedContent:
        """The body as it is. Nothing is checked here: the contract does that."""
        return SpecifiedContent(dict(src_dict))


@frozen
class SpecifiedReply:
    """A reply. Where it does not fit the contract, `parsed` is None and `parse_error` says why."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]
    parsed: Any = None
    parse_error: Exception | None = None


@frozen(eq=False)
class SpecifiedOperation:
    """One call of a contract, in the place of a generated endpoint module."""

    contract: Contract = field(repr=False)
    described: Operation = field(repr=False)
    METHOD: str = field(init=False)
    PATH: str = field(init=False)

    @METHOD.default
    def _method(self) -> str:
        return self.described.method

    @PATH.default
    def _path(self) -> str:
        return self.described.path

    def build_request(
        self, *path: object, body: SpecifiedContent | None = None, **options: Json
    ) -> dict[str, Any]:
        """The keyword arguments of an HTTP request. Nothing is sent.

        `path` has the values of the path's parameters in their order. `options` are parameters of
        the query and the headers, named as in the contract or in snake case; None leaves one out.
        Raises TypeError for a parameter that the contract does not have, and for a missing one of
        the path or the query. Headers may be missing: whoever sends the request adds keys.
        """
        names = PLACEHOLDER.findall(self.PATH)
        if len(path) != len(names):
            raise TypeError(
                f"{self.described.id} takes {len(names)} values in its path, not {len(path)}"
            )
        values = dict(zip(names, path, strict=True))
        slashed = self.described.slashed
        url = PLACEHOLDER.sub(
            lambda found: quote(str(values[found[1]]), safe="/" if found[1] == slashed else ""),
            self.PATH,
        )
        request: dict[str, Any] = {"method": self.METHOD.lower(), "url": url}
        request |= self._placed(options)
        return request if body is None else {**request, "json": body.to_dict()}

    def _placed(self, options: Mapping[str, Json]) -> dict[str, Any]:
        """The options as `params` and `headers` of a request."""
        params: JsonObject = {}
        headers: JsonObject = {}
        left = {name: value for name, value in options.items() if value is not None}
        for place, name, required in self._parameters():
            given = name if name in left else snake(name)
            if given in left:
                (params if place == "query" else headers)[name] = left.pop(given)
            elif required and place == "query":
                raise TypeError(f"{self.described.id} needs {snake(name)}")
        if left:
            raise TypeError(f"{self.described.id} has no parameter {', '.join(left)}")
        placed = {"params": params, "headers": headers}
        return {key: values for key, values in placed.items() if values}

    def _parameters(self) -> Iterator[tuple[str, str, bool]]:
        """Place, name and necessity of each parameter of the query and the headers."""
        for parameter in map(self.contract.resolve, self.described.spec.get("parameters", ())):
            if parameter["in"] in {"query", "header"}:
                yield parameter["in"], parameter["name"], parameter.get("required", False)

    def parse_response(
        self, status_code: int, content: bytes, headers: Mapping[str, str]
    ) -> SpecifiedReply:
        """Read a reply to this call. Never raises, and never loses what came."""
        try:
            return SpecifiedReply(status_code, content, headers, self._parsed(status_code, content))
        except Exception as error:
            return SpecifiedReply(status_code, content, headers, parse_error=error)

    def _parsed(self, status_code: int, content: bytes) -> Any:
        schema = self.contract.reply_schema(self.described, status_code)
        if schema is None:
            return None
        if json_is_deep(content):
            raise ValueError("the body is nested too deeply")
        value = json.loads(content)
        if violations := tuple(self.contract.fits(schema, value)):
            message = f"HTTP {status_code}: {violations[0].message[:300]}"
            raise OutsideContractError(message, violations)
        return value


class SpecifiedProvider(Provider):
    """A vendor whose contract lies in its own package.

    The contract and `reads` answer what a subclass does not.
    """

    document: ClassVar[Contract]
    """The contract, from `load`."""

    @cached_property
    def contract(self) -> Contract:
        """The vendor's OpenAPI document."""
        return self.document

    def impersonate(self, example: JsonObject, task: SimulatedTask) -> JsonObject:
        """The example with the task's id, links and progress, wherever `reads` finds them."""
        return filled_in(example, task, self.reads)

    def new_task_id(self, number: int, created: int, letters: str) -> str:
        """`task_` and letters."""
        return f"task_{letters[:16]}"


def filled_in(example: JsonObject, task: SimulatedTask, reads: Reads) -> JsonObject:
    """An example reply with a task's facts at the places of `reads`; everything else stays."""
    copy: JsonObject = json.loads(json.dumps(example))
    for place, value in _facts(task, reads, example):
        old = get(copy, place)
        if not is_missing(old) and old is not None:
            own = str(first(example, reads.id))
            put(
                copy, place, _links(old, value, own, task.id) if isinstance(value, tuple) else value
            )
    return copy


def _facts(task: SimulatedTask, reads: Reads, example: JsonObject) -> Iterator[tuple[str, Any]]:
    """Each place with the fact that belongs there."""
    yield from ((place, task.id) for place in reads.id)
    for place in (*reads.locator, *reads.result):
        if isinstance(link := get(example, place), str):
            yield place, link.replace(str(first(example, reads.id)), task.id)
    if task.status == "succeeded" and task.urls:
        yield from ((place, task.urls) for place in reads.outputs)
    if task.element is not None:
        for place in reads.element:
            number = isinstance(get(example, place), int)
            yield place, int(task.element) if number else task.element
    if task.status == "running":
        done = task.progress if reads.progress_end == 100 else task.progress / 100
        yield from ((place, done) for place in reads.progress)


def _links(old: Json, urls: tuple[str, ...], own: str, task: str) -> Json:
    """Links in the form that the example has: one, a list of them, or objects that hold them.

    A link whose path has the example's `own` id is one of the vendor's, which gives the file by the
    id: it gets that of the task.
    """
    if isinstance(old, list):
        return [_links(old[0] if old else "", (url,), own, task) for url in urls]
    if not isinstance(old, dict):
        by_id = isinstance(old, str) and f"/{own}/" in old
        return str(old).replace(f"/{own}/", f"/{task}/") if by_id else urls[0]
    named = (name for name in LINK_NAMES if isinstance(old.get(name), str))
    return {**old, next(named, "url"): urls[0]}


def snake(name: str) -> str:
    """A name in snake case: `X-Request-Id` and `requestId` as Python writes them."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", parted).strip("_").lower()
