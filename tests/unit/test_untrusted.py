"""Nothing that a vendor says is trusted: submits, status queries, webhooks and words."""

import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from polyreel.errors import (
    AmbiguousError,
    BadReplyError,
    PolyreelError,
    RejectedError,
    TaskNotFoundError,
    VendorError,
    WebhookError,
)
from polyreel.flows import Reply
from polyreel.jobs import submitting
from polyreel.providers.base.facts import Facts, Reads
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import Event, parse
from polyreel_generated.shared import Job
from support.faults import encoded, every_vendor, plans
from support.mutations import (
    ALL_CODES,
    COUNT,
    LISTING,
    TASK_ID,
    TYPES,
    WORDS,
    answers,
    bodies_of,
    check_facts,
    check_status,
    documented_list,
    drawing,
    drive,
    items_of,
    leading,
    links,
    meaning,
    mutated,
    oracle,
    outcome,
    there,
)
from support.webhooks import HOOKED, SECRET, SIGNED, UNSIGNED, deliveries, signed, webhook

# --- submits --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix
@every_vendor
def test_no_submit_is_taken_for_what_it_is_not(vendor: str) -> None:
    """A job has the id that stands in the body; a refusal has a status that proves one, and names
    no task; all else is ambiguous.
    """
    random, counts = drawing(1), Counter[type]()
    provider, made = get_provider(vendor), next(iter(plans(vendor).values()))
    assert made.route is not None
    operation = provider.operation(made.route)
    bodies = [
        body
        for code, _, _, body in provider.contract.replies(operation)
        for _ in range(4 if code < 300 else 1)
    ]
    proofs = set(operation.spec["x-polyreel-not-accepted"])
    pairs = operation.spec.get("x-polyreel-not-accepted-codes", {})
    codes = [*ALL_CODES, *sorted(proofs) * (20 // len(proofs))]
    for _ in range(COUNT):
        reply = answers(random, bodies, codes)
        flow = submitting.submit(made, simulated=False, idempotency_key="key")
        found = outcome(drive, flow, reply)
        counts[type(found)] += 1
        if isinstance(found, Job):
            check_job(found, reply, provider)
        else:
            refused = isinstance(found, RejectedError)
            assert type(found) is (RejectedError if refused else AmbiguousError)
            assert found.billed == ("no" if refused else "maybe")
            if refused and reply.status >= 400:
                raw = oracle(reply.content)
                assert reply.status in proofs or found.code in pairs[str(reply.status)]
                assert isinstance(raw, dict)
                assert not leading(raw, provider.reads.id)
    assert set(counts) == {Job, RejectedError, AmbiguousError}
    assert min(counts.values()) > COUNT / 100, counts


def check_job(job: Job, reply: Reply, provider: Provider) -> None:
    """A job of an accepted submit says what its reply does, and can be stored."""
    assert reply.ok
    raw = oracle(reply.content)
    assert job.id
    assert job.id == leading(raw, provider.reads.id)
    word = leading(raw, provider.reads.status)
    if word is not None or job.status != "queued":  # an id alone is a job that waits
        check_status(job.status, word, dict(provider.statuses))
    assert {str(output.url) for output in job.outputs or ()} <= links(raw)
    assert Job.model_validate_json(job.model_dump_json()) == job


# --- status queries -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix
@every_vendor
def test_no_poll_is_taken_for_what_it_is_not(vendor: str) -> None:
    """Facts that stand in the body at the documented places, or a VendorError."""
    random, provider, good = drawing(2), get_provider(vendor), 0
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
            assert isinstance(found, BadReplyError | TaskNotFoundError) or not (
                reply.ok and not provider.is_error(reply)
            )
    assert good > COUNT * 0.1


# --- webhooks -------------------------------------------------------------------------------------


def check_event(event: Event, content: bytes, vendor: str) -> None:
    """An event is what its body says, by the webhook's own places and words."""
    hook = webhook(vendor)
    raw = oracle(content)
    assert event.task_id == leading(raw, hook.reads.id)
    assert TASK_ID.fullmatch(event.task_id)
    assert ".." not in event.task_id
    check_facts(event.facts, raw, hook.reads, dict(hook.statuses or get_provider(vendor).statuses))


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("vendor", HOOKED)
def test_no_webhook_is_taken_for_what_it_is_not(vendor: str) -> None:
    """A delivery that is signed all right, or that nobody signs: an event as the body says, or a
    WebhookError.
    """
    random, good, now = drawing(4), 0, int(time.time())
    bodies = list(deliveries(get_provider(vendor)).values())
    for _ in range(COUNT):
        content = mutated(random, bodies)
        headers = {
            "content-type": random.choice(TYPES),
            **signed(content, vendor=vendor, timestamp=now),
        }
        found = outcome(parse, vendor, headers, content, SECRET)
        if isinstance(found, Event):
            good += 1
            assert found.verified == (vendor in SIGNED)
            check_event(found, content, vendor)
        else:
            assert type(found) is WebhookError
    assert good > COUNT * 0.1


@pytest.mark.matrix
@pytest.mark.parametrize("vendor", SIGNED)
def test_no_webhook_is_taken_that_was_changed(vendor: str) -> None:
    """The signature of one body vouches for no other."""
    random, same, now = drawing(5), 0, int(time.time())
    bodies = list(deliveries(get_provider(vendor)).values())
    for _ in range(COUNT):
        body = random.choice(bodies)
        content = mutated(random, [body])
        headers = signed(encoded(body), vendor=vendor, timestamp=now)
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
        if word.strip().lower() not in known and meaning(word, {}) == "unknown":
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
        headers = signed(content, vendor=vendor)
        found.append(("webhook", parse(vendor, headers, content, SECRET).facts.status))
    return found


@pytest.mark.slow
@pytest.mark.matrix
@every_vendor
def test_no_unknown_word_ends_a_job(vendor: str) -> None:
    """Words that are in no table are `unknown` everywhere."""
    hook = get_provider(vendor).webhook
    known = {*get_provider(vendor).statuses, *((hook and hook.statuses) or {})}
    for word in words(drawing(6), known):
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
        if vendor in HOOKED:
            assert ("webhook", status) in states(vendor, word.upper())
        else:
            assert hook
            assert provider.facts({hook.reads.status[0]: word.upper()}, hook).status == status


def test_every_kind_of_delivery_is_tried() -> None:
    """Signed ones and unsigned ones: the tests above are about both."""
    assert SIGNED
    assert UNSIGNED
    assert issubclass(WebhookError, PolyreelError)
