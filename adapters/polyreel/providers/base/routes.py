"""Routes: the rows of what a vendor sells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from attrs import Factory, frozen

from ...mapping.rows import Constant, Row


class GeneratedOperation(Protocol):
    """One endpoint module of a generated client, as far as polyreel uses it."""

    METHOD: str
    PATH: str

    @property
    def build_request(self) -> Callable[..., dict[str, Any]]:
        """The keyword arguments of an httpx request."""

    @property
    def parse_response(self) -> Callable[[int, bytes, Mapping[str, str]], Any]:
        """The typed reading of a reply."""


class GeneratedModel(Protocol):
    """One request model of a generated client."""

    __name__: str

    def from_dict(self, src_dict: Mapping[str, Any]) -> Any:
        """The typed body."""


@frozen(eq=False)
class Route:
    """One row of what a vendor sells: a model family and a workflow, served by one generated operation and body."""

    model: str
    workflow: str
    operation: Any
    """The generated endpoint module (a GeneratedOperation)."""
    body: Any
    """The generated model class of the body (a GeneratedModel); its name is the schema's name."""
    rows: tuple[Row, ...]
    ignored: Mapping[str, str] = Factory(dict)
    """Native places that the shared model does not cover, each with the reason."""

    @cached_property
    def schema(self) -> str:
        """The name of the body's schema in the contract."""
        name = self.body.__name__
        assert isinstance(name, str)
        return name

    @cached_property
    def by_name(self) -> Mapping[str, Row]:
        """The row of each shared field."""
        return {name: row for row in self.rows for name in row.names}

    @cached_property
    def by_place(self) -> Mapping[str, Row]:
        """The row of each native place."""
        return {place: row for row in self.rows for place in row.places}

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """The rows that tell this route from others."""
        return tuple(row for row in self.rows if isinstance(row, Constant))
