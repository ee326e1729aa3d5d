"""The gateway's own APIs: the shared request as JSON, and clips in OpenAI's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from openapi_spec_validator import validate
from polyreel import plan
from polyreel.flows import Reply
from polyreel.gateway import jobs
from polyreel.gateway.creating import REPLAYED
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Contract
from polyreel.simulator import ready_made
from support.gateway import HOST, GatewayStage, gateway
from support.pictures import picture
from support.server import PROVIDERS

MODEL: Final = "kling-v3"
SELLERS: Final = [
    one for one in PROVIDERS if not plan({"model": MODEL, "prompt": "a cat"}, one).refused
]
CLIP: Final[JsonObject] = {"request": {"model": MODEL, "prompt": "a cat", "duration": 5}}
VIDEO: Final[JsonObject] = {"model": MODEL, "prompt": "a cat", "seconds": "5", "size": "1280x720"}
KEY: Final = {"Authorization": "Bearer any-key"}
CONTRACT: Final = Contract.load("gateway")


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GatewayStage]:
    with gateway(tmp_path, *SELLERS[:2]) as made:
        yield made


def call(stage: GatewayStage, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """Make a call; the answer is one that the contract documents."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    reply = stage.call(method, HOST + path, {**KEY, **kind, **headers}, content)
    found = CONTRACT.match(method, path.partition("?")[0])
    assert found is not None
    operation, _ = found
    if reply.header("content-type") == "application/json":
        responses = operation.spec["responses"]
        shape = CONTRACT.resolve(responses.get(str(reply.status)) or responses["default"])
        schema = shape["content"]["application/json"]["schema"]
        assert CONTRACT.fits(schema, json.loads(reply.content)) == [], reply.content
        assert reply.ok is (str(reply.status) in responses)
    return reply


def test_the_contract_is_one() -> None:
    """It can be given to generators of clients, and is served."""
    validate(CONTRACT.document)


def test_a_shared_request_becomes_a_clip(stage: GatewayStage) -> None:
    """Asked for, asked about, listed, fetched; a repeated call is the first job."""
    made = call(stage, "POST", "/v1/jobs", CLIP, **{"Idempotency-Key": "1"})
    job = json.loads(made.content)
    assert (made.status, job["status"], job["vendor"]) == (201, "queued", SELLERS[0].id)
    again = call(stage, "POST", "/v1/jobs", CLIP, **{"Idempotency-Key": "1"})
    assert (again.status, again.headers[REPLAYED]) == (200, "true")
    assert json.loads(again.content)["id"] == job["id"]
    stage.simulator.clock.sleep(1000)
    done = json.loads(call(stage, "GET", f"/v1/jobs/{job['id']}").content)
    assert (done["status"], len(done["outputs"])) == ("succeeded", 1)
    listed = json.loads(call(stage, "GET", "/v1/jobs?limit=5").content)
    assert listed == {"jobs": [done]}
    file = stage.call("GET", done["outputs"][0]["url"], KEY)
    assert (file.status, file.content[4:8]) == (200, b"ftyp")
    stopped = json.loads(call(stage, "POST", f"/v1/jobs/{job['id']}/cancel").content)
    assert (stopped["result"], stopped["job"]["id"]) == ("too-late", job["id"])
    assert stage.simulator.bill.count() == 1
    assert json.loads(stage.call("GET", f"{HOST}/v1/openapi.json").content) == CONTRACT.document


def test_a_job_runs_until_there_is_a_link_to_its_file(stage: GatewayStage) -> None:
    """A vendor can say that it is done before it says where the file is."""
    job = json.loads(call(stage, "POST", "/v1/jobs", CLIP).content)["id"]
    stage.simulator.clock.sleep(1000)
    stage.simulator.inject("no-output")
    assert json.loads(call(stage, "GET", f"/v1/jobs/{job}").content)["status"] == "running"
    done = json.loads(call(stage, "GET", f"/v1/jobs/{job}").content)
    assert (done["status"], len(done["outputs"])) == ("succeeded", 1)


def test_a_long_list_asks_about_its_newest_jobs(
    stage: GatewayStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states of the others are those of the ledger, until somebody asks about one of them."""
    monkeypatch.setattr(jobs, "MOST_IDS", 2)
    made = []
    for _ in range(3):
        made.append(json.loads(call(stage, "POST", "/v1/jobs", CLIP).content)["id"])
        stage.simulator.clock.sleep(1)
    stage.simulator.clock.sleep(1000)
    before = len(stage.simulator.journal)
    listed = json.loads(call(stage, "GET", "/v1/jobs").content)["jobs"]
    assert [one["id"] for one in listed] == made[::-1]
    assert [one["status"] for one in listed] == ["succeeded", "succeeded", "queued"]
    assert len(stage.simulator.journal) == before + 2
    oldest = json.loads(call(stage, "GET", f"/v1/jobs/{made[0]}").content)
    assert oldest["status"] == "succeeded"


def test_a_client_chooses_among_the_vendors(stage: GatewayStage) -> None:
    """Of those behind; what is refused has every reason."""
    second = SELLERS[1].id
    made = call(stage, "POST", "/v1/jobs", {**CLIP, "vendors": [second]})
    assert json.loads(made.content)["vendor"] == second
    wrong = {"request": {**CLIP["request"], "aspect_ratio": "5:7"}}
    refused = call(stage, "POST", "/v1/jobs", wrong)
    assert refused.status == 400
    for one in SELLERS[:2]:
        assert f"{one.id}: aspect_ratio".encode() in refused.content


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "request"),
        ({"request": {"prompt": "a cat", "durashun": 5}}, "durashun"),
        ({**CLIP, "vendors": ["nonesuch"]}, "no vendor is called"),
        ({**CLIP, "vendor": "x"}, "vendor"),
        ({"request": {"prompt": "a cat", "first_frame": "/etc/passwd"}}, "not the name of a file"),
        ({"request": {"prompt": "a cat", "callback_url": "https://10.0.0.1/"}}, "to be called"),
        ([], "object"),
    ],
)
def test_what_is_no_request_is_refused(stage: GatewayStage, body: Any, text: str) -> None:
    """With what is wrong, and nothing is sent."""
    reply = call(stage, "POST", "/v1/jobs", body)
    assert reply.status == 400
    assert text in json.loads(reply.content)["error"]["message"]
    assert stage.simulator.journal == []


def test_a_clip_in_the_words_of_openai(stage: GatewayStage) -> None:
    """What its SDK does: create, retrieve, list, download."""
    made = json.loads(call(stage, "POST", "/v1/videos", VIDEO).content)
    assert (made["object"], made["status"], made["seconds"]) == ("video", "queued", "5")
    sent = stage.client.jobs()[0].submission
    assert sent.vendor == SELLERS[0].id
    early = call(stage, "GET", f"/v1/videos/{made['id']}/content")
    assert early.status == 409
    stage.simulator.clock.sleep(1000)
    done = json.loads(call(stage, "GET", f"/v1/videos/{made['id']}").content)
    assert (done["status"], done["progress"], done["error"]) == ("completed", 100, None)
    assert json.loads(call(stage, "GET", "/v1/videos").content)["data"] == [done]
    file = stage.call("GET", f"{HOST}/v1/videos/{made['id']}/content", KEY)
    assert (file.status, file.content[4:8]) == (200, b"ftyp")
    for count, status in ((2, 206), (200, 200)):
        ranges = "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 2 * count, 2))
        headers = {**KEY, "Range": ranges}
        part = stage.call("GET", f"{HOST}/v1/videos/{made['id']}/content", headers)
        assert part.status == status
    assert call(stage, "GET", "/v1/videos/video_nobody").status == 404
    assert json.loads(call(stage, "GET", "/v1/jobs").content) == {"jobs": []}


def test_a_form_with_a_first_frame(tmp_path: Path) -> None:
    """The file goes to the vendor that makes the clip, as far as it takes files."""
    takers = [one for one in SELLERS if one.files != "none"]
    with gateway(tmp_path, *takers) as stage:
        form = httpx.Request(
            "POST",
            f"{HOST}/v1/videos",
            data={"model": MODEL, "prompt": "a cat", "seconds": "5"},
            files={"input_reference": ("first.png", picture(), "image/png")},
        )
        headers = {**KEY, "Content-Type": form.headers["content-type"]}
        reply = stage.call("POST", f"{HOST}/v1/videos", headers, form.read())
        assert reply.status == 200, reply.content
        assert stage.client.jobs()[0].submission.workflow == "image-to-video"
        (kept,) = (tmp_path / "gateway" / "uploads").glob("*/*")
        link = f"{HOST}/{SELLERS[0].id}/uploads/{kept.parent.name}/{kept.name}"
        assert stage.call("PUT", link, {}, b"another").status == 404
        assert kept.read_bytes() == picture()
        empty = form.read().replace(picture(), b"")
        reply = stage.call("POST", f"{HOST}/v1/videos", headers, empty)
        assert (reply.status, b"is empty" in reply.content) == (400, True)
        assert str(tmp_path).encode() not in reply.content


def test_a_disk_that_fails_is_said_in_the_shape_of_the_api(
    stage: GatewayStage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As whatever else goes wrong here; the log says where, and nothing of what clients sent."""
    (tmp_path / "gateway" / "uploads").write_bytes(b"")  # no folder can be made there
    form = httpx.Request("POST", f"{HOST}/v1/videos", data=VIDEO, files={"input_reference": b"x"})
    headers = {**KEY, "Content-Type": form.headers["content-type"]}
    reply = stage.call("POST", f"{HOST}/v1/videos", headers, form.read())
    assert reply.status == 502
    assert "the gateway has failed" in json.loads(reply.content)["error"]["message"]
    assert "uploads.py" in caplog.text
    assert str(tmp_path) not in caplog.text
    assert stage.simulator.journal == []


def test_a_failed_clip_has_the_words_of_its_vendor(stage: GatewayStage) -> None:
    """In both APIs."""
    stage.simulator.script(SELLERS[0].id, "failed", "failed")
    video = json.loads(call(stage, "POST", "/v1/videos", VIDEO).content)
    job = json.loads(call(stage, "POST", "/v1/jobs", CLIP).content)
    stage.simulator.clock.sleep(1000)
    video = json.loads(call(stage, "GET", f"/v1/videos/{video['id']}").content)
    job = json.loads(call(stage, "GET", f"/v1/jobs/{job['id']}").content)
    assert (video["status"], job["status"]) == ("failed", "failed")
    assert job["error"]["message"] in video["error"]["message"]
    for number in ("1", "0", "9" * 5000):
        assert call(stage, "GET", f"/v1/jobs/{job['id']}/files/{number}").status == 409


@pytest.mark.parametrize(
    "change",
    [
        {"model": "nonesuch"},
        {"size": "123x77"},
        {"size": "wide"},
        {"seconds": "0"},
        {"prompt": ""},
        {"input_reference": "/etc/passwd"},
        {"n": 5},
    ],
)
def test_what_is_no_clip_is_refused(stage: GatewayStage, change: JsonObject) -> None:
    """In the shape of OpenAI's errors."""
    reply = call(stage, "POST", "/v1/videos", {**VIDEO, **change})
    assert reply.status == 400
    assert json.loads(reply.content)["error"]["type"] == "invalid_request_error"
    assert stage.simulator.journal == []


def test_both_need_a_key_and_know_their_paths(stage: GatewayStage) -> None:
    """As all faces do."""
    for path in ("/v1/jobs", "/v1/videos"):
        assert stage.call("GET", HOST + path).status == 401
        assert stage.call("GET", f"{HOST}{path}/a/b/c/d", KEY).status == 404
        wrong = stage.call("DELETE", HOST + path, KEY)
        assert (wrong.status, wrong.header("allow")) == (405, "GET, POST")
        assert json.loads(wrong.content)["error"]["code"] == "method_not_allowed"
        large = json.dumps({"prompt": "a" * 5_000_000}).encode()
        headers = {**KEY, "Content-Type": "application/json"}
        assert stage.call("POST", HOST + path, headers, large).status in {400, 413}
