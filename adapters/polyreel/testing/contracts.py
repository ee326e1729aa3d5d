"""Checks that a vendor's contract has all that the simulator and the ledger need.

Each check yields complaints. CONTRIBUTING.md lists all rules for contracts; the rules here are
those that the rest of polyreel relies on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..mapping.items import TypedItems
from ..mapping.rows import Field
from ..places import JsonObject, leaves
from ..providers.base.calling import PLACEHOLDER, own_id_request, task_place
from ..providers.base.contract import Contract, Operation
from ..providers.base.provider import Provider
from ..serving.answers import USUAL_STATUS, errors

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "create": frozenset({"queued"}),
    "stream": frozenset(),
    "get": frozenset({"queued", "running", "succeeded", "failed"}),
    "result": frozenset({"succeeded"}),
    "webhook-keys": frozenset({"keys"}),
    "get-fallback": frozenset({"queued", "running", "succeeded", "failed"}),
    "batch-get": frozenset({"page"}),
    "list": frozenset({"page"}),
    "list-running": frozenset({"page"}),
    "credits": frozenset({"credits"}),
    "models": frozenset({"models"}),
    "upload": frozenset({"uploaded"}),
    "upload-base64": frozenset({"uploaded"}),
    "upload-url": frozenset({"uploaded"}),
    "receipt": frozenset({"receipt"}),
    "content": frozenset(),
    "cancel": frozenset(),
}
"""Every role, with the examples that its successful reply must have."""
ERRORS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("invalid_request", "unauthorized", "insufficient_credits", "rate_limited"),
    "get": ("unauthorized", "not_found"),
}
"""The errors that must be documented, by role."""
TODO: Final = "TODO: "
PROOF: Final = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429})
"""The only HTTP statuses that can prove that nothing was accepted."""


def complaints(provider: Provider) -> Iterator[str]:
    """Everything that is wrong with a vendor's contract."""
    contract = provider.contract
    yield from _document(contract)
    for call in contract.operations.values():
        for check in CHECKS:
            yield from (f"{call.id}: {complaint}" for complaint in check(provider, call))
    yield from _routes(provider)
    yield from (f"to do: {text}" for text in dict.fromkeys(unfinished(provider)))


def unfinished(provider: Provider) -> Iterator[str]:
    """The texts in the contract and in the tables that begin with TODO.

    `polyreel new-vendor` leaves them to a person.
    """
    for at, value in leaves(provider.contract.document):
        if isinstance(value, str) and value.startswith(TODO):
            yield f"openapi.json {at}: {value.removeprefix(TODO)[:160]}"
    for route in provider.routes:
        notes = [(place, why) for place, why in route.ignored.items()]
        notes += [
            (place, row.note)
            for row in route.rows
            if isinstance(row, (Field, TypedItems))
            for place in row.places
        ]
        yield from (
            f"{route.schema} {at}: {note.removeprefix(TODO)}"
            for at, note in notes
            if note.startswith(TODO)
        )


def _document(contract: Contract) -> Iterator[str]:
    document = contract.document
    if not re.fullmatch(r"3\.1\.\d+", str(document.get("openapi"))):
        yield f"OpenAPI {document.get('openapi')}: polyreel reads 3.1"
    if not str(document.get("servers", [{}])[0].get("url", "")).startswith("https://"):
        yield "servers: the first one must be an https URL"
    for role in ("create", "get"):
        if contract.operation(role) is None:
            yield f"no operation has x-polyreel-role {role}"


def _role(provider: Provider, call: Operation) -> Iterator[str]:
    if call.role not in ROLES:
        yield f"x-polyreel-role {call.role!r} is none of {', '.join(ROLES)}"
    where = task_place(provider.contract, call)
    others = {*PLACEHOLDER.findall(call.path)} - ({where.name} if where else set())
    if call.role == "get" and (where is None or (others and not provider.reads.locator)):
        yield "a status query has the task id, and nothing else, in its path or its query"


def _money(provider: Provider, call: Operation) -> Iterator[str]:
    """Whether a paid call says if a repeat is billed again, and which statuses prove a refusal."""
    if call.role not in {"create", "stream"}:
        return
    policy = call.spec.get("x-polyreel-idempotency", {})
    if policy.get("mode") == "own-id":
        if not policy.get("place") or own_id_request(provider.contract, "x") is None:
            yield "x-polyreel-idempotency: own-id needs a place, and a query by x-polyreel-own-id"
        policy = {"mode": "none"}
    if policy.get("mode") not in {"none", "replay", "reject"}:
        question = "does a repeated call pay again?"
        yield f"x-polyreel-idempotency: mode is none, replay or reject: {question}"
    if (policy.get("mode") == "none") == ("header" in policy):
        yield "x-polyreel-idempotency: a key travels in a header, and without keys there is none"
    proof = call.spec.get("x-polyreel-not-accepted", [])
    if not proof or not set(proof) <= PROOF:
        known = f"list those of {sorted(PROOF)} that prove that nothing was accepted"
        yield f"x-polyreel-not-accepted {proof}: {known}"
    pairs = call.spec.get("x-polyreel-not-accepted-codes", {})
    for status, codes in pairs.items():
        accepted = "[245]" if "x-polyreel-ok" in provider.contract.document else "[45]"
        is_status = re.fullmatch(rf"{accepted}\d\d", str(status))
        if not (is_status and codes and isinstance(codes, list)):
            yield f"x-polyreel-not-accepted-codes {status}: list error codes below an HTTP status"


def _states(provider: Provider, call: Operation) -> Iterator[str]:
    """Whether the contract has the examples that the simulator answers with."""
    shown = {name for status, _, name, _ in provider.contract.replies(call) if status < 300}
    for name in sorted(ROLES.get(call.role, frozenset()) - shown):
        yield f"no example reply is called {name}"
    if call.role in {"create", "stream"}:
        yield from _requests(provider.contract, call)


def _requests(contract: Contract, call: Operation) -> Iterator[str]:
    if not call.request_schemas:
        yield "the body has no named schema ($ref, or oneOf with one for each workflow)"
    for schema in call.request_schemas:
        fitting = [
            body for body in call.request_examples.values() if not contract.sends(schema, body)
        ]
        if not fitting:
            yield f"no example body can be sent as {schema}"
    for name, body in call.request_examples.items():
        if all(contract.accepts(schema, body) for schema in call.request_schemas):
            yield f"the example body {name} fits no schema"


def _errors(provider: Provider, call: Operation) -> Iterator[str]:
    contract = provider.contract
    found = [(shown.status, shown.name) for shown in errors(provider, call)]
    for wanted in ERRORS.get(call.role, ()):
        if not any(name == wanted or status == USUAL_STATUS.get(wanted) for status, name in found):
            yield f"no example of the error {wanted}"
    if call.role == "create" and "rate_limited" not in {name for _, name in found}:
        yield "the 429 has no example called rate_limited"
    for status, reply in call.spec["responses"].items():
        content = contract.resolve(reply).get("content", {})
        if (
            int(status) >= 400
            and content
            and not any(media.get("examples") for media in content.values())
        ):
            yield f"HTTP {status} has a body and no example of it"


def _examples_fit(provider: Provider, call: Operation) -> Iterator[str]:
    for status, kind, name, value in provider.contract.replies(call):
        schema = (
            provider.contract.reply_schema(call, status) if kind == "application/json" else None
        )
        if schema is not None:
            yield from (
                f"HTTP {status} {name}: {one.message[:200]}"
                for one in provider.contract.fits(schema, value)
            )


def _open_words(provider: Provider, call: Operation) -> Iterator[str]:
    """Whether status words are open: a reply with a new word must not lose a paid task id."""
    for status in call.spec["responses"]:
        schema = (
            provider.contract.reply_schema(call, int(status)) if status.startswith("2") else None
        )
        for place in provider.reads.status if schema is not None else ():
            nodes = _schemas_of_place(provider.contract, schema, place)
            if any("enum" in node or "const" in node for node in nodes):
                advice = "make it a string with examples"
                yield f"HTTP {status}: {place} is a closed list of words: {advice}"


def _schemas_of_place(
    contract: Contract, schema: JsonObject | None, place: str
) -> Iterator[Mapping[str, Any]]:
    """The schemas of a dotted place, all alternatives included."""
    nodes: list[Any] = [schema]
    for part in [*place.split("."), None]:
        nodes = [contract.resolve(node) for node in nodes if isinstance(node, Mapping)]
        nodes += [
            contract.resolve(one)
            for node in nodes
            for key in ("anyOf", "oneOf")
            for one in node.get(key, ())
        ]
        if part is not None:
            nodes = [
                node["properties"][part] for node in nodes if part in node.get("properties", {})
            ]
    yield from nodes


CHECKS: Final = (_role, _money, _states, _errors, _examples_fit, _open_words)
"""Every check of one call."""


def _routes(provider: Provider) -> Iterator[str]:
    for route in provider.routes:
        where = f"the route {route.model} {route.workflow}"
        calls = [
            one for one in provider.contract.operations.values() if one.path == route.operation.PATH
        ]
        paid = [
            one for one in calls if one.method == route.operation.METHOD and one.role == "create"
        ]
        if not paid:
            called = f"{route.operation.METHOD} {route.operation.PATH}"
            yield f"{where} calls {called}, which has not the role create"
        elif route.schema not in paid[0].request_schemas:
            yield f"{where} sends a {route.schema}, which {paid[0].id} does not take"


__all__ = ["ERRORS", "PROOF", "ROLES", "complaints", "unfinished"]
