"""What the generated model of a job has beside its fields."""

from __future__ import annotations

from pydantic import BaseModel


class JobModel(BaseModel):
    """A job, as notebooks show it."""
