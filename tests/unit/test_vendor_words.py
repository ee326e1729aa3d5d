"""What vendors say in other words, and where they put their links."""

import json
import logging
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from polyreel.errors import DownloadError, StillRunningError, UnknownStatusError
from polyreel.flows import Fetch, Reply, Saved
from polyreel.jobs import finishing, waiting
from polyreel.places import get, is_missing, put
from polyreel.providers.base.facts import SYNONYMS, status_of
from polyreel.providers.base.links import links_by_shape
from polyreel.providers.base.reasons import reason_by_name
from polyreel.providers.base.registry import get_provider
from polyreel.testing import replies
from support.faults import VENDORS, encoded
from support.loops import in_one
from support.stage import (
    ONE_STEP,
    Stage,
    every_vendor,
    every_with_links_in_states,
    reply,
    submit,
    wait,
    without_outputs,
)

VIDEO = "https://files.example.com/a.mp4"

# --- status words ---------------------------------------------------------------------------------


@in_one
@every_vendor
@pytest.mark.parametrize(
    ("word", "status"),
    [
        *((word, "succeeded") for word in ("succeeded", "success", "SUCCEED", "done", "finished")),
        *(
            (word, "succeeded")
            for word in ("complete", "COMPLETED", "Ready", "TASK_STATUS_SUCCEED")
        ),
        *((word, "failed") for word in ("error", "failure", "timeout", "timed-out", "rejected")),
        *((word, "failed") for word in ("expired", "FAIL", "JOB_STATE_FAILED")),
        *((word, "canceled") for word in ("canceled", "cancelled", "aborted", "CANCELED")),
        *(
            (word, "running")
            for word in ("IN_PROGRESS", "in progress", "in-progress", "inProgress")
        ),
        *((word, "queued") for word in ("QUEUED", "in_queue", "pending", "submitted", "starting")),
    ],
)
def test_common_words_are_known_for_every_vendor(vendor: str, word: str, status: str) -> None:
    """Also where the vendor's own pages have another one."""
    provider = get_provider(vendor)
    assert status_of(word, provider.statuses) == status
    assert provider.read(reply(vendor, word=word)).status == status


def test_a_vendors_own_meaning_comes_first() -> None:
    """A vendor may call "done" what others call running."""
    assert status_of("Done", {"done": "running"}) == "running"
    assert all(status_of(word, {}) == status for word, status in SYNONYMS.items())


@pytest.mark.parametrize(
    "word", ["", "null", "DONE?", "succeeded!", "PONDERING", "ok", "true", "2"]
)
def test_a_word_that_nobody_knows_ends_nothing(word: str) -> None:
    """It may mean anything."""
    assert status_of(word, {}) == "unknown"


@every_with_links_in_states
def test_an_unknown_word_beside_a_link_is_reported_soon(vendor: str) -> None:
    """The file is at hand: nobody waits for 30 minutes beside it."""
    stage = Stage(repeat(reply(vendor, "succeeded", "ARCHIVED")))
    with pytest.raises(
        UnknownStatusError, match=r"'ARCHIVED'.*link.*do not submit it again"
    ) as caught:
        wait(stage, submit(vendor))
    assert len(stage.calls) == waiting.STRANGE_POLLS
    job = caught.value.job
    assert job is not None
    assert job.outputs
    assert (job.status, caught.value.billed) == ("unknown", "yes")
    saved = stage.run(finishing.download(job, Path("clips")))
    assert all(output.path for output in saved.outputs)
    later = wait(Stage([reply(vendor, "succeeded")]), job)
    assert (later.status, later.error) == ("succeeded", None)


@every_vendor
def test_an_unknown_word_beside_an_error_is_reported_soon(vendor: str) -> None:
    """With the vendor's text; a later answer takes nothing of it along."""
    body = json.loads(reply(vendor, word="BROKEN").content)
    put(body, get_provider(vendor).reads.error_message[0], "boom")
    stage = Stage(repeat(Reply(200, {}, encoded(body))))
    with pytest.raises(UnknownStatusError, match=r"'BROKEN'.*error 'boom'") as caught:
        wait(stage, submit(vendor))
    assert len(stage.calls) == waiting.STRANGE_POLLS
    job = caught.value.job
    assert job is not None
    with pytest.raises(StillRunningError) as still:
        wait(Stage(repeat(reply(vendor))), job, 20.0)
    assert still.value.job is not None
    assert (still.value.job.status, still.value.job.error) == ("running", None)


@every_vendor
@pytest.mark.parametrize("word", ["BROKEN", "", None], ids=["odd", "empty", "none"])
def test_links_and_errors_at_other_places_count_without_a_known_word_too(
    vendor: str, word: str | None
) -> None:
    """Nobody waits for 30 minutes beside a file, or beside the reason of a failure."""
    body = json.loads(without_outputs(vendor).content)
    put(body, get_provider(vendor).reads.status[0], word)
    for more, said in (
        ({"payload": {"film": VIDEO}}, "1 link"),
        ({"payload": {"failReason": "boom"}}, "error 'boom'"),
    ):
        stage = Stage(repeat(Reply(200, {}, encoded({**body, **more}))))
        with pytest.raises(UnknownStatusError, match=said):
            wait(stage, submit(vendor))
        assert len(stage.calls) == waiting.STRANGE_POLLS


@in_one
@every_vendor
@pytest.mark.parametrize(
    "reason",
    [
        {"error": "boom"},
        {"error": ["boom"]},
        {"errors": [{"msg": "boom", "type": "e7"}]},
        {"fail_reason": "boom"},
        {"failureReason": "boom"},
        {"errMsg": "boom"},
        {"task_status_msg": "boom"},
        {"message": "boom"},
        {"data": {"error": {"code": 7, "message": "boom"}}},
        {"detail": [{"reason": "no"}], "result": {"error_message": "boom"}},
    ],
    ids=json.dumps,
)
def test_the_reason_of_a_failure_is_found_at_other_places(vendor: str, reason: Any) -> None:
    """What the vendor says is told, wherever it says it."""
    provider = get_provider(vendor)
    body = json.loads(reply(vendor).content)
    for place in (*provider.reads.error_message, *provider.reads.error_code):
        if not is_missing(get(body, place)):
            put(body, place, None)
    body |= {name: one for name, one in reason.items() if not isinstance(body.get(name), list)}
    if not body.items() >= reason.items():
        body["inside"] = reason
    put(body, provider.reads.status[0], "failed")
    facts = provider.facts(body)
    assert (facts.status, facts.error_message) == ("failed", "boom")
    assert facts.error_code in {None, "7", "e7"}


def test_what_is_no_reason_is_none() -> None:
    """Words of an answer that only look like an error, and those of the request."""
    body: Any = {
        "error": None,
        "errors": [],
        "failed": False,
        "err_msg": "success",
        "message": "all is well",
        "status_message": "step 3 of 9",
        "input": {"error": "boom", "message": "boom"},
    }
    assert reason_by_name(body, failed=False) == (None, None)
    assert reason_by_name({**body, "message": ""}, failed=True) == (None, "step 3 of 9")


@every_vendor
def test_one_strange_answer_ends_nothing(vendor: str) -> None:
    """It may be a mistake of the vendor's."""
    strange = [reply(vendor, "succeeded", "ARCHIVED")] * (waiting.STRANGE_POLLS - 1)
    answers = [*strange, reply(vendor), *strange, reply(vendor, "succeeded")]
    assert wait(Stage(answers), submit(vendor)).status == "succeeded"


# --- done, but no link ----------------------------------------------------------------------------


@every_with_links_in_states
def test_done_without_a_link_is_reported_as_just_that(vendor: str) -> None:
    """Not as failed, with the answer kept; another look may find the link."""
    empty = without_outputs(vendor)
    job = wait(Stage(repeat(empty)), submit(vendor))
    assert job.status == "succeeded"
    assert job.error is not None
    assert job.error.code == "no_output"
    assert job.raw == empty.json()
    with pytest.raises(
        DownloadError, match=r"is done, and no link.*do not submit it again"
    ) as caught:
        Stage().run(finishing.download(job, Path("clips")))
    assert (caught.value.billed, caught.value.job) == ("yes", job)
    again = Stage([reply(vendor, "succeeded")]).run(waiting.get(job))
    assert again.outputs
    assert again.error is None
    assert again.raw == reply(vendor, "succeeded").json()


# --- links ----------------------------------------------------------------------------------------


def results(vendor: str) -> list[tuple[str, Any]]:
    """The documented results, where a call of their own answers with them."""
    return [("result", body) for body in replies.results(get_provider(vendor))]


SUCCEEDED = [
    (vendor, name, body)
    for vendor in VENDORS
    for name, body in (*replies.succeeded(get_provider(vendor)), *results(vendor))
    if vendor in ONE_STEP or name == "result"
]


@pytest.mark.parametrize(
    ("vendor", "name", "body"),
    SUCCEEDED,
    ids=[f"{vendor}-{name}" for vendor, name, _ in SUCCEEDED],
)
def test_every_succeeded_example_has_its_link_read(
    vendor: str, name: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its name, and at a documented place."""
    assert bool(get_provider(vendor).facts(body).urls) == ("://" in json.dumps(body)), name
    assert not caplog.records


def test_there_are_succeeded_examples_of_every_vendor() -> None:
    """The test above is about each of them."""
    assert {vendor for vendor, *_ in SUCCEEDED} == set(VENDORS)


@pytest.mark.parametrize("form", ["url", "video_url", "image_url", "audio_url"])
@pytest.mark.parametrize("several", [False, True])
def test_an_output_can_be_an_object_with_its_link(form: str, several: bool) -> None:
    """EvoLink's client types `result_data` as a list or an object, and names four members."""
    vendor = next(v for v in VENDORS if "result_data" in get_provider(v).reads.outputs)
    item = {"result_id": "1", "tags": "x", form: VIDEO}
    body = {"id": "t", "status": "completed", "result_data": [item] if several else item}
    beside: list[dict[str, Any]] = [{}, {"results": None}, {"results": []}]
    for more in beside:
        assert get_provider(vendor).facts({**body, **more}).urls == (VIDEO,)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"output": [VIDEO]}, "/output/0"),
        ({"output": {"clip": VIDEO}}, "/output/clip"),
        ({"data": {"task_result": {"videos": [{"id": "1", "url": VIDEO}]}}}, None),
        (
            {
                "data": {
                    "works": [{"resource": {"resource": VIDEO}, "cover": {"x": VIDEO + ".jpg"}}]
                }
            },
            None,
        ),
        ({"assets": {"video": "https://cdn.example.com/f/1?sig=x"}, "image": VIDEO + ".png"}, None),
        ({"content": {"video_url": "https://cdn.example.com/f/1"}}, "/content/video_url"),
        ({"response": {"generatedSamples": [{"video": {"uri": VIDEO}}]}}, None),
        ({"x": {"resultJson": json.dumps({"resultUrls": [VIDEO]})}}, "/x/resultJson/resultUrls/0"),
        ({"video_url": "https://me.example.com/in.mp4", "result": {"file": VIDEO}}, "/result/file"),
        ({"input": {"video": "https://me.example.com/in.mp4"}, "a": {"b": VIDEO}}, "/a/b"),
    ],
)
def test_links_are_found_by_their_shape(body: Any, place: str | None) -> None:
    """Links of the request, covers and status queries are no outputs."""
    noise = {
        "status_url": "https://api.example.com/tasks/1",
        "response_url": "https://api.example.com/tasks/1/response",
        "thumbnail_url": "https://cdn.example.com/cover.png",
        "webhook": "https://me.example.com/hook.mp4",
        "input": {"image": "https://me.example.com/a.png"},
        "first_frame": "https://me.example.com/a.png",
        "echo": "https://me.example.com/a.png",
    }
    found = links_by_shape({**noise, **body})
    assert found is not None
    assert found.urls in {
        (VIDEO,),
        ("https://cdn.example.com/f/1",),
        ("https://cdn.example.com/f/1?sig=x",),
    }
    assert place is None or found.place == place
    assert links_by_shape(noise) is None


def test_all_files_of_a_list_are_found() -> None:
    """In their order, each once."""
    links = [f"https://cdn.example.com/{number}.png" for number in range(3)]
    found = links_by_shape({"a": {"images": [{"url": link} for link in [*links, links[0]]]}})
    assert found is not None
    assert found.urls == tuple(links)


@every_with_links_in_states
def test_a_link_in_an_unknown_place_brings_the_file_home(
    vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says where it was, and not the link, which may be signed."""
    body = json.loads(without_outputs(vendor).content)
    body["payload"] = {"film": {"address": VIDEO + "?signature=secret"}}
    with caplog.at_level(logging.WARNING, "polyreel"):
        job = wait(Stage([Reply(200, {}, encoded(body))]), submit(vendor))
    assert [output.url for output in job.outputs or ()] == [VIDEO + "?signature=secret"]
    assert "/payload/film/address" in caplog.text
    assert "secret" not in caplog.text


@every_vendor
def test_task_id_counts_where_id_is_missing(vendor: str) -> None:
    """A paid task is never lost for the name of its id."""
    provider = get_provider(vendor)
    body = json.loads(reply(vendor).content)
    place = provider.reads.id[0]
    identity = get(body, place)
    for name in [*provider.reads.id, "task_id", "taskId"]:
        if not is_missing(get(body, name)):
            put(body, name, None)
    assert provider.facts(body).id is None
    for name in ("task_id", "taskId"):
        other = json.loads(json.dumps(body))
        above, dot, _ = place.rpartition(".")
        put(other, f"{above}{dot}{name}", identity)
        assert provider.facts(other).id == identity


# --- links that a host refuses --------------------------------------------------------------------


@in_one
@every_vendor
@pytest.mark.parametrize(
    ("status", "words", "too_old"),
    [
        (403, "error code: 1010", False),
        (403, "AccessDenied Access Denied", False),
        (401, "login", False),
        (406, "no robots", False),
        (451, "not in your country", False),
        (403, "AccessDenied Request has expired 2026-01-01", True),
        (403, "AuthenticationFailed Signature not valid in the specified time frame", True),
        (400, "ExpiredToken The provided token has expired", True),
        (401, "URL signature is no longer valid", True),
    ],
)
def test_a_host_that_blocks_and_a_link_that_is_too_old_are_told_apart(
    vendor: str, status: int, words: str, too_old: bool
) -> None:
    """By its words; the vendor is asked once whether it has another link."""
    stage = Stage([reply(vendor, "succeeded")] * 2)
    done = wait(stage, submit(vendor))
    fetches: list[Fetch] = []

    def refused(step: Fetch) -> Saved:
        fetches.append(step)
        raise DownloadError(f"HTTP {status}: {words}", vendor=vendor, status=status)

    stage.fetch = refused
    with pytest.raises(DownloadError) as caught:
        stage.run(finishing.download(done, Path("clips")))
    text = str(caught.value)
    assert f"HTTP {status}: {words}" in text
    assert ("no longer works" in text) == too_old
    assert ("User-Agent" in text) != too_old
    assert len(fetches) == len(done.outputs or ())
