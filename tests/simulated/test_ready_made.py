"""Without the renderer the simulator hands out ready-made files, and says so before anything is
submitted."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest
from attrs import evolve
from PIL import Image
from polyreel import AsyncClient, Client, ImageRequest, plan
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import ReadyMadeWarning, Simulator
from polyreel.simulator.ready_made import CLIP, CURE, IMAGE, asked, content, labelled
from polyreel_generated.contracts.vendors import VendorId
from support.cli import FIRST, Command, seller, stranger
from support.ready_made import NOTICE, README
from support.requests import EXAMPLES
from support.vendors import vendor_ids

if TYPE_CHECKING:
    from polyreel import Job
    from polyreel.serving.shapes import Picture
    from polyreel.simulator.rendering import ImageFormat


IMAGES = seller("generate-image")
FORMS: tuple[ImageFormat, ...] = ("jpeg", "png", "webp")


def saved(job: Job) -> list[bytes]:
    """The files of a job."""
    return [Path(str(item.path)).read_bytes() for item in job.outputs or ()]


def decoded(file: bytes, picture: Picture) -> None:
    """Assert that a decoder finds the shape of a picture in a file."""
    if not picture.seconds:
        with Image.open(BytesIO(file)) as image:
            image.load()
            assert (image.format or "").lower() == picture.image_format
            assert image.size == (picture.width, picture.height)
        return
    with av.open(BytesIO(file), "r") as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        frames = list(container.decode(video=0))
    assert len(frames) == 24 * picture.seconds
    assert {(frame.width, frame.height) for frame in frames} == {(picture.width, picture.height)}


# -- the files -------------------------------------------------------------------------------------


PICTURES = [CLIP, *(evolve(IMAGE, image_format=form) for form in FORMS)]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda one: one.suffix)
def test_files_of_two_jobs_differ_as_rendered_ones_do(picture: Picture) -> None:
    """In a label; whatever its length, a decoder finds the same picture.

    The same job has the same bytes.
    """
    other = evolve(picture, caption=("another",))
    made = [content(picture, 1), content(picture, 2), content(other, 1)]
    assert len(set(made)) == 3
    assert made[0] == content(picture, 1)
    for file in (*made, labelled(content(picture, 1), b""), labelled(content(picture, 1), b"odd")):
        decoded(file, picture)


# -- jobs ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bare")
def test_the_readmes_clip_is_made_as_asked(tmp_path: Path) -> None:
    """Nothing is warned of: length, size and sound are those of the ready-made clip."""
    with Client() as client:
        (file,) = saved(client.generate(README, output=tmp_path))
    decoded(file, CLIP)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("form", FORMS)
def test_images_have_the_asked_format(form: ImageFormat, tmp_path: Path) -> None:
    """And the asked number."""
    request = ImageRequest(prompt="a cat", output_format=form, count=2, aspect_ratio="16:9")
    with Client() as client:
        files = saved(client.generate(request, get_provider(IMAGES), output=tmp_path))
    assert len(set(files)) == 2
    for file in files:
        decoded(file, evolve(IMAGE, image_format=form))


OTHERS = [
    ({**README, "duration": 10}, "10 s, 720x1280, with sound"),
    ({**README, "aspect_ratio": "16:9"}, "5 s, 1280x720, with sound"),
    ({**README, "audio": False}, "5 s, 720x1280, without sound"),
]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("request_", "shape"), OTHERS, ids=[shape for _, shape in OTHERS])
def test_what_cannot_be_as_asked_is_reported_before_it_is_submitted(
    request_: dict[str, Any], shape: str, tmp_path: Path
) -> None:
    """With both clients, for a submit, a generate and a list of plans.

    Who makes the warning an error pays nothing.
    """
    with Client() as client:
        plans = client.plans(request_, vendor_ids(all_providers()))
        text = f"5 s, 720x1280, with sound, not the {shape} asked for"
        with pytest.raises(ReadyMadeWarning, match=text) as reported:
            client.submit(client.plan(request_))
        assert CURE in str(reported.value)
        for asked_for in (request_, plans[0], plans):
            with pytest.raises(ReadyMadeWarning, match=text):
                client.generate(asked_for, output=tmp_path)
        assert client.simulator is not None
        assert client.simulator.bill.count() == 0
        assert client.simulator.journal == []
        with pytest.warns(ReadyMadeWarning) as warned:
            job = client.generate(request_, output=tmp_path)
        with pytest.warns(ReadyMadeWarning) as again:
            client.submit(client.plan(request_))
        assert [warning.filename for warning in (*warned, *again)] == [__file__] * 2
        assert client.simulator.bill.count() == 2
    decoded(saved(job)[0], CLIP)

    async def awaited() -> None:
        async with AsyncClient() as client:
            with pytest.raises(ReadyMadeWarning):
                await client.generate(request_, output=tmp_path)
            assert client.simulator is not None
            assert client.simulator.journal == []

    asyncio.run(awaited())


def test_with_the_renderer_nothing_is_reported(tmp_path: Path) -> None:
    """Warnings are errors here."""
    with Client() as client:
        client.generate({**README, "duration": 3, "resolution": "720p"}, output=tmp_path)


@pytest.mark.matrix("vendor", "name")
@pytest.mark.parametrize("vendor", all_providers())
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_reported_is_what_is_made(vendor: VendorId, name: str) -> None:
    """The picture that a plan asks for is the one of its job."""
    made: Plan = plan(EXAMPLES[name], vendor)
    if made.refused:
        assert made.violations
        return
    simulator = Simulator()
    with Client(simulator=simulator) as client:
        client.submit(made)
    assert [task.picture for task in simulator.tasks.values()] == [asked(made)]


@pytest.mark.usefixtures("bare")
def test_faults_of_files_happen_to_ready_made_ones_too(tmp_path: Path) -> None:
    """The connection ends halfway, and the rest is that of another version: the client ends with
    one whole file.
    """
    with Client() as client:
        assert client.simulator is not None
        for fault in ("file-cut", "file-changed"):
            client.simulator.inject(fault)
        job = client.generate(README, output=tmp_path)
        assert [name for _, name in client.simulator.fired] == ["file-cut", "file-changed"]
    decoded(saved(job)[0], CLIP)


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder."""
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.usefixtures("bare")
def test_generate_says_it_before_the_first_word_of_the_job(cli: Command) -> None:
    """In one line, also where nothing but the prompt is missing; stdout holds the result only."""
    found = cli("generate", "a cat", "--duration", "8", "--aspect-ratio", "9:16")
    assert found.code == 0
    assert found.err.startswith(
        f"{NOTICE}: the file will be a ready-made clip of 5 s, 720x1280, with sound, not the 8 s"
    )
    assert found.err.count(NOTICE) == 1
    assert len(found.out.splitlines()) == 1
    found = cli("generate", "a cat", "--duration", "5", "--aspect-ratio", "9:16")
    assert found.err.startswith(
        f"{NOTICE}: the file will be a ready-made clip of 5 s, 720x1280, with sound, without"
    )
    assert "asked for: pip" not in found.out


def test_with_the_renderer_no_command_says_it(cli: Command) -> None:
    """Nor does one that sends nothing."""
    for arguments in (("doctor",), ("generate", "a cat", "--duration", "3")):
        assert NOTICE not in cli(*arguments).err


@pytest.mark.usefixtures("bare")
def test_a_plan_and_a_refused_request_do_not_say_it(cli: Command) -> None:
    """Nothing is made there."""
    assert NOTICE not in cli("plan", "a cat").err
    link = "https://example.com/a.png"
    subject = ("--front-image", link, "--image", link, "--name", "x", "--description", "x")
    found = cli("generate", *subject)  # a subject has no file
    assert (found.code, NOTICE in found.err) == (0, False)
    found = cli("generate", "a cat", "--duration", "5000", "--vendor", FIRST)
    assert (found.code, NOTICE in found.err) == (2, False)
