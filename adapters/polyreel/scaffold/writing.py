"""Writes the text of a new package's files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .states import States
from .tables import RouteSource, literal

LINE_LENGTH: Final = 100

ALWAYS_USED: Final = (
    *("Constant", "Field", "Reads", "Route", "SpecifiedProvider", "body", "load", "operation"),
)
CODECS: Final = ("Choice", "Item", "Items", "Only", "TypedItems")

PROJECT: Final = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "polyreel-{name}"
version = "0.1.0"
description = "{title} for polyreel."
requires-python = ">=3.11"
dependencies = ["polyreel"]

[project.optional-dependencies]
test = ["polyreel[testing]"]

[project.entry-points."polyreel.providers"]
{name} = "{module}:{title}"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
testpaths = ["tests"]
"""

TEST: Final = '''\
"""{title} keeps every law."""

from {module} import {title}
from polyreel.testing.conformance import ProviderConformance


class Test{title}(ProviderConformance):
    """Run by pytest like any test; add requests of your own that the vendor must serve."""

    provider = {title}
    requests = []
'''

HEAD: Final = '''\
"""{title}, a draft: written by `polyreel new-vendor` from openapi.json. Check every line."""

from polyreel.providers import (
{imports})

CONTRACT = load(__name__)
'''

CLASS: Final = '''

class {title}(SpecifiedProvider):
    """{title}."""

    document = CONTRACT
    id = "{name}"
    name = "{title}"
    key_variable = "{variable}_API_KEY"
    routes = ROUTES
    # Lower case. What is not here is unknown, and never final.
    statuses = {{
{statuses}    }}
    # Dotted places; the first that is there counts.
    reads = Reads(
{reads}    )
    # TODO: does it take local files? See `files` in polyreel.providers.base.provider.
    file_note = "{title} takes URLs only"
'''


def project(name: str, module: str) -> str:
    """The text of pyproject.toml."""
    return PROJECT.format(name=name, module=module, title=title(name))


def test(name: str, module: str) -> str:
    """The text of the test module."""
    return TEST.format(module=module, title=title(name))


def title(name: str) -> str:
    """A vendor's id as a class name."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("-"))


def provider(name: str, routes: list[RouteSource], states: States) -> str:
    """The text of the provider file."""
    numbers = {shape: number for number, shape in enumerate(dict.fromkeys(map(_shape, routes)), 1)}
    text = HEAD.format(title=title(name), imports="".join(_imports(routes)))
    for (rows, ignored), number in numbers.items():
        text += f"\nROWS_{number} = (\n" + "".join(f"    {row},\n" for row in rows) + ")\n"
        if ignored:
            text += f"IGNORED_{number} = {{\n" + "".join(_ignored(ignored)) + "}\n"
    text += "\nROUTES = (\n" + "".join(_route(one, numbers[_shape(one)]) for one in routes) + ")\n"
    reads = [f"        {fact}={_tuple(places)},\n" for fact, places in states.reads.items()]
    return text + CLASS.format(
        title=title(name),
        name=name,
        variable=name.replace("-", "_").upper(),
        statuses="".join(_statuses(states)),
        reads="".join(reads),
    )


def _imports(routes: list[RouteSource]) -> Iterator[str]:
    """The names that the provider file uses, one a line."""
    rows = [row for one in routes for row in one.rows]
    codecs = [codec for codec in CODECS if any(re.search(rf"\b{codec}\(", row) for row in rows)]
    for name in sorted([*ALWAYS_USED, *codecs]):
        yield f"    {name},\n"


def _shape(route: RouteSource) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The tables of a route; routes with equal ones share them."""
    return route.rows, tuple(route.ignored.items())


def _ignored(ignored: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for place, why in ignored:
        yield f"    {literal(place)}: {literal(why)},\n"


def _route(route: RouteSource, number: int) -> str:
    rows = f"({route.model_row}, *ROWS_{number})" if route.model_row else f"ROWS_{number}"
    arguments = [
        literal(route.model),
        literal(route.workflow),
        f"operation(CONTRACT, {literal(route.operation)})",
        f"body(CONTRACT, {literal(route.schema)})",
        rows,
    ]
    if route.ignored:
        arguments.append(f"IGNORED_{number}")
    if route.path_values:
        pairs = (f"{literal(name)}: {literal(word)}" for name, word in route.path_values.items())
        arguments.append(f"path_values={{{', '.join(pairs)}}}")
    line = f"    Route({', '.join(arguments)}),"
    if len(line) <= LINE_LENGTH:
        return line + "\n"
    lines = "".join(f"        {one},\n" for one in arguments)
    return f"    Route(\n{lines}    ),\n"


def _statuses(states: States) -> Iterator[str]:
    for word, status in states.words.items():
        yield f"        {literal(word)}: {literal(status)},\n"
    for word in states.unknown:
        yield f"        # TODO: what does {literal(word)} mean?\n"
    if not states.words:
        yield "        # TODO: the document lists no status words\n"


def _tuple(places: tuple[str, ...]) -> str:
    inside = ", ".join(map(literal, places))
    return f"({inside},)" if len(places) == 1 else f"({inside})"
