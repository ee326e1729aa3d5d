"""The timeline of shots: drawn in proportion, and watched against the clip and the vendors."""

from __future__ import annotations

from polyreel import AsyncClient
from polyreel.studio.columns import columns
from polyreel.studio.extents import SCALE_WIDTH, shown_routes
from polyreel.studio.forms import read_form
from polyreel.studio.shots import GAP, ShotTimeline, timeline


def test_shots_are_drawn_in_proportion() -> None:
    shots = ShotTimeline((2, None, 6), 10, (("short", 6.0), ("long", 16.0)))
    assert (shots.total, shots.open, shots.fits) == (8, 1, True)
    assert [(one.number, one.begin, one.width + GAP) for one in shots.parts] == [
        (1, 0, SCALE_WIDTH / 8),
        (3, SCALE_WIDTH / 8, SCALE_WIDTH * 3 / 8),
    ]
    assert [one.vendor for one in shots.over] == ["short"]
    assert [one.width for one in shots.limits] == [SCALE_WIDTH * 3 / 8, SCALE_WIDTH]
    assert "shot 3: 6 s; short up to 6 s" in shots.text


def test_shots_are_as_long_as_the_clip() -> None:
    assert ShotTimeline((2, 3), 5, ()).fits
    assert ShotTimeline((2, 3), None, ()).fits
    assert not ShotTimeline((2, 3), 6, ()).fits


def test_limits_are_those_of_vendors_that_take_shots() -> None:
    typed = [("shot_prompt", "a cat"), ("shot_duration", "2"), ("shot_prompt", "a dog")]
    form = read_form(typed)
    routes = shown_routes(form, columns(form, AsyncClient()))
    found = timeline(form, routes)
    assert found is not None
    assert found.lengths == (2, None)
    assert 0 < len(found.most) < len(routes)
    assert timeline(read_form([("prompt", "a cat")]), routes) is None
