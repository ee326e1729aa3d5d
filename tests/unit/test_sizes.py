"""A size in one text, and words that the shared model has none for."""

from __future__ import annotations

from typing import Any

import pytest
from polyreel.mapping.codecs import Choice, NamelessError
from polyreel.mapping.reports import ConflictError, Fate, MappingReport
from polyreel.mapping.rows import Field
from polyreel.mapping.sizes import FrameSize, shared_size
from polyreel.places import JsonObject

ROWS = (
    Field("resolution", "resolution", Choice({"2k": "2K"}, nameless=frozenset({"1K"}))),
    Field("aspect_ratio", "aspect_ratio"),
    FrameSize("size"),
)


def read(body: JsonObject) -> tuple[JsonObject, MappingReport]:
    """What the rows say of a body."""
    shared: JsonObject = {}
    report = MappingReport()
    for row in ROWS:
        row.read(body, shared, report)
    return shared, report


@pytest.mark.parametrize(
    ("text", "resolution", "ratio"),
    [
        ("1280x720", "720p", "16:9"),
        ("720X1280", "720p", "9:16"),
        ("1080x1080", "1080p", "1:1"),
        ("3840x2160", "4k", "16:9"),
        ("1024x768", "768p", "4:3"),
        ("640x360", "360p", "16:9"),
    ],
)
def test_a_size_is_a_resolution_and_a_ratio(text: str, resolution: str, ratio: str) -> None:
    """One value of the body stands for both."""
    shared, report = read({"size": text})
    assert shared == {"resolution": resolution, "aspect_ratio": ratio}
    (entry,) = report.entries
    assert (entry.source, entry.fate, entry.others) == (
        "/size",
        Fate.CONVERTED,
        ("aspect_ratio",),
    )


@pytest.mark.parametrize(
    "value",
    [
        *("", "720p", "1280x", "x720", "1280*720", "1280x720p", "-1280x720", "01280x720", "0x0"),
        *("1000x1000", "2560x1440", "854x480", "1366x768", 720, [1280, 720], True, {}),
    ],
)
def test_a_size_without_shared_words_is_left_to_extra(value: Any) -> None:
    """No row takes it, so that the body keeps it; which 2k is meant is not certain."""
    assert shared_size(value) is None
    assert read({"size": value}) == ({}, MappingReport())


def test_null_says_what_leaving_out_says() -> None:
    """As everywhere."""
    shared, report = read({"size": None})
    assert shared == {}
    assert [entry.fate for entry in report.entries] == [Fate.DROPPED]


def test_two_sizes_must_agree() -> None:
    """A body that says another ratio beside its size says no size."""
    assert read({"size": "1280x720", "aspect_ratio": "16:9"})[0]["resolution"] == "720p"
    with pytest.raises(ConflictError, match="aspect_ratio"):
        read({"size": "1280x720", "aspect_ratio": "1:1"})


def test_nothing_is_written_as_a_size() -> None:
    """The two fields have places of their own."""
    body: JsonObject = {}
    ROWS[2].write({"resolution": "720p", "aspect_ratio": "16:9"}, body, {}, MappingReport())
    assert body == {}


def test_a_word_without_a_shared_one_is_left_to_extra() -> None:
    """It is no error, and nothing is lost; a word that is not known at all is a problem."""
    codec = ROWS[0].codec
    with pytest.raises(NamelessError):
        codec.decode("1K", {})
    assert read({"resolution": "1K"}) == ({}, MappingReport())
    assert read({"resolution": "2K"})[0] == {"resolution": "2k"}
    assert read({"resolution": "3K"})[1].problems
