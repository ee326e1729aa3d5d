"""The columns of the studio: what is remembered of them is what the template makes of them."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel import AsyncClient
from polyreel.money.book import PriceBook, Rate
from polyreel.studio import columntexts
from polyreel.studio.columns import plans_of
from polyreel.studio.forms import Pairs, read_form
from polyreel.studio.making import RequestPages
from polyreel.studio.studio import Studio
from support.payloads import PAYLOADS

FORMS: Final[dict[str, list[tuple[str, str]]]] = {
    "texts": [("duration", "5"), ("negative_prompt", "a dog")],
    "values": [
        ("workflow", "image-to-video"),
        ("first_frame", "https://media.example/a.png"),
        ("seed", "7"),
    ],
    "refused": [("duration", "1000")],
}
MARKS: Final = [f"mark{number:020}" for number in range(100)]
HOSTILE: Final = (
    *(
        '"',
        "'",
        "&",
        "&#34;",
        "<",
        ">",
        "\\",
        "\\u0000",
        "\0",
        "\n",
        " ",
        "\u2028",
    ),
    *("@Image1", "<<<image_1>>>", "漢字", "🎬", "run", "prompt", "columns", "a" * 401),
    *MARKS[:9],
    *PAYLOADS[::20],
)
RUN: Final = re.compile(r'name="run" value="[0-9a-f]{12} ')


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(client=AsyncClient(), folder=tmp_path_factory.mktemp("studio"))


def form(name: str) -> list[tuple[str, str]]:
    """A form without a prompt, for two vendors: that take it, or refuse it."""
    typed = read_form([*FORMS[name], ("prompt", "a cat")])
    plans = plans_of(typed, AsyncClient(), typed.vendors)
    found = [("vendor", one.vendor) for one in plans if one.refused is (name == "refused")]
    return [*FORMS[name], *found[:2]]


def answer(pages: RequestPages, pairs: Pairs, prompt: str, shown: str = "") -> str:
    """An answer, with one name in the place of each run's id."""
    text, _ = pages.replanned([*pairs, ("prompt", prompt), ("shown", shown)], "/base")
    return RUN.sub('name="run" value="RUN ', text)


def shown_in(text: str) -> str:
    """What the browser says that it shows, after an answer."""
    found = re.search(r'id="shown" value="([0-9a-f]+)"', text)
    assert found
    return found[1]


def warmed(studio: Studio, pairs: Pairs) -> tuple[RequestPages, str]:
    """Pages that have made the columns of a form several times, and what the browser shows."""
    pages, shown = RequestPages(studio), ""
    for number in range(5):
        shown = shown_in(answer(pages, pairs, f"a cat {number}", shown))
    return pages, shown


@pytest.mark.parametrize("name", ["texts", "values"])
def test_remembered_columns_are_those_of_the_template(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever is typed, and even where somebody guesses the marks of the places."""
    numbers = count()
    monkeypatch.setattr(columntexts, "new_mark", lambda: MARKS[next(numbers) % len(MARKS)])
    pairs = form(name)
    pages, shown = warmed(studio, pairs)

    @settings(max_examples=20)
    @given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), min_size=1).map("".join))
    def law(text: str) -> None:
        assert answer(pages, pairs, text, shown) == answer(RequestPages(studio), pairs, text, shown)

    law()
    answer(pages, pairs, "a dog", shown)
    assert pages.are_quick


def test_nothing_is_remembered_of_a_refusal(studio: Studio) -> None:
    pages, _ = warmed(studio, form("refused"))
    assert not pages.are_quick


def test_another_value_makes_another_column(studio: Studio) -> None:
    pairs = form("values")
    pages, shown = warmed(studio, pairs)
    for value in ("7", "8", "7"):
        other = [(name, value if name == "seed" else text) for name, text in pairs]
        assert f"seed&#34;: {value}" in answer(pages, other, "a cat", shown)


def test_a_price_that_looks_at_a_text_is_made_each_time(tmp_path: Path) -> None:
    pairs = form("texts")
    book = PriceBook((Rate(pairs[-1][1], Decimal(1), when={"prompt": "a cat"}),))
    studio = Studio(client=AsyncClient(prices=book), folder=tmp_path)
    pages, shown = warmed(studio, pairs)
    for prompt, is_it in (("a dog", False), ("a cat", True)):
        assert ("$5.0000" in answer(pages, pairs, prompt, shown)) is is_it


def test_what_is_said_at_the_controls_is_sent_when_it_changes(studio: Studio) -> None:
    pairs = form("texts")
    pages, shown = warmed(studio, pairs)
    for more, is_sent in (("", False), ("x", True), ("", True), ("", False)):
        text = answer(pages, [*pairs, ("seed", more)], "a cat", shown)
        assert ('id="f-seed-problem"' in text) is is_sent
        shown = shown_in(text)
