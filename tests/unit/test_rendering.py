"""The simulator's files are what they claim to be, as told by a decoder."""

from __future__ import annotations

import sys
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import pytest
from PIL import Image
from polyreel.errors import MissingExtraError
from polyreel.simulator.rendering import ImageFormat, render_image, render_video

if TYPE_CHECKING:
    from collections.abc import Sequence


CAPTION = ("vendor", "kling-v3", "A paper boat sails down a gutter after the rain.")
FORMATS: tuple[ImageFormat, ...] = ("jpeg", "png", "webp")
NASTY_CAPTIONS: dict[str, Sequence[str]] = {
    "nothing": [],
    "empty lines": ["", " ", "\n"],
    "5,000 letters": ["x" * 5_000],
    "5,000 words": ["rain " * 5_000],
    "5,000 lines": ["rain"] * 5_000,
    "control characters": ["".join(map(chr, range(32))) + "\x7f\x85\u2028"],
    "emoji": ["\N{GRINNING FACE}\N{WOMAN}\u200d\N{ROCKET}\ufe0f" * 50],
    "right to left": ["\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 " * 50],
    "combining marks": ["e" + "\u0301" * 500],
    "lone surrogates": ["\ud800 lost \udfff"],
    "wide letters": ["\ufdfd\u732b" * 500],
}


def frames(file: bytes) -> list[av.VideoFrame]:
    with av.open(BytesIO(file), "r") as container:
        return list(container.decode(video=0))


def still(caption: Sequence[str]) -> Image.Image:
    return Image.open(
        BytesIO(render_image(width=640, height=360, output_format="png", caption=caption))
    )


@pytest.mark.parametrize(
    ("seconds", "width", "height", "audio"),
    [
        (1, 16, 16, True),
        (1, 98, 64, False),
        (2, 854, 480, True),
        (3, 640, 640, False),
        (5, 720, 1280, True),
        (15, 320, 180, True),
    ],
)
def test_a_video_has_the_asked_duration_size_and_sound(
    seconds: int, width: int, height: int, audio: bool
) -> None:
    file = render_video(seconds=seconds, width=width, height=height, audio=audio, caption=CAPTION)
    with av.open(BytesIO(file), "r") as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(seconds, abs=0.1)
        assert [stream.type for stream in container.streams] == ["video", "audio"][: 1 + audio]
        for stream in container.streams:
            assert stream.duration is not None
            assert stream.time_base is not None
            assert float(stream.duration * stream.time_base) == pytest.approx(seconds, abs=0.1)
        (video,) = container.streams.video
        assert (video.codec_context.name, video.average_rate) == ("h264", Fraction(24))
        decoded = list(container.decode(video))
    assert len(decoded) == 24 * seconds
    assert {(frame.width, frame.height, frame.format.name) for frame in decoded} == {
        (width, height, "yuv420p")
    }
    assert [frame.time for frame in decoded] == pytest.approx(
        [number / 24 for number in range(24 * seconds)], abs=1e-3
    )


def test_the_sound_is_a_quiet_stereo_tone_of_the_videos_length() -> None:
    with av.open(
        BytesIO(render_video(seconds=3, width=64, height=64, audio=True, caption=CAPTION)), "r"
    ) as container:
        (sound,) = container.streams.audio
        assert (sound.codec_context.name, sound.sample_rate, sound.layout.name) == (
            "aac",
            48_000,
            "stereo",
        )
        decoded = list(container.decode(sound))
    assert sum(frame.samples for frame in decoded) == pytest.approx(3 * 48_000, abs=4_800)
    for plane in decoded[len(decoded) // 2].planes:
        loudest = max(memoryview(bytes(plane)).cast("f"))
        assert 0.01 < loudest < 0.1


def test_the_picture_changes_four_times_a_second() -> None:
    film = frames(render_video(seconds=2, width=320, height=180, audio=False, caption=CAPTION))
    pictures = [frame.planes[0] for frame in film[::6]]
    assert all(bytes(before) != bytes(after) for before, after in pairwise(pictures))
    bar = [bytes(plane)[178 * plane.line_size + 100] > 128 for plane in pictures]
    assert bar == [False] * 3 + [True] * 5


def test_the_background_depends_on_the_caption() -> None:
    assert len({still([text]).getpixel((63, 359)) for text in ("one", "two", "three")}) == 3


def test_the_caption_is_visible() -> None:
    assert len(still(["\x00"]).getcolors() or []) == 1
    assert len(still(["vendor"]).getcolors() or []) > 2


def test_a_video_can_start_before_it_is_downloaded() -> None:
    file = render_video(seconds=1, width=64, height=64, audio=True, caption=CAPTION)
    assert file[4:8] == b"ftyp"
    assert 0 < file.index(b"moov") < file.index(b"mdat")


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (333, 77), (1024, 1536)])
def test_an_image_has_the_asked_format_and_size(
    output_format: ImageFormat, width: int, height: int
) -> None:
    file = render_image(width=width, height=height, output_format=output_format, caption=CAPTION)
    with Image.open(BytesIO(file)) as picture:
        picture.load()
        assert (picture.format, picture.size) == (output_format.upper(), (width, height))


@pytest.mark.parametrize("caption", NASTY_CAPTIONS.values(), ids=list(NASTY_CAPTIONS))
@pytest.mark.parametrize(("width", "height"), [(2, 2), (2, 426), (24, 426), (240, 426)])
def test_any_caption_can_be_drawn(caption: Sequence[str], width: int, height: int) -> None:
    assert (
        len(
            frames(
                render_video(seconds=1, width=width, height=height, audio=False, caption=caption)
            )
        )
        == 24
    )
    assert render_image(width=width, height=height, output_format="png", caption=caption)


def test_equal_arguments_give_equal_bytes() -> None:
    films = {
        render_video(seconds=2, width=640, height=360, audio=True, caption=CAPTION)
        for _ in range(3)
    }
    assert len(films) == 1
    for output_format in FORMATS:
        images = {
            render_image(width=99, height=99, output_format=output_format, caption=CAPTION)
            for _ in range(2)
        }
        assert len(images) == 1


@pytest.mark.parametrize("module", ["av", "PIL"])
def test_a_missing_library_is_named_with_its_cure(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=r"needs the simulator extra: pip install 'polyreel\[simulator\]'"
    ):
        render_video(seconds=1, width=16, height=16, audio=False, caption=CAPTION)


def test_an_image_needs_only_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert render_image(width=16, height=16, output_format="png", caption=CAPTION)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError):
        render_image(width=16, height=16, output_format="png", caption=CAPTION)
