"""`polyreel new-vendor`: a package for a vendor, half filled from its OpenAPI document.

Everything that is written is a guess. What a person has to decide is marked with TODO, and the
conformance suite of the new package lists it.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Mapping

from attrs import frozen

from ..errors import RequestError
from ..places import Json
from ..providers.base.registry import all_providers
from . import writing
from .document import Draft, drafted
from .states import guess_states
from .tables import tables


@frozen
class Package:
    """The files of a new package, by their paths below its folder."""

    name: str
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    """The operations of the document that the contract does not hold."""


def package(name: str, document: Json) -> Package:
    """Write the package of a vendor.

    `name` is the vendor's id, `document` its OpenAPI document. RequestError with the reason where
    one of them cannot be used.
    """
    module = check_name(name)
    draft = _read(document)
    replies = guess_states(draft)
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


def _read(document: Json) -> Draft:
    try:
        return drafted(document)
    except RequestError:
        raise
    except RecursionError:
        raise RequestError(["the spec: a schema without an end"]) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise RequestError([f"the spec: it cannot be read ({reason})"]) from None


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


__all__ = ["Package", "check_name", "package"]
