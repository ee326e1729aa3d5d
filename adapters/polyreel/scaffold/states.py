"""Guesses how a vendor's replies are read.

It finds the places of a job's facts and the meaning of the status words, and adds an example of
every state.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import Factory, define

from ..places import Json, JsonObject, get, is_missing, put
from ..providers.base.calling import PLACEHOLDER
from ..providers.base.contract import Contract, Operation
from ..providers.base.facts import Status
from ..providers.base.registry import all_providers
from ..providers.base.specified import snake
from . import matching
from .choosing import id_parameter
from .document import LINK, TODO, Draft, made_example, sample
from .further import links_to_jobs
from .replies import ECHOED, NAMES, TRACING, forms, names_in_reply, nodes_at, rank_of, success, walk

FACTS: Final = ("id", "status", "outputs", "progress", "error_code", "error_message")
COMMON: Final[Mapping[Status, str]] = {
    "queued": "queued",
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
}
"""Words that stand in examples where the document has none, until a person knows better."""
EXAMPLE_ID: Final = "task_0123456789"
NEEDED: Final = ("id", "status", "outputs")
CREATED: Final[tuple[Status, ...]] = ("queued",)
QUERIED: Final[tuple[Status, ...]] = ("queued", "running", "succeeded", "failed")
FETCHED: Final[tuple[Status, ...]] = ("succeeded",)
"""The states that replies to a submit, and to a status query, need an example of."""


@define
class States:
    """What is guessed about a vendor's replies."""

    reads: dict[str, tuple[str, ...]] = Factory(dict)
    """The dotted places of each fact."""
    words: dict[str, Status] = Factory(dict)
    """The state of each status word."""
    links: dict[str, str] = Factory(dict)
    """Examples of links of the vendor's own, by their places."""
    unknown: list[str] = Factory(list)
    """Status words whose meaning cannot be guessed."""


def guess_states(draft: Draft) -> States:
    """Guess the places and the words of the replies.

    The draft is changed: its closed lists of status words are opened, and it gets examples of the
    states.
    """
    contract = draft.contract
    query = contract.operations[draft.get]
    creates = [contract.operations[one] for one in draft.creates]
    result = contract.operation("result")
    asked = [query, *creates]
    calls = [*asked, *([result] if result else [])]
    states = States(
        {
            fact: _places(contract, fact, asked if fact in {"id", "status"} else calls, query)
            for fact in FACTS
        }
    )
    _add_links(draft, states, asked, {"locator": query, "result": result})
    for word in dict.fromkeys(
        word for call in calls for word in _words(contract, call, states.reads["status"])
    ):
        meaning = matching.state_of(word)
        if meaning is None:
            states.unknown.append(word)
        else:
            states.words[word.lower()] = meaning
    for call in calls:
        _open_reply(contract, call, states.reads["id"])
        wanted = {query.id: QUERIED, result.id if result else "": FETCHED}.get(call.id, CREATED)
        _add_examples(contract, call, states, wanted)
    _mark_list(query, states)
    called = f"GET {query.path}"
    states.reads = {
        fact: places for fact, places in states.reads.items() if places or fact in NEEDED
    }
    if not states.reads["outputs"] and names_in_reply(contract, query):
        draft.not_done.append(f"{called}: no place of a link to the clip was found in its answer")
    if not states.words:
        draft.not_done.append(f"{called}: the document lists no status words")
    return states


def _add_links(
    draft: Draft, states: States, calls: list[Operation], leads: Mapping[str, Operation | None]
) -> None:
    """Add the places of links of the vendor's own, which are no outputs, and what stands there."""
    for fact, places in links_to_jobs(draft.contract, calls).items():
        lead = leads[fact]
        if places and lead is not None:
            states.reads[fact] = places
            outputs = states.reads["outputs"]
            states.reads["outputs"] = tuple(one for one in outputs if one not in places)
            path = PLACEHOLDER.sub(EXAMPLE_ID, lead.path)
            states.links |= dict.fromkeys(places, lead.server.rstrip("/") + path)


def _mark_list(query: Operation, states: States) -> None:
    """Mark the list of tasks that a query answers with."""
    lists = [place.partition(".0.")[0] for place in states.reads["id"] if ".0." in place]
    spec: Any = query.spec
    if lists and any(place.startswith(f"{lists[0]}.0.") for place in states.reads["status"]):
        spec.setdefault("x-polyreel-tasks", lists[0])


def _places(
    contract: Contract, fact: str, calls: list[Operation], query: Operation
) -> tuple[str, ...]:
    """The likeliest dotted places of a fact in the replies, at most four."""
    known = {
        place.rpartition(".")[2]
        for provider in all_providers().values()
        for place in getattr(provider.reads, fact)
    }
    names = list(dict.fromkeys([*NAMES.get(fact, ()), *sorted(known)]))
    parameter = id_parameter(query)
    if fact == "id" and parameter is not None:
        names.insert(0, re.sub("ids$", "id", snake(parameter["name"])))
    found: dict[str, tuple[int, int]] = {}
    for call in calls:
        media = success(contract, call)
        ranked: dict[str, tuple[int, int]] = {}
        places = list(walk(contract, media["schema"], lists=True)) if media else []
        for place, node in places:
            if (rank := rank_of(fact, place, node, names)) is not None:
                ranked.setdefault(place, (place.count("."), rank))
        least = min((place.count(".0.") for place in ranked), default=0)
        plain = {place: rank for place, rank in ranked.items() if place.count(".0.") == least}
        ranked = _one_id(ranked, names[0]) if fact == "id" else plain
        found |= {place: rank for place, rank in ranked.items() if place not in found}
    return tuple(sorted(found, key=lambda place: found[place]))[:4]


def _one_id(ranked: dict[str, tuple[int, int]], own: str) -> dict[str, tuple[int, int]]:
    """The likeliest place of a job's id in one reply: that of a call only where no other is."""

    def order(place: str) -> tuple[bool, bool, tuple[int, int]]:
        name = snake(place.rpartition(".")[2])
        return name in TRACING and name != own, name != own, ranked[place]

    best = min(ranked, default=None, key=order)
    return {} if best is None else {best: ranked[best]}


def _words(contract: Contract, call: Operation, places: tuple[str, ...]) -> Iterator[str]:
    """The documented status words of a reply.

    A closed list of words is opened, so that a reply with a new word can still be read.
    """
    media = success(contract, call)
    if media is None:
        return
    for place in places:
        for node in nodes_at(contract, media["schema"], place):
            closed = [node.pop("const")] if "const" in node else node.pop("enum", [])
            if closed:
                node["examples"] = [word for word in closed if word is not None]
            yield from (word for word in node.get("examples", ()) if isinstance(word, str))
    for example in media.get("examples", {}).values():
        value = example.get("value")
        words = [get(value, place) for place in places] if isinstance(value, dict) else []
        yield from (word for word in words if isinstance(word, str))


def _open_reply(contract: Contract, call: Operation, ids: tuple[str, ...]) -> None:
    """Let a reply fit that has more members, another form, or an id that looks otherwise."""
    media = success(contract, call)
    for node in forms(contract, media["schema"]) if media else ():
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
            node.pop("discriminator", None)
        if node.get("additionalProperties") is False:
            del node["additionalProperties"]
    for place in ids if media else ():
        for node in nodes_at(contract, media["schema"], place):  # type: ignore[index]
            for key in ("pattern", "format", "minLength", "maxLength"):
                node.pop(key, None)


# -- examples ------------------------------------------------------------------------------------


def _add_examples(
    contract: Contract, call: Operation, states: States, wanted: tuple[Status, ...]
) -> None:
    """Give every state an example: the document's own, else one made from the schema."""
    media = success(contract, call)
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
        elif states.words:
            value = _reply(contract, media["schema"], state, COMMON[state], states)
            doubt = f"{TODO}no status word of the document means {state}"
            examples[state] = {"summary": doubt, "value": value}
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
    chosen = _form_of(contract, schema, word, states)
    value = json.loads(json.dumps(sample(contract, chosen)))
    if not isinstance(value, dict):
        return value
    outputs = states.reads["outputs"]
    if state == "succeeded" and all(is_missing(get(value, place)) for place in outputs):
        value = json.loads(json.dumps(sample(contract, chosen, own=False)))
    for name in ECHOED - {*chosen.get("required", ())}:
        value.pop(name, None)
    facts: JsonObject = dict.fromkeys(states.reads["status"], word)
    facts |= dict.fromkeys(states.reads["id"], EXAMPLE_ID)
    facts |= states.links
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


def _form_of(contract: Contract, schema: JsonObject, word: str, states: States) -> JsonObject:
    """The form of a reply that has a status word; the whole schema where none has."""
    for form in forms(contract, schema):
        for place in states.reads["status"]:
            choices = "anyOf" in form or "oneOf" in form
            nodes = [] if choices else nodes_at(contract, form, place)
            if any(word in map(str.lower, map(str, one.get("examples", ()))) for one in nodes):
                return form
    return schema


def _with_link(old: Json) -> Any:
    """A link in the form of the value that it replaces."""
    if isinstance(old, list):
        return [_with_link(old[0] if old else "")]
    return {**old, "url": LINK} if isinstance(old, dict) else LINK
