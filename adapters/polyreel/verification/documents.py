"""Reads JSON and YAML that is not trusted: with limits, and with one exception for all errors."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from ..depth import json_is_deep, value_problem, yaml_is_deep
from ..errors import MissingExtraError
from ..places import Json

MAX_BYTES: Final = 50_000_000
SURROGATES: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class UnreadableDocumentError(Exception):
    """A document, or a part of it, cannot be read.

    The text says why, and repeats nothing of the document.
    """


def from_json(content: bytes | str) -> Any:
    """A JSON value."""
    if json_is_deep(content):
        raise UnreadableDocumentError("nested too deeply")
    try:
        value = json.loads(content, parse_constant=_no_constant, parse_int=_integer)
    except UnicodeError:
        raise UnreadableDocumentError("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UnreadableDocumentError(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise UnreadableDocumentError(f"not JSON: {error}") from None
    check_size(value)
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return _without_surrogates(value) if SURROGATES.search(raw) else value


def _without_surrogates(value: Json) -> Any:
    """A value without lone surrogates, which JSON can escape and no UTF-8 text can hold."""
    if isinstance(value, dict):
        return {
            _without_surrogates(name): _without_surrogates(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int | float:
    # Python refuses to read integers of thousands of digits, and no float holds hundreds.
    value = int(text) if len(text) <= 20 else float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return value


def from_yaml(content: bytes) -> Any:
    """A YAML value, such as vcrpy's cassettes."""
    try:
        import yaml  # noqa: PLC0415
    except ImportError:
        text = (
            "YAML cassettes need pyyaml: pip install 'polyreel[verify]', "
            "or record them with the JSON serializer"
        )
        raise MissingExtraError(text) from None
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Loader", (base,), {"flatten_mapping": _no_merging})
    try:
        if yaml_is_deep(content, yaml.parse(content, Loader=base)):
            raise UnreadableDocumentError("nested too deeply")
        value = yaml.load(content, Loader=loader)  # noqa: S506 - a safe loader with less in it
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise UnreadableDocumentError(f"not YAML that can be read{where}") from None
    except (ValueError, TypeError, OverflowError):
        # Dates such as the 99th, hashes of lists, numbers beyond all limits.
        raise UnreadableDocumentError("not YAML that can be read") from None
    check_size(value)
    return value


def _no_merging(loader: object, node: object) -> None:
    """Leave merge keys as they are: when they are merged, a few lines can become gigabytes."""


def check_size(value: object) -> None:
    """Refuse a value that is deep, or too large with all its aliases written out."""
    if problem := value_problem(value):
        raise UnreadableDocumentError(problem)
