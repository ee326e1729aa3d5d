"""Workflows: what a request asks for, told from the inputs that are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

WORKFLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "motion-control": ("motion_video", "character_image", "character_orientation"),
    "edit-video": ("source_video",),
    "extend-video": ("extend_video",),
    "reference-video": ("reference_video",),
    "reference-to-video": ("reference_images", "reference_videos"),
    "image-to-video": ("first_frame", "last_frame"),
    "text-to-video": (),
    "generate-image": (),
    "video-to-element": ("video",),
    "images-to-element": ("front_image", "images"),
}
"""Each workflow with the shared inputs that ask for it.

Of those that make the same, the first whose inputs are set is meant, and else the last.
"""

INPUT_VIDEOS: Final = ("source_video", "extend_video", "reference_video", "motion_video")
"""The shared inputs that hold the one clip that a workflow is about."""
Kind = Literal["video", "image", "element"]
"""What a request is for."""
REQUESTS: Final[Mapping[Kind, str]] = MappingProxyType(
    {"video": "VideoRequest", "image": "ImageRequest", "element": "ElementRequest"}
)
"""The schema of the requests of each kind in the shared spec, and the model made from it."""
_OTHERS: Final[Mapping[str, Kind]] = {
    "generate-image": "image",
    "video-to-element": "element",
    "images-to-element": "element",
}
"""What the workflows make that make no video."""


def workflow_of(request: Iterable[str], kind: Kind) -> str:
    """What a request, or what sets these fields, asks for."""
    return _workflow_of_inputs(_INPUTS[kind].intersection(request), kind)


def kind_of(workflow: str) -> Kind:
    """What a workflow makes."""
    return _OTHERS.get(workflow, "video")


def request_of(workflow: str) -> str:
    """The name of the requests that can ask for a workflow, such as `VideoRequest`."""
    return REQUESTS[kind_of(workflow)]


@cache
def inputs_of_others(workflow: str) -> frozenset[str]:
    """The inputs that would make a request for a workflow one for another that comes first."""
    earlier = list(WORKFLOWS)[: list(WORKFLOWS).index(workflow)]
    kind = kind_of(workflow)
    return frozenset(
        name for other in earlier if kind_of(other) == kind for name in WORKFLOWS[other]
    )


_INPUTS: Final[Mapping[Kind, frozenset[str]]] = {
    kind: frozenset(
        name for one, inputs in WORKFLOWS.items() if kind_of(one) == kind for name in inputs
    )
    for kind in REQUESTS
}


@cache
def _workflow_of_inputs(asked: frozenset[str], kind: Kind) -> str:
    names = [name for name in WORKFLOWS if kind_of(name) == kind]
    return next((name for name in names if not asked.isdisjoint(WORKFLOWS[name])), names[-1])
