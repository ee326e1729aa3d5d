"""What a notebook shows: everything escaped, the clip beside its job, and no key or signed link."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import polyreel
import pytest
from polyreel import AsyncClient, Client, Job, Simulator
from polyreel.batch import Batch, Row, Summary
from polyreel.batch.display import LiveDisplay
from polyreel.jobs import display
from polyreel.keys import Secret
from polyreel.money.amounts import Cost
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import JobError, Output
from support.cli import CANARY
from support.pictures import picture

VENDORS = sorted(all_providers())
MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\""
SIGNED = "https://user:pw@cdn.example/clips/a.mp4?X-Amz-Signature=f00dfeed&Expires=1"
HIDDEN = ("f00dfeed", "user:pw", "s1gn4ture", CANARY)
"""What no notebook may show."""
TAGS = {
    *("table", "caption", "b", "tr", "th", "td", "pre", "details", "summary", "div", "progress"),
    *("video", "audio", "img"),
}


class Reader(HTMLParser):
    """Reads a page as a browser does: its tags, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(shown: Any) -> Reader:
    """What a value shows: well formed, only with tags of ours, and without what is hidden."""
    html = shown if isinstance(shown, str) else shown._repr_html_()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert {tag for tag, _ in reader.tags} <= TAGS
    attributes = {name for _, found in reader.tags for name in found}
    assert attributes <= {"style", "controls", "src", "title", "value", "max"}
    for word in HIDDEN:
        assert word not in html
        assert word not in reader.text
    return reader


def job(**facts: Any) -> Job:
    known = {"vendor": VENDORS[0], "model": "m", "workflow": "text-to-video", "id": "task-1"}
    return Job(**{"status": "succeeded", "simulated": False, **known, **facts})


@pytest.fixture
def made(tmp_path: Path) -> Job:
    """A finished job, with its clip."""
    with Client() as client:
        return client.generate(
            "a cat", get_provider(VENDORS[0]), output=tmp_path / "clips", duration=3
        )


# --- plans, costs, clients ------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_plan(vendor: VendorId) -> None:
    """What is sent and what becomes of it, with markup in the prompt shown as text."""
    request = {"prompt": MARKUP, "duration": 5, "callback_url": SIGNED_HOOK}
    plan = polyreel.plan(request, vendor, allow={"callback_url": "drop"})
    found = read(plan)
    assert MARKUP in found.text
    assert plan.url.partition("?")[0] in found.text
    assert str(plan.cost) in found.text
    assert all(one.verdict.value in found.text for one in plan.verdicts)
    assert "would be sent; nothing was" in found.text


SIGNED_HOOK = "https://hooks.example/polyreel?token=s1gn4ture"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_refused_plan(vendor: VendorId) -> None:
    """Why, in the caller's words; links in it without their signatures."""
    request = {
        "prompt": MARKUP,
        "duration": 99,
        "first_frame": SIGNED,
        "model": f"nonesuch<{MARKUP[:40]}",
    }
    plan = polyreel.plan(request, vendor)
    found = read(plan)
    assert plan.refused
    assert "is refused" in found.text
    assert plan.violations[0].message in found.text
    for name in ("reference_images", "source_video"):
        read(polyreel.plan({"prompt": "a", name: [SIGNED] if name[-1] == "s" else SIGNED}, vendor))


def test_a_file_in_a_plan_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "<script>.png"
    file.write_bytes(picture(size=(720, 720)))
    for frame in (file, file.read_bytes()):
        request = polyreel.VideoRequest(prompt="a cat", first_frame=frame)
        for vendor in VENDORS:
            found = read(polyreel.plan(request, get_provider(vendor)))
            assert len(found.text) < 12_000


def test_a_cost() -> None:
    found = read(Cost("bounded", Decimal(3), Decimal("0.5"), as_of="<b>", source=SIGNED))
    assert "at most 3 credits = $0.5000 (prices of <b>)" in found.text
    assert "https://cdn.example/clips/a.mp4" in found.text
    assert "unknown" in read(Cost("unknown")).text


def test_clients(tmp_path: Path) -> None:
    """Whose keys there are, and not what they are; nothing is connected or opened for it."""
    keys = dict.fromkeys(VENDORS[:2], CANARY)
    with Client(keys=keys, ledger=tmp_path / "<b>.sqlite3") as client:
        found = read(client)
        assert "live: jobs cost money" in found.text
        assert f"for {VENDORS[0]}, {VENDORS[1]}, never shown" in found.text
        assert "<b>.sqlite3" in found.text
        assert "wire" not in vars(client)
        # A key that stands in what somebody else has written is not shown either.
        read(polyreel.plan({"prompt": f"a cat, {CANARY}"}, get_provider(VENDORS[0])))
        read(job(error=JobError(code=CANARY, message=f"Bearer {CANARY}: {CANARY!r}")))
    simulated = AsyncClient(vendors=[VENDORS[0]])
    assert "simulated: nothing is sent or paid" in read(simulated).text
    assert "simulator" not in vars(simulated)


# --- jobs -----------------------------------------------------------------------------------------


def test_a_job_with_its_clip(made: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the page where it is small, else by its path from the notebook's folder."""
    found = read(made)
    players = [facts for tag, facts in found.tags if tag == "video"]
    assert [(facts["src"] or "")[:22] for facts in players] == ["data:video/mp4;base64,"]
    assert "nothing was paid" in found.text
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "EMBEDDED_BYTES", 10)
    (facts,) = [facts for tag, facts in read(made).tags if tag == "video"]
    source = facts["src"] or ""
    assert source.startswith("./clips/")
    assert (tmp_path / source).exists()
    monkeypatch.chdir(tmp_path / "clips")
    monkeypatch.chdir("/")
    assert made.outputs
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "video" not in {tag for tag, _ in read(made).tags}, "no page reaches it"


NAMES = ("<script>alert(1)</script>.mp4", "a'b\"c.mp4", "javascript:alert(1).mp4", "100%20?#.mp4")


@pytest.mark.parametrize("name", [name.replace("/", "") for name in NAMES])
def test_names_of_files_are_no_markup(
    made: Job, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.outputs
    file = Path(made.outputs[0].path or "").rename(tmp_path / name)
    odd = job(outputs=[Output(url=SIGNED, path=str(file))])
    assert name in read(odd).text
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "EMBEDDED_BYTES", 10)
    (facts,) = [facts for tag, facts in read(odd).tags if tag == "video"]
    assert unquote(facts["src"] or "") == f"./{name}"
    assert facts["title"] == name


def test_words_of_a_vendor_are_no_markup() -> None:
    found = read(
        job(
            id=MARKUP,
            status="failed",
            model=MARKUP,
            labels={MARKUP: MARKUP},
            progress=0.5,
            ledger_id=MARKUP,
            error=JobError(code=MARKUP, message=f"{MARKUP} see {SIGNED}"),
            outputs=[Output(url=SIGNED)],
            estimate={"confidence": "exact", "usd": "0.5", "as_of": MARKUP},
        )
    )
    assert found.text.count(MARKUP) >= 7
    assert "not saved: https://cdn.example/clips/a.mp4" in found.text
    assert "failed 50%" in found.text


@pytest.mark.parametrize("content", [b"", b"<html>no clip", b"\x7fELF"])
def test_what_is_no_clip_is_not_put_into_the_page(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(content)
    for path in (file, tmp_path, tmp_path / "gone.mp4", Path("\0")):
        shown = read(job(outputs=[Output(url=SIGNED, path=str(path))]))
        assert {tag for tag, _ in shown.tags} <= {"table", "caption", "b", "tr", "th", "td"}


def test_pictures_are_shown(tmp_path: Path) -> None:
    with Client() as client:
        request = polyreel.ImageRequest(prompt="a cat")
        images = client.generate(request, output=tmp_path)
    assert [tag for tag, _ in read(images).tags if tag == "img"] == ["img"]


def test_a_held_key_is_forgotten_with_its_client() -> None:
    """It is kept by nobody else."""
    key = Secret.check(CANARY, "a key")
    assert CANARY not in job(error=JobError(message=CANARY))._repr_html_()
    del key
    assert CANARY[3:] in job(error=JobError(message=f"no {CANARY[3:]}"))._repr_html_()


# --- batches --------------------------------------------------------------------------------------


class Handle:
    """A display of a notebook, which remembers what it showed."""

    def __init__(self, first: Any) -> None:
        self.pages = [first]

    def update(self, page: Any) -> None:
        self.pages.append(page)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """IPython as a kernel has it."""
    handles: list[Handle] = []

    def shown(page: Any, *, display_id: bool) -> Handle:
        assert display_id
        handles.append(Handle(page))
        return handles[-1]

    ipython, displays = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    vars(displays).update(display=shown, HTML=str)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    monkeypatch.setattr("polyreel.batch.display.UPDATE_SECONDS", 0.0)
    return handles


def run(folder: Path, *prompts: str, fault: str | None = None) -> Batch:
    """A batch that was run."""
    rows = [
        Row(number, number, f"rows/{number}", {"prompt": prompt, "duration": 3}, batch="rows")
        for number, prompt in enumerate(prompts, 1)
    ]

    async def make() -> Batch:
        simulator = Simulator(seed=1)
        if fault:
            simulator.inject(fault, times=None)
        async with AsyncClient(simulator=simulator, ledger=folder / "ledger") as client:
            work = Batch(client, rows, folder / "<b>clips")
            assert read(work).text.startswith("batch")
            assert isinstance(work.plan(), Summary)
            read(work.plan())
            await work.run()
            return work

    return asyncio.run(make())


def test_a_batch_goes_on_before_ones_eyes(tmp_path: Path, notebook: list[Handle]) -> None:
    """A page after each row, and the whole at the end; what it says of rows is no markup."""
    done = run(tmp_path, MARKUP, "a dog", "a bird")
    (handle,) = notebook
    pages = [read(page) for page in handle.pages]
    bars = [facts for page in pages for tag, facts in page.tags if tag == "progress"]
    assert [int(facts["value"] or "") for facts in bars] == [0, 1, 2, 3, 3]
    assert {facts["max"] for facts in bars} == {"3"}
    assert "saved3" in pages[-1].text.replace(" ", "")
    assert "<b>clips" in pages[-1].text
    assert done._repr_html_() == handle.pages[-1]


def test_what_went_wrong_is_in_the_page(tmp_path: Path, notebook: list[Handle]) -> None:
    """The first rows of it, and how many more there are."""
    run(tmp_path, *(f"cat {number}" for number in range(7)), fault="refused")
    found = read(notebook[-1].pages[-1])
    assert "what went wrong" in found.text
    assert "and 2 more" in found.text


def test_no_notebook_no_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """IPython is not imported for it; a terminal of IPython has no displays."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert LiveDisplay.begin(str) is None
    assert "IPython" not in sys.modules
    terminal = ModuleType("IPython")
    vars(terminal)["get_ipython"] = SimpleNamespace
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert LiveDisplay.begin(str) is None
    vars(terminal)["get_ipython"] = lambda: None
    assert LiveDisplay.begin(str) is None
    assert "saved" in read(run(tmp_path, "a cat")).text
