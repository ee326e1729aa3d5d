"""Downloads of finished jobs: the whole file or none, in the right place."""

import asyncio
import errno
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel.drivers import downloads, parts
from polyreel.errors import DownloadError
from polyreel.flows import Fetch
from polyreel.mapping import media
from polyreel_generated.shared import Job
from support.faults import (
    CANARIES,
    FILES,
    RESET,
    VENDORS,
    Answer,
    Clients,
    FaultServer,
    Kind,
    drip,
    every_kind,
    http,
    raw,
)
from support.files import mp4

MP4 = FILES["video/mp4"]
KEYED = VENDORS[0]
"""The vendor whose own host serves files here."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: FaultServer) -> Iterator[Clients]:
    with Clients(keys=CANARIES, base_urls={KEYED: server.url}).hurry() as pair:
        yield pair


def finished(url: str, vendor: str = KEYED, **own: Any) -> Job:
    """A finished job with one file."""
    facts = {
        "vendor": vendor,
        "model": "m",
        "workflow": "text-to-video",
        "id": "task-1",
        "simulated": False,
    }
    return Job.model_validate({**facts, "status": "succeeded", "outputs": [{"url": url}], **own})


def film(content: bytes = MP4, headers: Mapping[str, str] | None = None) -> Answer:
    """A file as a server sends it."""
    return http(200, content, {"Content-Type": "video/mp4", **(headers or {})})


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN: dict[str, Answer] = {
    "truncated": raw(OK + b"Content-Length: 10000\r\n\r\n" + MP4),
    "truncated-chunk": raw(OK + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + MP4),
    "reset": raw(OK + b"Content-Length: 10000\r\n\r\n" + MP4, then="reset"),
    "no-answer": RESET,
    "html": http(200, b"<html>please log in</html>", {"Content-Type": "video/mp4"}),
    "json": http(200, b'{"error": "expired"}'),
    "empty": http(200, b""),
    "picture": film(FILES["image/png"]),
    "heic": film(b"\x00\x00\x00\x18ftypheic" + b"x" * 100),
    "gzip": film(headers={"Content-Encoding": "gzip"}),
    "partial": http(206, MP4),
    "accepted": http(202, MP4),
    "not-modified": raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "no-location": http(302, MP4),
    "bad-location": http(302, b"", {"Location": "https://["}),
    "to-a-file": http(302, b"", {"Location": "file:///etc/passwd"}),
    "to-ftp": http(302, b"", {"Location": "ftp://127.0.0.1/x"}),
    "round-and-round": http(302, b"", {"Location": "/again"}),
    **{f"http-{status}": http(status, MP4) for status in (400, 401, 403, 404, 410, 429, 500, 503)},
}

TRIES = {
    "round-and-round": downloads.MAX_REDIRECTS + 1,
    **dict.fromkeys(("no-answer", "http-429", "http-500", "http-503"), downloads.IDLE_TRIES),
    # The first of these brought something new.
    **dict.fromkeys(("truncated", "truncated-chunk", "reset"), downloads.IDLE_TRIES + 1),
}


@pytest.mark.matrix("name", "kind")
@every_kind
@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_download_leaves_nothing(
    clients: Clients, server: FaultServer, name: str, kind: Kind, tmp_path: Path
) -> None:
    """Not a file, not a part of one; what may pass by itself was asked for a few times, all else
    once.
    """
    server.play(BROKEN[name])
    job = finished(f"{server.url}/x.mp4")
    with pytest.raises(DownloadError) as caught:
        clients.do(kind, "download", job, tmp_path / "clips")
    assert (caught.value.vendor, caught.value.job, caught.value.billed) == (KEYED, job, "yes")
    assert caught.value.status == (
        int(name[5:]) if name.startswith("http-") else caught.value.status
    )
    # Whether the vendor is asked for a fresh link is not the download's business.
    asked = [request for request in server.requests if request.target in {"/x.mp4", "/again"}]
    assert len(asked) == TRIES.get(name, 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@every_kind
@pytest.mark.parametrize(
    "answer",
    [
        film(),
        film(
            headers={
                "Content-Type": "text/html",
                "Content-Disposition": 'attachment; filename="../../evil.sh"',
            }
        ),
        raw(OK + b"\r\n" + MP4),
        raw(
            OK
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + f"{len(MP4):x}".encode()
            + b"\r\n"
            + MP4
            + b"\r\n0\r\n\r\n"
        ),
        raw(
            OK
            + f"Content-Length: {len(MP4)}\r\n\r\n".encode()
            + MP4
            + b"and more than was promised"
        ),
    ],
    ids=["plain", "lying-headers", "to-the-end", "chunked", "more-than-promised"],
)
def test_a_good_download_is_the_file(
    clients: Clients, server: FaultServer, answer: Answer, kind: Kind, tmp_path: Path
) -> None:
    """Byte for byte, under a name of ours; once more replaces it."""
    server.play(answer)
    for _ in range(2):
        job = clients.do(kind, "download", finished(f"{server.url}/x?sig=1"), tmp_path / "a" / "b")
        (output,) = job.outputs
        assert (output.content_type, output.size_bytes) == ("video/mp4", len(MP4))
        assert output.path == str(tmp_path / "a" / "b" / f"{KEYED}-task-1-1.mp4")
        assert Path(output.path).read_bytes() == MP4
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [Path(output.path).name]


def test_downloads_of_one_job_do_not_meet(
    clients: Clients, server: FaultServer, tmp_path: Path
) -> None:
    """Each has a part of its own; all end with the whole file."""
    server.play(*[http(200, MP4 * 2000)] * 8)
    client: Any = clients.by_kind["awaiting"]

    async def crowd() -> list[Any]:
        return await asyncio.gather(
            *(client.download(finished(server.url), tmp_path) for _ in range(8))
        )

    paths = {done.outputs[0].path for done in clients.runner.run(crowd())}
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [MP4 * 2000]
    assert len(paths) == 1


@every_kind
def test_a_failed_download_leaves_the_old_file(
    clients: Clients, server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """What was complete stays until something complete replaces it."""
    old = tmp_path / f"{KEYED}-task-1-1.mp4"
    old.write_bytes(b"precious")
    server.play(BROKEN["truncated"])
    with pytest.raises(DownloadError):
        clients.do(kind, "download", finished(f"{server.url}/x"), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"precious"]


@every_kind
def test_the_kind_of_file_is_the_jobs(
    clients: Clients, server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """Pictures for picture jobs, in the format of their bytes."""
    for content_type in ("image/png", "image/jpeg", "image/webp"):
        server.play(http(200, FILES[content_type], {"Content-Type": "application/octet-stream"}))
        job = clients.do(
            kind, "download", finished(server.url, workflow="generate-image"), tmp_path
        )
        assert Path(job.outputs[0].path).suffix == media.SUFFIXES[content_type]
    server.play(film())
    with pytest.raises(DownloadError, match="not image"):
        clients.do(kind, "download", finished(server.url, workflow="generate-image"), tmp_path)


@every_kind
@pytest.mark.parametrize(
    "start",
    [b"", OK + b"X-Drip: ", OK + b"\r\n" + MP4, OK + b"Content-Length: 9999999\r\n\r\n" + MP4],
)
def test_a_download_that_drips_ends(
    clients: Clients,
    server: FaultServer,
    start: bytes,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At its deadline, without a file: nothing else would end it."""
    monkeypatch.setattr("polyreel.jobs.finishing.Fetch", partial(Fetch, deadline=0.2))
    server.play(drip(start))
    with pytest.raises(DownloadError, match="in time"):
        clients.do(kind, "download", finished(server.url), tmp_path)
    assert list(tmp_path.iterdir()) == []


@every_kind
def test_a_download_has_a_limit(
    clients: Clients,
    server: FaultServer,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No server fills the disk."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 100)
    server.play(film())
    with pytest.raises(DownloadError, match="too large"):
        clients.do(kind, "download", finished(server.url), tmp_path)
    assert list(tmp_path.iterdir()) == []


@every_kind
@pytest.mark.parametrize("trouble", ["a-file", "nul", "too-long", "disk-full", "taken"])
def test_a_folder_that_cannot_be_written_is_reported(
    clients: Clients,
    server: FaultServer,
    trouble: str,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One error, with the reason; the job is safe."""
    server.play(film())
    (tmp_path / "a-file").write_bytes(b"")
    (tmp_path / "taken" / f"{KEYED}-task-1-1.mp4").mkdir(parents=True)
    names = {"nul": "a\x00b", "too-long": "x" * 300}
    if trouble == "disk-full":
        monkeypatch.setattr(os, "fsync", partial(fail, errno.ENOSPC))
    with pytest.raises(DownloadError, match="cannot save to") as caught:
        clients.do(kind, "download", finished(server.url), tmp_path / names.get(trouble, trouble))
    assert caught.value.job is not None
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".part"]


def fail(number: int, *_: object) -> None:
    raise OSError(number, os.strerror(number))


IDS = [
    "../../evil",
    "..",
    "/etc/passwd",
    "..\\..\\evil",
    "a/../../b",
    "CON",
    "nul\x00",
    "a\nb",
    "\u202egpj",
    "x" * 500,
    "~root",
    ".",
]


@pytest.mark.matrix("identity", "kind")
@every_kind
@pytest.mark.parametrize("identity", IDS, ids=range(len(IDS)))
def test_no_job_id_leaves_the_folder(
    clients: Clients, server: FaultServer, identity: str, kind: Kind, tmp_path: Path
) -> None:
    """A vendor's id names the file, and can do nothing else."""
    server.play(film())
    job = clients.do(kind, "download", finished(server.url, id=identity), tmp_path / "clips")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert str(path) == job.outputs[0].path
    assert path.parent == tmp_path / "clips"
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", path.name)


@pytest.mark.parametrize(
    "url", ["https://[", "https://" + "a" * 64 + ".example/x", "nonsense", "", "ftp://x.example/y"]
)
@every_kind
def test_a_link_that_is_none_is_a_failed_download(
    clients: Clients, url: str, kind: Kind, tmp_path: Path
) -> None:
    """A vendor's word for a link, whatever it is, raises nothing foreign."""
    with pytest.raises(DownloadError):
        clients.do(kind, "download", finished(url), tmp_path)


ALIKE: Final = [
    ("task/1", "task_1"),
    ("a.b", "a:b"),
    ("\u00e9", "\u00e8"),
    ("x" * 300, "x" * 301),
    ("x" * 190 + "/", "x" * 190 + "_"),
]
"""Pairs of ids that differ only in what cannot stand in a file name."""


@every_kind
@pytest.mark.parametrize("pair", ALIKE, ids=range(len(ALIKE)))
def test_two_jobs_have_two_files(
    clients: Clients, server: FaultServer, pair: tuple[str, str], kind: Kind, tmp_path: Path
) -> None:
    """Each the clip that it paid for."""
    clips = [mp4(identity.encode()) for identity in pair]
    paths = []
    for identity, clip in zip(pair, clips, strict=True):
        server.play(film(clip))
        job = clients.do(kind, "download", finished(server.url, id=identity), tmp_path)
        paths.append(Path(job.outputs[0].path))
    assert [path.read_bytes() for path in paths] == clips
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.matrix("links+kind", "taken")
@every_kind
@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
@pytest.mark.parametrize("taken", ["file", "empty", "link", "dangling"])
def test_a_file_of_somebody_else_stays(
    clients: Clients,
    server: FaultServer,
    taken: str,
    links: bool,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clip gets another name, and the same one however often it is downloaded."""
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    folder, elsewhere = tmp_path / "clips", tmp_path / "precious"
    name = folder / f"{KEYED}-task-1-1.mp4"
    folder.mkdir()
    if taken != "dangling":
        elsewhere.write_bytes(MP4 if taken == "link" else b"precious" if taken == "file" else b"")
    if taken in {"link", "dangling"}:
        name.symlink_to(elsewhere)
    else:
        elsewhere.rename(name)
    before = name.read_bytes() if taken != "dangling" else None
    for _ in range(3):
        server.play(film())
        job = clients.do(kind, "download", finished(server.url), folder)
        assert job.outputs[0].path == str(folder / f"{KEYED}-task-1-1.2.mp4")
        assert Path(job.outputs[0].path).read_bytes() == MP4
    assert (name.read_bytes() if taken != "dangling" else None) == before
    assert len(list(folder.iterdir())) == 2


def refuse_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@every_kind
def test_many_files_of_somebody_else_are_reported(
    clients: Clients, server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """The names that are tried come to an end, and no file is lost."""
    names = ["", *(f".{number}" for number in range(2, parts.MAX_NAMES))]
    for name in names:
        (tmp_path / f"{KEYED}-task-1-1{name}.mp4").write_bytes(b"precious")
    server.play(film())
    with pytest.raises(DownloadError, match="other files of this name"):
        clients.do(kind, "download", finished(server.url), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"precious"] * len(names)


@every_kind
def test_a_process_killed_while_it_renamed_harms_nothing(
    clients: Clients, server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """Then the file has both names, and only the name of the part goes."""
    name = tmp_path / f"{KEYED}-task-1-1.mp4"
    name.write_bytes(MP4)
    mark = parts.mark_of('"v1"', len(MP4))
    os.link(name, tmp_path / parts.part_name(name.stem, mark))
    server.play(film(headers={"ETag": '"v1"', "Content-Length": str(len(MP4))}))
    clients.do(kind, "download", finished(server.url), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [MP4]
    assert name.exists()
