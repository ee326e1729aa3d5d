"""The commands that compare and translate: translate, matrix, diff, advise, drift."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..depth import value_problem, yaml_is_deep
from ..errors import MissingExtraError, RequestError, did_you_mean
from ..mapping.textfiles import has_mark, read_bytes, text_of
from ..mapping.workflows import WORKFLOWS
from ..places import JsonObject
from ..plans.comparison import (
    Advice,
    VendorDifference,
    advise,
    cell,
    difference,
    drift,
    matrix,
    without_body,
)
from ..plans.documents import sheet_document, translation_document
from ..plans.translation import Alternative, Translation, translate
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from . import show
from .files import load, parse
from .flags import families
from .options import Allow, allowances, known_vendors

Format = Annotated[
    Literal["text", "markdown", "json"], typer.Option("--format", help="How to print it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        help="Only these model families, several times.",
        autocompletion=families,
        show_default=False,
    ),
]
TO_HELP = "Vendor, or vendor/model to accept another model family."


# --- translate ------------------------------------------------------------------------------------


def translate_command(
    file: Annotated[
        str,
        typer.Argument(
            help="A vendor's native body as JSON, JSON Lines with one body a line, or -."
        ),
    ],
    source: Annotated[
        str, typer.Option("--from", help="Vendor, or vendor/model where the body does not tell.")
    ],
    target: Annotated[str, typer.Option("--to", help=TO_HELP)],
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Write one vendor's body for another, with a verdict for every value. Sends nothing; exits 2
    where refused.
    """
    (before, before_model) = _vendor(source, is_source=True)
    (after, after_model) = _vendor(target)
    allowed = allowances(allow)
    refused = False
    bodies, several = _bodies(file)
    for body in bodies:
        done = translate(
            body, before, after, source_model=before_model, target_model=after_model, allow=allowed
        )
        refused |= done.refused
        if several:
            show.line(json.dumps(translation_document(done)))
        elif as_json:
            show.document(translation_document(done))
        else:
            _translation_text(done)
        for warning in done.warnings:
            show.note(f"warning: {warning}")
        for violation in done.violations:
            show.note(f"refused: {violation.message}")
        for other in done.alternatives:
            show.note(f"--to {after.id}/{other.model} {_would(other)}")
    if refused:
        raise typer.Exit(2)


def _would(other: Alternative) -> str:
    """What another model of the target would make of a body."""
    losses = "; ".join(other.losses)
    if other.refused:
        return f"would be refused too: {losses}"
    return f"would serve it with that model, losing {losses or 'nothing else'}"


def _vendor(text: str, *, is_source: bool = False) -> tuple[Provider, str | None]:
    name, _, model = text.partition("/")
    provider = get_provider(name)
    routes = provider.readable_routes if is_source else provider.routes
    families = sorted({route.model for route in routes})
    paths = {route.path.removeprefix("/") for route in routes if is_source}
    if model and model not in {*families, *paths}:
        known = f"it sells {', '.join(families)}{did_you_mean(model, families)}"
        raise typer.BadParameter(f"{name} sells no {model}; {known}")
    return provider, model or None


def _bodies(file: str) -> tuple[list[Any], bool]:
    """The bodies of a file, and whether it is JSON Lines: several lines, each a document of its
    own.
    """
    content = read_bytes(file, file)
    if has_mark(content):  # lines are told apart in UTF-8
        content = text_of(content).encode()
    lines = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not lines:
        raise RequestError([f"{file}: nothing in it"])
    if len(lines) > 1 and _is_document(lines[0][1]):
        return [parse(line, f"{file}, line {number}") for number, line in lines], True
    return [parse(content, file)], False


def _is_document(line: bytes) -> bool:
    try:
        parse(line, "")
    except RequestError:
        return False
    return True


def _translation_text(done: Translation) -> None:
    if done.plan is not None and done.plan.route is not None:
        show.line(f"{done.source.id} -> {done.target.id}: {done.plan.model} {done.plan.workflow}")
        show.line(f"{done.plan.method} {done.plan.url}")
        show.line(json.dumps(done.plan.body, indent=2))
    show.verdict_table(done.verdicts)


# --- matrix, diff, advise, drift ------------------------------------------------------------------


def matrix_command(
    workflow: Annotated[
        str | None, typer.Option(help="Only this workflow.", show_default=False)
    ] = None,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these vendors, several times.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    model: Models = None,
    form: Format = "text",
    as_json: AsJson = False,
) -> None:
    """Show what every vendor makes of every field, with limits and defaults."""
    if workflow is not None and workflow not in WORKFLOWS:
        known = f"there are {', '.join(WORKFLOWS)}{did_you_mean(workflow, WORKFLOWS)}"
        raise typer.BadParameter(f"no workflow {workflow}; {known}")
    vendors = [get_provider(name) for name in vendor] if vendor else None
    _check_sold(model)
    sheets = list(matrix(workflow, vendors, model or None))
    offered = {sheet.workflow for sheet in sheets}
    others = [name for name in WORKFLOWS if name not in offered and workflow in {None, name}]
    if as_json or form == "json":
        nobody: list[JsonObject] = [{"workflow": name, "vendors": []} for name in others]
        show.document([*map(sheet_document, sheets), *nobody])
        return
    for sheet in sheets:
        headers = ["field", *(f"{name} {model}" for name, model in sheet.columns)]
        show.line(f"**{sheet.workflow}**\n" if form == "markdown" else sheet.workflow)
        show.table(
            headers,
            [[field, *map(cell, cells)] for field, cells in sheet.rows],
            markdown=form == "markdown",
        )
    whom = "these" if vendors or model else "the vendors"
    for name in others:
        show.line(f"{name}: none of {whom} offers it")


def _check_sold(models: Sequence[str] | None) -> None:
    """BadParameter for a model family that no vendor has."""
    for name in models or ():
        if name not in (sold := families("")):
            raise typer.BadParameter(f"nobody sells {name}{did_you_mean(name, sold)}")


def diff_command(
    before: Annotated[str, typer.Argument(help="Vendor to leave, or vendor/model.")],
    after: Annotated[
        str, typer.Argument(help="Vendor to go to, or vendor/model for another model family.")
    ],
    model: Models = None,
    form: Format = "text",
    as_json: AsJson = False,
) -> None:
    """Show what changes in going from one vendor to another, model by model."""
    (source, old), (target, new) = _vendor(before), _vendor(after)
    _check_sold(model)
    if model and (old or new):
        raise typer.BadParameter("give models there, or as VENDOR/MODEL", param_hint="--model")
    models = [name] if (name := old or new) else model
    found = list(difference(source, target, models or None, new))
    _differences(found, "json" if as_json else form)


def _differences(found: list[VendorDifference], form: str) -> None:
    if form == "json":
        show.document([{**_facts(item), "breaking": item.breaking} for item in found])
        return
    rows = [
        [item.model, item.workflow, item.field, item.kind, item.before, item.after]
        for item in found
    ]
    headers = ["model", "workflow", "field", "change", "before", "after"]
    show.table(headers, rows, markdown=form == "markdown")
    show.note(f"{len(found)} differences, {sum(item.breaking for item in found)} of them breaking")


def _facts(item: VendorDifference) -> JsonObject:
    return {
        name: getattr(item, name)
        for name in ("model", "workflow", "field", "kind", "before", "after")
    }


def advise_command(
    file: Annotated[str, typer.Argument(help="A shared request as JSON, or -.")],
    as_json: AsJson = False,
) -> None:
    """Rank vendors for a request: the one that keeps most of it first."""
    found = advise(load(file, ""))
    if as_json:
        show.document([_advice_document(item) for item in found])
        return
    rows = [
        [item.vendor, item.model or "-", "refused" if item.refused else "serves it", _why(item)]
        for item in found
    ]
    show.table(["vendor", "model", "verdict", "why"], rows)


def _advice_document(item: Advice) -> JsonObject:
    return {
        "vendor": item.vendor,
        "model": item.model,
        "refused": list(item.refused),
        "converted": item.converted,
        "defaulted": list(item.defaulted),
    }


def _why(item: Advice) -> str:
    chosen = f"chooses {', '.join(item.defaulted)}" if item.defaulted else "as asked"
    return "\n".join(item.refused) or chosen


def drift_command(
    old: Annotated[Path, typer.Argument(help="The spec that polyreel was made for, JSON or YAML.")],
    new: Annotated[Path, typer.Argument(help="Its successor, or what the vendor publishes.")],
    of: Annotated[
        str | None,
        typer.Option(
            "--vendor", help="Whose specs they are, where OLD does not say.", show_default=False
        ),
    ] = None,
    form: Format = "text",
    as_json: AsJson = False,
) -> None:
    """Show which shared fields and routes a spec change breaks or widens. Exits 2 where something
    breaks.
    """
    before, after = (contract_of(path) for path in (old, new))
    vendor = of or before.document.get("x-polyreel-vendor")
    if not isinstance(vendor, str) or vendor not in all_providers():
        reason = f"x-polyreel-vendor names no vendor ({vendor}); name it with --vendor"
        raise typer.BadParameter(f"{old}: {reason}")
    provider = all_providers()[vendor]
    lacking = without_body(provider, before)
    if len(lacking) == len(provider.routes):
        problem = f"it has none of the bodies that {vendor} takes, so there is nothing to compare"
        raise RequestError([f"{old}: {problem}"])
    if lacking:
        models = ", ".join(dict.fromkeys(one.model for one in lacking))
        show.note(f"not compared, as {old} has not all of their bodies: {models}")
    found = list(drift(provider, before, after))
    _differences(found, "json" if as_json else form)
    if any(item.breaking for item in found):
        raise typer.Exit(2)


def contract_of(path: Path) -> Contract:
    """The OpenAPI document in a file, JSON or YAML: a spec of polyreel, or any published one."""
    content = read_bytes(str(path), str(path))
    document = parse(content, str(path)) if path.suffix == ".json" else _yaml(content, path)
    if not isinstance(document, dict) or "paths" not in document:
        raise RequestError([f"{path}: not an OpenAPI document"])
    if "x-polyreel-vendor" in document:
        return Contract(document)
    from ..scaffold.published import published

    try:
        return Contract(published(document))
    except RequestError as error:
        reasons = [reason.removeprefix("the spec: ") for reason in error.problems]
        raise RequestError([f"{path}: not an OpenAPI document: {reasons[0]}"]) from None
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"it cannot be read ({type(error).__name__}: {str(error)[:80]})"
        raise RequestError([f"{path}: not an OpenAPI document: {reason}"]) from None


def _yaml(content: bytes, path: Path) -> Any:
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        text = "YAML specs need ruamel.yaml: pip install ruamel.yaml, or give the spec as JSON"
        raise MissingExtraError(text) from None
    try:
        deep = yaml_is_deep(content, YAML(typ="safe", pure=True).parse(content))
        found = None if deep else YAML(typ="safe", pure=True).load(content)
    except (YAMLError, ValueError) as error:
        raise RequestError([f"{path}: not YAML: {str(error).splitlines()[0]}"]) from None
    if problem := "nested too deeply" if deep else value_problem(found):
        raise RequestError([f"{path}: {problem}"])
    return found
