"""Guesses how a vendor's replies are read.

It finds the places of a job's facts and the meaning of the status words, and adds an example of
every state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import Factory, define

from ..places import Json, JsonObject, get, is_missing, put
from ..providers.base.contract import Contract, Operation
from ..providers.base.facts import Status
from ..providers.base.registry import all_providers
from ..providers.base.specified import snake
from . import matching
from .document import LINK, Draft, made_example, sample

FACTS: Final = ("id", "status", "outputs", "progress", "error_code", "error_message")
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
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
ERROR_PARENTS: Final = ("error", "failure", "problem", "fault")
"""The names of objects that hold an error."""
MOST_DEPTH: Final = 4


CREATED: Final[tuple[Status, ...]] = ("queued",)
QUERIED: Final[tuple[Status, ...]] = ("queued", "running", "succeeded", "failed")
"""The states that replies to a submit, and to a status query, need an example of."""


@define
class States:
    """What is guessed about a vendor's replies."""

    reads: dict[str, tuple[str, ...]] = Factory(dict)
    """The dotted places of each fact."""
    words: dict[str, Status] = Factory(dict)
    """The state of each status word."""
    unknown: list[str] = Factory(list)
    """Status words whose meaning cannot be guessed."""


def guess_states(draft: Draft) -> States:
    """Guess the places and the words of the replies.

    The draft is changed: its closed lists of status words are opened, and it gets examples of the
    states.
    """
    contract = draft.contract
    query = contract.operations[draft.get]
    calls = [query, *(contract.operations[one] for one in draft.creates)]
    states = States({fact: _places(contract, fact, calls, query) for fact in FACTS})
    for word in dict.fromkeys(
        word for call in calls for word in _words(contract, call, states.reads["status"])
    ):
        meaning = matching.state_of(word)
        if meaning is None:
            states.unknown.append(word)
        else:
            states.words[word.lower()] = meaning
    for call in calls:
        _add_examples(contract, call, states, QUERIED if call is query else CREATED)
    return states


def _success(contract: Contract, call: Operation) -> JsonObject | None:
    """The media object of a call's successful reply."""
    for status, reply in call.spec["responses"].items():
        media = contract.resolve(reply).get("content", {}).get("application/json")
        if status.startswith("2") and media and "schema" in media:
            return media  # type: ignore[no-any-return]
    return None


def _walk(
    contract: Contract, node: JsonObject, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, JsonObject]]:
    """Every dotted place of a reply with its schema; in each object, its own members first."""
    node = matching.schema_of(contract.resolve(node))
    parts = [node, *(contract.resolve(part) for part in node.get("allOf", ()))]
    members = {name: child for part in parts for name, child in part.get("properties", {}).items()}
    plain = {
        f"{prefix}{name}": matching.schema_of(contract.resolve(child))
        for name, child in members.items()
    }
    yield from plain.items()
    for place, child in plain.items() if depth < MOST_DEPTH else ():
        yield from _walk(contract, child, f"{place}.", depth + 1)


def _places(
    contract: Contract, fact: str, calls: list[Operation], query: Operation
) -> tuple[str, ...]:
    """The likeliest dotted places of a fact in the replies, at most four."""
    known = {
        place.rpartition(".")[2]
        for provider in all_providers().values()
        for place in getattr(provider.reads, fact)
    }
    names = list(dict.fromkeys([*NAMES[fact], *sorted(known)]))
    if fact == "id":
        names.insert(0, query.path.partition("{")[2].partition("}")[0])
    places: dict[str, int] = {}
    for call in calls:
        media = _success(contract, call)
        for place, node in _walk(contract, media["schema"]) if media else ():
            if (rank := _rank(fact, place, node, names)) is not None:
                places.setdefault(place, rank)
    return tuple(sorted(places, key=lambda place: (place.count("."), places[place])))[:4]


def _rank(fact: str, place: str, node: JsonObject, names: list[str]) -> int | None:
    """How well the name of a place fits a fact (0 is best); None where it does not."""
    parent, _, last = place.rpartition(".")
    name = last if last in names else snake(last)
    if name not in names:
        return None
    is_error = parent.rpartition(".")[2] in ERROR_PARENTS or name.startswith(("error_", "fail"))
    if fact.startswith("error") and not is_error:
        return None
    is_scalar = "properties" not in node and node.get("type") != "array"
    fits = _can_hold_links(node) if fact == "outputs" else is_scalar
    return names.index(name) if fits else None


def _can_hold_links(node: JsonObject) -> bool:
    """Whether a place can hold links: a text, or a list of texts or of objects with a `url`."""
    kind, items = node.get("type"), node.get("items", {})
    if kind != "array":
        return kind == "string"
    return "$ref" in items or items.get("type") == "string" or "url" in items.get("properties", {})


def _words(contract: Contract, call: Operation, places: tuple[str, ...]) -> Iterator[str]:
    """The documented status words of a reply.

    A closed list of words is opened, so that a reply with a new word can still be read.
    """
    media = _success(contract, call)
    if media is None:
        return
    for place, _ in _walk(contract, media["schema"]):
        if place in places:
            node = _node(contract, media["schema"], place)
            if "enum" in node:
                node["examples"] = [word for word in node.pop("enum") if word is not None]
            yield from (word for word in node.get("examples", ()) if isinstance(word, str))
    for example in media.get("examples", {}).values():
        value = example.get("value")
        words = [get(value, place) for place in places] if isinstance(value, dict) else []
        yield from (word for word in words if isinstance(word, str))


def _node(contract: Contract, schema: JsonObject, place: str) -> JsonObject:
    """The schema of a place: the part of the document itself, which can be changed."""
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


# -- examples ------------------------------------------------------------------------------------


def _add_examples(
    contract: Contract, call: Operation, states: States, wanted: tuple[Status, ...]
) -> None:
    """Give every state an example: the document's own, else one made from the schema."""
    media = _success(contract, call)
    if media is None:
        return
    examples = media.setdefault("examples", {})
    for state in wanted:
        if state in examples:
            continue
        own = next(
            (one for one in examples.values() if state in _states_in(one.get("value"), states)),
            None,
        )
        word = next((word for word, meaning in states.words.items() if meaning == state), None)
        if own is not None:
            examples[state] = own
        elif word is not None:
            examples[state] = made_example(_reply(contract, media["schema"], state, word, states))
    for name in ("example", "default"):
        examples.pop(name, None)


def _states_in(value: Json, states: States) -> set[Status | None]:
    """The states of all status words in an example."""
    if not isinstance(value, dict):
        return set()
    found = [get(value, place) for place in states.reads["status"]]
    return {states.words.get(str(word).lower()) for word in found if not is_missing(word)}


def _reply(contract: Contract, schema: JsonObject, state: Status, word: str, states: States) -> Any:
    """A reply about a job in a state, made from its schema."""
    value = json.loads(json.dumps(sample(contract, schema)))
    if not isinstance(value, dict):
        return value
    facts: JsonObject = dict.fromkeys(states.reads["status"], word)
    facts |= dict.fromkeys(states.reads["id"], "task_0123456789")
    for place in states.reads["outputs"]:
        old = get(value, place)
        if state == "succeeded":
            facts[place] = _with_link(old)
        elif isinstance(old, list):
            facts[place] = []
    for place, fact in facts.items():
        if not is_missing(get(value, place)):
            put(value, place, fact)
    return value


def _with_link(old: Json) -> Any:
    """A link in the form of the value that it replaces."""
    if isinstance(old, list):
        return [_with_link(old[0] if old else "")]
    return {**old, "url": LINK} if isinstance(old, dict) else LINK
