"""What the models of shared requests have in common: media as a caller holds it, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ValidationError, model_validator

from ..errors import RequestError
from ..mapping.inputs import with_texts

if TYPE_CHECKING:
    Checked = BaseModel
else:

    class _Checking(type(BaseModel)):
        """Makes RequestErrors of mistakes in a call of the class.

        What frameworks call (`model_validate`, a TypeAdapter) raises pydantic's own error, with
        which they answer.
        """

        def __call__(cls, /, *given: object, **fields: object) -> BaseModel:
            if given:
                kind = type(given[0]).__name__
                raise RequestError([f"the fields of a {cls.__name__} are keywords, not a {kind}"])
            try:
                return super().__call__(**fields)
            except ValidationError as error:
                from .mistakes import problems  # noqa: PLC0415

                raise RequestError(problems(fields, error, cls.__name__)) from None

    class Checked(BaseModel, metaclass=_Checking):
        """A model whose mistakes are RequestErrors."""


class RequestModel(Checked):
    """A request or a part of one, whose media may be paths, bytes, open files or PIL images."""

    @model_validator(mode="before")
    @classmethod
    def _read_inputs(cls, given: Any) -> Any:
        return with_texts(given) if isinstance(given, Mapping) else given

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields, which are checked like those of a new one."""
        if not update:
            return super().model_copy(deep=deep)
        kept = super().model_copy(deep=deep)
        given = {name: getattr(kept, name) for name in kept.model_fields_set}
        return type(self)(**{**given, **update})
