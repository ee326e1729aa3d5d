"""What a vendor's answer means for a job."""

import logging
from itertools import product, repeat
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polyreel.errors import (
    DownloadError,
    JobFailedError,
    PolyreelError,
    StillRunningError,
    TaskNotFoundError,
    VendorError,
)
from polyreel.flows import Fetch, Reply, Saved
from polyreel.jobs import finishing, waiting
from polyreel.jobs import submitting as lifecycle
from polyreel.ledger import states
from polyreel.places import put
from polyreel.providers.base.facts import FINAL, SYNONYMS
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import VENDORS, accepted, encoded, plans
from support.loops import in_one
from support.matrix import shared
from support.stage import (
    JOBS,
    START,
    Stage,
    error_reply,
    every_vendor,
    every_with_links_in_states,
    facts,
    generate,
    reply,
    submit,
    wait,
    without_outputs,
)

# --- what an answer means -------------------------------------------------------------------------


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "DONE",
            "finished",
            "ok",
            "ready",
            "error",
            "\uff23ompleted",
            "succeeded!",
            "cancel",
            "\ufb01nished",
            "true",
            "TASKERROR",
        ]
    ),
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(st.sampled_from(["completed", "failed"]), max_size=2),
    st.dictionaries(st.just("status"), st.just("completed"), max_size=1),
)


KINDS: Final = ("status", "state")
BEFORE: Final = ("", "task", "job", *(f"{a}{b}" for a in ("task", "job", "") for b in KINDS))
"""What may stand before a common word, as in TASK_STATUS_SUCCEED."""


def is_common(word: str) -> bool:
    """Whether a word means the same at every vendor, by its letters."""
    letters = "".join(letter for letter in word.strip().lower() if letter not in "-_. ")
    starts = [start for start in BEFORE if letters.startswith(start)]
    return any(letters.removeprefix(start) in SYNONYMS for start in starts)


@pytest.mark.matrix
@every_vendor
@given(word=WORDS)
@settings(
    max_examples=shared(400, len(VENDORS)), deadline=None, suppress_health_check=list(HealthCheck)
)
def test_odd_words_are_never_final(vendor: str, word: Any) -> None:
    """Only documented and common words end a job, in any case; no other word, and none, does."""
    provider = get_provider(vendor)
    place = provider.reads.status[0]
    body = {
        "id": "task-1",
        "video_url": "https://example.com/a.mp4",
        "results": ["https://example.com/a.mp4"],
    }
    put(body, place, word)
    facts = provider.read(Reply(200, {}, encoded(body)))
    if isinstance(word, str) and (word.strip().lower() in provider.statuses or is_common(word)):
        return
    assert facts.status == "unknown"
    assert states.advance(JOBS[vendor], facts, START).status == "unknown"


@every_vendor
def test_known_words_are_known_in_any_case(vendor: str) -> None:
    """Vendors' forks differ in case, and blanks happen."""
    provider = get_provider(vendor)
    for word, status in provider.statuses.items():
        for spelled in (word, word.upper(), word.title(), f" {word}\n"):
            assert provider.read(reply(vendor, word=spelled)).status == status


@every_vendor
def test_an_unknown_word_is_reported_once(vendor: str, caplog: pytest.LogCaptureFixture) -> None:
    """A new word of a vendor is worth one line in the log, and a wait until the deadline."""
    stage = Stage([*repeat(reply(vendor, word="REMIXING"), 20), reply(vendor, "succeeded")])
    with caplog.at_level(logging.WARNING, "polyreel"):
        assert wait(stage, submit(vendor)).status == "succeeded"
    assert [record.message.count("REMIXING") for record in caplog.records] == [1]


@in_one
@every_vendor
@pytest.mark.parametrize(
    ("final", "late"),
    list(
        product(sorted(FINAL), ["queued", "running", "succeeded", "failed", "canceled", "unknown"])
    ),
)
def test_final_states_absorb(vendor: str, final: str, late: str) -> None:
    """A late, stale or empty answer takes nothing back: not the state, not the files, not where
    they are.
    """
    links = ("https://example.com/1.mp4",) if final == "succeeded" else ()
    job = states.advance(JOBS[vendor], facts(final, links), START)
    assert job.status == final
    for urls in ((), links):
        assert states.advance(job, facts(late, urls), START + 1e6) == job
    if late != final:
        assert states.advance(job, facts(late, ("https://example.com/2.mp4",)), START + 1e6) == job


@every_vendor
def test_a_link_that_is_signed_anew_replaces_the_old_one(vendor: str) -> None:
    """Asking a finished job again brings the vendor's newest links."""
    job = states.advance(JOBS[vendor], facts("succeeded", ("https://example.com/1?sig=a",)), START)
    again = states.advance(job, facts("succeeded", ("https://example.com/1?sig=b",)), START + 60)
    assert [output.url for output in again.outputs or ()] == ["https://example.com/1?sig=b"]


@every_with_links_in_states
def test_a_success_without_a_file_is_asked_again_and_then_reported(vendor: str) -> None:
    """Some vendors say they are done a moment before the link is there; some never give one."""
    empty = without_outputs(vendor)
    done = wait(
        Stage([*repeat(empty, waiting.EMPTY_POLLS), reply(vendor, "succeeded")]), submit(vendor)
    )
    assert done.status == "succeeded"
    assert done.outputs
    stage = Stage(repeat(empty))
    done = wait(stage, submit(vendor))
    assert done.status == "succeeded"
    assert done.error is not None
    assert done.error.code == "no_output"
    assert len(stage.calls) == waiting.EMPTY_POLLS + 1
    assert wait(stage, done) == done


@every_vendor
@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_generate_tells_why_a_job_failed(vendor: str, end: str, tmp_path: Path) -> None:
    """The vendor's words, and the job."""
    stage = Stage([reply(vendor, end)])
    with pytest.raises(JobFailedError, match=end) as caught:
        generate(stage, vendor, tmp_path)
    assert caught.value.job is not None
    assert caught.value.job.status == end
    assert [call.paid for call in stage.calls] == [True, False]


@every_vendor
def test_no_error_after_the_submit_loses_the_job(vendor: str, tmp_path: Path) -> None:
    """Whatever goes wrong later, the error has the job that was paid."""

    def fail(step: Fetch) -> Saved:
        raise DownloadError("disk full")

    endings: dict[type[PolyreelError], Stage] = {
        StillRunningError: Stage(repeat(reply(vendor))),
        VendorError: Stage([Reply(403, {}, b"")]),
        TaskNotFoundError: Stage(repeat(error_reply(vendor, "not_found"))),
        DownloadError: Stage([reply(vendor, "succeeded")]),
    }
    endings[DownloadError].fetch = fail
    for kind, stage in endings.items():
        with pytest.raises(kind) as caught:
            generate(stage, vendor, tmp_path)
        assert caught.value.job is not None
        assert caught.value.billed == "yes"


@every_vendor
def test_files_that_are_home_stay_known_when_one_is_not(vendor: str, tmp_path: Path) -> None:
    """Of several files the third fails: the error's job has the paths of the first two."""
    links = tuple(f"https://example.com/{number}.mp4" for number in range(4))
    job = states.advance(JOBS[vendor], facts("succeeded", links), START)

    def fetch(step: Fetch) -> Saved:
        if step.url == links[2]:
            raise DownloadError("gone")
        return Saved(step.path, "video/mp4", 5)

    stage = Stage()
    stage.fetch = fetch
    with pytest.raises(DownloadError) as caught:
        stage.run(finishing.download(job, tmp_path))
    assert caught.value.job is not None
    assert [bool(output.path) for output in caught.value.job.outputs or ()] == [
        True,
        True,
        False,
        True,  # one file that cannot be had keeps no other away
    ]


@every_vendor
def test_a_job_without_files_is_not_downloaded_in_silence(vendor: str, tmp_path: Path) -> None:
    """A running job has nothing to save, and the caller is told."""
    with pytest.raises(DownloadError, match="is queued"):
        Stage().run(finishing.download(JOBS[vendor], tmp_path))


# --- estimated and charged ------------------------------------------------------------------------


@every_vendor
def test_every_workflow_has_its_estimate_on_the_job(vendor: str) -> None:
    """That of its plan, from the submit to the end, with the charge that the vendor's last answer
    tells.
    """
    reported = "x-polyreel-usage" in get_provider(vendor).contract.document
    for made in plans(vendor).values():
        answers = [
            Reply(200, {}, accepted(vendor, made)),
            reply(vendor),
            reply(vendor, "succeeded_element" if made.kind == "element" else "succeeded"),
        ]
        stage = Stage(answers)
        submitting = lifecycle.submit(
            evolve(made, uploads=()), simulated=False, idempotency_key="key"
        )
        job = stage.run(submitting)
        assert (job.estimate, job.charge) == (made.cost.document(), None)
        done = wait(stage, job)
        assert done.estimate == job.estimate
        assert (done.charge is not None) == reported
        assert Job.model_validate_json(done.model_dump_json()) == done
