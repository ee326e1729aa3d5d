"""What a vendor's spec says of answers, for its page: their members, and errors."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import bullets, code, table
from polyreel.flows import Reply
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.refusals import NOT_ACCEPTED
from polyreel.providers.base.schemas import SCHEMAS


def answers(provider: Provider) -> Iterator[str]:
    """The members of answers and of webhooks' bodies that the spec says something of."""
    contract = provider.contract
    schemas = contract.document["components"]["schemas"]
    calls = [one.spec["responses"] for one in contract.operations.values()]
    rows = []
    for name in _named([*calls, contract.document.get("webhooks", {})], contract.document):
        rows += [
            [f"`{'.'.join(filter(None, [name, place]))}`", text]
            for place, text in _described(schemas[name])
        ]
    if rows:
        yield table(["schema and member", "what the spec says"], rows)


def _named(node: Any, document: Any) -> list[str]:
    """The schemas that a part of a document uses, also by way of others, each once."""
    found: dict[str, None] = {}
    waiting = [node]
    seen = set[str]()
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            target = one.get("$ref")
            if isinstance(target, str) and target not in seen:
                seen.add(target)
                if target.startswith(SCHEMAS):
                    found[target.removeprefix(SCHEMAS)] = None
                waiting.append(_at(document, target))
            waiting += [child for key, child in one.items() if key not in {"examples", "example"}]
    return list(found)


def _at(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def _described(schema: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Each described member of a schema, and the schema itself."""
    if text := schema.get("description"):
        yield place, text
    for name, child in schema.get("properties", {}).items():
        yield from _described(child, f"{place}.{name}" if place else name)
    if isinstance(items := schema.get("items"), dict):
        yield from _described(items, f"{place}[]")


def errors(provider: Provider) -> Iterator[str]:
    """The documented errors, and which of them prove that a submit was not accepted."""
    contract = provider.contract
    facts = [
        "A refusal proves that nothing was accepted or billed only in the form of the vendor's own "
        "errors, and without the id of a task in it. What proves nothing leaves a submit ambiguous."
    ]
    facts += _refusals(provider)
    if signs := contract.no_money:
        said = [f"HTTP {one}" if isinstance(one, int) else one for one in signs]
        facts.append(f"What says that the account cannot pay: {code(said)}.")
    if rule := contract.document.get("x-polyreel-ok"):
        values = code(map(json.dumps, rule["values"]))
        facts.append(f"An answer with HTTP 2xx is an error unless `{rule['place']}` is {values}.")
    yield bullets(facts)
    found: dict[tuple[int, str, str], dict[str, set[bool]]] = {}
    for operation in contract.operations.values():
        for status, kind, name, body in contract.replies(operation):
            reply = Reply(status, {"content-type": kind}, json.dumps(body).encode())
            if not provider.is_error(reply):
                continue
            error, text = provider.read_error(reply)
            texts = found.setdefault((status, error or "-", name), {})
            proofs = texts.setdefault(text, set())
            if operation.role in {"create", "stream"}:
                proofs.add(provider.read_refusal(operation, reply).is_proof)
    rows = [
        [str(status), f"`{error}`", name.replace("_", " "), "; ".join(texts), _verdict(texts)]
        for (status, error, name), texts in sorted(found.items())
    ]
    headers = ["HTTP", "code", "what", "the example's text", "after a submit"]
    yield table(headers, rows)
    yield table(["HTTP", "after", "what the spec says"], _statuses(provider))


def _refusals(provider: Provider) -> Iterator[str]:
    """Which statuses, and statuses with a code, refuse a submit; for each group of calls."""
    found: dict[str, list[str]] = {}
    for one in provider.contract.operations.values():
        if one.role == "create":
            statuses = one.spec.get("x-polyreel-not-accepted", sorted(NOT_ACCEPTED))
            pairs = one.spec.get("x-polyreel-not-accepted-codes", {})
            text = f"HTTP statuses that refuse a submit: {', '.join(map(str, statuses))}"
            for status, codes in pairs.items():
                text += f"; and {status} with the code {code(codes)}"
            found.setdefault(text, []).append(one.path)
    for text, paths in found.items():
        yield f"{text}." if len(found) == 1 else f"{text} ({code(paths)})."


def _statuses(provider: Provider) -> Iterator[list[str]]:
    """What the spec says of each HTTP status, and after which calls."""
    found: dict[tuple[str, str], list[str]] = {}
    for operation in provider.contract.operations.values():
        for status, reply in operation.spec["responses"].items():
            text = provider.contract.resolve(reply).get("description", "")
            if int(status) >= 400 and text:
                found.setdefault((status, text), []).append(operation.role or operation.id)
    for (status, text), roles in sorted(found.items()):
        yield [status, ", ".join(dict.fromkeys(roles)), text]


def _verdict(texts: Mapping[str, set[bool]]) -> str:
    """What the errors of this kind prove that answer a submit."""
    proofs = set[bool]().union(*texts.values())
    if not proofs:
        return "-"
    return "proves nothing" if False in proofs else "not accepted"
