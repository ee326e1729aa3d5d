"""A request as code: what makes the same job elsewhere, each ready to be copied and run.

Nothing is sent, and no key is read: a snippet names the variable in which the key is. What a
vendor's own call does costs money; all other snippets are simulated, and say how to go live.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

from ..batch.tables import SEPARATOR, TableRow, table_lines
from ..mapping.reports import Allowance
from ..mapping.workflows import request_of
from ..places import JsonObject
from ..plans.planning import Plan, plan_checked
from ..plans.requests import CheckedRequest, check_allowances, check_request
from ..providers.base.registry import get_provider
from . import shell
from .literals import PythonCall, is_plain, json_text, literal

if TYPE_CHECKING:
    from ..providers.base.registry import Vendor

SnippetKind = Literal["curl", "python", "async", "cli", "batch", "pytest", "gateway"]
Language = Literal["sh", "python", "csv", "json"]
FORMULA: Final = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would calculate."""


@frozen
class Snippet:
    """One way to make a request."""

    kind: SnippetKind
    title: str
    language: Language
    text: str
    use: str = ""
    """How a text that is no program is used, such as `polyreel batch clips.csv`."""


def snippets(
    request: Mapping[str, Any] | CheckedRequest,
    vendor: Vendor,
    *,
    allow: Mapping[str, Allowance] | None = None,
) -> tuple[Snippet, ...]:
    """Every way to make a request at one vendor. There is none where the vendor refuses it.

    Args:
        request: the shared request. Files in it are named by their paths.
        vendor: a vendor's id.
        allow: what may become of which field, as for a plan.

    Raises RequestError for a malformed request, and UnknownNameError for an unknown vendor.

    >>> made = {one.kind: one for one in snippets({"prompt": "a cat", "duration": 5}, "evolink")}
    >>> print(made["cli"].text.splitlines()[1])
    polyreel generate 'a cat' --duration 5 --vendor evolink --vendor-defaults
    """
    checked, allowed = check_request(request), check_allowances(allow)
    plan = plan_checked(checked, get_provider(vendor), allow=allowed)
    if plan.refused:
        return ()
    return tuple(_snippets(plan, _portable(plan), allowed))


def _portable(plan: Plan) -> JsonObject:
    """The request as plain JSON: with its model, where only that says what kind it is."""
    fields = plan.request
    if check_request(fields).kind == plan.kind:
        return fields
    return plan.checked.of_model(plan.model).fields


def _snippets(plan: Plan, fields: JsonObject, allow: Mapping[str, Allowance]) -> Iterator[Snippet]:
    vendor, variable = plan.vendor, plan.provider.key_variable
    yield Snippet("curl", "curl", "sh", shell.curl(plan))
    yield Snippet("python", "Python", "python", _python(plan, allow))
    yield Snippet("async", "Python, async", "python", _async_python(plan, allow))
    line = shell.command_line(fields, vendor, variable, allow)
    yield Snippet("cli", "Command line", "sh", line)
    yield _batch_row(fields, vendor, allow)
    yield Snippet("pytest", "pytest", "python", _pytest(plan, allow))
    yield Snippet("gateway", "Gateway", "sh", shell.gateway(fields, vendor, allow))


# -- Python ----------------------------------------------------------------------------------------


def _request(plan: Plan) -> str:
    """The request as an object of its class."""
    fields = dict(plan.request)
    for name, kind in (("elements", "Element"), ("shots", "Shot")):
        if isinstance(items := fields.get(name), list):
            fields[name] = [
                PythonCall(f"polyreel.{kind}", item) if isinstance(item, dict) else item
                for item in items
            ]
    return literal(
        PythonCall(f"polyreel.{request_of(plan.workflow)}", fields), 0, len("request = ")
    )


def _options(allow: Mapping[str, Allowance]) -> str:
    return f", allow={literal(dict(allow))}" if allow else ""


def _shown(plan: Plan) -> str:
    """What of a job is printed."""
    return "job.element" if plan.kind == "element" else "*(one.path for one in job.outputs or ())"


def _live(plan: Plan, client: str) -> list[str]:
    return [
        "# Simulated: nothing is sent or paid. This one is live, and costs money, where",
        f"# {plan.provider.key_variable} is set: polyreel.{client}.from_env(live=True)",
    ]


def _python(plan: Plan, allow: Mapping[str, Allowance]) -> str:
    lines = [
        "import polyreel",
        "",
        f"request = {_request(plan)}",
        *_live(plan, "Client"),
        "with polyreel.Client() as client:",
        f'    job = client.generate(request, "{plan.vendor}", output="clips"{_options(allow)})',
        f"    print(job.status, {_shown(plan)})",
    ]
    return "\n".join(lines)


def _async_python(plan: Plan, allow: Mapping[str, Allowance]) -> str:
    call = f'client.generate(request, "{plan.vendor}", output="clips"{_options(allow)})'
    lines = [
        "import asyncio",
        "",
        "import polyreel",
        "",
        f"request = {_request(plan)}",
        "",
        "",
        "async def main() -> None:",
        *(f"    {line}" for line in _live(plan, "AsyncClient")),
        "    async with polyreel.AsyncClient() as client:",
        f"        job = await {call}",
        f"        print(job.status, {_shown(plan)})",
        "",
        "",
        "asyncio.run(main())",
    ]
    return "\n".join(lines)


def _pytest(plan: Plan, allow: Mapping[str, Allowance]) -> str:
    call = f'polyreel_client.generate(request, "{plan.vendor}", output=tmp_path{_options(allow)})'
    lines = [
        "from pathlib import Path",
        "",
        "import polyreel",
        "from polyreel.testing import assert_billed_once",
        "",
        f"request = {_request(plan)}",
        "",
        "",
        "def test_the_request_is_made_and_billed_once(",
        "    polyreel_client: polyreel.Client, tmp_path: Path",
        ") -> None:",
        '    """The vendor is simulated: nothing is sent or paid."""',
        f"    job = {call}",
        '    assert job.status == "succeeded"',
        "    assert job.element" if plan.kind == "element" else "    assert job.outputs",
        f'    assert_billed_once(polyreel_client, "{plan.vendor}")',
    ]
    return "\n".join(lines)


# -- batches ---------------------------------------------------------------------------------------


def _batch_row(fields: JsonObject, vendor: str, allow: Mapping[str, Allowance]) -> Snippet:
    """A row of a batch: of a table, or of JSON Lines where no cell can hold what is asked for."""
    row = {"vendor": vendor, **fields}
    options = "".join(f" --allow {name}={what}" for name, what in allow.items())
    if (table := _table(row)) is not None:
        use = f"polyreel batch clips.csv{options}"
        return Snippet("batch", "CSV row", "csv", table, use)
    use = f"polyreel batch clips.jsonl{options}"
    return Snippet("batch", "JSON Lines row", "json", json_text(row), use)


def _table(row: JsonObject) -> str | None:
    """A table with one row; None where it would not be read as the same row."""
    cells = [_cell(value) for value in row.values()]
    if any(cell is None or not is_plain(cell) or cell.startswith(FORMULA) for cell in cells):
        return None
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(cells)
    table = text.getvalue()
    found = [line for _, line in table_lines(table, {}, mark=False, notes=[])]
    if len(found) != 1 or not isinstance(found[0], TableRow):
        return None
    return table if json.dumps(found[0].values) == json.dumps(row) else None


def _cell(value: object) -> str | None:
    if isinstance(value, list):
        parts = [item for item in value if isinstance(item, str)]
        return SEPARATOR.join(parts) if len(parts) == len(value) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, dict) else str(value)
