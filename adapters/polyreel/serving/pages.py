"""Pages of tasks, as lists and batches show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..flows import Reply
from ..places import Json, JsonObject, get, put
from ..providers.base.facts import Status
from .answers import example, here, reply, status_of_example, status_query
from .calls import Call, body, check_body, query_parameters
from .task_answers import ShownTask, task_body

PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 100
PAGING: Final = frozenset({"limit", "page", "page_size"})
"""The parameters of a list that say which of its pages is wanted, and no more."""
_CURSOR: Final = re.compile("[0-9]{1,9}")


def page(call: Call, tasks: Sequence[ShownTask], now: float) -> Reply:
    """The documented page with those of the tasks that the query asks for."""
    if place := call.operation.spec.get("x-polyreel-tasks"):
        return _selection(call, tasks, now, place)
    asked = query_parameters(call)
    status, sample = example(call.provider, call.operation, "page")
    members = sample if isinstance(sample, dict) else {}
    place = next((name for name, value in members.items() if isinstance(value, list)), "")
    samples = sample[place] if place else sample
    size = asked.get("limit", asked.get("page_size", members.get("page_size"))) or PAGE_SIZE
    size, number = min(max(size, 1), MAX_PAGE_SIZE), max(asked.get("page", 1), 1)
    here_on = slice((number - 1) * size, number * size)
    if asked.keys() <= PAGING:  # what is on other pages need not be written
        total, shown = len(tasks), [_item(call, task, now, samples) for task in tasks[here_on]]
    else:
        items = (_item(call, task, now, samples) for task in tasks)
        wanted = [item for item in items if _is_wanted(call, item, asked)]
        total, shown = len(wanted), wanted[here_on]
    if not place:
        return reply(call, status, [*shown])
    facts = {place: shown, "total": total, "page": number, "page_size": size}
    documented = {name: value for name, value in facts.items() if name in members}
    return reply(call, status, {**here(call, members), **documented})


def _selection(call: Call, tasks: Sequence[ShownTask], now: float, place: str) -> Reply:
    """The documented page, whose tasks at `place` are those of the status query.

    A body can ask for a number of them, for what comes after a cursor (the number of tasks before
    it), and for those whose members have one of some values.
    """
    asked = body(call)
    check_body(call, call.operation.request_schemas[0], asked)
    status, sample = example(call.provider, call.operation, "page")
    shown: JsonObject = here(call, sample)
    # As JSON Schema has it, 10.0 is an integer too.
    first, size = _number(asked.get("cursor")), int(asked.get("limit", PAGE_SIZE))
    conditions = [(one["key"], one["values"]) for one in asked.get("filters", ())]
    count, found = len(tasks), list[JsonObject]()
    if conditions:
        items = (_alone(call, task, now) for task in tasks)
        wanted = [
            item
            for item in items
            if all(item[key] in values for key, values in conditions if key in item)
        ]
        count, found = len(wanted), wanted[first : first + size]
    else:  # what is on other pages need not be written
        found = [_alone(call, task, now) for task in tasks[first : first + size]]
    last = first + len(found)
    facts: JsonObject = {"count": len(found), "has_more": last < count}
    facts["next_cursor"] = str(last) if facts["has_more"] else ""
    put(shown, place, found)
    around = get(shown, place.rpartition(".")[0])
    around |= {name: fact for name, fact in facts.items() if name in around}
    return reply(call, status, shown)


def _number(cursor: Json) -> int:
    return int(cursor) if isinstance(cursor, str) and _CURSOR.fullmatch(cursor) else 0


def _alone(call: Call, task: ShownTask, now: float) -> JsonObject:
    """A task as the status query shows it, without the list around it."""
    shown, query = task_body(call, task, task.status(now), now), status_query(call.provider)
    found: JsonObject = get(shown, f"{query.spec['x-polyreel-tasks']}.0")
    return found


def _item(call: Call, task: ShownTask, now: float, samples: list[JsonObject]) -> JsonObject:
    """One task of a page.

    It is whole where the contract says so; else it has the members of a sample in the same state.
    """
    provider, status = call.provider, task.status(now)
    query = status_query(provider)
    whole = provider.contract.resolve(provider.contract.reply_schema(query, 200))
    schema = _item_schema(call)
    if schema is whole:
        return task_body(call, task, status, now)
    same = [sample for sample in samples if status_of_example(provider, sample) == status]
    sample = (same or samples)[0]
    if not same:  # a sample of another state, with what the status query says in this one
        _, answer = example(provider, query, status)
        sample = {**sample, **{name: value for name, value in answer.items() if name in sample}}
    sample = {**sample, provider.reads.status[0]: _word(call, status, schema)}
    shown = task.shown(call, status, now, sample, schema)
    return {name: value for name, value in shown.items() if name in sample}


def _item_schema(call: Call) -> JsonObject:
    contract = call.provider.contract
    schema = contract.resolve(contract.reply_schema(call.operation, 200))
    parts = (contract.resolve(part) for part in schema.get("properties", {}).values())
    lists = schema if "items" in schema else next((part for part in parts if "items" in part), {})
    found: JsonObject = contract.resolve(lists.get("items", {}))
    return found


def _word(call: Call, status: Status, schema: JsonObject) -> str:
    """The status word of a page's items; where queued has none, that for running."""
    provider = call.provider
    place = provider.reads.status[0]
    words = schema.get("properties", {}).get(place, {}).get("examples", [])
    for wanted in (status, *(["running"] if status == "queued" else [])):
        for word in words:
            if provider.statuses.get(word.lower()) == wanted:
                return str(word)
    _, answer = example(provider, status_query(provider), status)
    return str(get(answer, place))


def _is_wanted(call: Call, item: JsonObject, asked: JsonObject) -> bool:
    """Whether an item has the state and the other values that the query asks for."""
    provider = call.provider
    word = provider.reads.status[0]
    if word in asked:
        wanted = status_of_example(provider, {word: asked[word]})
        if wanted != status_of_example(provider, item):
            return False
    return all(
        item[name] == value for name, value in asked.items() if name in item and name != word
    )
