"""The life of a simulated job: every answer is checked against the vendor's contract."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final

import av
import pytest
from attrs import evolve
from PIL import Image
from polyreel.errors import UnknownNameError
from polyreel.flows import Reply
from polyreel.mapping.workflows import INPUT_VIDEOS
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving import answers
from polyreel.serving.shapes import MOST_OUTPUTS, MOST_SECONDS, picture_of
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.scripting import scriptable
from polyreel.simulator.tasks import credits_of
from support import matrix
from support.server import (
    BODIES,
    PROVIDERS,
    START,
    STREAMS,
    Submit,
    calls,
    download,
    each_body,
    each_create,
    each_vendor,
    each_workflow,
    example,
    finish,
    key_of,
    members,
    named,
    new_simulator,
    poll,
    send,
    status_query,
    submit,
)

# -- the life of a job -----------------------------------------------------------------------------


@each_body
def test_every_documented_body_is_accepted_and_lives(one: Submit) -> None:
    """A documented body makes a job that waits, runs and succeeds, is billed once, and makes what
    was asked for.
    """
    simulator = new_simulator()
    task = submit(simulator, one)
    assert isinstance(simulator.clock, VirtualClock)
    words = []
    for seconds in (0, 5, 1000):
        simulator.clock.advance(seconds)
        facts = poll(simulator, one.provider, task.id)
        words.append(facts.status)
        assert facts.id == task.id
    assert words == ["queued", "running", "succeeded"]
    assert simulator.bill.count(one.provider.id) == simulator.bill.count() == 1
    (made,) = simulator.tasks.values()
    asked, picture = asked_for(one), made.picture
    assert facts.element == made.element
    if one.reading.kind == "element":
        assert made.element
        assert facts.urls == ()
        return
    assert len(facts.urls) == picture.count == asked.get("count", 1)
    assert picture.seconds == (0 if one.reading.kind == "image" else asked.get("duration", 5))
    assert picture.width / picture.height == pytest.approx(ratio(asked), rel=0.02)
    assert picture.audio == has_sound(asked)


# Rendering takes a moment, so one body of each route is watched.
@pytest.mark.slow
@pytest.mark.matrix("one.provider.id", "one.reading.route.workflow")
@pytest.mark.parametrize(
    "one",
    {id(one.reading.route): one for one in BODIES if one.reading.kind != "element"}.values(),
    ids=named,
)
def test_the_files_are_what_was_asked_for(one: Submit) -> None:
    """Everyone who has the URLs can download playable files of the asked length, size, sound,
    number and format.
    """
    simulator, asked = new_simulator(), asked_for(one)
    task = submit(simulator, one)
    finish(simulator)
    files = [download(simulator, url) for url in poll(simulator, one.provider, task.id).urls]
    assert {file.status for file in files} == {200}
    assert len(files) == asked.get("count", 1)
    for file in files:
        (assert_image if one.reading.route.workflow == "generate-image" else assert_video)(
            file, asked
        )


IMAGES: Final = [one for one in BODIES if "output_format" in one.reading.route.by_name]


@pytest.mark.parametrize("one", IMAGES[:1], ids=named)
def test_images_come_in_the_asked_format_and_number(one: Submit) -> None:
    """Every documented format, and as many as are allowed, told as images and not as videos."""
    route, contract = one.reading.route, one.provider.contract
    form_place, count_place = (route.by_name[name].places[0] for name in ("output_format", "count"))
    most = (contract.property(route.schema, count_place) or {})["maximum"]
    for form in (contract.property(route.schema, form_place) or {})["enum"]:
        simulator, body = new_simulator(), {**one.body, form_place: form, count_place: most}
        task = one.provider.read(send(simulator, one.provider, one.operation, body)).id
        finish(simulator)
        facts = poll(simulator, one.provider, task)
        assert len(set(facts.urls)) == most
        for url in facts.urls:
            assert url.endswith(f".{form}")
            assert_image(download(simulator, url), {**asked_for(one), "output_format": form})
        _, sample = answers.example(
            one.provider, status_query(one.provider), "succeeded_image", "succeeded"
        )
        assert {name for name, _ in members(facts.raw)} >= {name for name, _ in members(sample)} - {
            *one.body,
            "n",
        }
        assert '"video' not in json.dumps(
            {name: value for name, value in facts.raw.items() if name != "input"}
        )


def asked_for(one: Submit) -> JsonObject:
    """What a body asks for, with the vendor's documented defaults where it says nothing."""
    return {**one.provider.defaults(one.reading.route), **one.reading.request}


def ratio(asked: JsonObject) -> float:
    """Width by height."""
    word = asked.get("aspect_ratio", "auto")
    across, down = map(int, ("16:9" if word == "auto" else word).split(":"))
    return across / down


def has_sound(asked: JsonObject) -> bool:
    """A clip made from a video has that one's sound, or none; others have the sound that is asked
    for.
    """
    follows = any(name in asked for name in INPUT_VIDEOS)
    return bool(asked.get("keep_source_audio", True) if follows else asked.get("audio"))


def assert_image(file: Reply, asked: JsonObject) -> None:
    picture = Image.open(BytesIO(file.content))
    assert (
        file.headers["content-type"]
        == f"image/{asked['output_format']}"
        == Image.MIME[str(picture.format)]
    )
    assert picture.width / picture.height == pytest.approx(ratio(asked), rel=0.02)
    side = {"1K": 1024, "2K": 2048}[asked["resolution"]]
    assert picture.width * picture.height == pytest.approx(side * side, rel=0.02)


def assert_video(file: Reply, asked: JsonObject) -> None:
    size = asked.get("resolution", "720p")
    short = {"2k": 1440, "4k": 2160}.get(size) or int(size.removesuffix("p"))
    with av.open(BytesIO(file.content), "r") as container:
        stream = container.streams.video[0]
        assert file.headers["content-type"] == "video/mp4"
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(asked.get("duration", 5), abs=0.1)
        assert min(stream.width, stream.height) == short
        # Sides are even numbers of pixels.
        assert stream.width / stream.height == pytest.approx(ratio(asked), abs=2 / short)
        assert bool(container.streams.audio) == has_sound(asked)
        assert next(container.decode(video=0)).width == stream.width


@pytest.mark.parametrize("one", STREAMS, ids=named)
def test_a_stream_tells_a_whole_life(one: Submit) -> None:
    """The twin that streams bills one job, its events are those documented, and it ends as the last
    one says.
    """
    for end in [
        end
        for end in ("succeeded", "failed", "canceled")
        if end in {*scriptable(one.provider), "succeeded"}
    ]:
        simulator = new_simulator()
        if end != "succeeded":
            simulator.script(one.provider.id, end)
        reply = send(simulator, one.provider, one.operation, one.body)
        media = one.provider.contract.resolve(one.operation.spec["responses"]["200"])["content"][
            "text/event-stream"
        ]
        schema = {"$ref": media["schema"]["x-polyreel-event"]}
        seen = []
        for block in reply.content.decode().removesuffix("\n\n").split("\n\n"):
            event = json.loads(block.removeprefix("data: "))
            assert one.provider.contract.fits(schema, event) == []
            seen.append(one.provider.read(Reply(200, {}, json.dumps(event).encode())))
        assert [seen[0].status, seen[-1].status] == ["queued", end]
        finish(simulator)
        last = poll(simulator, one.provider, seen[-1].id)
        assert (last.status, last.urls) == (end, seen[-1].urls)
        assert bool(last.urls) == (end == "succeeded")
        assert simulator.bill.count() == 1


@each_vendor
@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_job_can_end_badly(provider: Provider, end: str) -> None:
    """A scripted end comes in the vendor's shape, with the vendor's reason; one it does not
    document is refused.
    """
    simulator, one = new_simulator(), example(provider)
    if end not in scriptable(provider):
        with pytest.raises(UnknownNameError, match=end):
            simulator.script(provider.id, end)
        return
    simulator.script(provider.id, end)
    task, healthy = submit(simulator, one), submit(simulator, one)
    finish(simulator)
    facts = poll(simulator, provider, task.id)
    assert (facts.status, facts.urls) == (end, ())
    assert facts.error_message or end == "canceled"
    assert poll(simulator, provider, healthy.id).status == "succeeded"


@each_workflow
def test_answers_hold_the_facts_of_the_task(one: Submit) -> None:
    """Nothing of the documented samples is left where the simulator knows better."""
    simulator = new_simulator()
    task = submit(simulator, one)
    finish(simulator)
    facts = poll(simulator, one.provider, task.id)
    for raw in (task.raw, facts.raw):
        assert raw.get("model", one.body.get("model")) == one.body.get("model")
        assert raw.get("input", one.body) == one.body
        assert {raw.get(name, int(START)) for name in ("created", "created_at")} == {int(START)}
    assert all(
        url.startswith(f"https://simulator.invalid/{one.provider.id}/outputs/")
        for url in facts.urls
    )
    assert "example" not in json.dumps(
        {name: value for name, value in facts.raw.items() if name != "input"}
    )


@pytest.mark.slow
@each_vendor
def test_an_unfinished_job_has_no_file(provider: Provider) -> None:
    """Outputs are there when the job has succeeded, under exactly their names, to read."""
    simulator = new_simulator()
    task = submit(simulator, example(provider))
    place = f"/outputs/{task.id}"
    suffix = next(iter(simulator.tasks.values())).picture.suffix
    assert simulator.handle(provider.id, "GET", f"{place}/1{suffix}", {}).status == 404
    finish(simulator)
    assert simulator.handle(provider.id, "GET", f"{place}/1{suffix}", {}).status == 200
    for wrong in (
        f"/0{suffix}",
        f"/2{suffix}",
        f"/{'9' * 5000}{suffix}",
        "/1.exe",
        "/1",
        f"/../1{suffix}",
        "",
    ):
        assert simulator.handle(provider.id, "GET", place + wrong, {}).status == 404
    assert (
        simulator.handle(provider.id, "POST", f"{place}/1{suffix}", key_of(provider)).status == 404
    )


# -- one engine, many uses -------------------------------------------------------------------------


def story(simulator: Simulator, bodies: list[Submit]) -> list[Reply]:
    """A bit of everything."""
    reported = []
    for one in bodies:
        reported.append(send(simulator, one.provider, one.operation, one.body))
        reported.append(send(simulator, one.provider, one.operation, {}))
        assert isinstance(simulator.clock, VirtualClock)
        simulator.clock.advance(7)
        reported += [
            send(simulator, provider, operation)
            for provider, operation in calls("list", "list-running")
        ]
    reported += [
        send(simulator, p, status_query(p), task=task)
        for p in PROVIDERS
        for vendor, task in simulator.tasks
    ]
    return reported


@pytest.mark.matrix
def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    """A story is told twice in the same words; without a seed the ids differ."""
    bodies = [*matrix.drawn(BODIES, 40), *STREAMS]
    first, second = new_simulator(), new_simulator()
    assert story(first, bodies) == story(second, bodies)
    assert first.bill == second.bill
    assert first.journal == second.journal
    other = Simulator(clock=VirtualClock(START))
    story(other, bodies)
    assert not first.tasks.keys() & other.tasks.keys()


@each_vendor
def test_simulators_share_nothing(provider: Provider) -> None:
    """Tasks, bills, scripts and replays belong to one simulator."""
    first, second = new_simulator(), Simulator(clock=VirtualClock(START), seed=2)
    first.script(provider.id, "rate_limited")
    task = submit(second, example(provider))
    finish(second)
    assert poll(second, provider, task.id).status == "succeeded"
    assert (len(first.tasks), first.bill.count(), first.journal) == (0, 0, [])
    assert send(first, provider, status_query(provider), task=str(task.id)).status >= 400


@pytest.mark.parametrize("name", ["duration", "count"])
def test_a_number_without_a_documented_limit_has_one_here(name: str) -> None:
    """Or the simulator would count, wait and render for ever, where a vendor documents none."""
    one = example(PROVIDERS[0])
    asked = evolve(one.reading, request={**one.reading.request, name: 10**400})
    picture = picture_of(asked)
    assert picture.units <= MOST_SECONDS * MOST_OUTPUTS


class SlowClock(VirtualClock):
    """Looking at it takes so long that other threads get their turn."""

    def now(self) -> float:
        time.sleep(0.0005)
        return super().now()


@pytest.mark.matrix("provider.id")
@each_create
def test_threads_may_share_a_simulator(provider: Provider, operation: Operation) -> None:
    """However they interleave, the balance is not overdrawn, and a key that is used by all of them
    makes one job.
    """
    one = example(provider, operation)
    reading = one.reading
    cost = credits_of(one.provider.contract, reading.route, one.body, picture_of(reading))
    simulator = Simulator(clock=SlowClock(START), seed=1, balance=cost * 100.5)
    policy = operation.spec["x-polyreel-idempotency"]

    def client(number: int) -> list[str]:
        key = {policy["header"]: "0123456789abcdef"} if policy["mode"] == "replay" else {}
        replies = [
            send(simulator, provider, operation, one.body, headers=key if turn == 0 else {})
            for turn in range(20)
        ]
        return [str(provider.read(reply).id) for reply in replies if reply.ok]

    with ThreadPoolExecutor(8) as pool:
        accepted = [task for part in pool.map(client, range(8)) for task in part]
    assert len(set(accepted)) == len(simulator.tasks) == simulator.bill.count() == 100
    assert simulator.bill.total() == cost * 100
