"""How a vendor is called, as its contract says it: keys, constant headers, task ids, paths.

A vendor's file needs no code for any of this:

- `securitySchemes`: `bearer`, or a header of the vendor's own (`apiKey`), with the text in
  `x-polyreel-prefix` before the key. A required header parameter with a `const` goes with each
  call.
- `x-polyreel-task-id` on a parameter of the path or the query: it takes the id of a task, or, with
  a `separator`, several. Without it, the last parameter of the path does.
- `x-polyreel-slashes` on a parameter of the path: its value can have slashes.
- `x-polyreel-own-id` on a parameter of the status query: it takes the id that polyreel has put into
  the body, at the `place` of `x-polyreel-idempotency` with the mode `own-id`.
- `x-polyreel-tasks` on a query: the place of the list of tasks in its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary

from attrs import Factory, frozen

from ...places import JsonObject
from .contract import Contract, Operation

PLACEHOLDER: Final = re.compile(r"\{([^}]+)\}")
MOST_IDS: Final = 100
"""How many ids one query takes at most, where the contract does not say."""


@frozen
class KeyScheme:
    """How a vendor's key travels, and which headers go with each call."""

    header: str = "Authorization"
    prefix: str = "Bearer "
    constants: Mapping[str, str] = Factory(dict)
    """Headers that are the same for each call, such as a version."""

    def headers(self, key: str) -> dict[str, str]:
        """The headers of a call with this key."""
        return {**self.constants, self.header: f"{self.prefix}{key}"}

    def key_in(self, headers: Mapping[str, str]) -> str | None:
        """The key in the headers (by lower-case names) of a call; None where there is none."""
        text = headers.get(self.header.lower(), "").strip()
        if text[: len(self.prefix)].lower() != self.prefix.lower():
            return None
        return text[len(self.prefix) :].strip() or None


BEARER: Final = KeyScheme()


@cache
def key_scheme_of(contract: Contract) -> KeyScheme:
    """How the key of a contract's vendor travels: by the first scheme of its `security`."""
    document = contract.document
    schemes = document.get("components", {}).get("securitySchemes", {})
    wanted = [name for one in document.get("security", ()) for name in one]
    scheme: JsonObject = next((schemes[name] for name in wanted if name in schemes), {})
    constants = {
        str(one["name"]): str(one["schema"]["const"])
        for operation in contract.operations.values()
        for one in parameters(contract, operation, "header")
        if one.get("required") and "const" in one.get("schema", {})
    }
    if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
        return KeyScheme(scheme["name"], scheme.get("x-polyreel-prefix", ""), constants)
    return KeyScheme(constants=constants)


def parameters(contract: Contract, operation: Operation, place: str) -> Iterator[JsonObject]:
    """The parameters of a call in the path, the query or the headers."""
    for one in map(contract.resolve, operation.spec.get("parameters", ())):
        if one["in"] == place:
            yield one


@frozen
class TaskPlace:
    """Where a call takes the id of a task."""

    name: str
    place: Literal["path", "query"]
    separator: str = ""
    """Between several ids; empty where the call takes one."""
    has_others: bool = False
    """Whether the path takes more than that."""


_TASK_PLACES: Final[WeakKeyDictionary[Contract, dict[str, TaskPlace | None]]] = WeakKeyDictionary()


def task_place(contract: Contract, operation: Operation) -> TaskPlace | None:
    """Where a call takes the id of a task, or of several; None where it takes none."""
    if (known := _TASK_PLACES.get(contract)) is None:
        known = _TASK_PLACES[contract] = {}
    if operation.id not in known:
        known[operation.id] = _task_place(contract, operation)
    return known[operation.id]


def _task_place(contract: Contract, operation: Operation) -> TaskPlace | None:
    names = PLACEHOLDER.findall(operation.path)
    places: tuple[Literal["path", "query"], ...] = ("path", "query")
    for place in places:
        for one in parameters(contract, operation, place):
            if marked := one.get("x-polyreel-task-id"):
                separator = marked.get("separator", "") if isinstance(marked, Mapping) else ""
                return TaskPlace(
                    one["name"], place, separator, {*names} != {one["name"]} & {*names}
                )
    return TaskPlace(names[-1], "path", has_others=len({*names}) > 1) if names else None


def task_request(contract: Contract, operation: Operation, tasks: Sequence[str]) -> JsonObject:
    """The request for one task or several, in the form of a `build_request`.

    Raises LookupError where the call does not take them.
    """
    where = task_place(contract, operation)
    if where is None or where.has_others or (len(tasks) > 1 and not where.separator):
        raise LookupError(f"{operation.id} does not take {len(tasks)} task ids alone")
    text = where.separator.join(tasks)
    method = operation.method.lower()
    if where.place == "query":
        return {"method": method, "url": operation.path, "params": {where.name: text}}
    return {"method": method, "url": filled(operation.path, {where.name: text})}


def job_request(
    contract: Contract, operation: Operation, task: str, locator: str | None
) -> JsonObject:
    """The request of a call about a job: beside its status query, where that has its own path.

    Raises LookupError where the call takes more than is known.
    """
    query = contract.operation("get")
    start = urlsplit(query.server).path.rstrip("/") if query else ""
    values = query.fit(start + urlsplit(locator).path) if query and locator else None
    if not values:
        return task_request(contract, operation, [task])
    return {"method": operation.method.lower(), "url": filled(operation.path, values)}


def own_id_request(contract: Contract, own_id: str) -> JsonObject | None:
    """The query for the task that was submitted under an id of ours; None without such a query."""
    operation = contract.operation("get")
    for one in parameters(contract, operation, "query") if operation else ():
        if one.get("x-polyreel-own-id") and operation:
            method, params = operation.method.lower(), {one["name"]: own_id}
            return {"method": method, "url": operation.path, "params": params}
    return None


def own_id_place(operation: Operation) -> str | None:
    """The dotted place in the body of a paid call that takes an id of ours, if it has one."""
    policy = operation.spec.get("x-polyreel-idempotency", {})
    return policy.get("place") if policy.get("mode") == "own-id" else None


def locator_of(contract: Contract, values: Mapping[str, str], task: str) -> str | None:
    """The path of the status query of a task, where that needs more than its id; else None.

    `values` are the route's own values for parameters of paths.
    """
    return query_paths(contract, [values]).of(task)[0]


class HasPathValues(Protocol):
    """A route, as far as it concerns paths."""

    @property
    def path_values(self) -> Mapping[str, str]:
        """Its own values for parameters of paths."""


@frozen
class QueryPaths:
    """The paths of a vendor's status query, where they need more than the id of a task."""

    place: str
    """The parameter that takes the id."""
    templates: tuple[str | None, ...]
    """The different ones, with that parameter; None where the id is enough."""

    def of(self, task: str) -> list[str | None]:
        """The paths for a task."""
        values = {self.place: task}
        return [one and filled(one, values) for one in self.templates]


def query_paths_of(contract: Contract, routes: Iterable[HasPathValues]) -> QueryPaths:
    """The paths of the status query that a vendor's routes make, the first route's first."""
    return query_paths(contract, [route.path_values for route in routes] or [{}])


def query_paths(contract: Contract, routes: Iterable[Mapping[str, str]]) -> QueryPaths:
    """The paths by the values that several routes have for parameters of paths."""
    operation = contract.operation("get")
    where = None if operation is None else task_place(contract, operation)
    if operation is None or where is None or where.place != "path":
        return QueryPaths("", (None,))
    path, place = operation.path, where.name
    names = [name for name in PLACEHOLDER.findall(path) if name != place]
    distinct = {tuple(map(values.get, names)): values for values in routes}
    templates = (
        filled(path, {name: values[name] for name in names}) if names and None not in key else None
        for key, values in distinct.items()
    )
    return QueryPaths(place, tuple(dict.fromkeys(templates)))


def filled(path: str, values: Mapping[str, str], *, slashes: bool = False) -> str:
    """A path with values for its parameters, quoted; those without a value stay."""
    safe = "/" if slashes else ""
    pieces = [*_pieces(path)]
    for index in range(1, len(pieces), 2):  # every second one is a name
        name = pieces[index]
        pieces[index] = quote(values[name], safe) if name in values else f"{{{name}}}"
    return "".join(pieces)


@lru_cache(maxsize=1024)
def _pieces(path: str) -> tuple[str, ...]:
    return tuple(PLACEHOLDER.split(path))


def without_repetition(base_url: str, paths: Iterable[str]) -> str:
    """A base URL without what the paths of calls begin with anyway, and without a slash at its end.

    What comes after the host is looked at from the left: the longest repetition goes.
    """
    scheme, _, rest = base_url.rstrip("/").partition("://")
    host, *given = rest.split("/")
    known = [path.strip("/").split("/") for path in paths]
    for cut in range(len(given)):
        tail = given[cut:]
        if any(own[: len(tail)] == tail for own in known):
            return "/".join([f"{scheme}://{host}", *given[:cut]])
    return base_url.rstrip("/")


def own_path(servers: Sequence[str], link: Any) -> str | None:
    """A URL that the vendor gave, as a path below its base URL; None for any other URL.

    The key goes along, so links to other hosts are not followed. A link without a host counts from
    the root of the host, so that it may begin with the path of the base URL.
    """
    if not isinstance(link, str) or not link.isprintable() or len(link) > 2000:
        return None
    bases = [server.rstrip("/") for server in servers]
    starts = [*bases, *filter(None, (urlsplit(base).path for base in bases))]
    start = next((one for one in starts if link.startswith(f"{one}/")), "")
    path = link.removeprefix(start)
    if not path.startswith("/") or path.startswith("//") or ".." in urlsplit(path).path:
        return None
    return path
