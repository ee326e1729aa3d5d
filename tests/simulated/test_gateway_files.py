"""Files of jobs in a store of the gateway: fetched once, and given to clients for good."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from polyreel.errors import DownloadError
from polyreel.jobs.locations import location_of
from polyreel.providers.base.provider import Provider
from polyreel.simulator import ready_made
from support.gateway import HOST, GatewayStage, gateway, turn
from support.server import PROVIDERS, each_vendor, poll
from support.stores import HalfStore, forget, in_memory
from support.swaps import asked, first_swap, id_in

SWAP: Final = first_swap(PROVIDERS[0])
STORE: Final = "memory://clips/kept"


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty stores; what is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    forget()
    yield
    forget()


def finished(stage: GatewayStage) -> str:
    """A job that has ended at its vendor; nobody has asked about it yet."""
    task = id_in(asked(stage, SWAP.made), SWAP.face)
    stage.simulator.clock.sleep(1000)
    return task


@each_vendor
def test_a_stored_file_outlives_the_vendor(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched although no client asks, once, and given by a link of the gateway."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back, store=location_of(STORE)) as stage:
        task = id_in(asked(stage, made), face)
        turn(stage, monkeypatch)
        assert in_memory() == {}
        stage.simulator.clock.sleep(1000)
        turn(stage, monkeypatch, 40.0)
        ((_, content),) = in_memory().items()
        stage.simulator.tasks.clear()
        shutil.rmtree(tmp_path / "gateway")
        stage.stop()
        stage.start()
        (link,) = poll(stage, face, task).urls
        assert link.startswith(f"{HOST}/{face.id}/outputs/")
        assert stage.call("GET", link).content == content
        ranged = stage.call("GET", link, {"Range": "bytes=4-7"})
        assert (ranged.status, ranged.content) == (206, b"ftyp")
        stage.simulator.clock.sleep(20 * 24 * 3600)
        assert stage.call("GET", link).content == content


def test_a_folder_is_a_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks first has its file stored, too; it is not fetched again."""
    folder = tmp_path / "kept"
    with gateway(tmp_path, SWAP.back, store=location_of(folder.as_uri())) as stage:
        task = finished(stage)
        (link,) = poll(stage, SWAP.face, task).urls
        content = stage.call("GET", link).content
        (path,) = folder.iterdir()
        assert path.read_bytes() == content
        stage.simulator.tasks.clear()
        turn(stage, monkeypatch)
        assert stage.gateway.faces.jobs.kept.due_calls(1e12, 9, simulated=True) == []
        assert stage.call("GET", link).content == content


def test_a_store_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the file comes from its vendor; so it does when it is lost in the store."""
    with gateway(tmp_path, SWAP.back, store=location_of("half://clips")) as stage:
        HalfStore.halves = 1000
        task = finished(stage)
        turn(stage, monkeypatch)
        (link,) = poll(stage, SWAP.face, task).urls
        content = stage.call("GET", link).content
        assert content[4:8] == b"ftyp"
        HalfStore.halves = 0
        turn(stage, monkeypatch, 10.0)
        assert [one["data"] for one in stored()] == [content]
        shutil.rmtree(tmp_path / "gateway")
        (tmp_path / "gateway").mkdir()
        HalfStore.store.clear()
        assert stage.call("GET", link).content == content


def stored() -> list[dict[str, bytes]]:
    """The files in the store that fails."""
    return [{"data": one.getvalue()} for one in HalfStore.store.values()]


def test_a_store_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    """Before any job is paid."""
    (tmp_path / "file").write_text("a file")
    place = location_of(tmp_path / "file" / "kept")
    with (
        gateway(tmp_path, SWAP.back, store=place) as stage,
        pytest.raises(DownloadError, match="cannot save to"),
    ):
        stage.run(stage.gateway.faces.jobs.files.try_store())
