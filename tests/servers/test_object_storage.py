"""Files in S3, at a real server: what it refuses, where it breaks off, and who else is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from polyreel import AsyncClient, Client
from polyreel.drivers import storage
from polyreel.errors import DownloadError
from polyreel_generated.shared import Job
from support.batches import CLIP, write
from support.cli import Command, stranger
from support.faults import Kind, every_kind
from support.stores import BUCKET, SECRET_KEY, S3Server, running

FOLDER = f"s3://{BUCKET}/clips"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    """A server with an empty bucket; what this machine's user has set for another one is unseen."""
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with running(monkeypatch) as server:
        yield server


def generate(kind: Kind, ledger: Path, prompt: str = "a cat", output: str = FOLDER) -> Job:
    """One simulated job, by either client."""
    if kind == "blocking":
        with Client(ledger=ledger) as made:
            return made.generate(prompt, duration=3, output=output)

    async def main() -> Job:
        async with AsyncClient(ledger=ledger) as made:
            return await made.generate(prompt, duration=3, output=output)

    return asyncio.run(main())


def resumed(ledger: Path) -> Job:
    """The only job of a ledger, finished."""
    with Client(ledger=ledger) as made:
        (entry,) = made.jobs()
        job = made.resume(entry.id)
        assert made.jobs()[0].state == "saved"
        return job


def url_of(job: Job) -> str:
    """Where the only file of a job is."""
    assert job.outputs is not None
    (output,) = job.outputs
    return output.path or ""


@every_kind
def test_a_file_is_saved_in_s3(kind: Kind, s3: S3Server, tmp_path: Path) -> None:
    """Under one key, with its type, and without anything else beside it."""
    job = generate(kind, tmp_path / "ledger")
    assert job.outputs is not None
    ((key, content),) = s3.objects().items()
    assert url_of(job) == f"s3://{BUCKET}/{key}"
    assert len(content) == job.outputs[0].size_bytes
    system = fsspec.filesystem("s3", use_listings_cache=False)
    facts = system.info(f"{BUCKET}/{key}")
    assert facts["ContentType"] == job.outputs[0].content_type == "video/mp4"
    assert [path for method, path in s3.calls if method == "DELETE"] == [
        f"/{BUCKET}/clips/polyreel-can-save-here"
    ]
    copy = tmp_path / "copy.mp4"
    storage.copy_here(url_of(job), copy)
    assert copy.read_bytes() == content
    with pytest.raises(FileNotFoundError):
        storage.copy_here(f"{FOLDER}/none.mp4", tmp_path / "none.mp4")
    assert not [one for one in tmp_path.iterdir() if "none" in one.name]


@every_kind
def test_a_bucket_that_refuses_is_found_before_anything_is_paid(
    kind: Kind, s3: S3Server, tmp_path: Path
) -> None:
    """By the right to write alone."""
    s3.fails["PUT"] = ["refused"]
    with pytest.raises(DownloadError, match=r"the store refuses it: Access Denied; .*nothing was"):
        generate(kind, tmp_path / "ledger")
    with Client(ledger=tmp_path / "ledger") as made:
        assert made.jobs() == []


def test_a_bucket_that_is_not_there_is_not_made(s3: S3Server, tmp_path: Path) -> None:
    """Its name is rather mistyped."""
    with pytest.raises(DownloadError, match="no such bucket"):
        generate("blocking", tmp_path / "ledger", output="s3://nonesuch/clips")
    assert fsspec.filesystem("s3").ls("") == [BUCKET]


def test_who_may_only_write_can_save(s3: S3Server, tmp_path: Path) -> None:
    """Then nothing is compared, and the log says so."""
    s3.fails |= {method: ["refused"] * 9 for method in ("HEAD", "GET", "DELETE")}
    job = generate("blocking", tmp_path / "ledger")
    s3.fails.clear()
    assert url_of(job).removeprefix(f"s3://{BUCKET}/") in s3.objects()


@every_kind
def test_a_job_whose_upload_is_refused_is_saved_later(
    kind: Kind, s3: S3Server, tmp_path: Path
) -> None:
    """It stays succeeded, and is not paid again."""

    def refuse(method: str, path: str) -> None:
        if path.endswith(".mp4"):
            s3.fails["PUT"] = ["refused"]

    s3.before = refuse
    with pytest.raises(DownloadError, match="the store refuses it") as caught:
        generate(kind, tmp_path / "ledger")
    assert caught.value.billed == "yes"
    assert s3.objects() == {}
    s3.before, s3.fails = None, {}
    assert url_of(resumed(tmp_path / "ledger")).startswith(FOLDER)
    assert len(s3.objects()) == 1


@every_kind
def test_an_upload_that_breaks_off_is_made_again(kind: Kind, s3: S3Server, tmp_path: Path) -> None:
    """What had arrived of it is no object."""
    cuts = ["PUT"] * 3

    def cut(method: str, path: str) -> None:
        if cuts and method == "PUT" and path.endswith(".mp4"):
            s3.fails["PUT"] = ["cut"]
            cuts.pop()

    s3.before = cut
    job = generate(kind, tmp_path / "ledger")
    assert cuts == []
    assert [f"s3://{BUCKET}/{key}" for key in s3.objects()] == [url_of(job)]


def test_a_store_without_conditions_is_looked_at_before(s3: S3Server, tmp_path: Path) -> None:
    """Many that speak S3 cannot put an object only where there is none."""
    s3.is_conditional = False
    for number, name in enumerate(("clip.mp4", "clip.2.mp4")):
        ledger = tmp_path / str(number)
        job = generate("blocking", ledger, f"cat {number}", output=f"{FOLDER}/clip.mp4")
        assert url_of(job) == f"{FOLDER}/{name}"


def test_who_is_faster_keeps_the_name(s3: S3Server, tmp_path: Path) -> None:
    """Also between the look for the name and the upload."""
    others = [b"another file"]

    def overtake(method: str, path: str) -> None:
        if others and method == "PUT" and path.endswith("/clip.mp4"):
            content = others.pop()
            fsspec.filesystem("s3", skip_instance_cache=True).pipe_file(path[1:], content)

    s3.before = overtake
    job = generate("blocking", tmp_path / "ledger", output=f"{FOLDER}/clip.mp4")
    assert url_of(job) == f"{FOLDER}/clip.2.mp4"
    assert s3.objects()["clips/clip.mp4"] == b"another file"


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def test_the_command_line_saves_in_s3(s3: S3Server, tmp_path: Path, command: Command) -> None:
    """Clips, batches, and what is resumed; results of a batch are here."""
    arguments: tuple[Any, ...] = ("generate", "a cat", "--duration", "3", "--output")
    done = command(*arguments, FOLDER, "--filename", "{name}.{ext}", "--job-name", "one")
    assert (done.code, done.out.strip()) == (0, f"{FOLDER}/one.mp4")
    rows = write(tmp_path, [CLIP], "rows.jsonl")
    done = command("batch", str(rows), "--output", FOLDER, "--results", "here")
    assert (done.code, done.out.strip()) == (0, str(Path("here/results.jsonl")))
    assert len(s3.objects()) == 2
    refused = command(*arguments, f"s3://key:{SECRET_KEY}@{BUCKET}/clips")
    assert refused.code == 2
    assert "output: the URL has a password in it" in refused.err
    assert SECRET_KEY not in refused.out + refused.err
    missing = command(*arguments, "gs://bucket/clips")
    assert missing.code != 0
    assert 'pip install "polyreel[storage]" gcsfs' in missing.err


def test_missing_credentials_are_told(
    s3: S3Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With where they come from; nothing was sent."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one has read them already
    done = command("generate", "a cat", "--duration", "3", "--output", FOLDER)
    assert done.code != 0
    assert "credentials" in done.err
    assert "AWS_PROFILE" in done.err
    assert "nothing was sent" in done.err
    assert "Traceback" not in done.err
