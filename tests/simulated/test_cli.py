"""The command line: what it makes and plans, and its exit codes."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import polyreel
import pytest
from PIL import Image
from polyreel.client import Client
from polyreel.drivers import RealClock
from polyreel.mapping.workflows import WORKFLOWS
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import RunningClock, Simulator
from polyreel.simulator.transport import SimulatedTransport
from support.cli import (
    CANARY,
    FIRST,
    KEYS,
    NO_REFERENCES,
    VENDORS,
    Command,
    failing,
    seller,
    stranger,
    streams,
)
from support.paths import TESTS
from support.requests import EXAMPLES

CLIP = ("generate", "a cat walking through neon rain", "--duration", "5", "--aspect-ratio", "9:16")


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no way out to the
    network.
    """
    return stranger(capsys, monkeypatch, tmp_path)


# --- what it makes --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix("vendor", "audio")
@pytest.mark.parametrize("vendor", [None, *VENDORS])
@pytest.mark.parametrize("audio", [True, False])
def test_a_clip_is_made(cli: Command, vendor: str | None, audio: bool, tmp_path: Path) -> None:
    """One command makes a clip of the asked length, size and sound, whoever the vendor is, and
    tells what is next.
    """
    chosen = () if vendor is None else ("--vendor", vendor)
    silent = () if audio else ("--no-audio",)
    found = cli(*CLIP, *chosen, *silent, "--output", str(tmp_path / "clips"), "--json")
    assert found.code == 0, found.err
    job = found.document
    assert (job["status"], job["simulated"]) == ("succeeded", True)
    assert vendor in {None, job["vendor"]}
    path = job["outputs"][0]["path"]
    seconds, *rest = streams(path)
    assert path.endswith(".mp4")
    assert seconds == pytest.approx(5, abs=0.1)
    assert rest == [720, 1280, int(audio)]
    variable = all_providers()[job["vendor"]].key_variable
    assert found.last_line.startswith("Simulated")
    assert {variable, "--live"} <= set(found.last_line.split())


def test_images_are_made(cli: Command) -> None:
    """Two WebP images; without --json stdout is their paths, one a line."""
    sold = next(
        r.model
        for r in all_providers()[seller("generate-image")].routes
        if r.workflow == "generate-image"
    )
    found = cli("generate", "a cat", "--model", sold, "--count", "2", "--output-format", "webp")
    assert found.code == 0, found.err
    paths = found.out.splitlines()
    assert len(paths) == len(set(paths)) == 2
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.format == "WEBP"


def test_runs_do_not_overwrite_each_other(cli: Command, tmp_path: Path) -> None:
    """The same command twice makes two files."""
    assert [cli(*CLIP, "--output", "same").code for _ in range(2)] == [0, 0]
    assert len(list((tmp_path / "same").iterdir())) == 2


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_local_file_goes_along_or_is_refused(cli: Command, vendor: str, tmp_path: Path) -> None:
    """A local image is sent the way the vendor takes files; a vendor that takes none says so."""
    Image.new("RGB", (640, 360)).save(tmp_path / "cat.png")
    found = cli("generate", "it waves", "--first-frame", "cat.png", "--vendor", vendor, "--json")
    none = all_providers()[vendor].files == "none"
    assert found.code == (2 if none else 0), found.err
    assert not none or "first_frame" in found.err


def trusting(**settings: Any) -> Client:
    """A client that fetches files from wherever they are: the simulator's host has no address."""
    client = Client(**settings)
    client.wire.private_downloads = True
    return client


def test_a_live_run_pays_and_says_so(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --live the real transport is used, with the key, which is not shown."""
    transport = SimulatedTransport(Simulator(clock=RunningClock(1000), keys=frozenset({CANARY})))
    monkeypatch.setattr(
        httpx.HTTPTransport, "handle_request", lambda _, request: transport.handle_request(request)
    )
    monkeypatch.setattr(RealClock, "sleep", lambda *_: None)
    monkeypatch.setattr("polyreel.client.Client", trusting)
    found = cli(*CLIP, "--live", "--yes", "--vendor", FIRST, "--json")
    assert found.code == 0, found.err
    assert found.document["simulated"] is False
    assert found.last_line.startswith("Live")
    assert transport.simulator.bill.count() == 1


# --- plan -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix("vendor+workflow")
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("name", "workflow"),
    [
        (name, workflow)
        for name in EXAMPLES
        for workflow in WORKFLOWS
        if name.startswith(workflow.replace("-", "_"))
    ],
    ids=EXAMPLES,
)
def test_every_example_is_planned_for_every_vendor(
    cli: Command, vendor: str, name: str, workflow: str
) -> None:
    """A document for each vendor, with everything that would be sent, or with every reason
    why not.
    """
    file = str(TESTS / "requests" / f"{name}.json")
    members = {"vendor", "model", "workflow", "method", "url", "body", "verdicts", "violations"}
    found = cli("plan", "--request", file, "--vendor", "all", "--json")
    assert [plan["vendor"] for plan in found.document] == VENDORS
    assert found.code == (0 if any(not plan["violations"] for plan in found.document) else 2)
    for plan in found.document:
        assert members <= plan.keys()
        assert plan["violations"] or (
            plan["workflow"] == workflow and plan["body"] and plan["url"].startswith("https://")
        )
    (plan,) = [one for one in found.document if one["vendor"] == vendor]
    alone = cli("plan", "--request", file, "--vendor", vendor, "--json")
    assert alone.document == plan
    assert alone.code == (2 if plan["violations"] else 0)
    assert cli("plan", "--request", file, "--vendor", vendor).code == alone.code


def test_a_refusal_names_field_limit_and_who_could(cli: Command) -> None:
    """Every problem at once; each with the vendor's limit, and the vendors without it."""
    found = cli(
        "plan", "x", "--duration", "99", "--aspect-ratio", "98:97", "--vendor", FIRST, "--json"
    )
    assert found.code == 2
    violations = {violation["field"]: violation for violation in found.document["violations"]}
    assert violations.keys() == {"duration", "aspect_ratio"}
    assert "at most" in violations["duration"]["limit"]
    assert all(violation["message"] in found.err for violation in violations.values())
    link = "https://example.com/a.png"
    found = cli(
        "plan", "@Image1 waves", "--reference-image", link, "--vendor", NO_REFERENCES, "--json"
    )
    violation = found.document["violations"][0]
    assert (found.code, violation["field"]) == (2, "reference_images")
    assert seller("reference-to-video") in violation["served_by"]
    assert seller("reference-to-video") in found.err


def test_flags_win_over_the_request(cli: Command, tmp_path: Path) -> None:
    """A flag replaces the member of the file, the others stay; - is standard input."""
    request = {"prompt": "a cat", "duration": 5, "audio": False}
    (tmp_path / "r.json").write_text(json.dumps(request), encoding="utf-8")
    wanted = polyreel.plan({**request, "duration": 7}, get_provider(FIRST)).body
    flags = ("--duration", "7", "--vendor", FIRST, "--json")
    assert cli("plan", "--request", "r.json", *flags).document["body"] == wanted
    assert (
        cli("plan", "--request", "-", *flags, stdin=json.dumps(request).encode()).document["body"]
        == wanted
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_request_may_have_any_json_encoding(cli: Command, encoding: str) -> None:
    """With or without a byte order mark, from files and from a console of any encoding."""
    found = cli(
        "plan",
        "--request",
        "-",
        "--vendor",
        FIRST,
        "--json",
        stdin='{"prompt": "日本 é"}'.encode(encoding),
    )
    assert found.code == 0
    assert "日本 é" in found.document["body"].values()


# --- exit codes -----------------------------------------------------------------------------------


@pytest.fixture
def simulator(cli: Command, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The simulator that the command line uses in this test."""
    simulator = Simulator()
    monkeypatch.setattr("polyreel.client.Client", functools.partial(Client, simulator=simulator))
    return simulator


@pytest.mark.matrix("vendor", "event")
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("event", "code", "kind", "billed"),
    [
        ("failed", 3, "JobFailedError", None),
        ("rate_limited", 3, "RejectedError", "no"),
        ("unauthorized", 4, "RejectedError", "no"),
        ("server_error", 6, "AmbiguousError", "maybe"),
    ],
)
def test_exit_codes_of_vendors(
    cli: Command,
    simulator: Simulator,
    vendor: str,
    event: str,
    code: int,
    kind: str,
    billed: str | None,
) -> None:
    """What the vendor did is in the exit code, and with --json in a document."""
    simulator.script(vendor, *[event] * 3)  # refusals that cost nothing are tried again, twice
    found = cli(*CLIP, "--vendor", vendor, "--json")
    assert found.code == code, found.err
    error = found.document["error"]
    assert (error["type"], error["vendor"], error["exit_code"]) == (kind, vendor, code)
    assert billed in {None, error["billed"]}
    assert event != "failed" or error["job"]["status"] == "failed"


def test_running_out_of_patience_keeps_the_job(cli: Command, simulator: Simulator) -> None:
    """Exit code 8; the document has the job, which can be waited for later."""
    found = cli(*CLIP, "--timeout", "0", "--json")
    assert found.code == 8
    job = polyreel.Job.model_validate(found.document["error"]["job"])
    assert job.id in found.err
    assert polyreel.Client(simulator=simulator).wait(job).status == "succeeded"


def test_a_lost_download_keeps_the_job(cli: Command, simulator: Simulator) -> None:
    """Exit code 9; the document has the job with the address of its file."""
    simulator.inject("link-404", times=None)
    found = cli(*CLIP, "--json")
    assert found.code == 9, found.err
    assert found.document["error"]["job"]["id"] in found.err
    assert simulator.bill.count() == 1


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError(f"secret {CANARY}"), 1, "internal error (ZeroDivisionError at cli.py:"),
        (
            OSError(28, "No space left on device", "there"),
            1,
            "error: No space left on device: there",
        ),
        (polyreel.RejectedError(f"bad key {CANARY}", status=401), 4, "bad key ****"),
        (polyreel.VendorError("no", status=403), 4, "no"),
        (polyreel.VendorError("no"), 3, "no"),
        (polyreel.NeverSentError("no"), 3, "no"),
    ],
)
def test_exit_codes_of_accidents(
    cli: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    """Whatever happens ends in one message and the right exit code, never in a traceback or with a
    key.
    """
    monkeypatch.setattr(Client, "generate", failing(error))
    plain, asked = cli(*CLIP), cli(*CLIP, "--json")
    assert (plain.code, plain.out, asked.code) == (code, "", code)
    assert plain.err.startswith(("error: ", text))
    assert text in plain.err
    assert asked.document["error"]["type"] == type(error).__name__


@pytest.mark.parametrize(("answer", "code"), [(401, 4), (500, 6), (None, 3)])
def test_a_live_failure_shows_no_key(
    cli: Command, monkeypatch: pytest.MonkeyPatch, answer: int | None, code: int
) -> None:
    """Not even where the vendor, or the transport, repeats it."""

    def handle(_: object, request: httpx.Request) -> httpx.Response:
        text = f"what about {request.headers['authorization']}?"
        if answer is None:
            raise httpx.ConnectError(text)
        return httpx.Response(answer, json={"error": {"message": text}}, request=request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    found = cli(*CLIP, "--live", "--yes", "--vendor", FIRST, "--json")
    assert found.code == code, found.err
    assert found.document["error"]["vendor"] == FIRST


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_an_accident_around_the_submit_loses_nothing(
    cli: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """What may have been paid for is in the ledger, and the last words are what to type about
    it.
    """
    transport = SimulatedTransport(Simulator())
    monkeypatch.setattr(
        httpx.HTTPTransport, "handle_request", lambda _, request: transport.handle_request(request)
    )
    monkeypatch.setattr(RealClock, "sleep", failing(error))
    found = cli(*CLIP, "--live", "--yes", "--vendor", FIRST)
    (task,) = transport.simulator.tasks.values()
    entries = cli("jobs", "--json").document
    assert [entry["job"]["id"] for entry in entries] == [task.id]
    assert f"next: polyreel resume {entries[0]['id']} --live" in found.err
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", failing(error))
    found = cli(*CLIP, "--live", "--yes", "--vendor", FIRST)
    last = cli("jobs", "--json").document[-1]
    assert last["state"] == "ambiguous"
    assert f"next: polyreel reconcile {last['id']} --live" in found.err
    assert "next" not in cli(*CLIP, "--vendor", FIRST).err


# --- other commands -------------------------------------------------------------------------------


def test_every_command_has_help(cli: Command) -> None:
    """`polyreel`, --help and --version answer; every field of a request has its flag or is told to
    need a file.
    """
    top = cli()
    assert (top.code, top.out, top.err) == (0, cli("--help").out, "")
    commands = re.findall(r"^  ([a-z]+)  ", top.out.partition("Commands:")[2], re.MULTILINE)
    assert {"generate", "plan", "models", "simulate", "doctor"} <= set(commands)
    assert all(cli(command, "--help").code == 0 for command in commands)
    text = cli("generate", "--help").out
    models = (polyreel.VideoRequest, polyreel.ImageRequest, polyreel.ElementRequest)
    for name in {name for model in models for name in model.model_fields} - {"shots", "extra"}:
        assert name.replace("_", "-").rstrip("s") in text
    assert cli("--version").out.startswith("polyreel ")


def test_models_and_doctor_tell_people_and_programs(cli: Command) -> None:
    """Who sells what; which keys are set, and not what they are."""
    rows = cli("models", "--json").document
    routes = {
        (v, r.model, r.workflow) for v, provider in all_providers().items() for r in provider.routes
    }
    assert {(row["vendor"], row["model"], row["workflow"]) for row in rows} == routes
    facts = cli("doctor", "--json").document
    assert facts["keys"] == dict.fromkeys(KEYS, "set")
    assert facts["vendor_order"] == VENDORS
    assert all(name in cli("models").out + cli("doctor").out for name in [*VENDORS, *KEYS])
