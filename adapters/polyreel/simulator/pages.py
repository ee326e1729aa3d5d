"""Pages of tasks, as lists and batches show them."""

from __future__ import annotations

from typing import Final

from ..flows import Reply
from ..places import JsonObject, get
from ..providers.base.facts import Status
from ..serving.answers import example, meaning, query, reply
from ..serving.calls import Call, documented
from .tasks import Task, impersonated, task_state

SIZE: Final = 50
LARGEST: Final = 100


def page(call: Call, tasks: list[Task], now: float) -> Reply:
    """The documented page with these tasks as its items: those and as many as the query asks for."""
    asked = documented(call, "query")
    status, sample = example(call.provider, call.operation, "page")
    members = sample if isinstance(sample, dict) else {}
    place = next((name for name, value in members.items() if isinstance(value, list)), "")
    items = [_item(call, task, now, sample[place] if place else sample) for task in tasks]
    wanted = [item for item in items if _is_wanted(call, item, asked)]
    size = asked.get("limit", asked.get("page_size", members.get("page_size"))) or SIZE
    size, number = min(max(size, 1), LARGEST), max(asked.get("page", 1), 1)
    shown = wanted[(number - 1) * size : number * size]
    if not place:
        return reply(call, status, shown)
    facts = {place: shown, "total": len(wanted), "page": number, "page_size": size}
    return reply(
        call,
        status,
        {**members, **{name: value for name, value in facts.items() if name in members}},
    )


def _item(call: Call, task: Task, now: float, samples: list[JsonObject]) -> JsonObject:
    """One task of a page: whole, where that is documented, else with the members of a sample in the same state."""
    provider, status = call.provider, task.status(now)
    whole = provider.contract.resolve(provider.contract.reply_schema(query(provider), 200))
    schema = _item_schema(call)
    if schema is whole:
        return task_state(call, task, status, now)
    word = provider.reads.status[0]
    same = [sample for sample in samples if meaning(provider, sample) == status]
    sample = (same or samples)[0]
    if not same:  # one of another state, with what the status query says in this one
        _, told = example(provider, query(provider), status)
        sample = {**sample, **{name: value for name, value in told.items() if name in sample}}
    sample = {**sample, word: _word(call, status, schema)}
    shown = impersonated(call, task, status, now, sample)
    return {name: value for name, value in shown.items() if name in sample}


def _item_schema(call: Call) -> JsonObject:
    contract = call.provider.contract
    schema = contract.resolve(contract.reply_schema(call.operation, 200))
    parts = (contract.resolve(part) for part in schema.get("properties", {}).values())
    lists = schema if "items" in schema else next((part for part in parts if "items" in part), {})
    found: JsonObject = contract.resolve(lists.get("items", {}))
    return found


def _word(call: Call, status: Status, schema: JsonObject) -> str:
    """The status word that the items of a page have; one without a word for waiting calls it running."""
    provider = call.provider
    words = schema.get("properties", {}).get(provider.reads.status[0], {}).get("examples", [])
    for wanted in (status, *(["running"] if status == "queued" else [])):
        for word in words:
            if provider.statuses.get(word.lower()) == wanted:
                return str(word)
    return str(get(example(provider, query(provider), status)[1], provider.reads.status[0]))


def _is_wanted(call: Call, item: JsonObject, asked: JsonObject) -> bool:
    """Whether an item has what the query asks for: a state in the vendor's words, or a value of its own."""
    word = call.provider.reads.status[0]
    if word in asked and meaning(call.provider, {word: asked[word]}) != meaning(
        call.provider, item
    ):
        return False
    return all(
        item[name] == value for name, value in asked.items() if name in item and name != word
    )
