"""Looks into the replies of a document: their members, in all their forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..places import JsonObject
from ..providers.base.contract import Contract, Operation
from ..providers.base.specified import snake
from . import matching

STATUS_NAMES: Final = ("status", "state", "phase", "task_status", "job_status")
ID_NAMES: Final = (
    *("id", "task_id", "job_id", "generation_id", "prediction_id", "uuid", "ref"),
    *("request_id", "trace_id"),
)
"""Names of a job's id, the likeliest first."""
TRACING: Final = frozenset({"request_id", "trace_id"})
"""Names of the id of one call: of a job's id only where there is no other."""
MOST_DEPTH: Final = 4


def success(contract: Contract, call: Operation) -> JsonObject | None:
    """The media object of a call's successful reply."""
    for status, reply in call.spec["responses"].items():
        media = contract.resolve(reply).get("content", {}).get("application/json")
        if str(status).startswith("2") and media and "schema" in media:
            return media  # type: ignore[no-any-return]
    return None


def forms(contract: Contract, node: Any, depth: int = 0) -> Iterator[JsonObject]:
    """A schema, all of its parts and all of its alternatives."""
    node = contract.resolve(node)
    if isinstance(node, dict) and depth <= MOST_DEPTH:
        yield node
        for key in ("allOf", "anyOf", "oneOf"):
            for part in node.get(key, ()):
                yield from forms(contract, part, depth + 1)


def walk(
    contract: Contract, node: JsonObject, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, JsonObject]]:
    """Every dotted place of a reply with its schema; in each object, its own members first.

    Places about money, and of texts for people, are left out.
    """
    members: dict[str, JsonObject] = {}
    for form in forms(contract, node):
        for name, child in form.get("properties", {}).items():
            members.setdefault(name, matching.schema_of(contract, child))
    plain = {
        f"{prefix}{name}": child
        for name, child in members.items()
        if not matching.is_beside(f"{prefix}{name}")
    }
    yield from plain.items()
    for place, child in plain.items() if depth < MOST_DEPTH else ():
        yield from walk(contract, child, f"{place}.", depth + 1)


def nodes_at(contract: Contract, schema: JsonObject, place: str) -> Iterator[JsonObject]:
    """The schemas of a place in all forms: the parts of the document, which can be changed."""
    nodes = [*forms(contract, schema)]
    for part in place.split("."):
        found = [one["properties"][part] for one in nodes if part in one.get("properties", {})]
        nodes = [form for one in found for form in forms(contract, one)]
    yield from nodes


def names_in_reply(contract: Contract, call: Operation) -> set[str]:
    """The names of the members of a successful reply, in snake case."""
    media = success(contract, call)
    places = walk(contract, media["schema"]) if media else ()
    return {snake(place.rpartition(".")[2]) for place, _ in places}


__all__ = ["ID_NAMES", "STATUS_NAMES", "TRACING"]
