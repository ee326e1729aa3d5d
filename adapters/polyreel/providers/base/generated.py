"""A vendor's generated client, in parts that are imported when they are needed.

    CLIENT = GeneratedClient("acme_video")  # polyreel_generated.acme_video, and its contract
    CREATE = CLIENT.operation("createClip")
    ROUTE = Route("acme-one", "text-to-video", CREATE, CLIENT.body("TextClip"), ROWS)

Method, path and name are read from the contract, so that planning imports no generated module.
The module of a call is imported when a request is built or a reply is read, and the class of a
body when a body is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from .contract import Contract, Operation


class GeneratedOperation(Protocol):
    """One endpoint module of a generated client, or what stands for it."""

    @property
    def METHOD(self) -> str:  # noqa: N802
        """The HTTP method."""

    @property
    def PATH(self) -> str:  # noqa: N802
        """The path below the base URL."""

    @property
    def build_request(self) -> Callable[..., dict[str, Any]]:
        """The function that makes the keyword arguments of an httpx request."""

    @property
    def parse_response(self) -> Callable[[int, bytes, Mapping[str, str]], Any]:
        """The function that reads a reply."""


class GeneratedModel(Protocol):
    """One request model of a generated client, or what stands for it."""

    __name__: str

    @property
    def from_dict(self) -> Callable[[Mapping[str, Any]], Any]:
        """The function that reads a typed body."""


class GeneratedClient:
    """The generated client of one vendor, by the name of its package."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.package = f"polyreel_generated.{name}"

    @property
    def contract(self) -> Contract:
        """The contract that the client is generated from."""
        return Contract.load(self.name)

    def operation(self, operation_id: str) -> NamedOperation:
        """One call, by its operation id in the contract.

        Using it raises LookupError where the contract has no such id.
        """
        return NamedOperation(self, operation_id)

    def body(self, schema: str) -> NamedBody:
        """The class of a body, by the name of its schema.

        Using it raises LookupError where there is no such class.
        """
        return NamedBody(self, schema)


class NamedOperation:
    """A generated endpoint module that is imported when a request is built, or a reply is read."""

    def __init__(self, client: GeneratedClient, operation_id: str) -> None:
        self._client = client
        self._id = operation_id

    @cached_property
    def _described(self) -> Operation:
        name, contract = self._client.name, self._client.contract
        operations = {**contract.operations, **contract.read_only_operations}
        if self._id not in operations:
            known = ", ".join(operations)
            raise LookupError(f"{name} has no operation {self._id!r}; there are {known}")
        return operations[self._id]

    @cached_property
    def _module(self) -> ModuleType:
        calls = import_module(f"{self._client.package}.api")
        module: ModuleType = getattr(calls, calls.OPERATIONS[self.METHOD, self.PATH])
        return module

    @property
    def METHOD(self) -> str:  # noqa: N802 - as the generated modules spell it
        """The HTTP method."""
        return self._described.method

    @property
    def PATH(self) -> str:  # noqa: N802
        """The path below the server's URL, with its parameters in braces."""
        return self._described.path

    @property
    def build_request(self) -> Callable[..., dict[str, Any]]:
        """The generated function that makes the keyword arguments of an httpx request."""
        found: Callable[..., dict[str, Any]] = self._module.build_request
        return found

    @property
    def parse_response(self) -> Callable[[int, bytes, Mapping[str, str]], Any]:
        """The generated function that reads a reply."""
        found: Callable[[int, bytes, Mapping[str, str]], Any] = self._module.parse_response
        return found


class NamedBody:
    """A generated model class that is imported when a body is read."""

    def __init__(self, client: GeneratedClient, schema: str) -> None:
        self._client = client
        self.__name__ = schema

    @property
    def from_dict(self) -> Callable[[Mapping[str, Any]], Any]:
        """The generated function that reads a body."""
        models = import_module(f"{self._client.package}.models")
        if self.__name__ not in models.__all__:
            raise LookupError(f"{self._client.name} has no body {self.__name__!r}")
        found: Callable[[Mapping[str, Any]], Any] = getattr(models, self.__name__).from_dict
        return found


__all__ = ["GeneratedClient", "GeneratedModel", "GeneratedOperation", "NamedBody", "NamedOperation"]
