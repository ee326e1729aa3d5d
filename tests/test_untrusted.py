"""Bytes nobody vouches for: mutated replies and deliveries in great numbers, none of which may pass for what it is not.

Every mutation is seeded. What a reply may prove is read a second time here, by other code than polyreel's.
"""

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any, Final

import pytest
from polyreel.errors import (
    AmbiguousError,
    BadReplyError,
    PolyreelError,
    RejectedError,
    VendorError,
    WebhookError,
)
from polyreel.flows import Flow, Now, Reply, Send
from polyreel.jobs import submitting
from polyreel.providers.base.facts import FINAL, Facts, Listed, Listing, Reads, Status
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import Event, parse
from polyreel_generated.shared import Job
from support.faults import VENDORS, encoded, every_vendor, plans
from support.webhooks import HOOKED, SECRET, SIGNED, UNSIGNED, deliveries, signed, webhook

COUNT: Final = 10_000
"""Mutations for each parser of each vendor."""
WORDS: Final = 1_000
TASK_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def of_role(*roles: str) -> list[str]:
    """The vendors that document a call with one of these roles."""
    return [
        vendor for vendor in VENDORS if any(map(get_provider(vendor).contract.operation, roles))
    ]


LISTING: Final = of_role("list", "list-running")


def drive(flow: Flow[Any], reply: Reply) -> Any:
    """The result of a flow whose every call gets the same reply; all other steps are done without a word."""
    outcome: Any = None
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as stop:
            return stop.value
        outcome = (
            reply if isinstance(step, Send) else 1_800_000_000.0 if isinstance(step, Now) else None
        )


# --- mutations ------------------------------------------------------------------------------------

ODD_VALUES: Final = r"""
NaN -Infinity 1e999 -1e999 1e308 -0 0 1 42 1.5 null true [] {} [[]] [{}] [null] {"id":null} {"url":5}
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
application/json application/json; application/jsonl application/xml application/problem+json JSON text/json
text/html text/event-stream text/plain application/octet-stream image/png video/mp4 multipart/form-data */* a/b/c
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


# --- what a body says, read without polyreel ------------------------------------------------------


def oracle(content: bytes) -> Any:
    """The JSON of some bytes, with halves of characters as polyreel shows them; ValueError where it is none."""
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
    """A state that is told, above all a final one, is what the table says of the very word."""
    if status in FINAL:
        assert isinstance(word, str)
    assert status == (
        table.get(word.strip().lower(), "unknown") if isinstance(word, str) else "unknown"
    )


def check_facts(facts: Facts, raw: Any, reads: Reads, table: dict[str, Status]) -> None:
    """Facts are what the body says at the documented places."""
    assert facts.raw == raw
    assert facts.id is None or facts.id == leading(raw, reads.id)
    check_status(facts.status, leading(raw, reads.status), table)
    places = [there(raw, place) for place in reads.outputs]
    assert set(facts.urls) <= links(places)
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


# --- submits --------------------------------------------------------------------------------------


@every_vendor
def test_no_submit_is_taken_for_what_it_is_not(vendor: str) -> None:
    """A job has the id that stands in the body; a refusal has a status that proves one; all else is ambiguous."""
    random, counts = Random(1), Counter[type]()
    provider, made = get_provider(vendor), next(iter(plans(vendor).values()))
    assert made.route is not None
    operation = provider.operation(made.route)
    bodies = [
        body
        for code, _, _, body in provider.contract.replies(operation)
        for _ in range(4 if code < 300 else 1)
    ]
    proofs = operation.spec.get("x-polyreel-not-accepted", submitting.NOT_ACCEPTED)
    for _ in range(COUNT):
        reply = answers(random, bodies, ALL_CODES)
        flow = submitting.submit(made, simulated=False, idempotency_key="key")
        found = outcome(drive, flow, reply)
        counts[type(found)] += 1
        if isinstance(found, Job):
            check_job(found, reply, provider)
        else:
            assert found.billed == ("no" if reply.status in proofs else "maybe")
            assert type(found) is (RejectedError if reply.status in proofs else AmbiguousError)
    assert set(counts) == {Job, RejectedError, AmbiguousError}
    assert min(counts.values()) > 500, counts


def check_job(job: Job, reply: Reply, provider: Provider) -> None:
    """A job of an accepted submit says what its reply does, and can be stored."""
    assert reply.ok
    raw = oracle(reply.content)
    assert job.id
    assert job.id == leading(raw, provider.reads.id)
    check_status(job.status, leading(raw, provider.reads.status), dict(provider.statuses))
    assert {str(output.url) for output in job.outputs or ()} <= links(raw)
    assert Job.model_validate_json(job.model_dump_json()) == job


# --- status queries -------------------------------------------------------------------------------


@every_vendor
def test_no_poll_is_taken_for_what_it_is_not(vendor: str) -> None:
    """Facts that stand in the body at the documented places, or a VendorError."""
    random, provider, good = Random(2), get_provider(vendor), 0
    bodies = bodies_of(provider, "get")
    for _ in range(COUNT):
        reply = answers(random, bodies, ALL_CODES)
        found = outcome(drive, provider.get("task-1"), reply)
        if isinstance(found, Facts):
            good += 1
            assert reply.ok
            check_facts(found, oracle(reply.content), provider.reads, dict(provider.statuses))
        else:
            assert isinstance(found, VendorError)
            assert found.billed == "no"
            assert isinstance(found, BadReplyError) == reply.ok
    assert good > COUNT * 0.1


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", LISTING)
def test_no_list_is_taken_for_what_it_is_not(vendor: str) -> None:
    """Tasks that are listed, each as it stands there, or a VendorError; odd items are left out and told."""
    random, provider, good, short = Random(3), get_provider(vendor), 0, 0
    bodies = [*[documented_list(provider)] * 6, *bodies_of(provider, "list", "list-running")]
    for _ in range(COUNT):
        reply = answers(random, bodies, ALL_CODES)
        found = outcome(drive, provider.recent(), reply)
        if isinstance(found, Listing):
            good, short = good + 1, short + (not found.complete)
            assert reply.ok
            check_listing(found, oracle(reply.content), provider)
        else:
            assert type(found) is (BadReplyError if reply.ok else VendorError)
    assert good > COUNT * 0.1
    assert short


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor not in LISTING])
def test_a_vendor_without_a_list_lists_nothing(vendor: str) -> None:
    """And is not asked."""
    assert list(get_provider(vendor).recent()) == []
    assert drive(get_provider(vendor).recent(), Reply(500, {}, b"")) is None


def documented_list(provider: Provider) -> Any:
    """The contract's example of a list."""
    return next(
        body for body in bodies_of(provider, "list", "list-running") if items_of(body) is not None
    )


def items_of(raw: Any) -> list[Any] | None:
    """The items of a list, bare or in `data`."""
    items = raw.get("data") if isinstance(raw, dict) else raw
    return items if isinstance(items, list) else None


def check_listing(listing: Listing, raw: Any, provider: Provider) -> None:
    """Every task is an item, and nothing is complete that leaves one out."""
    items = items_of(raw)
    assert items is not None
    assert listing.running_only == (provider.contract.operation("list-running") is not None)
    for task in listing.tasks:
        assert TASK_ID.fullmatch(task.id)
        assert ".." not in task.id
        assert any(is_item(task, item, provider) for item in items)
    assert len({task.id for task in listing.tasks}) == len(listing.tasks) <= len(items)
    assert not listing.complete or len(listing.tasks) == len(items)


def is_item(task: Listed, item: Any, provider: Provider) -> bool:
    """Whether a task is what an item of the list says."""
    if leading(item, provider.reads.id) != task.id:
        return False
    word = leading(item, provider.reads.status)
    status = (
        provider.statuses.get(word.strip().lower(), "unknown")
        if isinstance(word, str)
        else "unknown"
    )
    told = [fact for fact in (task.model, task.body, task.created) if fact is not None]
    return task.status == status and all(fact in item.values() for fact in told)


@pytest.mark.parametrize("vendor", LISTING)
def test_documented_lists_are_read(vendor: str) -> None:
    """Whole, with what each item tells."""
    provider = get_provider(vendor)
    raw = documented_list(provider)
    items = items_of(raw) or []
    listing = drive(provider.recent(), Reply(200, {}, encoded(raw)))
    assert listing.complete
    assert [task.id for task in listing.tasks] == [item["id"] for item in items]
    assert [task.body for task in listing.tasks] == [item.get("input") for item in items]
    assert [(task.model, task.created) for task in listing.tasks] == [
        (item.get("model"), item.get("created_at")) for item in items
    ]
    assert {task.status for task in listing.tasks} <= {"queued", "running", "succeeded"}


def listed(provider: Provider, page: Callable[[dict[str, Any]], Any]) -> tuple[int, bool, int]:
    """How many tasks are made of a vendor's pages, whether that is all, and how many calls it took."""
    flow, reply, calls = provider.recent(), None, 0
    while True:
        try:
            step = flow.send(reply)
        except StopIteration as stop:
            return len(stop.value.tasks), stop.value.complete, calls
        assert isinstance(step, Send)
        assert (step.method, step.paid) == ("GET", False)
        reply, calls = Reply(200, {}, encoded(page(dict(step.params)))), calls + 1


def tasks_of(vendor: str, count: int) -> list[Any]:
    """Items of a list."""
    return [
        {**(items_of(documented_list(get_provider(vendor))) or [])[0], "id": f"task-{n}"}
        for n in range(count)
    ]


@pytest.mark.parametrize("vendor", of_role("list-running"))
@pytest.mark.parametrize(
    ("count", "complete"), [(0, True), (1, True), (99, True), (100, False), (150, False)]
)
def test_a_list_that_is_full_is_not_complete(vendor: str, count: int, complete: bool) -> None:
    """There may be more than the longest list that can be asked for."""
    items = tasks_of(vendor, count)

    def page(asked: dict[str, Any]) -> Any:
        assert asked == {"limit": 100}
        return items

    assert listed(get_provider(vendor), page) == (count, complete, 1)


@pytest.mark.parametrize("vendor", of_role("list"))
@pytest.mark.parametrize(
    ("count", "size", "total", "paged", "expected"),
    [
        (0, 50, True, True, (0, True, 1)),
        (1, 50, True, True, (1, True, 1)),
        (50, 50, True, True, (50, True, 1)),
        (51, 50, True, True, (51, True, 2)),
        (200, 50, True, True, (200, True, 4)),
        (201, 50, True, True, (200, False, 4)),
        (
            45,
            20,
            True,
            True,
            (45, True, 3),
        ),  # a server that gives shorter pages than it is asked for
        (0, 50, False, True, (0, True, 1)),
        (60, 50, False, True, (60, True, 3)),
        (170, 50, False, True, (170, False, 4)),
        (70, 50, True, False, (50, False, 2)),  # a server that knows one page only
        (100, 50, True, False, (50, False, 2)),
        (70, 50, False, False, (50, False, 2)),
    ],
)
def test_pages_are_asked_for_to_their_end(
    vendor: str, count: int, size: int, total: bool, paged: bool, expected: tuple[int, bool, int]
) -> None:
    """Four at most; a list that repeats itself, or of which something may be left, is not complete."""
    items = tasks_of(vendor, count)

    def page(asked: dict[str, Any]) -> Any:
        assert asked["page_size"] == 50
        start = size * (asked["page"] - 1) if paged else 0
        return {"data": items[start : start + size], **({"total": count} if total else {})}

    assert listed(get_provider(vendor), page) == expected


# --- webhooks -------------------------------------------------------------------------------------


def check_event(event: Event, content: bytes, vendor: str) -> None:
    """An event is what its body says, by the webhook's own places and words."""
    hook = webhook(vendor)
    raw = oracle(content)
    assert event.task_id == leading(raw, hook.reads.id)
    assert TASK_ID.fullmatch(event.task_id)
    assert ".." not in event.task_id
    check_facts(event.facts, raw, hook.reads, dict(hook.statuses or get_provider(vendor).statuses))


@pytest.mark.parametrize("vendor", HOOKED)
def test_no_webhook_is_taken_for_what_it_is_not(vendor: str) -> None:
    """A delivery that is signed all right, or that nobody signs: an event as the body says, or a WebhookError."""
    random, good, now = Random(4), 0, int(time.time())
    bodies = list(deliveries(get_provider(vendor)).values())
    for _ in range(COUNT):
        content = mutated(random, bodies)
        headers = {"content-type": random.choice(TYPES), **signed(content, timestamp=now)}
        found = outcome(parse, vendor, headers, content, SECRET)
        if isinstance(found, Event):
            good += 1
            assert found.verified == (vendor in SIGNED)
            check_event(found, content, vendor)
        else:
            assert type(found) is WebhookError
    assert good > COUNT * 0.1


@pytest.mark.parametrize("vendor", SIGNED)
def test_no_webhook_is_taken_that_was_changed(vendor: str) -> None:
    """The signature of one body vouches for no other."""
    random, same, now = Random(5), 0, int(time.time())
    bodies = list(deliveries(get_provider(vendor)).values())
    for _ in range(COUNT):
        body = random.choice(bodies)
        content, headers = mutated(random, [body]), signed(encoded(body), timestamp=now)
        found = outcome(parse, vendor, headers, content, SECRET)
        assert type(found) is (Event if content == encoded(body) else WebhookError)
        same += isinstance(found, Event)
    assert same < COUNT * 0.1


# --- words ----------------------------------------------------------------------------------------


def words(random: Random, known: set[str]) -> Iterator[str]:
    """Words that are in no table: any letters, and near ones of those that are."""
    near = sorted(known)
    letters = "abcdefghijklmnopqrstuvwxyzABCXYZ_- 0189.!é\u212a\u0130ß\u200b\x00"
    count = 0
    while count < WORDS:
        word = "".join(random.choices(letters, k=random.randrange(12)))
        if random.random() < 0.6:
            base = random.choice(near)
            at = random.randrange(len(base) + 1)
            word = random.choice(
                [
                    base[:at] + base[at + 1 :],
                    base[:at] + word + base[at:],
                    f"un{base}",
                    f"not_{base}",
                    f"{base}?",
                    base[::-1],
                ]
            )
        if word.strip().lower() not in known:
            count += 1
            yield word


def with_word(body: Any, reads: Reads, word: str) -> bytes:
    """A body with one word for a status, wherever the status stands in it."""
    copy = deepcopy(body)
    for place in reads.status:
        *path, last = place.split(".")
        holder = there(copy, ".".join(path)) if path else copy
        if isinstance(holder, dict) and (last in holder or place == reads.status[0]):
            holder[last] = word
    return encoded(copy)


def states(vendor: str, word: str) -> list[tuple[str, str]]:
    """What a poll, a submit, a list and a webhook make of a word, each with the parser's name."""
    provider, made = get_provider(vendor), next(iter(plans(vendor).values()))
    assert made.route is not None
    created = next(
        body
        for code, _, _, body in provider.contract.replies(provider.operation(made.route))
        if code < 300
    )
    query = provider.contract.operation("get")
    assert query is not None
    done = {name: body for code, _, name, body in provider.contract.replies(query) if code == 200}[
        "succeeded"
    ]
    submit = submitting.submit(made, simulated=False, idempotency_key="key")
    found = [
        ("submit", drive(submit, Reply(200, {}, with_word(created, provider.reads, word))).status),
        (
            "poll",
            drive(
                provider.get("task-1"), Reply(200, {}, with_word(done, provider.reads, word))
            ).status,
        ),
    ]
    if vendor in LISTING:
        raw = documented_list(provider)
        text = encoded(raw)
        for item in items_of(raw) or []:
            text = text.replace(encoded(item["status"]), encoded(word))
        found += [
            ("list", task.status) for task in drive(provider.recent(), Reply(200, {}, text)).tasks
        ]
    if vendor in HOOKED:
        content = with_word(deliveries(provider)["succeeded"], webhook(vendor).reads, word)
        found.append(("webhook", parse(vendor, signed(content), content, SECRET).facts.status))
    return found


@every_vendor
def test_no_unknown_word_ends_a_job(vendor: str) -> None:
    """1,000 words that are in no table are `unknown` everywhere."""
    hook = get_provider(vendor).webhook
    known = {*get_provider(vendor).statuses, *((hook and hook.statuses) or {})}
    for word in words(Random(6), known):
        assert {status for _, status in states(vendor, word)} == {"unknown"}, word


@every_vendor
def test_known_words_are_known_in_any_case_everywhere(vendor: str) -> None:
    """And with blanks around them."""
    provider = get_provider(vendor)
    for word, status in provider.statuses.items():
        for written in (word, word.upper(), word.title(), word.swapcase(), f" {word}\n"):
            assert {found for _, found in states(vendor, written)} == {status}, written
    hook = provider.webhook
    for word, status in ((hook and hook.statuses) or {}).items():
        assert ("webhook", status) in states(vendor, word.upper())


def test_every_kind_of_delivery_is_tried() -> None:
    """Signed ones and unsigned ones: the tests above are about both."""
    assert SIGNED
    assert UNSIGNED
    assert issubclass(WebhookError, PolyreelError)
