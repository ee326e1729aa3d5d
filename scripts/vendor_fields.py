"""The field tables of a vendor's routes, for its page."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import bullets, code, paragraph, sentence, table
from polyreel.plans.capabilities import Capability, capabilities, shared_fields
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.providers.base.rules import places_counted

Facts = Mapping[str, Any]
UNITS = {"bytes": "bytes", "side": "px a side", "seconds": "s", "fps": "frames per second"}


def heading(route: Route) -> str:
    """The heading of a route's table."""
    return f"{route.model} {route.workflow}"


def anchor(route: Route) -> str:
    """The heading as links name it."""
    return re.sub(r"[^\w\- ]", "", heading(route).lower()).replace(" ", "-")


def fields(provider: Provider) -> Iterator[str]:
    """The table of each route: fields, values, and what is beside them."""
    yield paragraph(
        "A native place listed after the first is an alias: it is read, never sent. Where a field "
        "is not offered, a request that sets it is refused, unless the caller allows it to be "
        "dropped. Notes in italics are the spec's own."
    )
    for title in dict.fromkeys(map(heading, provider.routes)):
        yield f"### {title}\n"
        tables: dict[str, list[str]] = {}
        for route in provider.routes:
            if heading(route) == title:
                call = f"`{route.operation.METHOD} {route.path}`, body `{route.schema}`"
                tables.setdefault("\n".join(_of_route(provider, route)), []).append(call)
        for text, calls in tables.items():
            yield bullets(calls)
            yield text


def _of_route(provider: Provider, route: Route) -> Iterator[str]:
    if text := provider.contract.schema(route.schema).get("description"):
        yield paragraph(text)
    known = [
        item
        for item in capabilities(provider, route)
        if item.offered or item.field in route.by_name
    ]
    headers = ["shared field", "native places", "values", "default", "note"]
    yield table(headers, [_row(provider, route, item) for item in known])
    if silent := [name for name in shared_fields(route) if name not in route.by_name]:
        yield paragraph(f"The vendor documents no field for {code(silent)}.")
    if route.constants:
        values = (f"`{row.native}` = `{json.dumps(row.value)}`" for row in route.constants)
        yield paragraph(f"What tells the route from others: {', '.join(values)}.")
    if rules := provider.contract.schema(route.schema).get("x-polyreel-rules"):
        yield "Limits over several fields:\n"
        yield bullets(map(_rule, rules))
    if route.ignored:
        rows = [[f"`{place}`", reason] for place, reason in route.ignored.items()]
        yield table(["native field that is not mapped", "why"], rows)


def _row(provider: Provider, route: Route, item: Capability) -> list[str]:
    values = (item.spelling or str(item.extent)) if item.offered else "not offered"
    media = [media_text(one) for one in _media(provider, route, item)]
    return [
        f"`{item.field}`",
        code(item.native) or ("(none)" if item.offered else "-"),
        "; ".join(filter(None, [values, *media])),
        "; ".join(filter(None, [item.default, item.sent and f"sent: {item.sent}"])),
        " ".join(filter(None, [item.note, *_spec_notes(provider, route, item)])),
    ]


def _schemas(provider: Provider, route: Route, item: Capability) -> Iterator[tuple[str, Facts]]:
    """What the contract says of each native place, as far as it is a property."""
    for place in item.native:
        found = provider.contract.property(route.schema, place)
        if found is not None:
            yield place, found


def _media(provider: Provider, route: Route, item: Capability) -> Iterator[Facts]:
    for _, schema in _schemas(provider, route, item):
        facts = schema.get("x-polyreel-media") or {}
        if facts.keys() - {"kind"}:
            yield facts
            return


def _spec_notes(provider: Provider, route: Route, item: Capability) -> Iterator[str]:
    """Descriptions, why a place is read only, and what is inferred, in the spec's words."""
    for place, schema in _schemas(provider, route, item):
        texts = [
            schema.get("description", ""),
            _reason(schema.get("x-polyreel-accept-only")),
            "Inferred." if schema.get("x-polyreel-mark") == "inferred" else "",
        ]
        if said := " ".join(sentence(text) for text in texts if text):
            yield f"`{place}`: *{_plain(said)}*" if len(item.native) > 1 else f"*{_plain(said)}*"


def _reason(accept_only: Any) -> str:
    return f"Read, never sent: {accept_only}" if isinstance(accept_only, str) else ""


def _plain(text: str) -> str:
    """A text in which no star ends the italics."""
    return text.replace("*", r"\*")


def media_text(facts: Facts) -> str:
    """Limits of a file: `x-polyreel-media` in words."""
    parts = [", ".join(dict.fromkeys(facts.get("formats", ())))]
    for name in ("bytes", "side", "ratio", "seconds", "fps"):
        low, high = facts.get(f"min_{name}"), facts.get(f"max_{name}")
        bounds = [f"{word} {value:g}" for word, value in (("from", low), ("to", high)) if value]
        if bounds:
            unit = UNITS.get(name, "width by height")
            parts.append(" ".join([*bounds, unit]).replace("e+08", "00,000,000"))
    if inferred := facts.get("inferred"):
        parts.append(f"inferred: {', '.join(inferred)}")
    return "; ".join(filter(None, parts))


def _rule(rule: Facts) -> str:
    """One of `x-polyreel-rules` in words, with its source."""
    places = code(map(_dotted, places_counted(rule)))
    if "shots" in rule:
        text = f"{places} may spell at most {rule['at_most']} shots of {rule['words']} characters, "
        text += f"which last `{_dotted(rule['equals'])}` together"
    elif "at_most" in rule:
        text = f"{places}: at most {rule['at_most']}" + " together" * (len(rule["of"]) > 1)
    elif "total" in rule:
        text = f"{places} must add up to `{_dotted(rule['equals'])}`"
    elif "public_https" in rule:
        text = f"{places} must be a public https address"
    else:
        text = f"`{json.dumps(rule)}`"
    beside = {"by default": "default", "unless it is off:": "unless", "beside": "when"}
    for words, key in beside.items():
        if key in rule:
            text += f", {words} {_shown(rule[key])}"
    source = ", ".join(filter(None, [rule.get("mark"), rule.get("source")]))
    return f"{text} ({source})." if source else f"{text}."


def _shown(value: Any) -> str:
    """A place, several, or a number."""
    places = [value] if isinstance(value, str) else value
    return code(map(_dotted, places)) if isinstance(places, list) else str(value)


def _dotted(place: str) -> str:
    return place.strip("/").replace("/", ".")
