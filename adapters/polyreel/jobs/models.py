"""What the generated model of a job has beside its fields."""

from __future__ import annotations

from pydantic import BaseModel


class JobModel(BaseModel):
    """A job, which notebooks show with its clip."""

    def _repr_html_(self) -> str:
        """As a table in a notebook, with the files that were saved."""
        from .display import job_html  # noqa: PLC0415

        return job_html(self)  # type: ignore[arg-type]
