"""`polyreel new-vendor`: a package for a vendor, half filled from its OpenAPI document.

Everything that is written is a guess. What a person has to decide is marked with TODO, and the
conformance suite of the new package lists it.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from ..errors import RequestError
from ..places import Json
from ..providers.base.registry import all_providers
from . import writing
from .choosing import Wishes
from .document import EVERYTHING, Draft, add_body_examples, drafted, keep_forms
from .published import published
from .states import States, guess_states
from .tables import RouteSource, tables


@frozen
class Package:
    """The files of a new package, by their paths below its folder."""

    name: str
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    """The operations of the document that the contract does not hold."""
    calls: tuple[str, ...]
    """The paid calls, and the status query that each of them is asked about by."""
    not_done: tuple[str, ...]
    """What was seen in the document, and is left to the author."""


def package(name: str, document: Json, wishes: Wishes = EVERYTHING) -> Package:
    """Write the package of a vendor.

    `name` is the vendor's id, `document` its OpenAPI document, `wishes` what its author says about
    it. RequestError with the reason where one of them cannot be used.
    """
    module = check_name(name)
    draft, replies, routes = _read(document, name, wishes)
    calls = draft.contract.operations
    asked = f"{calls[draft.get].method} {calls[draft.get].path}"
    files = {
        "pyproject.toml": writing.project(name, module),
        f"{module}/__init__.py": writing.provider(name, routes, replies),
        f"{module}/openapi.json": json.dumps(draft.document, indent=1, ensure_ascii=False) + "\n",
        "tests/test_conformance.py": writing.test(name, module),
    }
    return Package(
        name,
        files,
        tuple(draft.left_out),
        tuple(f"{calls[one].method} {calls[one].path} -> {asked}" for one in draft.creates),
        tuple(draft.not_done),
    )


def _read(document: Json, name: str, wishes: Wishes) -> tuple[Draft, States, list[RouteSource]]:
    try:
        draft = drafted(document, wishes)
        states = guess_states(draft)
        routes = list(tables(draft, name))
        routes = _wanted(routes, wishes.only)
        keep_forms(draft, {(one.operation, one.schema) for one in routes})
        add_body_examples(draft)
        return draft, states, routes
    except RequestError:
        raise
    except RecursionError:
        raise RequestError(["the spec: a schema without an end"]) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise RequestError([f"the spec: it cannot be read ({reason})"]) from None


def _wanted(routes: list[RouteSource], only: Sequence[str]) -> list[RouteSource]:
    """The routes whose model or workflow fits a pattern."""
    if not routes:
        raise RequestError(["the spec: no request body was understood"])
    kept = [
        one
        for one in routes
        if not only
        or any(fnmatchcase(text, want) for want in only for text in (one.model, one.workflow))
    ]
    if not kept:
        some = ", ".join(
            dict.fromkeys(word for one in routes for word in (one.model, one.workflow))
        )
        raise RequestError(
            [f"--only {' '.join(only)}: no model or workflow fits; there are {some}"]
        )
    return kept


def check_name(name: str) -> str:
    """The module's name for a vendor's id; RequestError where the id cannot be used."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40:
        rule = "a vendor's id is small letters, digits and single hyphens, as acme-video"
        raise RequestError([f"{name[:60]!r}: {rule}"])
    module = name.replace("-", "_")
    if name in all_providers():
        raise RequestError([f"{name}: a vendor is called so already"])
    if keyword.iskeyword(module) or module in {*sys.stdlib_module_names, "polyreel", "tests"}:
        raise RequestError([f"{name}: Python has another use for the module name {module}"])
    return module


__all__ = ["Package", "Wishes", "check_name", "package", "published"]
