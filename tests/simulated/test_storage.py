"""Files in object storage, by stores in memory: what is kept, when, and what is never replaced."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from polyreel import AsyncClient, Client, batch
from polyreel.batch import Batch
from polyreel.drivers import storage
from polyreel.engines import Submit, perform
from polyreel.errors import DownloadError, MissingExtraError, RequestError
from support.batches import CLIP, write
from support.faults import Kind, every_kind
from support.stores import HalfStore, forget, in_memory

pytestmark = pytest.mark.usefixtures("stores")
FOLDER = "memory://clips/today"


@pytest.fixture
def stores() -> Iterator[None]:
    """Empty stores."""
    forget()
    yield
    forget()


def generate(kind: Kind, ledger: Path, prompt: str = "a cat", **options: Any) -> Any:
    """One simulated job, by either client."""
    if kind == "blocking":
        with Client(ledger=ledger) as made:
            return made.generate(prompt, duration=3, **options)

    async def main() -> Any:
        async with AsyncClient(ledger=ledger) as made:
            return await made.generate(prompt, duration=3, **options)

    return asyncio.run(main())


@every_kind
def test_a_file_is_kept_with_its_url(kind: Kind, tmp_path: Path) -> None:
    """It is in the store and nowhere else, and resume has nothing left to do."""
    job = generate(kind, tmp_path / "ledger", output=FOLDER)
    (output,) = job.outputs
    ((name, content),) = in_memory().items()
    assert output.path == f"memory:/{name}"
    assert output.path.startswith(f"{FOLDER}/{job.vendor}-")
    assert output.path.endswith("-1.mp4")
    assert output.size_bytes == len(content)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == []
    forget()  # the ledger knows that it was saved: the store is not asked
    with Client(ledger=tmp_path / "ledger") as made:
        assert made.jobs()[-1].state == "saved"
        assert made.resume(job.ledger_id).outputs == job.outputs
    assert in_memory() == {}


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    """The same bytes are the same file; others get the next free name."""
    file = f"{FOLDER}/clip.mp4"
    first = generate("blocking", tmp_path / "a", output=file)
    content = in_memory()
    again = generate("blocking", tmp_path / "b", prompt="a dog", output=file)
    assert [first.outputs[0].path, again.outputs[0].path] == [file, f"{FOLDER}/clip.2.mp4"]
    assert in_memory()["/clips/today/clip.mp4"] == content["/clips/today/clip.mp4"]
    with Client(ledger=tmp_path / "a") as made:
        assert made.download(first, file).outputs == first.outputs
    assert len(in_memory()) == 2


def test_patterns_name_files_in_storage(tmp_path: Path) -> None:
    """With the job's own name in them, which leads nowhere else."""
    options = {"output": f"{FOLDER}/{{name}}-{{n}}.{{ext}}", "reference": "../x"}
    job = generate("blocking", tmp_path / "ledger", **options)
    assert job.outputs[0].path == f"{FOLDER}/_x-1.mp4"


@every_kind
def test_what_the_store_keeps_by_half_is_put_there_again(kind: Kind, tmp_path: Path) -> None:
    """A part of a file is never taken for the file."""
    HalfStore.halves = 1
    job = generate(kind, tmp_path / "ledger", output="half://clips")
    assert HalfStore.halves == 0
    system = fsspec.filesystem("half")
    assert system.size(job.outputs[0].path) == job.outputs[0].size_bytes


def test_what_never_gets_whole_is_not_kept(tmp_path: Path) -> None:
    """The job stays succeeded, nothing of it is left in the store, and resume saves it later."""
    HalfStore.halves = 1000
    with Client(ledger=tmp_path / "ledger") as made:
        with pytest.raises(DownloadError, match="half://clips: what it has is not what") as caught:
            made.generate("a cat", duration=3, output="half://clips")
        assert (caught.value.billed, made.jobs()[-1].state) == ("yes", "succeeded")
        system = fsspec.filesystem("half")
        assert system.find("/") == []
        HalfStore.halves = 0
        job = made.resume(caught.value.ledger_id or "")
        assert job.outputs is not None
        assert made.jobs()[-1].state == "saved"
        assert system.size(job.outputs[0].path) == job.outputs[0].size_bytes


@every_kind
def test_a_folder_in_which_nothing_can_be_saved_is_found_before_it_is_paid(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written down, and nothing sent."""

    def refused(self: HalfStore, *arguments: Any, **options: Any) -> None:
        raise PermissionError("Access Denied https://x/?X-Amz-Signature=0123456789abcdef")

    monkeypatch.setattr(HalfStore, "put_file", refused)
    with pytest.raises(DownloadError, match="the store refuses it") as caught:
        generate(kind, tmp_path / "ledger", output="half://clips")
    assert "nothing was sent" in str(caught.value)
    assert "0123456789" not in str(caught.value)
    with Client(ledger=tmp_path / "ledger") as made:
        assert made.jobs() == []


def test_a_folder_is_tried_once_for_many_jobs(tmp_path: Path) -> None:
    """And it is left as it was."""
    tried = []
    with Client(ledger=tmp_path / "ledger") as made:
        made.wire.observer = lambda moment, step: tried.append(moment)
        made.submit("a cat", duration=3, output=FOLDER)
        assert in_memory() == {}
        assert [*made.wire.tried_folders] == [FOLDER]
        before = dict(made.wire.tried_folders)
        made.submit("a dog", duration=3, output=f"{FOLDER}/{{id}}.{{ext}}")
        assert made.wire.tried_folders == before


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, and the package of the scheme, before anything is paid."""
    with pytest.raises(MissingExtraError, match=r"polyreel\[storage\]\" gcsfs"):
        generate("blocking", tmp_path / "ledger", output="gs://bucket/clips")
    with pytest.raises(DownloadError, match="nonesuch"):
        generate("blocking", tmp_path / "ledger", output="nonesuch://bucket/clips")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"polyreel\[storage\]\"$"):
        generate("blocking", tmp_path / "ledger", output="s3://bucket/clips")
    with Client(ledger=tmp_path / "ledger") as made:
        assert made.jobs() == []


def test_workers_save_in_storage(tmp_path: Path) -> None:
    """Who writes a job down needs no way to the store; a worker tries it before it submits."""

    async def main() -> None:
        async with AsyncClient(ledger=tmp_path / "ledger") as made:
            entry = await made.enqueue("a cat", duration=3, output="half://clips")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storage, "try_folder", _refuse)
                with pytest.raises(DownloadError, match="nothing was sent"):
                    await perform(Submit((entry.id,)), made)
            assert made.jobs()[-1].state == "queued"
            await perform(Submit((entry.id,)), made)
            await made.work(until_done=True)
            (done,) = made.jobs()
            assert done.state == "saved"
            assert done.job is not None
            assert done.job.outputs
            assert (done.job.outputs[0].path or "").startswith("half://clips/")

    asyncio.run(main())


def _refuse(folder: str) -> None:
    raise PermissionError("Access Denied")


def test_a_batch_saves_its_files_in_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results are on this machine, with the URLs; run again, it has nothing to do."""
    monkeypatch.chdir(tmp_path)
    rows = batch.read(write(tmp_path, [{**CLIP, "prompt": f"clip {n}"} for n in range(3)]))

    def run(**options: Any) -> list[str]:
        async def main() -> list[str]:
            async with AsyncClient(ledger=tmp_path / "ledger") as made:
                done = await Batch(made, rows, FOLDER, **options).run()
                return [file for one in done for file in one.files]

        return asyncio.run(main())

    files = run(filename="{name}.{ext}")
    assert files == [f"{FOLDER}/{number}.mp4" for number in (1, 2, 3)]
    lines = (tmp_path / "clips" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["files"] for line in lines] == [[file] for file in files]
    forget()
    assert run(results=tmp_path / "other") == files
    assert in_memory() == {}
    assert (tmp_path / "other" / "results.jsonl").exists()


def test_a_batch_whose_store_refuses_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row of it is written down."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "try_folder", _refuse)
    rows = batch.read(write(tmp_path, [CLIP]))

    async def main() -> None:
        async with AsyncClient(ledger=tmp_path / "ledger") as made:
            with pytest.raises(DownloadError, match="nothing was sent"):
                await Batch(made, rows, FOLDER).run()
            assert made.jobs() == []

    asyncio.run(main())


def test_file_urls_are_folders_here(tmp_path: Path) -> None:
    """They need no fsspec."""
    job = generate("blocking", tmp_path / "ledger", output=(tmp_path / "a b").as_uri())
    assert Path(job.outputs[0].path).parent == tmp_path / "a b"


def test_agents_save_on_this_machine(tmp_path: Path) -> None:
    """They are shown the files."""
    from polyreel.agents.service import AgentService  # noqa: PLC0415

    made = AsyncClient(ledger=tmp_path / "ledger")
    with pytest.raises(RequestError, match="name a folder of this machine"):
        AgentService(made, FOLDER)  # type: ignore[arg-type]


def test_what_killed_processes_left_behind_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that are in use, or new, stay."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old = tmp_path / f"{storage.SPOOL}old"
    (old / "x").mkdir(parents=True)
    with storage.spool() as used:
        assert old.exists()
        monkeypatch.setattr(storage, "SPOOL_SECONDS", -1.0)
        with storage.spool() as other:
            assert (old.exists(), used.exists(), other.exists()) == (False, True, True)
    assert [*tmp_path.iterdir()] == []
