"""Request flags, made from the shared model: one flag for each field that a flag can hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import typer

from ..mapping.flags import ROWS_ONLY, flag_of
from ..mapping.media import FIELDS as MEDIA
from ..mapping.textfiles import STANDARD_INPUT
from ..mapping.workflows import REQUESTS
from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.registry import all_providers
from .files import checked, load, typed_prompt

TYPES: Final = {"string": str, "integer": int, "number": float, "boolean": bool}
SOURCE_HELP: Final = (
    "JSON file with a shared request, or - for standard input. Flags win over it. Only there can "
    f"{' and '.join(sorted(ROWS_ONLY, reverse=True))} be."
)


def fields() -> Mapping[str, JsonObject]:
    """Every field of a request with its schema, those of videos first."""
    contract = Contract.load("polyreel")
    found: dict[str, JsonObject] = {}
    for name in REQUESTS.values():
        for field, schema in contract.schema(name)["properties"].items():
            merged = {**contract.resolve(schema), **schema}
            if field in found and "enum" in merged:
                merged = {
                    **merged,
                    "enum": list(dict.fromkeys([*found[field]["enum"], *merged["enum"]])),
                }
            found[field] = {
                **merged,
                **{k: v for k, v in found.get(field, {}).items() if k != "enum"},
            }
    return {name: schema for name, schema in found.items() if name not in ROWS_ONLY}


def _whole_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a valid integer") from None


def families(incomplete: str) -> list[str]:
    """The model families that begin so, for the completion of the shell."""
    routes = [route for one in all_providers().values() for route in one.routes]
    return sorted({one.model for one in routes if one.model.startswith(incomplete)})


def _parameter(name: str, schema: JsonObject) -> inspect.Parameter:
    flag = flag_of(name)
    text = schema.get("description", "")
    shown: JsonObject = {
        "help": text,
        "show_default": False,
        "metavar": "URL|FILE" if name in MEDIA else None,
    }
    if name == "prompt":
        text += " - reads it from standard input."
        annotation: Any = Annotated[str | None, typer.Argument(help=text, show_default=False)]
    elif schema.get("type") == "boolean":
        annotation = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", **shown)]
    elif schema.get("type") == "array":
        shown["help"] = f"{text} May be given several times."
        annotation = Annotated[list[str] | None, typer.Option(flag, **shown)]
    elif "anyOf" in schema:
        shown["metavar"] = "INTEGER|auto"
        annotation = Annotated[str | None, typer.Option(flag, parser=_whole_or_auto, **shown)]
    else:
        kind: Any = Literal[tuple(schema["enum"])] if "enum" in schema else TYPES[schema["type"]]
        complete = families if name == "model" else None
        annotation = Annotated[kind | None, typer.Option(flag, autocompletion=complete, **shown)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def with_request_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first parameter is the request, a flag for each field of it in its
    place.
    """
    own = inspect.signature(command, eval_str=True).parameters
    first, *rest = own.values()
    assert first.name == "request"
    schemas = fields()
    flags = [_parameter(name, schema) for name, schema in schemas.items()]
    source = Annotated[
        str | None, typer.Option("--request", metavar="FILE", help=SOURCE_HELP, show_default=False)
    ]
    file = inspect.Parameter(
        "request_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=source
    )

    def wrapper(**values: Any) -> None:
        given = {name: values.pop(name) for name in schemas}
        flagged = {
            name: value for name, value in given.items() if value is not None and value != []
        }
        source_ = values.pop("request_file")
        if flagged.get("prompt") == STANDARD_INPUT:
            if source_ == STANDARD_INPUT:
                problem = "standard input is the request already; it cannot be the prompt too"
                raise typer.BadParameter(problem, param_hint="PROMPT")
            flagged["prompt"] = typed_prompt()
        loaded = load(source_) if source_ is not None else {}
        command(checked({**loaded, **flagged}), from_flags=source_ is None, **values)

    kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in rest if p.name != "from_flags"]
    parameters = [*flags, file, *kept]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
    return wrapper
