"""The text of a new package's files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .states import States
from .tables import Table, literal

TOO_LONG: Final = 116

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
"""{title}. Written by `polyreel new-vendor` from openapi.json: a draft, to be checked line by line."""

{imports}from polyreel.mapping.rows import Constant, Field
from polyreel.provider import Reads, Route
from polyreel.specified import SpecifiedProvider, body, load, operation

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
    file_note = "{title} takes URLs only"  # TODO: does it take local files? See `files` in polyreel.providers.base.provider
'''


def project(name: str, module: str) -> str:
    """pyproject.toml."""
    return PROJECT.format(name=name, module=module, title=title(name))


def test(name: str, module: str) -> str:
    """The test module."""
    return TEST.format(module=module, title=title(name))


def title(name: str) -> str:
    """A vendor's id as a class name."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("-"))


def provider(name: str, routes: list[Table], states: States) -> str:
    """The provider file."""
    numbers = {shape: number for number, shape in enumerate(dict.fromkeys(map(_shape, routes)), 1)}
    codecs = [
        codec
        for codec in ("Choice", "Only")
        if any(f"{codec}(" in row for one in routes for row in one.rows)
    ]
    imports = f"from polyreel.mapping.codecs import {', '.join(codecs)}\n" if codecs else ""
    text = HEAD.format(title=title(name), imports=imports)
    for (rows, ignored), number in numbers.items():
        text += f"\nROWS_{number} = (\n" + "".join(f"    {row},\n" for row in rows) + ")\n"
        if ignored:
            text += f"IGNORED_{number} = {{\n" + "".join(_ignored(ignored)) + "}\n"
    text += "\nROUTES = (\n" + "".join(_route(one, numbers[_shape(one)]) for one in routes) + ")\n"
    variable = name.replace("-", "_").upper()
    return text + CLASS.format(
        title=title(name),
        name=name,
        variable=variable,
        statuses="".join(_statuses(states)),
        reads="".join(
            f"        {fact}={_tuple(places)},\n" for fact, places in states.reads.items()
        ),
    )


def _shape(table: Table) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """What routes may share."""
    return table.rows, tuple(table.ignored.items())


def _ignored(ignored: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for place, why in ignored:
        yield f"    {literal(place)}: {literal(why)},\n"


def _route(table: Table, number: int) -> str:
    rows = f"({table.own}, *ROWS_{number})" if table.own else f"ROWS_{number}"
    parts = [
        literal(table.model),
        literal(table.workflow),
        f"operation(CONTRACT, {literal(table.operation)})",
    ]
    parts += [
        f"body(CONTRACT, {literal(table.schema)})",
        rows,
        *([f"IGNORED_{number}"] if table.ignored else []),
    ]
    line = f"    Route({', '.join(parts)}),\n"
    lines = "".join(f"        {part},\n" for part in parts)
    return line if len(line) < TOO_LONG else f"    Route(\n{lines}    ),\n"


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
