"""Reads literals of Python, and calls as documentation of vendors shows them. Nothing is run."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from ..depth import json_is_deep
from ..places import Json, JsonObject

MOST_CHARACTERS: Final = 100_000
MOST_DEPTH: Final = 50


class NotPythonError(ValueError):
    """A text that is not read as Python. The text of the error says why."""


class NoValueError(NotPythonError):
    """A name stands for nothing that can be read."""

    @property
    def name(self) -> str:
        """The name."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.name} has no value that can be read here: write one in its place"


@frozen
class PythonRequest:
    """A call such as `requests.post(url, json={...})`."""

    method: str
    url: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: JsonObject


def python_value(text: str) -> Json:
    """The JSON value that a literal stands for, such as a dict; raises NotPythonError."""
    found: Json = _value(_parsed(text, "eval"), {})
    return found


def python_calls(text: str) -> list[PythonRequest]:
    """The calls in a program that post JSON; none where it is no program.

    NoValueError is raised where all that is missing is the value of a name.
    """
    try:
        tree = _parsed(text, "exec")
    except NotPythonError:
        return []
    names: dict[str, Json] = {}
    missing: dict[str, str] = {}
    first = ""
    found: list[PythonRequest] = []
    for node in _nodes(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            try:
                names[name] = _value(node.value, names)
            except NotPythonError as error:
                missing[name] = error.name if isinstance(error, NoValueError) else name
        elif isinstance(node, ast.Call):
            try:
                found += _call(node, names)
            except NoValueError as error:
                first = first or missing.get(error.name, error.name)
            except NotPythonError:
                continue
    if first and not found:
        raise NoValueError(first)
    return found


def _parsed(text: str, mode: str) -> ast.AST:
    if len(text) > MOST_CHARACTERS or json_is_deep(text.replace("(", "["), MOST_DEPTH):
        raise NotPythonError("too long, or nested too deeply, to be read as Python")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree: ast.AST = ast.parse(text.strip(), mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotPythonError("not Python") from None
    return tree


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, in the order in which they stand in the text."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed([*ast.iter_child_nodes(node)])


def _call(node: ast.Call, names: dict[str, Json]) -> Iterator[PythonRequest]:
    """The call, where it posts a JSON object to an address that is written down."""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    given = {one.arg: one.value for one in node.keywords if one.arg}
    arguments = [*node.args]
    if method == "request" and arguments:
        method = str(_known(arguments.pop(0), names))
    where = given.get("url", arguments[0] if arguments else None)
    if method.lower() not in {"post", "put"} or where is None or "json" not in given:
        return
    address, body = _known(where, names), _body(given["json"], names)
    if isinstance(body, dict):
        headers = _known(given["headers"], names) if "headers" in given else {}
        said = headers.items() if isinstance(headers, dict) else ()
        texts = {name.lower(): text for name, text in said if isinstance(text, str)}
        url = address if isinstance(address, str) else ""
        yield PythonRequest(method.upper(), url, texts, body)


def _body(node: ast.expr, names: dict[str, Json]) -> Json:
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise NoValueError(node.id)
        return names[node.id]
    found: Json = _value(node, names)
    return found


def _known(node: ast.expr, names: dict[str, Json]) -> Json:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    try:
        found: Json = _value(node, names)
    except NotPythonError:
        return None
    return found


def _value(node: ast.AST, names: dict[str, Json]) -> Any:
    """The value of an expression of literals, and of names that stand for such."""
    match node:
        case ast.Expression():
            return _value(node.body, names)
        case ast.Constant(value=str() as text):
            return text.encode("utf-8", "replace").decode()  # half a character has no bytes
        case ast.Constant(value=bool() | None | int() as value):
            return value
        case ast.Constant(value=float() as number) if math.isfinite(number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List() | ast.Tuple():
            return [_value(item, names) for item in node.elts]
        case ast.Dict():
            return _dict(node, names)
        case ast.Name(id=name) if isinstance(names.get(name), str | int | float):
            return names[name]  # a list of lists of the same list would have no end
        case ast.Name(id=name) if name not in names:
            raise NoValueError(name)
    raise NotPythonError("not a literal of Python")


def _dict(node: ast.Dict, names: dict[str, Json]) -> JsonObject:
    found: JsonObject = {}
    for key, item in zip(node.keys, node.values, strict=True):
        name = _value(key, names) if key is not None else None
        if not isinstance(name, str):
            raise NotPythonError("a name of a member is not text")
        found[name] = _value(item, names)
    return found
