"""`polyreel new-vendor`: what it writes imports, is simulated, and says what is left to do."""

import builtins
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from polyreel.cli import main
from polyreel.mapping.workflows import kind_of
from polyreel.places import JsonObject, get, is_missing
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.facts import Reads
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.scaffold import Wishes, package
from polyreel.scaffold.document import drafted, sample
from polyreel.scaffold.tables import row_of
from support import forked
from support.drafts import without_ours
from support.paths import EXAMPLE_VENDOR

ACME = EXAMPLE_VENDOR / "openapi.json"


def published(document: JsonObject) -> JsonObject:
    """Without examples of replies too, and with a closed list of status words."""
    plain: JsonObject = without_ours(document)
    for item in plain["paths"].values():
        for operation in item.values():
            for reply in operation["responses"].values():
                for media in reply.get("content", {}).values():
                    media.pop("examples", None)
    return plain


@pytest.fixture
def spec() -> JsonObject:
    """A vendor's own document."""
    document = published(json.loads(ACME.read_bytes()))
    phase = document["components"]["schemas"]["ClipReply"]["properties"]["clip"]["properties"][
        "phase"
    ]
    phase["enum"] = phase.pop("examples")
    return document


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["new-vendor", *arguments])
    streams = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, streams.out, streams.err


def imported(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider class that was written."""
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    found = importlib.import_module(module)
    del sys.modules[module]
    return next(
        one for one in vars(found).values() if isinstance(one, type) and one.__module__ == module
    )


def test_a_package_is_written_and_its_suite_tells_what_is_left(
    spec: JsonObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables are matched, the simulator runs, and only the test of the contract fails, with a
    list.
    """
    source, folder = tmp_path / "spec.json", tmp_path / "fresh"
    source.write_text(json.dumps(spec), encoding="utf-8")
    code, out, err = run(capsys, "fresh-vendor", "--from", str(source), "--output", str(folder))
    assert (code, len(out.splitlines())) == (0, 4)
    assert "left out of the contract: GET /v2/clips" in err
    path = os.pathsep.join([str(folder), *sys.path])
    command = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    command += ["-p", "no:randomly", "-p", "no:schemathesis"]
    narrow = ["-k", "contract or facts or law_4 or status_words or runs_to_its_end or task_ids"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = forked.run(*command, *narrow, cwd=folder, env=environment)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert (
        "- to do: TextClip options.mood: no shared field was found for: The mood of the"
        in done.stdout
    )
    assert "does a repeat with this header give the first task" in done.stdout


def test_the_calls_are_reported_and_can_be_chosen(
    spec: JsonObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As lines, and as JSON; a wrong name is told with those that exist."""
    source = tmp_path / "spec.json"
    source.write_text(json.dumps(spec), encoding="utf-8")
    common = ["fresh", "--from", str(source), "--output"]
    chosen = ["--create", "createClip", "--get", "/v2/clips/{ref}", "--paths", "/v2/clips*"]
    code, out, err = run(capsys, *common, str(tmp_path / "one"), *chosen)
    assert (code, len(out.splitlines())) == (0, 4)
    assert "paid call -> status query: POST /v2/clips -> GET /v2/clips/{ref}" in err
    code, out, _ = run(capsys, *common, str(tmp_path / "two"), "--only", "text-*", "--json")
    assert (code, json.loads(out)["calls"]) == (0, ["POST /v2/clips -> GET /v2/clips/{ref}"])
    code, out, err = run(capsys, *common, str(tmp_path / "three"), "--create", "none")
    assert (code, out) == (2, "")
    assert "--create none: the document has no such call; it has POST /v2/clips" in err
    assert not (tmp_path / "three").exists()


def id_places(provider: Provider, reads: Reads) -> list[str]:
    """Where the id is found in the first documented answer of each call about a job."""
    contract = provider.contract
    calls = (one for one in contract.operations.values() if one.role in {"create", "get"})
    bodies = (
        next(body for code, _, _, body in contract.replies(call) if code < 300) for call in calls
    )
    return [
        next(place for place in reads.id if not is_missing(get(body, place))) for body in bodies
    ]


TEXTS = {"prompt", "contents"}
"""Where shots are spelled."""


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_known_vendors_are_recognised(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a real vendor's document most of its own table comes out again.

    Where that has calls of an older generation too, its author names the paths of the newer one.
    """
    provider = all_providers()[vendor]
    calls = [one.path for one in provider.contract.operations.values() if one.role]
    wishes = Wishes(paths=calls if provider.read_only_routes else ())
    made = package("fresh-one", without_ours(provider.contract.document), wishes)
    for place, text in made.files.items():
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    fresh = imported(tmp_path, "fresh_one", monkeypatch)()
    # Subjects are not drafted, nor is what texts spell: no document says it in a form.
    wanted, found = (
        {
            (name, row.places[0])
            for route in one.routes
            if kind_of(route.workflow) != "element"
            for name, row in route.by_name.items()
            if row.places and not (name == "shots" and row.places[0] in TEXTS)
        }
        for one in (provider, fresh)
    )
    assert len(wanted & found) >= len(wanted) * 0.6, wanted - found
    assert fresh.contract.operation("create")
    kept = {("failed", "failed")} & set(provider.statuses.items())
    assert set(fresh.statuses.items()) >= kept
    assert id_places(provider, fresh.reads) == id_places(provider, provider.reads)
    assert all(len(line) <= 200 for line in made.files["fresh_one/__init__.py"].splitlines())


def test_what_a_document_says_is_never_code(
    spec: JsonObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and words with quotes, line ends and what not come through as they are."""
    odd = 'it\'s "odd"\n\\ \u2028", __import__("os").abort(), "'
    schema = spec["components"]["schemas"]["TextClip"]["properties"]
    schema[odd] = {"type": "string", "description": odd}
    schema["kind"]["const"] = odd
    schema["shape"]["enum"].append(odd)
    spec["components"]["schemas"]["ClipReply"]["properties"]["clip"]["properties"]["phase"][
        "enum"
    ].append(odd)
    for place, text in package("fresh-odd", spec).files.items():
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    fresh = imported(tmp_path, "fresh_odd", monkeypatch)()
    assert odd in fresh.routes[0].ignored
    assert odd in {row.value for row in fresh.routes[0].constants}


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As what it is."""
    (tmp_path / "file").write_text("")
    code, out, err = run(
        capsys, "fresh", "--from", str(ACME), "--output", str(tmp_path / "file" / "below")
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Not a directory" in err


@pytest.mark.parametrize(
    "name", ["Acme", "acme_video", "-x", "x-", "", "class", "json", *all_providers()]
)
def test_a_bad_name_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one message, and nothing is written."""
    code, out, err = run(capsys, "--from", str(ACME), "--output", str(tmp_path / "new"), "--", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty one is taken."""
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = run(capsys, "fresh", "--from", str(ACME), "--output", str(tmp_path))
    assert code == 2
    assert "there already" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (
        run(capsys, "fresh", "--from", str(ACME), "--output", str(tmp_path / "empty"), "--json")[0]
        == 0
    )


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("[]", "not an OpenAPI document"),
        ('{"openapi": "3.1.0", "paths": {}}', "not an OpenAPI document"),
        ('{"swagger": "2.0", "paths": {"/x": {}}}', "OpenAPI 2.0"),
        ('{"openapi": "3.1.0", "paths": {"/x": {"get": {}}}}', "no POST"),
        (
            '{"openapi": "3.1.0", "paths": {"/x": {"post": {"$ref": "other.yaml#/x"}}}}',
            "outside the file",
        ),
        (
            '{"openapi": "3.1.0", "paths": {"/x": {"post": {"requestBody": {"$ref": "#/none"}}}}}',
            "cannot be read",
        ),
        ("{", "not a JSON"),
    ],
)
def test_a_spec_of_no_use_is_refused(
    text: str, reported: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason."""
    source = tmp_path / "spec.json"
    source.write_text(text)
    code, out, err = run(capsys, "fresh", "--from", str(source), "--output", str(tmp_path / "new"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reported in err
    assert not (tmp_path / "new").exists()


def test_a_document_without_a_status_query_is_refused(spec: JsonObject) -> None:
    """Nothing could be polled."""
    del spec["paths"]["/v2/clips/{ref}"]
    with pytest.raises(ValueError, match="no GET has one id"):
        package("fresh", spec)


YAML = """
openapi: 3.0.3
info: {title: t, version: 2026-01-02}
paths:
  /images/generate:
    parameters: [{name: X-Idempotency-Key, in: header, schema: {type: string}}]
    post:
      requestBody:
        content:
          application/json:
            schema:
              allOf:
                - {type: object, required: [prompt], properties: {prompt: {type: string}}}
                - type: object
                  properties:
                    ratio: {type: string, enum: [16:9, 1:1]}
                    n: {type: integer, nullable: true, minimum: 0, exclusiveMinimum: true,
                        maximum: 4}
                    mode: {type: string, enum: [on, off]}
      responses:
        200: {content: {application/json: {schema: {$ref: '#/components/schemas/Task'}}}}
        default: {description: x}
  /images/{id}:
    get:
      responses:
        200: {content: {application/json: {schema: {$ref: '#/components/schemas/Task'}}}}
components:
  schemas:
    Task: {type: object, properties: {id: {type: string},
                                      state: {type: string, enum: [new, done, gone]},
           images: {type: array, items: {type: string}}}}
"""


def test_yaml_of_an_older_version_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """YAML 1.2, OpenAPI 3.0, a body in parts, paths without ids, no server: all of it becomes a
    contract.
    """
    source = tmp_path / "spec.yaml"
    source.write_text(YAML)
    assert (
        run(capsys, "fresh-yaml", "--from", str(source), "--output", str(tmp_path / "new"))[0] == 0
    )
    fresh = imported(tmp_path / "new", "fresh_yaml", monkeypatch)()
    (route,) = fresh.routes
    assert (route.workflow, set(route.by_name)) == (
        "generate-image",
        {"prompt", "aspect_ratio", "count"},
    )
    assert fresh.contract.property(route.schema, "mode")["enum"] == ["on", "off"]
    assert fresh.contract.property(route.schema, "n")["anyOf"][0]["exclusiveMinimum"] == 0
    paid = fresh.contract.operation("create").spec
    assert paid["x-polyreel-idempotency"]["header"] == "X-Idempotency-Key"
    assert fresh.statuses == {"new": "queued", "done": "succeeded"}
    assert 'what does "gone" mean' in (tmp_path / "new" / "fresh_yaml" / "__init__.py").read_text(
        encoding="utf-8"
    )


def test_yaml_needs_a_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it: what to install. What is no YAML is told too."""
    source = tmp_path / "spec.yaml"
    source.write_text("a: [")
    code, _, err = run(capsys, "fresh", "--from", str(source))
    assert (code, "not YAML" in err) == (2, True)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = run(capsys, "fresh", "--from", str(source))
    assert (code, "pip install pyyaml" in err) == (2, True)


@pytest.mark.parametrize(
    ("field", "node", "row"),
    [
        ("duration", {"type": "string", "enum": ["5s", "10s"]}, 'Choice({5: "5s", 10: "10s"})'),
        ("duration", {"type": "integer", "enum": [5, 10]}, 'Field("duration", "x")'),
        ("duration", {"type": "string"}, None),
        ("resolution", {"type": "string", "enum": ["720P", "640p"]}, "what do [640p] mean?"),
        ("resolution", {"type": "integer", "enum": [720, 1080]}, None),
        ("resolution", {"type": "string"}, "which words"),
        ("guidance_scale", {"type": "number", "maximum": 10}, "a codec is needed"),
        ("first_frame", {"type": "array", "items": {"type": "string"}}, "Only()"),
        ("aspect_ratio", {"type": "string", "enum": ["16x9", "portrait"]}, '"9:16": "portrait"'),
        ("audio", {"type": "boolean"}, 'Field("audio", "x")'),
    ],
)
def test_rows_are_proposed_where_types_fit(field: str, node: JsonObject, row: str | None) -> None:
    """Words are translated, and doubts are told."""
    target = Contract.load("polyreel").property("VideoRequest", field)
    assert target
    made = row_of(field, "x", node, target)
    assert made == row if row is None else row in (made or "")


def test_samples_fit_their_schemas(spec: JsonObject) -> None:
    """Whatever a schema asks for; one that contains itself ends."""
    made = drafted(spec).contract
    for name, schema in made.document["components"]["schemas"].items():
        assert made.fits({"$ref": f"#/components/schemas/{name}"}, sample(made, schema)) == [], name
    endless = Contract(
        {"components": {"schemas": {"A": {"type": "object", "properties": {"a": {"$ref": "#/x"}}}}}}
    )
    endless.document["x"] = endless.document["components"]["schemas"]["A"]
    assert sample(endless, {"$ref": "#/x"})
    assert sample(endless, {"type": ["null", "string"]}) is None
