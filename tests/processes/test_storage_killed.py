"""A process is killed while its file goes to object storage: there is one whole object in the end,
and one bill.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator import server
from support import forked
from support.crash import SPEED, client, vendors
from support.faults import Kind, every_kind
from support.paths import TESTS
from support.stores import BUCKET, S3Server, running
from support.vendors import forgetful_vendor
from support.waiting import HANGS

FOLDER = f"s3://{BUCKET}/clips"
VENDOR = forgetful_vendor().id


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with running(monkeypatch) as made:
        yield made


@pytest.mark.usefixtures("bare")
@every_kind
@pytest.mark.parametrize("at", ["before Fetch", "after Fetch", "after KeepFile"])
def test_a_process_killed_beside_an_upload_leaves_one_object(
    s3: S3Server, tmp_path: Path, kind: Kind, at: str
) -> None:
    """After the upload and before the ledger has it, the file is saved once more, as itself."""
    simulator = vendors()
    with server.running(simulator) as url:
        path = tmp_path / "ledger.sqlite3"
        command = ("-m", "support.crash", url, VENDOR, kind, FOLDER, at, path)
        done = forked.run(*command, timeout=2 * HANGS, cwd=TESTS, env={**os.environ})
        assert done.returncode == -signal.SIGKILL, done.stderr
        before = s3.objects()
        assert len(before) == (at != "before Fetch")
        with Ledger(path) as ledger, client(url, ledger) as made:
            (entry,) = ledger.entries()
            assert entry.state == ("saved" if at == "after KeepFile" else "succeeded")
            job = made.resume(entry.id, timeout=HANGS * SPEED)
            assert ledger.entry(entry.id).state == "saved"
        ((key, content),) = s3.objects().items()
        assert job.outputs is not None
        assert [output.path for output in job.outputs] == [f"s3://{BUCKET}/{key}"]
        assert len(content) == job.outputs[0].size_bytes
        assert before in ({}, {key: content})
    assert simulator.bill.count() == 1
