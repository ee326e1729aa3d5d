"""How deep a document may be is polyreel's own limit in every format, whatever the installed
parsers bear.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from polyreel.batch import scan
from polyreel.cli.compare import contract_of
from polyreel.cli.files import REQUEST_DEPTH, parse
from polyreel.cli.files import load as load_request
from polyreel.cli.options import prices
from polyreel.cli.vendor import load as load_spec
from polyreel.depth import MAX_DEPTH, json_is_deep, toml_is_deep, value_problem, yaml_is_deep
from polyreel.errors import BadReplyError, PolyreelError, RequestError
from polyreel.flows import Reply
from polyreel.places import MAX_JSON_DEPTH
from polyreel.simulator import faultfile
from polyreel.verification.documents import UnreadableDocumentError, from_json, from_yaml
from polyreel.verification.recordings import read_recording
from ruamel.yaml import YAML

FAR: Final = 100_000
TOO_DEEP: Final = "nested too deeply"

# -- documents of a depth --------------------------------------------------------------------------


def lists(depth: int) -> bytes:
    """Lists in lists, in JSON, YAML or the value of a TOML key."""
    return b"[" * depth + b"]" * depth


def objects(depth: int) -> bytes:
    """Objects in objects, in JSON or YAML."""
    return b'{"a": ' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def mixed(depth: int) -> bytes:
    """Both, between strings and names with brackets and quotes in them."""
    opened = [b'["]", "\\"[", ', b'{"]}": "{{", "b\\\\": ']
    closed = [b"]", b"}"]
    levels = range(depth - 1)
    return (
        b"".join(opened[n % 2] for n in levels)
        + b"[]"
        + b"".join(closed[n % 2] for n in reversed(levels))
    )


def unfinished(depth: int) -> bytes:
    """What nobody closes: the mistake is behind the depth."""
    return b"[" * depth


def dashes(depth: int) -> bytes:
    """YAML's lists in one line."""
    return b"- " * depth + b"x"


def questions(depth: int) -> bytes:
    """YAML's mappings as keys of mappings."""
    return b"? " * depth + b"x"


def indented(depth: int) -> bytes:
    """YAML's mappings below one another, as people write them."""
    return b"".join(b" " * level + b"a:\n" for level in range(min(depth, 2000)))


def lines(depth: int) -> bytes:
    """YAML's lists in brackets, one a line, where no scanner reads ahead."""
    return b"[\n" * depth + b"]\n" * depth


JSON: Final = [lists, objects, mixed]
FLOW: Final = [lists, objects, mixed, lines]
BLOCK: Final = [dashes, questions, indented]


def tables(depth: int) -> bytes:
    """TOML's tables in one line."""
    return b"x = " + b"{a = " * (depth - 2) + b"{}" + b"}" * (depth - 2)


def arrays(depth: int) -> bytes:
    """TOML's arrays, in the table that every file is."""
    return b"x = " + lists(depth - 1)


def dotted(depth: int) -> bytes:
    """A key of TOML with many parts."""
    return b".".join([b"a"] * depth) + b" = 1"


def headed(depth: int) -> bytes:
    """The header of a table below tables, and a key with parts: neither is deep alone."""
    half = depth // 2
    return b"[" + b".".join([b"a"] * half) + b"]\n" + b".".join([b"b"] * (depth - half)) + b" = 1"


TOML: Final = [tables, arrays, dotted, headed]


# -- the helpers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", JSON)
@pytest.mark.parametrize("depth", [1, 2, 64, 65, 100, 101, 600])
def test_the_depth_of_json(make: Callable[[int], bytes], depth: int) -> None:
    """To the level, as bytes in each of JSON's encodings and as text."""
    content = make(depth)
    text = content.decode()
    for form in (
        content,
        text,
        b"\xef\xbb\xbf" + content,
        text.encode("utf-16"),
        text.encode("utf-32-be"),
    ):
        assert json_is_deep(form, depth - 1)
        assert not json_is_deep(form, depth)


def depth_of(value: Any) -> int:
    """The depth of a value, by definition."""
    items = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if items is None else 1 + max(map(depth_of, items), default=0)


TEXTS = st.text(st.sampled_from('[]{}"\\,:x\u00e9\ud800')) | st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=30,
)


@given(VALUES, st.booleans(), st.integers(0, 8))
def test_the_depth_of_any_json(value: Any, ascii_only: bool, limit: int) -> None:
    """However strings look, of which some are full of brackets, quotes and backslashes."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert (
        json_is_deep(text, limit)
        == (depth_of(value) > limit)
        == (value_problem(value, limit) is not None)
    )


@given(st.text(st.sampled_from('[]{}"\\,:1 '), max_size=40), st.integers(0, 3))
@example('"\\\\"[[[[', 3)
@example('"\\\\\\"[[[[', 3)
@example("]][[[", 2)
def test_what_a_parser_of_json_enters_is_counted(text: str, limit: int) -> None:
    """Of text with mistakes at least as many levels are counted as a parser enters before the first
    of them.
    """
    entered, open_at_once, at = 0, 0, 0
    while at < len(text):
        if text[at] == '"':
            _, at = closed if (closed := _string(text, at + 1)) else (None, len(text))
            continue
        open_at_once += (text[at] in "[{") - (text[at] in "]}")
        if open_at_once < 0 or text[at] == "\\":
            break  # no parser goes on from here
        entered, at = max(entered, open_at_once), at + 1
    assert json_is_deep(text, limit) or entered <= limit


def _string(text: str, begin: int) -> tuple[str, int] | None:
    """The text of a string and where it ends; None where it does not."""
    try:
        text, end = json.JSONDecoder(strict=False).raw_decode(text, begin - 1)
    except json.JSONDecodeError:
        return None
    return text, end


@pytest.mark.parametrize("make", [tables, arrays, dotted])
@pytest.mark.parametrize("depth", [3, 50, 100, 101, 600])
def test_the_depth_of_toml(make: Callable[[int], bytes], depth: int) -> None:
    """To the level: brackets are counted in the file's own table, and the parts of keys as they
    stand.
    """
    text = make(depth).decode()
    assert toml_is_deep(text, depth - 1)
    assert not toml_is_deep(text, depth)


def test_text_and_comments_of_toml_are_not_deep() -> None:
    """Brackets and dots in them open nothing, and a string that only looks finished hides
    nothing.
    """
    many = "[{." * 200
    texts = [
        f'"{many}\\"{many}"',
        f"'{many}'",
        f'"""{many}\n"" \\" {many}"""""',
        f"'''{many}\n'' {many}'''''",
    ]
    assert not toml_is_deep(f"x = 1 # {many}\ny = [[]]", 3)
    for text in texts:
        tomllib.loads(f"x = {text}\ny = [{text}, [[]]]")
        assert not toml_is_deep(f"x = {text}\ny = [{text}, [[]]]", 4)
        assert toml_is_deep(f"x = [{text}, [[[]]]]", 4)


def pyyaml(content: bytes) -> Iterator[Any]:
    """Events of PyYAML, made in C where there is C."""
    return yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def plain_pyyaml(content: bytes) -> Iterator[Any]:
    """Events of PyYAML, made in Python."""
    return yaml.parse(content, Loader=yaml.SafeLoader)


def ruamel(content: bytes) -> Iterator[Any]:
    """Events of ruamel.yaml."""
    return YAML(typ="safe", pure=True).parse(content)  # type: ignore[no-any-return]


@pytest.mark.matrix("events+make", "depth")
@pytest.mark.parametrize("events", [pyyaml, plain_pyyaml, ruamel])
@pytest.mark.parametrize("make", [*FLOW, *BLOCK])
@pytest.mark.parametrize("depth", [1, 99, 100, 300])
def test_the_depth_of_yaml(
    events: Callable[[bytes], Iterator[Any]], make: Callable[[int], bytes], depth: int
) -> None:
    """To the level, by the events of every parser that is used."""
    assert yaml_is_deep(make(depth), events(make(depth)), depth - 1)
    assert not yaml_is_deep(make(depth), events(make(depth)), depth)


@pytest.mark.slow
@pytest.mark.matrix("events", "before")
@pytest.mark.parametrize("events", [pyyaml, plain_pyyaml, ruamel])
@pytest.mark.parametrize("before", [b"", b"- ", b"- " * 60, b'"[[[[": ', b"x: y[[[[\nz: "])
def test_no_limit_of_a_library_shows(
    events: Callable[[bytes], Iterator[Any]], before: bytes
) -> None:
    """Scanners read ahead, and stop at limits of their own before they tell of a bracket."""
    for depth in (101, 1050):
        content = before + unfinished(depth)
        assert yaml_is_deep(content, events(content))
    with pytest.raises(Exception, match=r"(?s)flow"):
        yaml_is_deep(b"- [" + before, events(b"- ["))


def test_a_limit_that_is_met_first_is_distinguished_from_a_mistake() -> None:
    """With a parser whose own limit is lower than today's: the error is the library's only where
    brackets are few.
    """

    class Mark:
        index = 120

    class StoppedError(Exception):
        problem_mark = Mark()

    def stopping() -> Iterator[Any]:
        yield from ()
        raise StoppedError

    assert yaml_is_deep(unfinished(200), stopping())
    with pytest.raises(StoppedError):
        yaml_is_deep(b"[]" * 100 + b"]", stopping())
    with pytest.raises(StoppedError):
        yaml_is_deep(b'"' + unfinished(110) + b'": ' + unfinished(100), stopping())


def test_a_value_without_an_end_is_refused() -> None:
    """As aliases of YAML make it."""
    value: list[Any] = []
    value.append(value)
    assert value_problem(value) == TOO_DEEP
    wide: list[Any] = [0] * 2000
    assert "too much in it" in str(value_problem([wide] * 2000))


# -- every way in ----------------------------------------------------------------------------------


def in_file(read: Callable[[Path], object], name: str) -> Callable[[bytes, Path], object]:
    """What reads a file of this name."""

    def enter(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return enter


def in_member(
    name: bytes, enter: Callable[[bytes, Path], object]
) -> Callable[[bytes, Path], object]:
    """The document as the value of a member, which takes one level itself."""
    return lambda content, folder: enter(b'{"' + name + b'": ' + content + b"}", folder)


def read_row(path: Path) -> None:
    """A row of a batch."""
    for mistake in scan(path).problems:
        raise RequestError([mistake.text])


def reply_json(content: bytes, _: Path) -> object:
    """An answer; what is wrong with it is never repeated in the error."""
    try:
        return Reply(200, {}, content).json()
    except BadReplyError as error:
        raise BadReplyError(str(error).replace("is not usable JSON", TOO_DEEP)) from None


Way = tuple[Callable[[bytes, Path], object], int, Sequence[Callable[[int], bytes]]]
"""A way in, the deepest document that may come in there, and the forms of documents."""

WAYS: Final[dict[str, Way]] = {
    "request": (in_file(lambda path: load_request(str(path)), "r.json"), REQUEST_DEPTH, JSON),
    "body": (lambda content, _: parse(content, "body.json"), MAX_DEPTH, JSON),
    "spec-json": (in_file(contract_of, "s.json"), MAX_DEPTH, JSON),
    "spec-yaml": (in_file(contract_of, "s.yaml"), MAX_DEPTH, [*FLOW, *BLOCK]),
    "new-vendor-json": (in_file(lambda path: load_spec(str(path)), "s.json"), MAX_DEPTH, JSON),
    "new-vendor-yaml": (
        in_file(lambda path: load_spec(str(path)), "s.yaml"),
        MAX_DEPTH,
        [lists, lines, *BLOCK],
    ),
    "batch": (in_file(read_row, "rows.jsonl"), MAX_DEPTH, [lists, mixed]),
    "prices": (in_file(prices, "prices.toml"), MAX_DEPTH, TOML),
    "faults": (in_file(lambda path: faultfile.read(path, []), "faults.toml"), MAX_DEPTH, TOML),
    "recording": (
        lambda content, _: read_recording(content, "x"),
        MAX_DEPTH,
        [lists, objects, mixed, dashes],
    ),
    "har": (
        in_member(b"log", lambda content, _: read_recording(content, "x")),
        MAX_DEPTH - 1,
        JSON,
    ),
    "json-lines": (
        lambda content, _: read_recording(
            b'{"method": "GET", "url": "https://a.example"}\n' + content, "x"
        ),
        MAX_DEPTH,
        JSON,
    ),
    "cassette": (
        lambda content, _: read_recording(b"interactions: " + content, "x"),
        MAX_DEPTH - 1,
        FLOW,
    ),
    "recorded-json": (lambda content, _: from_json(content), MAX_DEPTH, JSON),
    "recorded-yaml": (lambda content, _: from_yaml(content), MAX_DEPTH, [*FLOW, dashes, indented]),
    "reply": (reply_json, MAX_JSON_DEPTH, JSON),
}
CASES: Final = [(name, make) for name, (_, _, makes) in WAYS.items() for make in makes]


def reported(name: str, content: bytes, folder: Path) -> str:
    """What is said against a document; nothing where it comes in."""
    try:
        WAYS[name][0](content, folder)
    except (PolyreelError, ValueError, UnreadableDocumentError) as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.matrix("name", "make")
@pytest.mark.parametrize(
    ("name", "make"), CASES, ids=lambda one: one if isinstance(one, str) else one.__name__
)
def test_every_way_in_has_one_limit_and_one_wording(
    name: str, make: Callable[[int], bytes], tmp_path: Path
) -> None:
    """What is as deep as it may be is read: what is said against it, if anything, is something
    else.
    """
    limit = WAYS[name][1]
    assert TOO_DEEP not in reported(name, make(limit), tmp_path)
    for depth in (limit + 1, 1050, FAR):
        message = reported(name, make(depth), tmp_path)
        assert TOO_DEEP in message
        assert len(message) < 300
        assert "\n" not in message


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, _, makes) in WAYS.items() if lists in makes])
def test_a_mistake_behind_the_depth_changes_nothing(name: str, tmp_path: Path) -> None:
    """Brackets that nobody closes are too deep all the same, also where the whole stack is nearly
    used up.
    """
    for depth in (WAYS[name][1] + 1, 1024, FAR):
        assert TOO_DEEP in reported(name, unfinished(depth), tmp_path)

    def lower(frames: int) -> str:
        return reported(name, lists(FAR), tmp_path) if frames == 0 else lower(frames - 1)

    assert TOO_DEEP in lower(sys.getrecursionlimit() // 2)
