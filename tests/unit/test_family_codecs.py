"""Codecs and marks of families whose fields mean different things by number, word or workflow."""

from typing import Any

import pytest
from polyreel.mapping.codecs import (
    CannotExpressError,
    Limited,
    MeaninglessError,
    Prompt,
    Single,
    TwoOrMore,
    Unless,
    cited_inputs,
)
from polyreel.mapping.groups import FirstAndLast
from polyreel.mapping.marks import CHARACTER, LOWER_AT, NAMED, Marks

ONE, TWO, THREE = (f"https://example.com/{name}.png" for name in ("1", "2", "3"))
FRAMES = FirstAndLast("images")


@pytest.mark.parametrize(
    ("frames", "images"),
    [({"first_frame": ONE}, [ONE]), ({"first_frame": ONE, "last_frame": TWO}, [ONE, TWO])],
)
def test_frames_in_one_list_are_told_by_their_number(
    frames: dict[str, str], images: list[str]
) -> None:
    """The first frame, and after it the last one; both ways."""
    assert FRAMES.encode(frames) == {"images": images}
    assert FRAMES.decode({"images": images}) == frames


def test_a_last_frame_alone_would_be_the_first() -> None:
    """So it is refused, by its name."""
    with pytest.raises(CannotExpressError, match="needs a first frame") as caught:
        FRAMES.encode({"last_frame": TWO})
    assert caught.value.leaves == ("/last_frame",)


@pytest.mark.parametrize("images", [[ONE, TWO, THREE], ONE, {"0": ONE}])
def test_other_lists_are_no_frames(images: Any) -> None:
    """Three images, or no list."""
    with pytest.raises(ValueError, match="not a list of one image or two"):
        FRAMES.decode({"images": images})


def test_an_empty_list_asks_for_nothing() -> None:
    """As leaving it out does."""
    with pytest.raises(MeaninglessError):
        FRAMES.decode({"images": []})


def test_a_single_reference_would_be_a_frame() -> None:
    """Two are references in both directions; one is refused, and read as something else."""
    codec = TwoOrMore("one is the first frame")
    assert codec.encode([ONE, TWO], {}) == codec.decode([ONE, TWO], {}) == [ONE, TWO]
    with pytest.raises(CannotExpressError, match="first frame"):
        codec.encode([ONE], {})
    with pytest.raises(ValueError, match="first frame"):
        codec.decode([ONE], {})


def test_a_list_of_one_is_a_single_value() -> None:
    """Several are refused with the limit."""
    assert Single().encode([ONE], {}) == ONE
    assert Single().decode(ONE, {}) == [ONE]
    with pytest.raises(CannotExpressError) as caught:
        Single().encode([ONE, TWO], {})
    assert caught.value.limit == "only one"


def test_a_workflow_can_have_one_value_of_several() -> None:
    """The others are refused, with it as the nearest; a body's others mean nothing."""
    codec = Limited((8,), "fixed")
    assert codec.encode(8, {}) == codec.decode(8, {}) == 8
    with pytest.raises(CannotExpressError) as caught:
        codec.encode(4, {})
    assert (caught.value.nearest, caught.value.limit) == (8, "only 8")
    with pytest.raises(MeaninglessError):
        codec.decode(4, {})


def test_a_workflow_can_have_fewer_sizes() -> None:
    """The nearest is the next smaller one."""
    with pytest.raises(CannotExpressError) as caught:
        Limited(("480p", "720p"), "fewer").encode("1080p", {})
    assert (caught.value.nearest, caught.value.limit) == ("720p", "only 480p or 720p")


def test_a_word_can_ask_for_what_leaving_it_out_does() -> None:
    """It is read as nothing; other values stay."""
    assert Unless(0, "kept").encode(6, {}) == Unless(0, "kept").decode(6, {}) == 6
    with pytest.raises(MeaninglessError, match="kept"):
        Unless(0, "kept").decode(0, {})


@pytest.mark.parametrize(
    ("marks", "shared", "native"),
    [
        (LOWER_AT, "@Image1 as in @Video1 to @Audio1", "@image1 as in @video1 to @audio1"),
        (NAMED, "@Image1 as in @Video1", "Image 1 as in Video 1"),
        (CHARACTER, "@Image1 meets @Image2", "character1 meets character2"),
        # What cites nothing is text.
        (CHARACTER, "@Image1 and @Image3, @Video2", "character1 and @Image3, @Video2"),
    ],
)
def test_marks_are_spelled_as_each_family_does(marks: Marks, shared: str, native: str) -> None:
    """And read back."""
    inputs = {
        "reference_images": [ONE, TWO],
        "reference_videos": ["https://example.com/1.mp4"],
        "reference_audio": ["https://example.com/1.mp3"],
    }
    codec = Prompt(marks, cited_inputs)
    assert codec.encode(shared, inputs) == native
    assert codec.decode(native, inputs) == shared


@pytest.mark.parametrize(
    ("marks", "text"),
    [(NAMED, "Image 1 here"), (CHARACTER, "character1 here"), (LOWER_AT, "@image1 here")],
)
def test_a_family_s_own_marks_in_a_shared_prompt_are_refused(marks: Marks, text: str) -> None:
    """The vendor would resolve them; within other words they are no marks."""
    codec = Prompt(marks, cited_inputs)
    with pytest.raises(CannotExpressError, match="own reference marks"):
        codec.encode(text, {"reference_images": [ONE]})
    assert codec.encode(f"my{text}".replace("@", ""), {"reference_images": [ONE]})
