"""Where a vendor's replies hold what a job is, what its status words mean, and an example of every state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import Factory, define

from ..places import JsonObject, get, is_missing, put
from ..providers.base.contract import Contract, Operation
from ..providers.base.facts import Status
from ..providers.base.registry import all_providers
from ..providers.base.specified import snake
from . import matching
from .document import TODO, Draft, sample

LINK: Final = "https://files.example/1.mp4"
FACTS: Final = ("id", "status", "outputs", "progress", "error_code", "error_message")
GENERAL: Final[Mapping[str, tuple[str, ...]]] = {
    "id": (
        "id",
        "task_id",
        "job_id",
        "generation_id",
        "request_id",
        "prediction_id",
        "uuid",
        "ref",
    ),
    "status": ("status", "state", "phase", "task_status", "job_status"),
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
        ),
        *("results", "result", "result_url", "result_urls", "download_url", "output_url"),
    ),
    "progress": ("progress", "percent", "percentage"),
    "error_code": ("code", "kind", "type", "error_code"),
    "error_message": (
        "message",
        "detail",
        "reason",
        "error_message",
        "failure_reason",
        "fail_reason",
    ),
}
TROUBLE: Final = ("error", "failure", "problem", "fault")
DEEPEST: Final = 4


@define
class States:
    """What is guessed of a vendor's replies."""

    reads: dict[str, tuple[str, ...]] = Factory(dict)
    words: dict[str, Status] = Factory(dict)
    unknown: list[str] = Factory(list)
    """Status words that may mean anything."""


def found(draft: Draft) -> States:
    """The places and words of the replies; the draft gets open status words, and examples of the states."""
    contract = draft.contract
    query = contract.operations[draft.get]
    calls = [query, *(contract.operations[one] for one in draft.creates)]
    states = States({fact: _places(contract, fact, calls, query) for fact in FACTS})
    for word in dict.fromkeys(
        word for call in calls for word in _words(contract, call, states.reads["status"])
    ):
        if (meant := matching.state(word)) is None:
            states.unknown.append(word)
        else:
            states.words[word.lower()] = meant
    for call in calls:
        _shown(
            contract,
            call,
            states,
            ("queued", "running", "succeeded", "failed") if call is query else ("queued",),
        )
    return states


def _reply(contract: Contract, call: Operation) -> JsonObject | None:
    """The media object of a call's success."""
    for status, reply in call.spec["responses"].items():
        media = contract.resolve(reply).get("content", {}).get("application/json")
        if status.startswith("2") and media and "schema" in media:
            return media  # type: ignore[no-any-return]
    return None


def _walk(
    contract: Contract, node: JsonObject, at: str = "", depth: int = 0
) -> Iterator[tuple[str, JsonObject]]:
    """Every dotted place of a reply, shallow ones first."""
    node = matching.schema_of(contract.resolve(node))
    parts = [node, *(contract.resolve(part) for part in node.get("allOf", ()))]
    members = {name: child for part in parts for name, child in part.get("properties", {}).items()}
    plain = {
        f"{at}{name}": matching.schema_of(contract.resolve(child))
        for name, child in members.items()
    }
    yield from plain.items()
    for place, child in plain.items() if depth < DEEPEST else ():
        yield from _walk(contract, child, f"{place}.", depth + 1)


def _places(
    contract: Contract, fact: str, calls: list[Operation], query: Operation
) -> tuple[str, ...]:
    known = {
        place.rpartition(".")[2]
        for p in all_providers().values()
        for place in getattr(p.reads, fact)
    }
    names = list(dict.fromkeys([*GENERAL[fact], *sorted(known)]))
    if fact == "id":
        names.insert(0, query.path.partition("{")[2].partition("}")[0])
    places: dict[str, int] = {}
    for call in calls:
        media = _reply(contract, call)
        for place, node in _walk(contract, media["schema"]) if media else ():
            if (rank := _rank(fact, place, node, names)) is not None:
                places.setdefault(place, rank)
    return tuple(sorted(places, key=lambda place: (place.count("."), places[place])))[:4]


def _rank(fact: str, place: str, node: JsonObject, names: list[str]) -> int | None:
    """How good a place is for a fact; None where it is none."""
    parent, _, last = place.rpartition(".")
    name = last if last in names else snake(last)
    if name not in names:
        return None
    told = parent.rpartition(".")[2] in TROUBLE or name.startswith(("error_", "fail"))
    if fact.startswith("error") and not told:
        return None
    fits = (
        _links(node)
        if fact == "outputs"
        else "properties" not in node and node.get("type") != "array"
    )
    return names.index(name) if fits else None


def _links(node: JsonObject) -> bool:
    """Whether a place can hold links: text, a list of it, or objects with a `url`."""
    if node.get("type") == "array":
        items = node.get("items", {})
        return (
            "$ref" in items or items.get("type") == "string" or "url" in items.get("properties", {})
        )
    return node.get("type") == "string"


def _words(contract: Contract, call: Operation, places: tuple[str, ...]) -> Iterator[str]:
    """The status words that a reply is documented with. A closed list is opened: a new word must lose no job."""
    media = _reply(contract, call)
    for place, node in _walk(contract, media["schema"]) if media else ():
        if place in places:
            actual = _node(contract, media["schema"], place) if media else node
            if "enum" in actual:
                actual["examples"] = [word for word in actual.pop("enum") if word is not None]
            yield from (word for word in actual.get("examples", ()) if isinstance(word, str))
    for example in (media or {}).get("examples", {}).values():
        for place in places:
            word = get(example["value"], place) if isinstance(example.get("value"), dict) else None
            yield from [word] if isinstance(word, str) else []


def _node(contract: Contract, schema: JsonObject, place: str) -> JsonObject:
    """The schema of a place in the document itself, to be changed."""
    node: Any = contract.resolve(schema)
    for part in place.split("."):
        options = [node, *node.get("allOf", ()), *node.get("anyOf", ())]
        node = next(
            contract.resolve(contract.resolve(one)["properties"][part])
            for one in options
            if part in contract.resolve(one).get("properties", {})
        )
    choices = map(contract.resolve, node.get("anyOf", ()))
    found: JsonObject = next((one for one in choices if "enum" in one), node)
    return found


# -- examples ------------------------------------------------------------------------------------------


def _shown(contract: Contract, call: Operation, states: States, wanted: tuple[Status, ...]) -> None:
    """Give every state an example: the document's own that says so, else one made from the schema."""
    media = _reply(contract, call)
    if media is None:
        return
    examples = media.setdefault("examples", {})
    for state in wanted:
        word = next((word for word, meant in states.words.items() if meant == state), None)
        own = next(
            (one for one in examples.values() if _says(one.get("value"), state, states)), None
        )
        if state not in examples and own is not None:
            examples[state] = own
        elif state not in examples and word is not None:
            text = f"{TODO}a real one; this was made from the schema"
            examples[state] = {
                "summary": text,
                "value": _made(contract, media["schema"], state, word, states),
            }
    for name in ("example", "default"):
        examples.pop(name, None)


def _says(value: Any, state: Status, states: States) -> bool:
    found = (
        [get(value, place) for place in states.reads["status"]] if isinstance(value, dict) else []
    )
    return any(
        states.words.get(str(word).lower()) == state for word in found if not is_missing(word)
    )


def _made(contract: Contract, schema: JsonObject, state: Status, word: str, states: States) -> Any:
    value = json.loads(json.dumps(sample(contract, schema)))
    if not isinstance(value, dict):
        return value
    facts: dict[str, Any] = dict.fromkeys(states.reads["status"], word)
    facts |= dict.fromkeys(states.reads["id"], "task_0123456789")
    for place, fact in facts.items():
        if not is_missing(get(value, place)):
            put(value, place, fact)
    for place in states.reads["outputs"]:
        if not is_missing(old := get(value, place)):
            put(
                value,
                place,
                _link(old, LINK) if state == "succeeded" else [] if isinstance(old, list) else old,
            )
    return value


def _link(old: Any, link: str) -> Any:
    if isinstance(old, list):
        return [_link(old[0] if old else "", link)]
    return {**old, "url": link} if isinstance(old, dict) else link
