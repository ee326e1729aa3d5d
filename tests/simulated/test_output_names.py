"""Where files are saved and how they are called: folders, files, patterns, and the home folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel import AsyncClient, Client, Ledger
from polyreel.batch import Batch, read
from polyreel.errors import DownloadError, RequestError
from polyreel.jobs.naming import Target, named, plain, problem_of_path, with_filename
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.shared import Job
from support.cli import Command, stranger

CLIP = {"prompt": "a cat", "duration": 3}
VENDOR = next(
    vendor
    for vendor, provider in all_providers().items()
    if any(route.workflow == "text-to-video" for route in provider.routes)
)
IMAGES = next(
    vendor
    for vendor, provider in all_providers().items()
    if any(route.workflow == "generate-image" for route in provider.routes)
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which is not the current one."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.fixture
def command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Command lines beside the home folder."""
    return stranger(capsys, monkeypatch, Path.cwd())


def paths(job: Job) -> list[str]:
    """Where a job's files are."""
    return [str(output.path) for output in job.outputs or []]


def saved(folder: Path) -> list[str]:
    """The files in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


# -- one file --------------------------------------------------------------------------------------


def test_a_file_is_saved_under_its_name(command: Command) -> None:
    """Another clip gets a name beside it: nothing is replaced."""
    arguments = ("generate", "cat", "--duration", "3", "--vendor", VENDOR, "--output", "clip.mp4")
    assert command(*arguments).out.strip() == str(Path("clip.mp4").absolute())
    again = command("generate", "dog", *arguments[2:])
    assert (again.code, Path(again.out.strip()).name) == (0, "clip.2.mp4")
    assert [name for name in saved(Path()) if "clip" in name] == ["clip.2.mp4", "clip.mp4"]


@pytest.mark.parametrize("output", ["sub/dir/clip.MP4", "clip.m4v"])
def test_the_suffix_stays_as_it_is_asked_for(output: str, command: Command) -> None:
    """Where it is that of the type."""
    done = command("generate", "cat", "--vendor", VENDOR, "--output", output)
    assert done.out.strip() == str(Path(output).absolute())


def test_another_type_than_the_name_says_has_its_own_suffix(command: Command) -> None:
    """What was paid for is saved all the same."""
    done = command("generate", "cat", "--vendor", VENDOR, "--output", "clip.mov")
    assert (done.code, Path(done.out.strip()).name) == (0, "clip.mp4")


def test_a_folder_with_such_a_name_stays_a_folder(command: Command) -> None:
    """If it is there already."""
    Path("clip.mp4").mkdir()
    done = command("generate", "cat", "--vendor", VENDOR, "--output", "clip.mp4")
    assert Path(done.out.strip()).parent.name == "clip.mp4"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--vendor", VENDOR, "--output", "clip.webm"), "no vendor makes such files"),
        (("--vendor", VENDOR, "--output", "a.png"), "a name with .png is not one for a video"),
        (
            ("--vendor", IMAGES, "--count", "2", "--output", "a.png"),
            "this is the name of one file, and 2 files are asked for: name a folder",
        ),
        (("--vendor", IMAGES, "--count", "1", "--output", "a.mp4"), "is not one for an image"),
        (("--vendor", VENDOR, "--output", "~nobody-by-this-name"), "no such home folder"),
        (("--vendor", VENDOR, "--output", "{nmae}.mp4"), "no field {nmae}"),
        (("--vendor", VENDOR, "--filename", "a/b.mp4"), "the folder is --output"),
        (("--vendor", VENDOR, "--filename", ""), "the name of a file"),
        (("--vendor", VENDOR, "--filename", "clip"), "a name such as clip.mp4, or a pattern"),
        (("--vendor", VENDOR, "--filename", "{name"), "a name such as clip.mp4, or a pattern"),
        (("--vendor", VENDOR, "--filename", "{n:03}.mp4"), "a pattern has fields such as {name}"),
        (("--vendor", VENDOR, "--filename", "{ext}-{n}"), "{ext} stands once, at the end"),
        (
            ("--vendor", VENDOR, "--output", "a.mp4", "--filename", "{n}.{ext}"),
            "--output is a file already",
        ),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_paid(
    arguments: tuple[str, ...], reason: str, command: Command
) -> None:
    """With a word on what to write."""
    done = command("generate", "cat", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.out == ""
    assert command("jobs", "--json").document == []


def test_resume_saves_where_the_submit_said(home: Path) -> None:
    """A file name is kept in the ledger as a folder is."""
    with Client(ledger="jobs.sqlite3") as client:
        job = client.submit(client.plan(CLIP, get_provider(VENDOR)), output="~/one/clip.mp4")
        done = client.resume(job.ledger_id or "")
    assert paths(done) == [str(home / "one" / "clip.mp4")]


def test_resume_of_several_jobs_needs_a_folder(command: Command) -> None:
    """One file cannot hold them."""
    with Ledger(Path(".polyreel/ledger.sqlite3")) as ledger, Client(ledger=ledger) as client:
        for _ in range(2):
            client.submit(client.plan(CLIP, get_provider(VENDOR)))
    done = command("resume", "--output", "clip.mp4")
    assert done.code == 2
    assert "clip.mp4 is one file, and there are 2 jobs: name a folder" in done.err
    assert command("resume", "--output", "clips").code == 0


# -- the home folder -------------------------------------------------------------------------------


def test_home_is_the_home_folder_in_python(home: Path) -> None:
    """In outputs, ledgers and rows as in inputs."""
    with Client(ledger="~/jobs.sqlite3") as client:
        plan = client.plan(CLIP, get_provider(VENDOR))
        for output in ("~", "~/clips", Path("~/clips")):
            (path,) = paths(client.generate(plan, output=output))
            assert Path(path).is_relative_to(home)
        job = client.wait(client.submit(plan, output="~/later"))
        (path,) = paths(client.resume(job.ledger_id or ""))
        assert Path(path).parent == home / "later"
        (path,) = paths(client.download(job, "~/down"))
        assert Path(path).parent == home / "down"
    assert (home / "jobs.sqlite3").exists()
    assert saved(Path()) == []


def test_home_is_the_home_folder_on_the_command_line(home: Path, command: Command) -> None:
    """Also after an equals sign, where no shell looks."""
    (home / "request.json").write_text('{"prompt": "a cat"}')
    done = command(
        "generate",
        "--request=~/request.json",
        f"--vendor={VENDOR}",
        "--output=~/clips",
        "--ledger=~/jobs.sqlite3",
    )
    assert Path(done.out.strip()).parent == home / "clips"
    assert (home / "jobs.sqlite3").exists()
    (home / "rows.csv").write_text("prompt\na cat\n")
    assert command("batch", "~/rows.csv", "--vendor", VENDOR, "--output=~/batch").code == 0
    assert "results.jsonl" in saved(home / "batch")
    assert not Path("~").exists()


# -- patterns --------------------------------------------------------------------------------------


def test_a_pattern_names_the_files(command: Command) -> None:
    """By the job's own name, or else by vendor and id."""
    pattern = ("--filename", "{vendor}_{model}_{name}-{n}.{ext}", "--output", "out")
    options = ("--vendor", VENDOR, *pattern)
    first = command("generate", "cat", "--job-name", "ads/Größe 1", *options)
    (name,) = saved(Path("out"))
    assert name.startswith(f"{VENDOR}_")
    assert name.endswith("_ads_Größe_1-1.mp4")
    assert first.out.strip() == str(Path("out", name).absolute())
    assert command("generate", "cat", *options).code == 0
    assert len(saved(Path("out"))) == 2


def test_a_pattern_without_a_suffix_gets_one(command: Command) -> None:
    """The one of the file."""
    done = command("generate", "cat", "--vendor", IMAGES, "--count", "2", "--filename", "{name}{n}")
    assert done.code == 0
    assert [Path(line).suffix for line in done.out.split()] == [".png", ".png"]


def test_a_pattern_in_python_is_a_part_of_the_path(home: Path) -> None:
    """For one job, and for a batch."""
    with Client(ledger="jobs.sqlite3") as client:
        job = client.generate(
            CLIP, get_provider(VENDOR), output="~/x/{name}-{n}.{ext}", reference="ad 1"
        )
    assert paths(job) == [str(home / "x" / "ad_1-1.mp4")]


@pytest.mark.parametrize("row", ['"reference": "row/1", ', ""])
def test_a_pattern_names_the_files_of_a_batch(row: str, home: Path, command: Command) -> None:
    """By the names of the rows, without that of the batch."""
    Path("rows.jsonl").write_text(f'{{{row}"prompt": "a cat"}}\n{{"prompt": "a dog"}}\n')
    options = ("--vendor", VENDOR, "--filename", "{name}-{n}.{ext}")
    assert command("batch", "rows.jsonl", *options).code == 0
    first = "row_1-1.mp4" if row else "1-1.mp4"
    assert saved(Path("clips")) == sorted([first, "2-1.mp4", "results.jsonl"])
    assert command("batch", "rows.jsonl", *options).code == 0
    assert len(saved(Path("clips"))) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--output", "clip.mp4"), "a batch makes many files: name a folder"),
        (("--filename", "{n}.{ext}"), "it needs {name} or {id}"),
        (("--filename", "clip.mp4"), "it needs {name} or {id}"),
        (("--filename", "{x}.{ext}"), "no field {x}"),
    ],
)
def test_a_batch_refuses_names_for_one_file(
    options: tuple[str, ...], reason: str, command: Command
) -> None:
    """Before anything is paid."""
    Path("rows.jsonl").write_text('{"prompt": "a cat"}\n')
    done = command("batch", "rows.jsonl", "--vendor", VENDOR, *options)
    assert done.code == 2
    assert reason in done.err


def test_a_batch_in_python_refuses_them_too(home: Path) -> None:
    """With a RequestError."""
    Path("rows.jsonl").write_text('{"prompt": "a cat"}\n')
    client = AsyncClient(ledger="jobs.sqlite3")
    with pytest.raises(RequestError, match="name a folder"):
        Batch(client, read("rows.jsonl"), "clip.mp4")
    with pytest.raises(RequestError, match=r"needs \{name\} or \{id\}"):
        Batch(client, read("rows.jsonl"), filename="{n}.{ext}").plan()
    assert client.ledger is not None
    client.ledger.close()


@pytest.mark.parametrize("name", ["a}b", "{", "}", "a{b}{", "{}", "{0}", "{n!r}", "{name.x}"])
def test_odd_braces_are_a_folder_or_a_problem(name: str, tmp_path: Path) -> None:
    """Never an exception of Python's."""
    path = tmp_path / name
    assert problem_of_path(path) is not None or Target.of(path).stem is None
    assert named(path, "x").parent == tmp_path
    with pytest.raises(ValueError, match=r"\S"):
        with_filename(tmp_path, name)


@pytest.mark.parametrize("name", ["..", "../../x", "/etc/passwd", "a\\b", "", "\0", ".hidden"])
def test_a_name_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    """Whatever the job is called."""
    path = named(tmp_path / "{name}.{ext}", name)
    assert path.parent == tmp_path
    assert not path.name.startswith(".")
    assert plain(name)


# -- some of several -------------------------------------------------------------------------------


class Lossy(httpx.BaseTransport):
    """Loses one of the files that a job has made."""

    def __init__(self, inner: Any, number: int) -> None:
        self.inner, self.number = inner, number
        self.links: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.host == "simulator.invalid":
            if request.url.path not in self.links:
                self.links.append(request.url.path)
            if self.links.index(request.url.path) == self.number:
                return httpx.Response(451)
        response: httpx.Response = self.inner.handle_request(request)
        return response


@pytest.mark.parametrize("number", [0, 1])
def test_what_could_be_saved_is_said_and_kept(number: int, home: Path) -> None:
    """Each file is tried, and the job has the paths of those that are there."""
    with Client(ledger="jobs.sqlite3") as client:
        request = {"prompt": "x", "count": 2, "model": "kling-o3-image"}
        whole = client.wire.transport
        client.wire.transport = Lossy(whole, number)
        with pytest.raises(DownloadError, match=r"^1 of 2 saved") as caught:
            client.generate(request, get_provider(IMAGES), output="out")
        assert f"file {number + 1}: the download failed: HTTP 451" in str(caught.value)
        job = caught.value.job
        assert job is not None
        found = [output.path for output in job.outputs or ()]
        assert [path is None for path in found] == [index == number for index in range(2)]
        assert str(found[1 - number]) in str(caught.value)
        (entry,) = client.jobs(["succeeded"])
        client.wire.transport = whole
        done = client.resume(entry.id)
        assert all(Path(path).exists() for path in paths(done))
        assert len(saved(Path("out"))) == 2


def test_a_single_file_that_is_lost_is_reported_as_before(home: Path) -> None:
    """There is nothing to count."""
    with Client() as client:
        client.wire.transport = Lossy(client.wire.transport, 0)
        with pytest.raises(DownloadError, match=r"^the download failed: HTTP 451"):
            client.generate(CLIP, get_provider(VENDOR), output="out")
