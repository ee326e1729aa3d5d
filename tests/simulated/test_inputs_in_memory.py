"""Media inputs as a caller holds them: paths, bytes, open files, PIL images, data URLs, Base64."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from polyreel import Client, ImageRequest, VideoRequest, plan
from polyreel.cli.app import run
from polyreel.errors import RequestError
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.pictures import FORMS, SIDES, UPLOADS, URLS_ONLY, picture


def wrapped(text: str) -> str:
    """Base64 in lines of 76 characters, as e-mail and `base64` write it."""
    return "\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n"


PNG = picture()
BASE64 = base64.b64encode(PNG).decode()
stack = ExitStack()
HELD: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "open-file": lambda path: stack.enter_context(path.open("rb")),
    "bytes-io": lambda path: io.BytesIO(path.read_bytes()),
    "pil": lambda path: stack.enter_context(Image.open(path)),
    "pil-new": lambda _: Image.new("CMYK", SIDES),
    "data-url": lambda _: f"data:image/png;base64,{BASE64}",
    "data-url-upper": lambda _: f"DATA:image/png;charset=x;BASE64,{BASE64}",
    "data-url-wrong-type": lambda _: f"data:application/octet-stream;base64,{BASE64}",
    "data-url-quoted": lambda _: "data:image/png," + "".join(f"%{one:02X}" for one in PNG),
    "base64": lambda _: BASE64,
    "base64-url-safe": lambda _: base64.urlsafe_b64encode(PNG).decode(),
    "base64-unpadded": lambda _: BASE64.rstrip("="),
    "base64-wrapped": lambda _: wrapped(BASE64),
    "base64-jpeg": lambda _: base64.b64encode(picture("JPEG")).decode(),
    "base64-webp": lambda _: base64.b64encode(picture("WEBP")).decode(),
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Whatever a test has opened is closed."""
    with stack:
        yield


every_holder = pytest.mark.parametrize("name", HELD)


def files(made: Plan) -> list[Any]:
    """What a plan uploads, or sends along."""
    return [*(upload.file for upload in made.uploads), *(one for one in made.parts if one.is_file)]


@pytest.mark.matrix("name+vendor", "form")
@every_holder
@pytest.mark.parametrize("vendor", [UPLOADS, FORMS])
@pytest.mark.parametrize("form", ["mapping", "model", "list"])
def test_an_input_is_taken_as_it_is_held(
    name: str, vendor: VendorId, form: str, tmp_path: Path
) -> None:
    """By every vendor that takes files, in mappings and in models, alone and in lists."""
    path = tmp_path / "input.png"
    path.write_bytes(PNG)
    held = HELD[name](path)
    request: Any = {"prompt": "waves", "first_frame": held}
    if form == "list" or "webp" in name:  # not every vendor takes WebP as a frame
        request = {"prompt": "waves", "reference_images": [held, "https://example.com/a.png"]}
    if form == "model":
        request = VideoRequest(**request)
    with Client() as client:
        made = client.plan(request, vendor).check()
        (file,) = files(made)
        assert file.content_type == ("image/jpeg" if "jpeg" in name else file.content_type)
        assert file.content_type.startswith("image/")
        client.submit(made)
        assert client.simulator is not None
        (task,) = client.simulator.tasks.values()
        assert BASE64[:60] not in json.dumps(task.body)


def test_an_open_file_serves_several_vendors(tmp_path: Path) -> None:
    """It is read once for all of them, and stands where it stood."""
    file = io.BytesIO(b"before" + PNG)
    file.seek(6)
    with Client() as client:
        made = client.plans({"prompt": "x", "first_frame": file})
    takers = [one for one in all_providers().values() if one.files != "none"]
    assert [len(files(one)) for one in made if not one.refused] == [1] * len(takers)
    assert file.tell() == 6


def test_pictures_for_images() -> None:
    """Image requests take them too."""
    held: Any = [Image.new("RGB", SIDES), PNG]
    request = ImageRequest(prompt="x", reference_images=held)
    assert len(files(plan(request, get_provider(FORMS)))) == 2


class Unreadable:
    """An open file that is none."""

    def read(self) -> bytes:
        raise OSError("gone")

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (io.StringIO("text"), "open as text; open it with mode 'rb'"),
        (Unreadable(), "cannot be read: gone"),
    ],
)
def test_what_cannot_be_read_is_named(held: Any, reason: str) -> None:
    """The field, and what to do."""
    with pytest.raises(RequestError, match=r"^first_frame: ") as caught:
        plan({"prompt": "x", "first_frame": held}, get_provider(UPLOADS))
    assert reason in str(caught.value)
    with pytest.raises(RequestError, match=r"^reference_images\.1: "):
        plan({"prompt": "x", "reference_images": ["a.png", held]}, get_provider(UPLOADS))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (PNG, "a data: URL that holds a file (image/png, "),
        (BASE64, "Base64 text that holds a file (image/png, "),
        ("input.png", "input.png is a local file"),
    ],
)
def test_a_vendor_without_uploads_says_what_the_value_is(
    value: Any, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to do about it."""
    (tmp_path / "input.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    (violation,) = plan({"prompt": "x", "first_frame": value}, get_provider(URLS_ONLY)).violations
    assert what in violation.message
    assert "put it where everybody can read it" in violation.message
    assert violation.limit == "an http(s) URL"
    assert {UPLOADS, FORMS} <= set(violation.served_by)
    assert len(violation.message) < 400


@pytest.mark.parametrize("value", [BASE64, f"data:image/png;base64,{BASE64}"])
@pytest.mark.parametrize(
    ("vendor", "says"),
    [(UPLOADS, "will be uploaded"), (FORMS, "will be sent along")],
)
def test_a_plan_says_what_happens_to_a_file(
    value: str, vendor: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a request file too, and without pages of Base64."""
    source = tmp_path / "request.json"
    source.write_text(json.dumps({"prompt": "waves", "first_frame": value}))
    assert run(["plan", "--request", str(source), "--vendor", vendor]) == 0
    printed = capsys.readouterr().out
    assert "the file in the request (image/png) for /image_" in printed
    assert says in printed
    assert value[:40] + "..." in printed
    assert value[:100] not in printed


def test_a_batch_takes_them_in_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In JSON Lines and in CSV; one picture of all rows is uploaded once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYREEL_LEDGER", str(tmp_path / "jobs.sqlite3"))
    rows = [{"prompt": f"scene {number}", "first_frame": BASE64} for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rows.csv").write_text(
        "prompt,first_frame\n" + "".join(f"scene {number},{BASE64}\n" for number in range(3))
    )
    for name in ("rows.jsonl", "rows.csv"):
        assert run(["batch", name, "--vendor", UPLOADS, "--output", f"out-{name}"]) == 0
    capsys.readouterr()
