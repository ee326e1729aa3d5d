"""`polyreel verify`, as a stranger types it."""

import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from polyreel.cli import exit_code
from polyreel.errors import VendorError
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.provider import Provider
from polyreel.verification.patches import patched
from polyreel.verification.probing import ask_all, questions
from support.cli import CANARY, Command, stranger
from support.drafts import as_published
from support.recordings import FORMS, PLANTED, recorded, save, vendors

PROVIDERS = vendors()
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
READS = {"credits", "list", "list-running", "models"}
ASKED = [p for p in PROVIDERS if any(o.role in READS for o in p.contract.operations.values())]
SILENT = [p for p in PROVIDERS if p not in ASKED]


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def broken(lines: Sequence[JsonObject]) -> list[JsonObject]:
    """Lines with a novel member in the first answer, which holds a secret too."""
    found: list[JsonObject] = json.loads(json.dumps(lines))
    body = json.loads(found[0]["response"]["body"])
    found[0]["response"]["body"] = json.dumps({**body, "novel": CANARY})
    return found


@pytest.mark.matrix("provider", "form")
@pytest.mark.parametrize("form", FORMS)
@each_vendor
def test_what_fits_exits_0(provider: Provider, form: str, cli: Command, tmp_path: Path) -> None:
    """Nothing on stdout, and one line that tells how much was checked."""
    file = save(tmp_path, recorded(provider)[:8], form)
    outcome = cli("verify", file)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.last_line == "8 of 8 calls checked, no differences"
    document = cli("verify", file, "--json").document
    assert (document["status"], document["matched"], document["differences"]) == ("fits", 8, [])


@pytest.mark.slow
@each_vendor
def test_what_differs_exits_5(provider: Provider, cli: Command, tmp_path: Path) -> None:
    """A table and a patch as text, one document with --json, and the patch in a file; no secret in
    any of them.
    """
    file = save(tmp_path, broken(recorded(provider)[:4]))
    outcome = cli("verify", file)
    assert outcome.code == 5
    assert "/response/body/novel" in outcome.out
    assert f"{provider.id}: a JSON Patch of its spec" in outcome.out
    asked = cli("verify", file, "--json", "--patch", "p.json")
    assert PLANTED.decode() not in outcome.out + outcome.err + asked.out + asked.err
    assert asked.code == 5
    (difference,) = asked.document["differences"]
    facts = ("entry", "vendor", "direction", "kind", "severity", "actual")
    assert [difference[name] for name in facts] == [
        1,
        provider.id,
        "response",
        "member",
        "news",
        '"****"',
    ]
    steps = json.loads(Path("p.json").read_text(encoding="utf-8"))
    assert steps == difference["patch"] == asked.document["patches"][provider.id]


@pytest.mark.slow
@each_vendor
def test_a_patched_spec_takes_the_traffic(provider: Provider, cli: Command, tmp_path: Path) -> None:
    """--patch writes what --spec then reads, with the vendor named by the spec itself or by
    hand.
    """
    file = save(tmp_path, broken(recorded(provider)[:4]))
    assert cli("verify", file, "--patch", "p.json").code == 5
    steps = json.loads(Path("p.json").read_text(encoding="utf-8"))
    document = patched(provider.contract.document, steps)
    Path("s.json").write_text(json.dumps(document), encoding="utf-8")
    assert cli("verify", file, "--spec", "s.json").code == 0
    assert cli("verify", file, "--spec", "s.json", "--vendor", provider.id).code == 0
    del document["x-polyreel-vendor"]
    Path("s.json").write_text(json.dumps(document), encoding="utf-8")
    assert cli("verify", file, "--spec", "s.json", "--vendor", provider.id).code == 0
    cli.fails(2, ("verify", file, "--spec", "s.json"), "names no vendor")


@each_vendor
def test_a_published_document_is_a_spec(provider: Provider, cli: Command, tmp_path: Path) -> None:
    """Without polyreel's facts and names; one of an old version is told as such."""
    file = save(tmp_path, recorded(provider)[:4])
    plain = as_published(provider.contract.document)
    Path("s.json").write_text(json.dumps(plain), encoding="utf-8")
    assert cli("verify", file, "--spec", "s.json", "--vendor", provider.id).code == 0
    assert provider.contract.document["x-polyreel-vendor"] == provider.id  # as it was
    cli.fails(2, ("drift", "s.json", "s.json"), "name it with --vendor")
    assert cli("drift", "s.json", "s.json", "--vendor", provider.id).code == 0
    Path("old.json").write_text('{"swagger": "2.0", "paths": {"/x": {}}}', encoding="utf-8")
    spec = ("verify", file, "--spec", "old.json", "--vendor", provider.id)
    cli.fails(2, spec, "old.json: not an OpenAPI document: OpenAPI 2.0")


def test_traffic_of_several_vendors_has_a_patch_for_each(cli: Command, tmp_path: Path) -> None:
    """By vendor in the file."""
    lines = [line for provider in PROVIDERS for line in broken(recorded(provider)[:2])]
    assert cli("verify", save(tmp_path, lines), "--patch", "p.json").code == 5
    assert set(json.loads(Path("p.json").read_text(encoding="utf-8"))) == {
        provider.id for provider in PROVIDERS
    }


@each_vendor
def test_another_host_is_named(provider: Provider, cli: Command, tmp_path: Path) -> None:
    """--vendor takes any host, --base-url one with a path of its own."""
    text = json.dumps(recorded(provider)[:4]).replace(provider.base_url, "http://127.0.0.1:1/here")
    file = save(tmp_path, json.loads(text))
    cli.fails(2, ("verify", file), "--vendor")
    assert (
        cli("verify", file, "--vendor", provider.id, "--base-url", "http://127.0.0.1:1/here").code
        == 0
    )


def test_unusable_input_exits_2(cli: Command, tmp_path: Path) -> None:
    """One message names the file, the entry or the option."""
    first = PROVIDERS[0].id
    good = save(tmp_path, recorded(PROVIDERS[0])[:1])
    Path("bad.har").write_text('{"log": {"entries": [{}]}}', encoding="utf-8")
    Path("spec.json").write_text('{"paths": {"/a": {"get": {}}}}', encoding="utf-8")
    Path("odd.json").write_text(_odd_spec(), encoding="utf-8")
    cases: dict[str, tuple[str, ...]] = {
        "odd.json: not an OpenAPI document": (good, "--vendor", first, "--spec", "odd.json"),
        "bad.har: entry 1: the entry has no request": ("bad.har",),
        "none.har": ("none.har",),
        "name a recording": (),
        "nonesuch": (good, "--vendor", "nonesuch"),
        "--base-url": (good, "--base-url", "http://127.0.0.1:1"),
        "--task": (good, "--task", "x"),
        "--simulated": (good, "--simulated"),
        "it makes its own traffic": (good, "--live", first),
        "not an OpenAPI document": (good, "--vendor", first, "--spec", "spec.json"),
        "--patch /nonesuch/p.json": (good, "--patch", "/nonesuch/p.json"),
    }
    for needle, arguments in cases.items():
        cli.fails(2, ("verify", *arguments), needle)


def _odd_spec() -> str:
    """A spec whose answers are no answers."""
    document = json.loads(json.dumps(PROVIDERS[0].contract.document))
    for item in document["paths"].values():
        for call in item.values():
            call["responses"] = {"200": {"content": {"application/json": "x"}}}
    return json.dumps(document)


# -- live ----------------------------------------------------------------------------------------


@each_vendor
def test_live_against_the_simulator(provider: Provider, cli: Command) -> None:
    """The same calls, answered by the simulator: all fit."""
    outcome = cli("verify", "--live", provider.id, "--simulated", "--json")
    assert outcome.code == 0
    reads = [
        o for o in provider.contract.operations.values() if o.role in READS and o.method == "GET"
    ]
    assert outcome.document["matched"] == len(reads) + 1
    assert cli("verify", "--live", provider.id, "--simulated", "--task", "nonesuch").code == 0


@each_vendor
def test_only_reads_are_asked(provider: Provider) -> None:
    """No question is paid, none has a body, and each is a GET of a documented call that submits
    nothing.
    """
    for step in questions(provider, "task-1"):
        assert (step.method, step.paid, step.content, step.parts) == ("GET", False, None, ())
        found = provider.contract.match("GET", httpx.URL(step.url).path)
        assert found is not None
        assert found[0].role in READS | {"get"}


@pytest.mark.parametrize("provider", SILENT, ids=lambda provider: provider.id)
def test_without_a_call_that_needs_no_task(provider: Provider, cli: Command) -> None:
    """It says what to name, before a key is asked for."""
    cli.fails(2, ("verify", "--live", provider.id), "--task")
    cli.fails(2, ("verify", "--live", provider.id, "--task", "../x"), "not a task id")


@each_vendor
def test_live_needs_a_key(provider: Provider, cli: Command) -> None:
    """Exit 4, and the variable is named."""
    cli.monkeypatch.delenv(provider.key_variable)
    cli.fails(4, ("verify", "--live", provider.id, "--task", "task-1"), provider.key_variable)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted(status: int) -> None:
    """Nothing is compared."""
    provider = PROVIDERS[0]
    flow = ask_all(provider, questions(provider, "task-1"))
    next(flow)
    with pytest.raises(VendorError) as failure:
        flow.send(Reply(status, {}, b"{}"))
    assert exit_code(failure.value) == 4


@each_vendor
def test_live_reports_what_a_vendor_says_now(provider: Provider, cli: Command) -> None:
    """A live answer is compared like a recorded one; the key goes nowhere but into its header."""
    sent: list[httpx.Request] = []

    def answer(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"id": "x", "novel": CANARY}, request=request)

    cli.monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    outcome = cli("verify", "--live", provider.id, "--task", "task-1", "--json")
    assert outcome.code == 5
    assert "/response/body/novel" in {one["traffic"] for one in outcome.document["differences"]}
    assert {request.method for request in sent} == {"GET"}
    wanted = key_scheme_of(provider.contract).headers(CANARY)["Authorization"]
    assert all(request.headers["authorization"] == wanted for request in sent)
