"""Replies of vendors with something wrong, and what they say, read without polyreel."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any, Final

from polyreel.errors import PolyreelError
from polyreel.flows import Flow, Now, Reply, Send
from polyreel.providers.base.facts import FINAL, Facts, Reads, Status, status_of
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider

from support.faults import VENDORS, encoded, result_of
from support.matrix import seed, shared

COUNT: Final = shared(10_000, len(VENDORS))
"""Mutations for each parser of each vendor: 10,000 in the whole matrix."""
WORDS: Final = shared(1_000, len(VENDORS))
"""Words in no table, for each vendor: 1,000 in the whole matrix."""


def drawing(test: int) -> Random:
    """What a test draws its mutations from: other ones with each commit."""
    return Random(f"{seed()} {test}")


TASK_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def of_role(*roles: str) -> list[str]:
    """The vendors that document a call with one of these roles."""
    return [
        vendor for vendor in VENDORS if any(map(get_provider(vendor).contract.operation, roles))
    ]


LISTING: Final = of_role("list", "list-running")


def drive(flow: Flow[Any], reply: Reply) -> Any:
    """The result of a flow whose every call gets the same reply; all other steps are done without a
    word.
    """
    outcome: Any = None
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as stop:
            return stop.value
        if isinstance(step, Send):
            outcome = result_of(step) or reply
        else:
            outcome = 1_800_000_000.0 if isinstance(step, Now) else None


ODD_VALUES: Final = r"""
NaN -Infinity 1e999 -1e999 1e308 -0 0 1 42 1.5 null true [] {} [[]] [{}] [null] {"id":null}
{"url":5}
"" "x" "42%" "\ud800" "a\u0000b" "\u202e" "../etc" "a..b" "javascript:alert(1)" "file:///etc/passwd"
"http:" "HTTPS://E.EXAMPLE/a" "https://e.example/a" ["https://e.example/a"]
"completed" "succeeded" "FAILED" "Success" "done" "complete" "un-completed"
"""
TOKENS: Final = (
    *ODD_VALUES.split(),
    *(
        '" "',
        '"COMPLETED "',
        '"not completed"',
        "9" * 25,
        "9" * 5000,
        '"' + "x" * 300 + '"',
        "[" * 70 + "]" * 70,
    ),
)
"""Values that a vendor could send in any place, as they stand in the text."""
MARK: Final = "@here@"
PAGES: Final = (
    *b"null [] {} true \x00 \xff\xfe id=x&status=completed".split(),
    *(b"", b" ", b"[" * 100_000, b'{"id":' * 20_000, b'"id"', b'{"id": "x"', b"data: {}\n\n"),
    b"<!doctype html><title>502 Bad Gateway</title>",
)
KINDS: Final = """
application/json application/json; application/jsonl application/xml application/problem+json
JSON text/json
text/html text/event-stream text/plain application/octet-stream image/png video/mp4
multipart/form-data */* a/b/c
"""
TYPES: Final = (
    *KINDS.split(),
    "",
    "\x00",
    "é",
    "application/json; charset=utf-16",
    "text/plain; charset=latin-1",
)
CODECS: Final = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037")


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a body: the object or list it stands in, and its name or index there."""
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, item in list(pairs):
        yield value, name
        yield from spots(item)


def replaced(random: Random, body: Any) -> bytes:
    """One to three values become others of any type; some vanish, move, or are wrapped."""
    root = {"root": deepcopy(body)}
    tokens = []
    for _ in range(random.choice([1, 1, 2, 3])):
        holder, name = random.choice(list(spots(root)))
        act = random.randrange(8)
        if act == 0 and holder is not root:
            del holder[name]
        elif act == 1:
            holder[name] = [holder[name]]
        elif act == 2:
            other, there = random.choice(list(spots(root)))
            holder[name] = deepcopy(other[there])
        else:
            holder[name] = MARK
            tokens.append(random.choice(TOKENS))
    text = json.dumps(root["root"])
    for token in tokens:
        text = text.replace(json.dumps(MARK), token, 1)
    return text.encode()


def repeated(random: Random, body: Any) -> bytes:
    """A key that is there twice, first or last, at the top or further down."""
    text = json.dumps(body)
    names = re.findall(r'"(\w+)":', text) or ["id"]
    pair = f'"{random.choice(names)}": {random.choice(TOKENS)}'
    places = [match.end() for match in re.finditer(r"\{(?!\})", text)] or [0]
    ends = [match.start() for match in re.finditer(r"(?<!\{)\}", text)] or [0]
    if random.random() < 0.5:
        at = random.choice(places)
        return f"{text[:at]}{pair}, {text[at:]}".encode()
    at = random.choice(ends)
    return f"{text[:at]}, {pair}{text[at:]}".encode()


def flipped(random: Random, body: Any) -> bytes:
    """One to eight bytes are others."""
    content = bytearray(encoded(body))
    for _ in range(random.randrange(1, 9)):
        content[random.randrange(len(content))] = random.randrange(256)
    return bytes(content)


def cut(random: Random, body: Any) -> bytes:
    """The end, the start, or something in between is missing."""
    content = encoded(body)
    start, end = sorted(random.choices(range(len(content) + 1), k=2))
    return random.choice(
        [content[:start], content[end:], content[:start] + content[end:], content[start:end]]
    )


def filled(random: Random, body: Any) -> bytes:
    """Bytes or values in between, before or after."""
    content, noise = (
        encoded(body),
        bytes(random.randrange(256) for _ in range(random.randrange(1, 12))),
    )
    piece = random.choice(
        [noise, random.choice(TOKENS).encode(), b"\x00", b"\xef\xbb\xbf", b"{", b"]", b'"', content]
    )
    at = random.choice([0, len(content), random.randrange(len(content) + 1)])
    return content[:at] + piece + content[at:]


def recoded(random: Random, body: Any) -> bytes:
    """In another encoding."""
    return json.dumps(body).encode(random.choice(CODECS))


def another(random: Random, body: Any) -> bytes:
    """Something else altogether."""
    return random.choice(PAGES)


MUTATIONS: Final[tuple[Callable[[Random, Any], bytes], ...]] = (
    *(replaced,) * 40,
    *(repeated,) * 15,
    *(flipped,) * 12,
    *(cut,) * 12,
    *(filled,) * 14,
    *(recoded,) * 6,
    another,
)


def mutated(random: Random, bodies: list[Any]) -> bytes:
    """One of the bodies, changed once or so that a value is odd and the bytes are, too."""
    return random.choice(MUTATIONS)(random, random.choice(bodies))


def answers(random: Random, bodies: list[Any], codes: list[int]) -> Reply:
    """A mutated reply with any content type."""
    headers = {
        "content-type": random.choice(TYPES),
        "retry-after": random.choice(["", "1", "nan", "-1", "9" * 400]),
    }
    return Reply(random.choice(codes), headers, mutated(random, bodies))


def oracle(content: bytes) -> Any:
    """The JSON of some bytes, with halves of characters as polyreel shows them; ValueError where it
    is none.
    """
    return whole(
        json.loads(content, parse_int=lambda text: int(text) if len(text) <= 20 else float(text))
    )


def whole(value: Any) -> Any:
    """The value without halves of characters and without numbers that are none."""
    if isinstance(value, dict):
        return {whole(name): whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def there(value: Any, place: str) -> Any:
    """The value at a dotted place, or None."""
    for name in place.split("."):
        if isinstance(value, list):
            value = dict(zip(map(str, range(len(value))), value, strict=True))
        value = value.get(name) if isinstance(value, dict) else None
    return value


def leading(value: Any, places: tuple[str, ...]) -> Any:
    """The first value of several places that is there."""
    return next((found for place in places if (found := there(value, place)) is not None), None)


def links(value: Any) -> set[str]:
    """Every text in a value that is an http(s) address."""
    if isinstance(value, (dict, list)):
        return set().union(*map(links, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) and re.match(r"https?://", value) else set()


def check_status(status: str, word: Any, table: dict[str, Status]) -> None:
    """A state that is told, above all a final one, is what the tables say of the very word."""
    if status in FINAL:
        assert isinstance(word, str)
    assert status == meaning(word, table)


def meaning(word: Any, table: Mapping[str, Status]) -> Status:
    """What a word means by the vendor's table, else what it means at every vendor."""
    plain = word.strip().lower() if isinstance(word, str) else ""
    return table[plain] if plain in table else status_of(word, {})


def check_facts(facts: Facts, raw: Any, reads: Reads, table: dict[str, Status]) -> None:
    """Facts are what the body says at the documented places.

    Where a job that is done has its result by another call, that stands beside it; done with an
    error is failed then.
    """
    if reads.result and "result" in facts.raw:
        raw = {**raw, "result": facts.raw["result"]}
    assert facts.raw == raw
    assert facts.id is None or facts.id == leading(raw, reads.id)
    word = leading(raw, reads.status)
    error = leading(raw, reads.error_code) or leading(raw, reads.error_message)
    if reads.result and facts.status == "failed" and error:
        assert meaning(word, table) in {"succeeded", "failed"}
    else:
        check_status(facts.status, word, table)
    places = [there(raw, place) for place in reads.outputs]
    assert set(facts.urls) <= (links(places) or links(raw))
    assert facts.progress is None or 0 <= facts.progress <= 1
    assert facts.estimated_seconds is None or 0 <= facts.estimated_seconds < math.inf


def bodies_of(provider: Provider, *roles: str) -> list[Any]:
    """The documented replies to the calls with these roles, errors too."""
    operations = [each for each in provider.contract.operations.values() if each.role in roles]
    assert operations
    return [body for each in operations for _, _, _, body in provider.contract.replies(each)]


OKAY: Final = [200, 200, 200, 200, 200, 201, 202, 206]
ALL_CODES: Final = [
    *OKAY,
    *OKAY,
    204,
    302,
    400,
    401,
    402,
    404,
    409,
    418,
    422,
    429,
    500,
    502,
    503,
    504,
]


def outcome(act: Callable[..., Any], *arguments: Any) -> Any:
    """What comes of it, or the error of polyreel's own; any other error fails the test."""
    try:
        return act(*arguments)
    except PolyreelError as error:
        return error


def documented_list(provider: Provider) -> Any:
    """The contract's example of a list."""
    return next(
        body for body in bodies_of(provider, "list", "list-running") if items_of(body) is not None
    )


def items_of(raw: Any) -> list[Any] | None:
    """The items of a list: bare, in `data`, or in a list further inside."""
    items = raw.get("data") if isinstance(raw, dict) else raw
    if isinstance(items, dict):
        items = items.get("result")
    return items if isinstance(items, list) else None
