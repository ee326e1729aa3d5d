"""A first frame of another shape than the vendor makes by default is told before it is paid."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from polyreel import plan
from polyreel.cli.app import run
from polyreel.mapping.groups import Group
from polyreel.mapping.media import look
from polyreel.mapping.reports import Fate
from polyreel.mapping.rows import Field
from polyreel.plans.capabilities import capabilities
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.pictures import FORMS, picture
from support.vendors import vendor_id

SHAPES = {"portrait": (720, 1280), "square": (700, 700), "landscape": (1280, 720)}
RATIOS = {"portrait": "9:16", "square": "1:1", "landscape": "16:9"}
TAKERS = {
    (vendor, route.model)
    for vendor, provider in all_providers().items()
    for route in provider.routes
    if provider.files != "none" and route.workflow == "image-to-video"
}


def warned(vendor: VendorId, model: str, size: tuple[int, int], **more: Any) -> Any:
    """The plan with a frame of some size."""
    return plan(
        {"prompt": "waves", "model": model, "first_frame": picture(size=size), **more}, vendor
    )


def told(made: Any) -> list[str]:
    """What a plan warns of that is about the shape, and not about how files are sent."""
    return [one for one in made.warnings if one.startswith("aspect_ratio: ")]


@pytest.mark.matrix("vendor", "model", "shape")
@pytest.mark.parametrize(("vendor", "model"), sorted(TAKERS))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_of_another_shape_is_a_warning(vendor: VendorId, model: str, shape: str) -> None:
    """At every vendor that takes files, in both directions."""
    made = warned(vendor, model, SHAPES[shape])
    assert made.violations == ()
    row = made.route.by_name.get("aspect_ratio")
    described = capabilities(made.provider, made.route)
    sheet = next(one for one in described if one.field == "aspect_ratio")
    follows = not isinstance(row, Field | Group) or not sheet.offered
    default = made.provider.defaults(made.route).get("aspect_ratio", "16:9")
    found = [one for one in made.verdicts if one.field == "aspect_ratio" and one.warning]
    if follows or default in {RATIOS[shape], "auto"}:
        assert (found, told(made)) == ([], [])
        return
    (verdict,) = found
    assert (verdict.source, verdict.verdict, verdict.warning) == ("", Fate.DEFAULTED, True)
    (text,) = told(made)
    assert shape in text
    assert "{}x{}".format(*SHAPES[shape]) in text
    choices = sheet.extent.choices or [RATIOS[shape]]
    advice = [f"ask for aspect_ratio {RATIOS[shape]}"]
    if RATIOS[shape] not in choices:
        advice = [f"no aspect_ratio that {model} has there is nearer"]
    if RATIOS[shape] not in choices and "documents no default" in text:
        advice = [f"ask for aspect_ratio {one}" for one in choices]
    assert text.endswith(tuple(advice))


@pytest.mark.parametrize(("vendor", "model"), sorted(TAKERS))
def test_a_ratio_that_is_asked_for_is_no_warning(vendor: VendorId, model: str) -> None:
    """Whatever it is."""
    for ratio in ("16:9", "9:16"):
        assert told(warned(vendor, model, (720, 1280), aspect_ratio=ratio)) == []


def test_a_portrait_default_is_reported_to_a_landscape_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other direction, for a vendor whose default is 9:16."""
    provider = all_providers()[FORMS]
    schema = provider.contract.schema("KlingO3TextImageToVideo")["properties"]["aspect_ratio"]
    monkeypatch.setitem(schema, "default", "9:16")
    monkeypatch.setattr(provider, "_defaults", {}, raising=False)
    (text,) = warned(vendor_id(FORMS), "kling-o3", SHAPES["landscape"]).warnings
    assert "makes 9:16 (portrait) where none is asked for" in text
    assert warned(vendor_id(FORMS), "kling-o3", SHAPES["portrait"]).warnings == ()


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 960), (1500, 1000), (1920, 1088)])
def test_nearly_the_default_is_no_warning(size: tuple[int, int]) -> None:
    """The default is the nearest of what is offered."""
    assert warned(vendor_id(FORMS), "kling-o3", size).warnings == ()


def test_a_photo_of_a_telephone_is_seen_as_it_is_shown() -> None:
    """Its pixels lie on their side, and its EXIF data say so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    held = picture("JPEG", (1280, 720), exif=exif)
    made = plan({"prompt": "x", "first_frame": held}, get_provider(FORMS))
    assert "first_frame is portrait (720x1280)" in made.warnings[0]


def test_a_link_has_no_known_shape() -> None:
    """Nothing is fetched, and nothing is guessed."""
    made = plan({"prompt": "x", "first_frame": "https://example.com/a.png"}, get_provider(FORMS))
    assert made.warnings == ()


@pytest.mark.parametrize("command", ["plan", "generate"])
def test_the_commands_tell_it_before_anything_is_paid(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On standard error, and in the document."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYREEL_LEDGER", str(tmp_path / "jobs.sqlite3"))
    (tmp_path / "tall.png").write_bytes(picture(size=(720, 1280)))
    arguments = [command, "waves", "--first-frame", "tall.png", "--vendor", FORMS]
    assert run(arguments) == 0
    reported = capsys.readouterr().err
    assert reported.startswith(f"{FORMS}: warning: aspect_ratio: ")
    if command == "plan":
        assert run([*arguments, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert len(document["warnings"]) == 1
        assert [one["field"] for one in document["verdicts"] if one["warning"]] == ["aspect_ratio"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("lossless", [False, True])
def test_sides_are_read_from_every_image(form: str, lossless: bool) -> None:
    """From the headers alone."""
    options: dict[str, Any] = {"lossless": lossless} if form == "WEBP" else {}
    mode = "RGBA" if form == "WEBP" and lossless else "RGB"
    held = base64.b64encode(picture(form, (333, 777), mode, **options)).decode()
    file = look(held, "image")
    assert file is not None
    assert (file.measures.width, file.measures.height) == (333, 777)
