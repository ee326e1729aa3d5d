"""`polyreel new-vendor`: a package for a vendor, half filled from its OpenAPI document.

Everything here is a guess, told as one: what is left to a person is marked with TODO, and the conformance suite of
the new package lists it.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..errors import RequestError
from ..providers.base.registry import all_providers
from . import states, writing
from .document import Draft, drafted
from .tables import tables


@frozen
class Package:
    """The files of a new package, by their paths below its folder."""

    name: str
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    """The operations of the document that the contract does not hold."""


def package(name: str, document: Any) -> Package:
    """The package of a vendor; RequestError where the name or the document will not do, with the reason."""
    module = check_name(name)
    draft = _read(document)
    replies = states.found(draft)
    routes = list(tables(draft, name))
    if not routes:
        raise RequestError(["the spec: no request body was understood"])
    files = {
        "pyproject.toml": writing.project(name, module),
        f"{module}/__init__.py": writing.provider(name, routes, replies),
        f"{module}/openapi.json": json.dumps(draft.document, indent=1, ensure_ascii=False) + "\n",
        "tests/test_conformance.py": writing.test(name, module),
    }
    return Package(name, files, tuple(draft.left_out))


def _read(document: Any) -> Draft:
    try:
        return drafted(document)
    except RequestError:
        raise
    except RecursionError:
        raise RequestError(["the spec: a schema without an end"]) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RequestError(
            [f"the spec: it cannot be read ({type(error).__name__}: {str(error)[:100]})"]
        ) from None


def check_name(name: str) -> str:
    """The module's name for a vendor's id; RequestError where the id will not do."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40:
        raise RequestError(
            [
                f"{name[:60]!r}: a vendor's id is small letters, digits and single hyphens, as acme-video"
            ]
        )
    module = name.replace("-", "_")
    if name in all_providers():
        raise RequestError([f"{name}: a vendor is called so already"])
    if keyword.iskeyword(module) or module in {*sys.stdlib_module_names, "polyreel", "tests"}:
        raise RequestError([f"{name}: Python has another use for the module name {module}"])
    return module


__all__ = ["Package", "check_name", "package"]
