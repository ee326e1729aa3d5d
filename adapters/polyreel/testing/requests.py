"""Shared requests for tests: Hypothesis strategies made after the shared schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from ..mapping.workflows import WORKFLOWS
from ..providers.base.routes import Route

WORDS: Final = st.sampled_from(
    [
        "a cat",
        "@Image1 waves",
        "@Element1 and @Image2",
        "<<<image_1>>>",
        "snow, slowly",
        "日本 🌧",
        "@Image9 x",
    ]
)
TEXT: Final = st.one_of(
    WORDS,
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40
    ).filter(str.strip),
)
URLS: Final = st.sampled_from(
    [
        f"https://example.com/{name}"
        for name in ("a.png", "b.png", "c.jpg", "in.mp4?x=1&y=2", "ü.webp")
    ]
)
SHOTS: Final = st.fixed_dictionaries({"prompt": TEXT}, optional={"duration": st.integers(1, 6)})

FIELDS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "prompt": TEXT,
    "negative_prompt": TEXT,
    "first_frame": URLS,
    "last_frame": URLS,
    "reference_images": st.lists(URLS, min_size=1, max_size=5),
    "source_video": URLS,
    "reference_video": URLS,
    "motion_video": URLS,
    "character_image": URLS,
    "character_orientation": st.sampled_from(["image", "video"]),
    "elements": st.lists(st.integers(1, 999).map(str), min_size=1, max_size=4),
    "shots": st.lists(SHOTS, min_size=1, max_size=4),
    "shot_mode": st.sampled_from(["custom", "automatic"]),
    "duration": st.integers(1, 18),
    "aspect_ratio": st.sampled_from(["16:9", "9:16", "1:1", "4:3", "21:9"]),
    "resolution": st.sampled_from(["720p", "1080p", "4k"]),
    "audio": st.booleans(),
    "keep_source_audio": st.booleans(),
    "guidance_scale": st.floats(0, 1, allow_nan=False),
    "watermark": st.booleans(),
    "callback_url": st.sampled_from(
        ["https://example.com/hook", "http://example.com/hook", "https://10.0.0.1/x"]
    ),
}
IMAGE_FIELDS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "prompt": TEXT,
    "reference_images": FIELDS["reference_images"],
    "aspect_ratio": FIELDS["aspect_ratio"],
    "resolution": st.sampled_from(["1K", "2K"]),
    "count": st.integers(1, 5),
    "output_format": st.sampled_from(["jpeg", "png", "webp"]),
}


@st.composite
def requests_for(draw: st.DrawFn, route: Route, *, stray: bool = True) -> dict[str, Any]:
    """A shared request that asks for the route's workflow.

    With `stray` it may also have fields that the workflow does not know.
    """
    kind = IMAGE_FIELDS if route.workflow == "generate-image" else FIELDS
    inputs = WORKFLOWS[route.workflow]
    rank = list(WORKFLOWS).index(route.workflow)
    # Inputs of workflows that come first would ask for another workflow.
    taboo = {name for other in list(WORKFLOWS)[:rank] for name in WORKFLOWS[other]}
    likely = [name for name in kind if name in route.by_name and name not in taboo]
    chosen = set(draw(st.lists(st.sampled_from(likely), unique=True)))
    if inputs and not chosen & set(inputs):
        chosen.add(inputs[0])
    if draw(st.booleans()):
        chosen |= {"prompt", *[name for name in inputs if name in likely]}
    if stray and draw(st.integers(0, 3)) == 0:
        chosen.add(draw(st.sampled_from([name for name in kind if name not in taboo])))
    request = {name: draw(kind[name]) for name in kind if name in chosen}
    return {"model": route.model, **request}
