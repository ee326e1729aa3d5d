"""What vendors document of the media they take: checked in the plan, and by the simulator."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest
from attrs import evolve
from polyreel import Client, plan
from polyreel.errors import NeverSentError, RejectedError
from polyreel.mapping import media
from polyreel.mapping.limits import MeasuredFile, limit_violations
from polyreel.mapping.measures import Measures
from polyreel.plans.attachments import Upload
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator.rendering import render_video
from polyreel_generated.contracts.vendors import VendorId
from support.pictures import FORMS, UPLOADS, picture


@cache
def video(seconds: int = 3, width: int = 1280, height: int = 720, *, audio: bool = True) -> bytes:
    """A video."""
    return render_video(seconds=seconds, width=width, height=height, audio=audio, caption=[])


def remuxed(content: bytes, form: str) -> bytes:
    """The same pictures in another container."""
    target = io.BytesIO()
    with av.open(io.BytesIO(content), "r") as source, av.open(target, "w", format=form) as made:
        stream = source.streams.video[0]
        copy = made.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                made.mux(packet)
    return target.getvalue()


@pytest.mark.matrix("seconds", "form")
@pytest.mark.parametrize(
    ("seconds", "width", "height", "audio"),
    [(3, 1280, 720, True), (5, 720, 1280, False), (1, 98, 64, True)],
)
@pytest.mark.parametrize("form", ["mp4", "mov"])
def test_a_video_is_measured_by_its_tables(
    seconds: int, width: int, height: int, audio: bool, form: str
) -> None:
    """Whatever else is in it."""
    file = media.look(
        "data:;base64," + encoded(remuxed(video(seconds, width, height, audio=audio), form)),
        "video",
    )
    assert file is not None
    measures = file.measures
    assert (measures.width, measures.height) == (width, height)
    assert measures.seconds == pytest.approx(seconds, abs=0.1)
    assert measures.fps == pytest.approx(24, abs=0.1)


def encoded(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("cut", [16, 40, 100, 1000])
def test_a_file_that_makes_no_sense_measures_nothing(cut: int, tmp_path: Path) -> None:
    """It is no reason to stop."""
    for content, kind in ((video(), "video"), (picture(), "image"), (picture("JPEG"), "image")):
        for broken in (content[:cut], content[:cut] + b"\xff" * 500):
            path = tmp_path / "broken"
            path.write_bytes(broken)
            file = media.look(str(path), "video" if kind == "video" else "image")
            assert file is not None
            assert isinstance(file.measures, Measures)


WHOLE = MeasuredFile("video/mp4", 1000, Measures(1280, 720, 5.0, 24.0))
FACTS: dict[str, Any] = {
    "kind": "video",
    "formats": ["mp4", "mov"],
    "max_bytes": 1000,
    "min_seconds": 3,
    "max_seconds": 10,
    "min_side": 720,
    "max_side": 2160,
    "min_ratio": 0.4,
    "max_ratio": 2.5,
    "min_fps": 24,
    "max_fps": 60,
}


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"content_type": "image/png"}, "formats"),
        ({"size": 1001}, "max_bytes"),
        ({"measures": Measures(1280, 720, 2.9, 24)}, "min_seconds"),
        ({"measures": Measures(1280, 720, 10.2, 24)}, "max_seconds"),
        ({"measures": Measures(1280, 700, 5, 24)}, "min_side"),
        ({"measures": Measures(2200, 1080, 5, 24)}, "max_side"),
        ({"measures": Measures(720, 2000, 5, 24)}, "min_ratio"),
        ({"measures": Measures(2000, 720, 5, 24)}, "max_ratio"),
        ({"measures": Measures(1280, 720, 5, 15)}, "min_fps"),
        ({"measures": Measures(1280, 720, 5, 90)}, "max_fps"),
    ],
)
def test_each_fact_is_compared(change: dict[str, Any], fact: str) -> None:
    """With both of its ends, and only what the file shows."""
    assert list(limit_violations(FACTS, WHOLE)) == []
    (limit_violation,) = limit_violations(FACTS, evolve(WHOLE, **change))
    assert limit_violation.fact == fact
    assert limit_violation.limit.startswith({"m": "at ", "f": "only"}[fact[0]])
    assert list(limit_violations({}, evolve(WHOLE, **change))) == []


@pytest.mark.parametrize(
    ("width", "fact"), [(719, ["min_width"]), (720, []), (2161, ["max_width"])]
)
def test_a_width_alone_can_be_limited(width: int, fact: list[str]) -> None:
    """Whatever the height is."""
    for height in (64, 4000):
        file = evolve(WHOLE, measures=Measures(width, height, 5, 24))
        found = list(limit_violations({"min_width": 720, "max_width": 2160}, file))
        assert [one.fact for one in found] == fact
        assert all(one.reason == f"it is {width}x{height}" for one in found)


def test_numbers_are_meant_as_people_mean_them() -> None:
    """A clip of three seconds may lack a frame, and 24 frames are 23.976 in the cinema."""
    for measures in (Measures(1280, 720, 2.97, 23.976), Measures(1280, 720, 10.03, 59.94)):
        assert list(limit_violations(FACTS, evolve(WHOLE, measures=measures))) == []
    assert list(limit_violations(FACTS, evolve(WHOLE, measures=Measures()))) == []


def first_frames() -> list[tuple[str, str, dict[str, Any]]]:
    """Each vendor and model with facts for a first frame, with the facts."""
    found = []
    for vendor, provider in all_providers().items():
        for route in provider.routes:
            row = route.by_name.get("first_frame")
            if provider.files == "none" or row is None or route.workflow != "image-to-video":
                continue
            schema = provider.contract.property(route.schema, row.places[0]) or {}
            facts = schema.get("x-polyreel-media", {})
            if "min_side" in facts:
                found.append((vendor, route.model, facts))
    return found


@pytest.mark.parametrize(("vendor", "model", "facts"), first_frames())
def test_a_picture_that_is_too_small_is_refused_in_the_plan(
    vendor: VendorId, model: str, facts: dict[str, Any]
) -> None:
    """With its size, and what the vendor takes."""
    small = facts["min_side"] - 1
    request = {"prompt": "x", "model": model, "first_frame": picture(size=(small, small))}
    violation = plan(request, vendor).violations[0]
    assert violation.field == "first_frame"
    assert f"it is {small}x{small}" in violation.message
    assert violation.limit == f"at least {facts['min_side']} px"
    assert vendor not in violation.served_by
    request["first_frame"] = picture(size=(facts["min_side"], facts["min_side"]))
    assert plan(request, vendor).violations == ()


def test_a_video_of_the_wrong_length_is_refused_in_the_plan() -> None:
    """And one that fits is not."""
    for seconds, field in ((2, "min"), (11, "max")):
        request = {"prompt": "x", "source_video": video(seconds), "model": "kling-o3"}
        (violation,) = plan(request, get_provider(FORMS)).violations
        assert f"it is {seconds}.0 s long" in violation.message
        assert violation.limit.startswith(f"at {'least' if field == 'min' else 'most'}")
    assert plan({"prompt": "x", "source_video": video(4)}, get_provider(FORMS)).violations == ()


def unchecked(made: Plan, content: bytes) -> Plan:
    """The plan with another file than it was made for."""
    parts = [evolve(part, content=content) if part.is_file else part for part in made.parts]
    uploads = [Upload(evolve(one.file, content=content), one.target) for one in made.uploads]
    return evolve(made, parts=tuple(parts), uploads=tuple(uploads))


def test_the_simulator_refuses_a_form_with_a_wrong_file() -> None:
    """As its vendor would, before it bills anything."""
    with Client(retries=0) as client:
        made = client.plan({"prompt": "x", "source_video": video(4)}, get_provider(FORMS))
        with pytest.raises(RejectedError, match=r"it is 2\.0 s long; at least 3 s"):
            client.submit(unchecked(made, video(2)))
        client.submit(made)
        assert client.simulator is not None
        assert client.simulator.bill.count() == 1


def test_the_simulator_refuses_a_link_to_a_wrong_file() -> None:
    """It knows what it was sent."""
    with Client(retries=0) as client:
        made = client.plan({"prompt": "x", "first_frame": picture()}, get_provider(UPLOADS))
        with pytest.raises(RejectedError, match="it is 200x200; at least 300 px"):
            client.submit(unchecked(made, picture(size=(200, 200))))
        client.submit(made)
        assert client.simulator is not None
        assert client.simulator.bill.count() == 1


def test_the_simulator_refuses_an_upload_of_a_wrong_type() -> None:
    """By the documented error of the file host."""
    facts = all_providers()[UPLOADS].contract.upload_facts
    if facts.get("kind") != "image":
        return
    with Client(retries=0) as client:
        made = client.plan({"prompt": "x", "first_frame": picture()}, get_provider(UPLOADS))
        with pytest.raises(NeverSentError, match="upload"):
            client.submit(unchecked(made, video(2)))


HOSTS = [
    "http://localhost/a.png",
    "http://localhost:8000/a.png",
    "http://127.0.0.1/a.png",
    "http://127.1/a.png",
    "http://0x7f000001/a.png",
    "http://2130706433/a.png",
    "http://0.0.0.0/a.png",
    "http://[::1]:9000/a.png",
    "http://[fe80::1]/a.png",
    "http://[fd00::1]/a.png",
    "http://[::ffff:10.0.0.1]/a.png",
    "https://10.1.2.3/a.png",
    "https://172.16.0.9/a.png",
    "https://192.168.1.5/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/a.png",
    "http://nas/a.png",
    "http://minio:9000/bucket/a.png",
    "http://NAS.local/a.png",
    "https://files.internal/a.png",
    "https://pc.lan./a.png",
]


@pytest.mark.matrix("vendor", "url")
@pytest.mark.parametrize("vendor", all_providers())
@pytest.mark.parametrize("url", HOSTS)
def test_a_link_that_no_vendor_can_reach_is_refused(vendor: VendorId, url: str) -> None:
    """As a callback to such a host is, in single fields and in lists."""
    (violation,) = plan({"prompt": "x", "first_frame": url}, vendor).violations
    assert (violation.field, violation.served_by) == ("first_frame", ())
    assert "is not reachable from outside; put the file on a public server" in violation.message
    if vendor not in {FORMS, UPLOADS}:
        return
    request = {"prompt": "x", "reference_images": ["https://example.com/a.png", url]}
    (violation,) = plan(request, vendor).violations
    assert violation.source == "/reference_images/1"


@pytest.mark.matrix("vendor", "url")
@pytest.mark.parametrize("vendor", all_providers())
@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://example.com:8080/a.png?x=1#y",
        "https://8.8.8.8/a.png",
        "https://[2606:4700::1111]/a.png",
        "https://xn--bcher-kva.example.com/a.png",
        "https://simulator.invalid/some/clip.png",
    ],
)
def test_a_public_link_is_taken(vendor: VendorId, url: str) -> None:
    """And that of a simulated clip, which can be the input of another one."""
    assert plan({"prompt": "x", "first_frame": url}, vendor).violations == ()


def test_a_gateway_of_ones_own_can_have_files_beside_it() -> None:
    """Where the base URL is private, so may the files be."""
    vendor = next(one for one, each in all_providers().items() if each.base_url_variable)
    request = {"prompt": "x", "first_frame": "http://minio:9000/a.png"}
    assert plan(request, get_provider(vendor), base_url="http://gateway.lan:3000").violations == ()
    assert plan(request, get_provider(vendor)).violations != ()


def test_a_limit_that_is_inferred_can_be_sent_against(tmp_path: Path) -> None:
    """A page that says 720 px may mean the height: the vendor may take more than it seems."""
    provider, route = next(
        (provider, route)
        for provider in all_providers().values()
        for route in provider.routes
        if route.workflow == "edit-video" and provider.files == "multipart"
    )
    file = tmp_path / "a.mp4"
    file.write_bytes(video(3, 640, 480))
    request = {"prompt": "a", "model": route.model, "source_video": str(file)}
    (violation,) = plan(request, provider).violations
    assert "640x480 (not documented for this workflow" in violation.message
    assert "source_video=send" in violation.message
    sent = plan(request, provider, allow={"source_video": "send"})
    assert not sent.refused
    assert any("only inferred" in warning for warning in sent.warnings)
    with Client(vendors=[provider.id]) as client:
        assert client.submit(sent).id
    file.write_bytes(video(1, 640, 480))
    assert plan(request, provider, allow={"source_video": "send"}).refused  # 3 s are documented
