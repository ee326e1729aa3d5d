"""Looks into the replies of a document: their members, in all their forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..places import JsonObject
from ..providers.base.contract import Contract, Operation
from ..providers.base.specified import snake
from . import matching
from .plain import schema_of

STATUS_NAMES: Final = ("status", "state", "phase", "task_status", "job_status")
ID_NAMES: Final = (
    *("id", "task_id", "job_id", "generation_id", "prediction_id", "uuid", "ref"),
    *("request_id", "trace_id"),
)
"""Names of a job's id, the likeliest first."""
TRACING: Final = frozenset({"request_id", "trace_id"})
"""Names of the id of one call: of a job's id only where there is no other."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ID_NAMES,
    "status": STATUS_NAMES,
    "outputs": (
        *(
            "url",
            "urls",
            "video_url",
            "video_urls",
            "videos",
            "video",
            "outputs",
            "output",
            "files",
            "images",
            "unsigned_urls",
        ),
        *("results", "result", "result_url", "result_urls", "download_url", "output_url"),
    ),
    "progress": ("progress", "percent", "percentage"),
    "error_code": ("code", "kind", "type", "error_code", "failure_code"),
    "error_message": (
        "message",
        "detail",
        "reason",
        "error_message",
        "failure_reason",
        "failure",
        "error",
        "fail_reason",
    ),
}
ECHOED: Final = frozenset({"request", "input", "inputs", "parameters", "params", "arguments"})
"""The names of objects that repeat what was asked for."""
ERROR_PARENTS: Final = ("error", "failure", "problem", "fault")
"""The names of objects that hold an error."""
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
    contract: Contract, node: JsonObject, prefix: str = "", depth: int = 0, *, lists: bool = False
) -> Iterator[tuple[str, JsonObject]]:
    """Every dotted place of a reply with its schema; in each object, its own members first.

    Places about money, and of texts for people, are left out. With `lists`, the first items of
    lists of objects have places too (`data.0.id`).
    """
    members: dict[str, JsonObject] = {}
    for form in forms(contract, node):
        for name, child in form.get("properties", {}).items():
            members.setdefault(name, schema_of(contract, child))
    plain = {
        f"{prefix}{name}": child
        for name, child in members.items()
        if not matching.is_beside(f"{prefix}{name}")
    }
    yield from plain.items()
    for place, child in plain.items() if depth < MOST_DEPTH else ():
        if child.get("type") == "array":
            items = child.get("items", {}) if lists else {}
            yield from walk(contract, items, f"{place}.0.", depth + 1, lists=lists)
        else:
            yield from walk(contract, child, f"{place}.", depth + 1, lists=lists)


def nodes_at(contract: Contract, schema: JsonObject, place: str) -> Iterator[JsonObject]:
    """The schemas of a place in all forms: the parts of the document, which can be changed."""
    nodes = [*forms(contract, schema)]
    for part in place.split("."):
        if part == "0":
            found = [one["items"] for one in nodes if "items" in one]
        else:
            found = [one["properties"][part] for one in nodes if part in one.get("properties", {})]
        nodes = [form for one in found for form in forms(contract, one)]
    yield from nodes


def names_in_reply(contract: Contract, call: Operation) -> set[str]:
    """The names of the members of a successful reply, and of its lists, in snake case."""
    media = success(contract, call)
    places = walk(contract, media["schema"], lists=True) if media else ()
    return {snake(place.rpartition(".")[2]) for place, _ in places}


def links_in(contract: Contract, call: Operation) -> bool:
    """Whether a successful reply has a place that may hold links to clips."""
    media = success(contract, call)
    names = list(NAMES["outputs"])
    places = walk(contract, media["schema"]) if media else ()
    return any(rank_of("outputs", place, node, names) is not None for place, node in places)


def rank_of(fact: str, place: str, node: JsonObject, names: list[str]) -> int | None:
    """How well the name of a place fits a fact (0 is best); None where it does not."""
    parent, _, last = place.rpartition(".")
    name = last if last in names else snake(last)
    if name not in names or ECHOED.intersection(parent.split(".")):
        return None
    is_error = parent.rpartition(".")[2] in ERROR_PARENTS or name.startswith(("error", "fail"))
    if fact.startswith("error") and not is_error:
        return None
    is_scalar = "properties" not in node and node.get("type") not in {"array", "object"}
    fits = can_hold_links(node) if fact == "outputs" else is_scalar
    return names.index(name) if fits else None


def can_hold_links(node: JsonObject) -> bool:
    """Whether a place can hold links: a text, or a list of texts or of objects with a `url`."""
    kind, items = node.get("type"), node.get("items", {})
    if kind is None:
        return node.keys().isdisjoint({"anyOf", "oneOf", "properties", "$ref"})
    if kind != "array":
        return bool(kind == "string")
    is_text = bool(items.get("type") == "string")
    return is_text or "$ref" in items or "url" in items.get("properties", {})
