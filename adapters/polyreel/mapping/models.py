"""What the models of shared requests have in common: media inputs as a caller may hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, model_validator

from .inputs import with_texts


class MediaModel(BaseModel):
    """A request whose media inputs may be paths, bytes, open files or PIL images."""

    @model_validator(mode="before")
    @classmethod
    def _read_inputs(cls, given: Any) -> Any:
        return with_texts(given) if isinstance(given, Mapping) else given
