"""Calls beside the paid one and the status query: the result, the cancel; what is unusual."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..places import Json, JsonObject
from ..providers.base.calling import PLACEHOLDER
from ..providers.base.contract import Contract, Operation
from ..providers.base.specified import snake
from .choosing import ChosenCalls
from .plain import schema_of
from .replies import forms, links_in, names_in_reply, nodes_at, success, walk

TODO: Final = "TODO: "
RESULT: Final = re.compile(r"(/(result|results|response|output))?")
"""What stands behind the path of a job where its result is."""
ALL_WELL: Final = re.compile(r"\b0\b[^.]*(success|ok\b)|(success|ok\b)[^.]*\b0\b", re.IGNORECASE)
"""How texts say that a code of 0 is no error."""
CODES: Final = ("code", "base_resp.status_code", "status_code", "errno", "err_code")
KINDS: Final = ("type", "role", "kind", "frame_type", "position")
"""Names of the members that tell the items of a list apart."""


def stem_of(query: Operation) -> str:
    """The path of one job, without what stands behind its id."""
    return query.path[: query.path.rindex("}") + 1] if "{" in query.path else query.path


def further_roles(contract: Contract, chosen: ChosenCalls) -> dict[str, str]:
    """The roles of other calls about one job, by their operation ids."""
    stem = stem_of(chosen.query)
    found: dict[str, str] = {}
    if "{" not in stem:
        return {}
    for one in contract.operations.values():
        behind = one.path[len(stem) :] if one.path.startswith(stem) else None
        if one.role or behind is None or one.id == chosen.query.id:
            continue
        is_result = one.method == "GET" and RESULT.fullmatch(behind) and links_in(contract, one)
        if is_result and not links_in(contract, chosen.query):
            found.setdefault("result", one.id)
        elif _cancels(one, behind):
            found.setdefault("cancel", one.id)
    return {identity: role for role, identity in found.items()}


def _cancels(call: Operation, behind: str) -> bool:
    about = f"{call.spec.get('summary', '')} {call.spec.get('description', '')}"
    if call.method == "DELETE":
        return behind == "" and bool(re.search(r"\b(cancel|stop|abort)", about, re.IGNORECASE))
    return call.method != "GET" and behind in {"/cancel", "/stop", "/abort"}


def cancel_facts() -> JsonObject:
    """What a contract says about the call that cancels."""
    return {"bill": f"{TODO}what does the vendor bill for a job that is stopped?"}


def errors_in_success(contract: Contract, chosen: ChosenCalls) -> JsonObject | None:
    """Where the code of an error with HTTP 200 stands, and its value for none, if that is told."""
    media = success(contract, chosen.query)
    for place in CODES if media else ():
        for node in nodes_at(contract, media["schema"], place):  # type: ignore[index]
            shown = [node.get("example"), node.get("default"), *node.get("examples", ())]
            about = str(node.get("description", ""))
            if any(_is_zero(one) for one in shown) or ALL_WELL.search(about):
                zero = "0" if node.get("type") == "string" else 0
                return {"place": place, "values": [zero]}
    return None


def _is_zero(value: Json) -> bool:
    return value == "0" or (value == 0 and not isinstance(value, bool))


def links_to_jobs(contract: Contract, calls: list[Operation]) -> dict[str, tuple[str, ...]]:
    """The places of links of the vendor's own: to the status, and to the result."""
    found: dict[str, dict[str, None]] = {"locator": {}, "result": {}}
    for call in calls:
        media = success(contract, call)
        for place, node in walk(contract, media["schema"]) if media else ():
            name = snake(place.rpartition(".")[2])
            if node.get("type") == "string" and not _is_relative(media, place):
                if name in {"status_url", "polling_url"} or place == "urls.get":
                    found["locator"][place] = None
                elif name in {"response_url", "result_url"}:
                    found["result"][place] = None
    return {fact: tuple(places) for fact, places in found.items()}


def _is_relative(media: JsonObject | None, place: str) -> bool:
    """Whether an example shows a path below the host where a URL would be."""
    values = [one.get("value") for one in (media or {}).get("examples", {}).values()]
    return any(
        str(one.get(place, "https:")).startswith("/") for one in values if isinstance(one, dict)
    )


# -- what is seen, and left to a person ----------------------------------------------------------


def unusual(contract: Contract, chosen: ChosenCalls, roles: dict[str, str]) -> Iterator[str]:
    """What the document shows and the draft does not hold."""
    query, every = chosen.query, contract.operations.values()
    for create in chosen.creates:
        called = f"{create.method} {create.path}"
        if create.spec.get("deprecated"):
            yield f"{called}: the document calls it deprecated"
        if names := PLACEHOLDER.findall(create.path):
            yield f"{called}: check the values of its path in `path_values`: {', '.join(names)}"
        for schema in create.request_schemas:
            yield from (f"{called}: {text}" for text in _undescribed(contract, schema))
    if success(contract, query) is None:
        yield f"GET {query.path}: the document says nothing about its answer"
    elif well := errors_in_success(contract, chosen):
        yield f"errors come with HTTP 200, at {well['place']}: which codes prove a refusal?"
    elif {"code", "status_code", "base_resp"} & names_in_reply(contract, query):
        yield f"GET {query.path}: can an error come with HTTP 200? A code stands in the answer"
    stem = stem_of(query)
    for one in every:
        known = one.id == query.id or one.role or one.id in roles
        if not known and (one.path == stem or one.path.startswith(f"{stem}/")):
            yield f"{one.method} {one.path}: {_purpose(one)}"


def _purpose(call: Operation) -> str:
    if call.method == "DELETE" or "cancel" in snake(call.path + "_" + call.id):
        return "it may cancel a job"
    return "it may hold the result of a job" if call.method == "GET" else "it goes on with a job"


def _undescribed(contract: Contract, schema: str) -> Iterator[str]:
    """Parts of a body that the document does not describe."""
    for place in contract.properties(schema):
        node = schema_of(contract, contract.property(schema, place))
        free = node.get("type") == "object" and not node.get("properties")
        if free and snake(place) in {"input", "inputs", "parameters"}:
            yield f"{place}: the inputs of the models are not in the document"


def item_kinds(contract: Contract, node: JsonObject) -> list[str]:
    """The kinds of the items of a list, where a word in each item tells them apart."""
    items = node.get("items")
    found: dict[str, None] = {}
    for form in forms(contract, items) if items and node.get("type") == "array" else ():
        for name in KINDS:
            if name in form.get("properties", {}):
                word = contract.resolve(form["properties"][name])
                words = [word["const"]] if "const" in word else word.get("enum", [])
                found |= dict.fromkeys(str(one) for one in words)
    return list(found)
