"""Workflows: what a request asks for, told from the inputs that are set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

WORKFLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "motion-control": ("motion_video", "character_image", "character_orientation"),
    "edit-video": ("source_video",),
    "extend-video": ("extend_video",),
    "reference-video": ("reference_video",),
    "reference-to-video": ("reference_images", "reference_videos"),
    "image-to-video": ("first_frame", "last_frame"),
    "text-to-video": (),
    "generate-image": (),
}
"""Each workflow with the shared inputs that ask for it. The first whose inputs are set is meant."""

INPUT_VIDEOS: Final = ("source_video", "extend_video", "reference_video", "motion_video")
"""The shared inputs that hold the one clip that a workflow is about."""
Kind = Literal["video", "image"]
"""What a request is for."""
_INPUTS: Final = frozenset(name for inputs in WORKFLOWS.values() for name in inputs)


def workflow_of(request: Mapping[str, Any], kind: Kind) -> str:
    """What a request asks for, from the inputs that are set."""
    if kind == "image":
        return "generate-image"
    return _workflow_of_inputs(_INPUTS.intersection(request))


def kind_of(workflow: str) -> Kind:
    """What a workflow makes."""
    return "image" if workflow == "generate-image" else "video"


@cache
def _workflow_of_inputs(asked: frozenset[str]) -> str:
    return next(
        name for name, inputs in WORKFLOWS.items() if not inputs or not asked.isdisjoint(inputs)
    )
