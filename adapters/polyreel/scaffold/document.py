"""Makes a vendor's own OpenAPI document into the contract that polyreel reads.

What a contract needs and the document does not say is proposed, and marked with TODO.
"""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import Factory, define

from ..places import Json, JsonObject
from ..providers.base.calling import PLACEHOLDER
from ..providers.base.contract import Contract, Operation
from ..providers.base.refusals import NOT_ACCEPTED
from ..providers.base.schemas import SCHEMAS
from . import matching
from .access import complete_headers, complete_keys, mark_id
from .choosing import Wishes, choose, keep_paths
from .further import cancel_facts, errors_in_success, further_roles, unusual
from .plain import merged
from .published import published, without_unused

TODO: Final = "TODO: "
LINK: Final = "https://files.example/1.mp4"
"""The example of a link to a file."""
MOST_DEPTH: Final = 8
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
EVERYTHING: Final = Wishes()
ERRORS: Final = {
    400: "invalid_request",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "unprocessable",
    429: "rate_limited",
    500: "server_error",
}
"""The name of the example of an error, by HTTP status."""


@define
class Draft:
    """A contract that is being made."""

    document: JsonObject
    creates: list[str] = Factory(list)
    """The ids of the operations that make clips or images."""
    get: str = ""
    """The id of the status query."""
    left_out: list[str] = Factory(list)
    """The operations that were left out of the contract; a person should check them."""
    not_done: list[str] = Factory(list)
    """What was seen, and is left to a person."""

    @property
    def contract(self) -> Contract:
        """The contract, as polyreel reads it."""
        return Contract(self.document)


def drafted(document: Json, wishes: Wishes = EVERYTHING) -> Draft:
    """Draft the contract of an OpenAPI document; RequestError with the reason where none fits."""
    copy = published(document)
    _complete_server(copy)
    keep_paths(copy, wishes.paths)
    draft = Draft(copy)
    chosen = choose(draft.contract, wishes)
    draft.creates, draft.get = [one.id for one in chosen.creates], chosen.query.id
    for create, query in chosen.elsewhere:
        asked = f"{create.method} {create.path} is asked about by {query.method} {query.path}"
        draft.not_done.append(f"{asked}: begin a package of its own for it, with --create")
    roles = further_roles(draft.contract, chosen)
    draft.not_done += dict.fromkeys(unusual(draft.contract, chosen, roles))
    if well := errors_in_success(draft.contract, chosen):
        copy.setdefault("x-polyreel-ok", well)
    _keep_calls(draft, roles)
    mark_id(copy, chosen.query)
    complete_keys(copy, chosen.creates[0])
    complete_headers(copy)
    without_unused(copy)
    for key in ("tags", "externalDocs"):
        copy.pop(key, None)
    return draft


def keep_forms(draft: Draft, kept: set[tuple[str, str]]) -> None:
    """Keep the paid calls and the forms of bodies, by operation id and schema, that have routes."""
    for call in [draft.contract.operations[one] for one in draft.creates]:
        forms = [one for one in call.request_schemas if (call.id, one) in kept]
        spec = draft.document["paths"][call.path][call.method.lower()]
        if not forms:
            draft.creates.remove(call.id)
            draft.left_out.append(f"{call.method} {call.path}")
            del draft.document["paths"][call.path][call.method.lower()]
        elif len(forms) < len(call.request_schemas):
            parts = [{"$ref": SCHEMAS + one} for one in forms]
            media = spec["requestBody"]["content"]["application/json"]
            media["schema"] = parts[0] if len(parts) == 1 else {"oneOf": parts}
    without_unused(draft.document)


def _complete_server(document: JsonObject) -> None:
    server = (document.get("servers") or [{}])[0]
    values = {name: one.get("default", "") for name, one in server.get("variables", {}).items()}
    url = PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), server.get("url", ""))
    if url.startswith("https://"):
        document["servers"] = [{"url": url.rstrip("/")}, *document["servers"][1:]]
    else:
        todo = {"url": "https://api.example", "description": TODO + "the vendor's base URL"}
        document["servers"] = [todo]


def _keep_calls(draft: Draft, roles: dict[str, str]) -> None:
    """Give the calls that polyreel needs their roles, and leave the others out."""
    for one in draft.contract.operations.values():
        spec = draft.document["paths"][one.path][one.method.lower()]
        for key in [key for key in spec if key.startswith("x-") and "x-polyreel" not in key]:
            del spec[key]
        if one.id == draft.get or one.id in draft.creates:
            _add_facts(draft, one, "get" if one.id == draft.get else "create")
        elif one.id in roles:
            _add_facts(draft, one, roles[one.id])
        elif not one.role or one.role in {"create", "get"}:
            draft.left_out.append(f"{one.method} {one.path}")
            del draft.document["paths"][one.path][one.method.lower()]
    paths = draft.document["paths"]
    draft.document["paths"] = {path: item for path, item in paths.items() if set(item) & METHODS}


def _add_facts(draft: Draft, operation: Operation, role: str) -> None:
    """Add what polyreel needs to know of an operation, and examples of its errors."""
    spec = draft.document["paths"][operation.path][operation.method.lower()]
    spec["x-polyreel-role"] = role
    if role == "create":
        spec.setdefault("x-polyreel-idempotency", _idempotency(draft.contract, spec))
        known = sorted(int(status) for status in spec["responses"] if int(status) in NOT_ACCEPTED)
        spec.setdefault("x-polyreel-not-accepted", known or sorted(NOT_ACCEPTED))
    if role == "cancel":
        spec.setdefault("x-polyreel-cancel", cancel_facts())
    for status, reply in spec["responses"].items():
        for media in draft.contract.resolve(reply).get("content", {}).values():
            if int(status) >= 400 and "schema" in media:
                _add_error_example(
                    draft.contract, media, ERRORS.get(int(status), f"error_{status}")
                )


def _idempotency(contract: Contract, spec: JsonObject) -> JsonObject:
    """Whether a repeated call is billed again, guessed from the names of its headers."""
    for parameter in map(contract.resolve, spec["parameters"]):
        if parameter.get("in") == "header" and re.search(
            r"idempot|request-?(key|id)", parameter["name"], re.IGNORECASE
        ):
            question = "does a repeat with this header give the first task, unbilled (replay)?"
            source = f"{TODO}{question} Guessed from its name"
            return {"mode": "replay", "header": parameter["name"], "source": source}
    return {"mode": "none", "source": TODO + "is there a header that makes a repeated call safe?"}


# -- examples ------------------------------------------------------------------------------------


def _add_error_example(contract: Contract, media: JsonObject, name: str) -> None:
    """Add an error's example under the name that polyreel looks for.

    It is the document's own where there is one, else a value that is made from the schema.
    """
    examples = media.setdefault("examples", {})
    if name not in examples:
        own = next(iter(examples.values()), None)
        examples[name] = own or made_example(sample(contract, media["schema"]))
    examples.pop("example", None)


def made_example(value: Json) -> JsonObject:
    """An example whose value was made from a schema, to be replaced by a person."""
    return {"summary": f"{TODO}a real one; this was made from the schema", "value": value}


def add_body_examples(draft: Draft) -> None:
    """Give each form of a body an example that can be sent; leave out those that fit no form."""
    contract = draft.contract
    for call in [contract.operations[one] for one in draft.creates]:
        content = draft.document["paths"][call.path][call.method.lower()]["requestBody"]["content"]
        examples = content["application/json"].setdefault("examples", {})
        for name, body in call.request_examples.items():
            if all(contract.accepts(schema, body) for schema in call.request_schemas):
                del examples[name]
        bodies = [one["value"] for one in examples.values()]
        for schema in call.request_schemas:
            made = _body(contract, schema)
            missing = all(contract.sends(schema, body) for body in bodies)
            if missing and not contract.sends(schema, made):
                examples[schema] = made_example(made)


def _body(contract: Contract, schema: str) -> JsonObject:
    """A body with what the vendor demands, and a prompt."""
    node = contract.schema(schema)
    members = node.get("properties", {})
    texts = [name for name in members if "prompt" in matching.candidates(name)]
    names = [*node.get("required", ()), *texts[:1]]
    return {name: sample(contract, members[name]) for name in names if name in members}


def sample(contract: Contract, schema: JsonObject, depth: int = 0, *, own: bool = True) -> Any:
    """A value that fits a schema: with `own` its example or default, else a plain value."""
    node = contract.resolve(schema)
    for key in ("const", "example", "default", "examples", "enum") if own else ("const", "enum"):
        values = node.get(key, []) if key in {"examples", "enum"} else [node.get(key)]
        for value in values if key in node and isinstance(values, list) else ():
            plain = not isinstance(value, dict | list) or not node.get("properties")
            if plain or not contract.fits(node, value):
                return value
    if "allOf" in node:
        node = merged(contract, node)
    for key in ("anyOf", "oneOf"):
        if node.get(key):
            return sample(contract, node[key][0], depth + 1, own=own)
    return _plain(contract, node, depth, own=own)


def _plain(contract: Contract, node: JsonObject, depth: int, *, own: bool) -> Any:
    kind = node.get("type", "object" if "properties" in node else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    members = node.get("properties", {}) if depth < MOST_DEPTH else {}
    if kind == "object":
        return {name: sample(contract, one, depth + 1, own=own) for name, one in members.items()}
    if kind == "array":
        items = node.get("items", {})
        return [sample(contract, items, depth + 1, own=own)] if depth < MOST_DEPTH else []
    if kind in {"integer", "number"}:
        return node.get("minimum", 0)
    if kind in {"boolean", "null"}:
        return False if kind == "boolean" else None
    return LINK if node.get("format") == "uri" else "text"
