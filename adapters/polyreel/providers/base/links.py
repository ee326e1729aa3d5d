"""Finds the files of a job in an answer whose documented places have none. Knows no vendor.

A vendor that says "done" and has its link at a place that nobody wrote down must not cost its user
the file. A link is taken for an output by its shape: the names above it, and the ending of its
path. Links that the answer repeats from the request, and links to status queries, covers and the
like, are never taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from ...depth import MAX_DEPTH
from ...errors import BadReplyError
from ...flows import Reply
from ...places import Json, JsonObject, Place, pointer_text
from .answers import is_link


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


NOT_OUTPUTS: Final = _each(
    """action actions arguments callback cancel config cover dashboard docs error errors first frame
    frames get help hook href init input inputs last log logo logs mask metrics next options origin
    original parameters params poll poster preview prompt prompts query ref reference references
    request self source sources start status stream support tail thumb thumbnail thumbnails trace
    tracking web webhook"""
)
"""Words in the names of members whose links are no outputs."""
OUTPUTS: Final = _each(
    """artifact artifacts download downloads generated generation generations output outputs result
    results"""
)
"""Words in the names of members whose links are outputs."""
MEDIA: Final = _each(
    """asset assets clip clips content contents file files image images link links media movie
    resource resources uri uris url urls video videos work works"""
)
"""Words in the names of members whose links can be outputs."""
VIDEO: Final = frozenset({"mp4", "mov", "webm", "m4v", "mkv", "avi", "mpeg", "mpg"})
IMAGE: Final = frozenset({"png", "jpg", "jpeg", "webp", "gif", "avif", "heic"})
BY_NAME: Final = 1
"""The rank of a link without the ending of a file."""
PAGES: Final = frozenset({"htm", "html", "json", "js", "css", "txt", "xml", "pdf", "php"})


@frozen
class FoundLinks:
    """Links that look like the outputs of a job, and the JSON Pointer of the first."""

    urls: tuple[str, ...]
    place: str


def links_by_shape(raw: JsonObject, *, files_only: bool = False) -> FoundLinks | None:
    """The links of an answer that look most like its outputs, in their order; None without any.

    A link whose path ends like a video comes before one that only stands under a name like
    `result`, and that one before a link to an image. Only links at places that differ in numbers
    are taken together. With `files_only`, the ending of a path must be a video's or an image's.
    """
    found = list(_links(raw, (), wanted=True))
    echoed = {url for url, _, wanted in found if not wanted}
    ranked = [
        (rank, place, url)
        for url, place, wanted in found
        if wanted and url not in echoed and (rank := _rank(url, place)) is not None
    ]
    ranked = [one for one in ranked if one[0][0] != BY_NAME or not files_only]
    if not ranked:
        return None
    best, first, _ = min(ranked, key=lambda one: one[0])
    same = [url for rank, place, url in ranked if rank == best and _plain(place) == _plain(first)]
    return FoundLinks(tuple(dict.fromkeys(same)), pointer_text(first))


def _links(value: Json, place: Place, *, wanted: bool) -> Iterator[tuple[str, Place, bool]]:
    """Every link in a value, with its place, and whether no name above it speaks against it."""
    if len(place) > MAX_DEPTH:
        return
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        value = _parsed(value)
    if isinstance(value, dict):
        for name, item in value.items():
            own = name != "response_url" and not _words(name) & NOT_OUTPUTS
            yield from _links(item, (*place, name), wanted=wanted and own)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _links(item, (*place, index), wanted=wanted)
    elif isinstance(value, str) and is_link(value):
        yield value, place, wanted


def _parsed(text: str) -> Json:
    """The JSON that stands in a text: some answers have their result as one. None without any."""
    try:
        found: Json = Reply(200, {}, text.encode("utf-8", "replace")).json()
    except BadReplyError:
        return None
    return found


def _rank(url: str, place: Place) -> tuple[int, int] | None:
    """How much a link looks like an output, (0, 0) the most; None where it does not."""
    try:
        file = urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return None
    ending = file.rpartition(".")[2].lower() if "." in file else ""
    names = set[str]().union(*(_words(part) for part in place if isinstance(part, str)))
    name = 0 if names & OUTPUTS else 1 if names & MEDIA else 2
    if ending in VIDEO or ending in IMAGE:
        return (0 if ending in VIDEO else 2), name
    return None if name == 2 or ending in PAGES else (BY_NAME, name)


def _words(name: str) -> frozenset[str]:
    """The words of a member's name, in small letters: `resultUrls` has `result` and `urls`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return frozenset(re.findall(r"[a-z]+", spaced.lower()))


def _plain(place: Place) -> Place:
    """A place without the numbers in it."""
    return tuple(part for part in place if isinstance(part, str))
