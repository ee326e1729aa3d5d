"""The commands that translate and compare, as a stranger types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from polyreel.cli.app import run
from polyreel.mapping.workflows import WORKFLOWS
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.registry import all_providers
from support.requests import EXAMPLES

PROVIDERS = list(all_providers().values())


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    code = run(list(arguments))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def saved(folder: Path, *bodies: Any) -> str:
    """A file with one body, or JSON Lines with several."""
    path = folder / "bodies.json"
    path.write_text("\n".join(json.dumps(body) for body in bodies) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.matrix("source", "target")
@pytest.mark.parametrize("target", PROVIDERS, ids=lambda provider: provider.id)
@pytest.mark.parametrize("source", PROVIDERS, ids=lambda provider: provider.id)
def test_translate_prints_one_document(
    source: Any, target: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 or 2, and a verdict with source, field, target, verdict and reason for every value."""
    made = plan(EXAMPLES["text_to_video_bare"], source)
    file = saved(tmp_path, made.body)
    where = f"{source.id}/{made.model}"
    code, out, err = typed(capsys, "translate", file, "--from", where, "--to", target.id, "--json")
    document = json.loads(out)
    assert {"body", "method", "url", "model", "workflow", "verdicts"} <= set(document)
    assert all(
        set(v) == {"source", "field", "target", "verdict", "reason", "warning"}
        for v in document["verdicts"]
    )
    assert code == (2 if document["violations"] else 0)
    assert bool(err.strip()) == bool(document["violations"])


@pytest.mark.parametrize("source", PROVIDERS, ids=lambda provider: provider.id)
def test_translate_takes_a_path_in_the_place_of_a_family(
    source: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands in the documents of the vendor that the body is for."""
    made = plan(EXAMPLES["text_to_video_bare"], source)
    assert made.route
    where = f"{source.id}/{made.route.path.removeprefix('/')}"
    file = saved(tmp_path, made.body)
    code, out, err = typed(capsys, "translate", file, "--from", where, "--to", source.id, "--json")
    assert code == 0, err
    assert json.loads(out)["model"] == made.model


def test_translate_reads_lines_and_names_the_bad_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of bodies gives a document a line; a broken line is named."""
    source = PROVIDERS[0]
    body = plan(EXAMPLES["text_to_video_bare"], source).body
    code, out, _ = typed(
        capsys,
        "translate",
        saved(tmp_path, body, body, body),
        "--from",
        source.id,
        "--to",
        source.id,
    )
    assert code == 0
    assert [json.loads(line)["body"] for line in out.splitlines()] == [body] * 3
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(body) + "\n{oops\n", encoding="utf-8")
    code, _, err = typed(capsys, "translate", str(path), "--from", source.id, "--to", source.id)
    assert code == 2
    assert "line 2" in err


def test_translate_asks_before_changing_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to type to accept another family is on stderr, and then it works."""
    for source in PROVIDERS:
        for target in PROVIDERS:
            made = plan(EXAMPLES["text_to_video_bare"], source)
            arguments = [
                "translate",
                saved(tmp_path, made.body),
                "--from",
                f"{source.id}/{made.model}",
            ]
            code, _, err = typed(capsys, *arguments, "--to", target.id)
            if "would serve it" in err:
                assert code == 2
                again = next(line for line in err.splitlines() if "would serve it" in line).split()[
                    1
                ]
                assert typed(capsys, *arguments, "--to", again)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["translate", "FILE", "--from", "nobody", "--to", "VENDOR"], "nobody"),
        (["translate", "FILE", "--from", "VENDOR", "--to", "VENDOR/none"], "none"),
        (
            ["translate", "FILE", "--from", "VENDOR", "--to", "VENDOR", "--allow", "duration"],
            "--allow duration",
        ),
        (
            ["translate", "FILE", "--from", "VENDOR", "--to", "VENDOR", "--allow", "a=keep"],
            "--allow a=keep",
        ),
        (["translate", "missing.json", "--from", "VENDOR", "--to", "VENDOR"], "missing.json"),
        (["translate", "EMPTY", "--from", "VENDOR", "--to", "VENDOR"], "nothing in it"),
        (["matrix", "--workflow", "no-such"], "no-such"),
        (["matrix", "--vendor", "nobody"], "nobody"),
        (["diff", "VENDOR", "nobody"], "nobody"),
        (["advise", "missing.json"], "missing.json"),
        (["drift", "FILE", "FILE"], "OpenAPI"),
        (["drift", "missing.yaml", "FILE"], "missing.yaml"),
    ],
)
def test_bad_usage_is_reported(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One clear message that names the word, exit 2."""
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty.json"
    empty.write_text("\n")
    real = {
        "FILE": saved(tmp_path, {"prompt": "x"}),
        "EMPTY": str(empty),
        "VENDOR": PROVIDERS[0].id,
    }
    words = [real.get(word, word.replace("VENDOR", PROVIDERS[0].id)) for word in arguments]
    code, _, err = typed(capsys, *words)
    assert code == 2
    assert named in err


FAMILY = PROVIDERS[0].routes[0].model


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_matrix_and_diff_print_every_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, Markdown and JSON hold the same vendors and workflows."""
    code, out, _ = typed(capsys, "matrix", "--format", form)
    assert code == 0
    assert all(vendor in out for vendor in all_providers())
    sold = {route.workflow for provider in PROVIDERS for route in provider.routes}
    assert sold <= {*WORKFLOWS}
    assert all(workflow in out for workflow in sold)
    # Two that sell the same families.
    sellers = [one.id for one in PROVIDERS if any(r.model == FAMILY for r in one.routes)]
    one, other = sellers[:2]
    code, out, _ = typed(capsys, "diff", one, other, "--format", form)
    assert code == 0
    assert "range narrowed" in out
    if form == "json":
        assert {"model", "workflow", "field", "kind", "before", "after", "breaking"} == set(
            json.loads(out)[0]
        )


def test_the_differences_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """As `matrix --model` and `translate --to VENDOR/MODEL` name models, `diff` does."""
    one, other = [p.id for p in PROVIDERS if any(r.model == FAMILY for r in p.routes)][:2]
    every = {item["model"] for item in _differences(capsys, one, other)}
    assert {FAMILY} < every
    found = [
        _differences(capsys, *arguments)
        for arguments in (
            (one, other, "--model", FAMILY),
            (f"{one}/{FAMILY}", other),
            (one, f"{other}/{FAMILY}"),
        )
    ]
    assert found[0] == found[1] == found[2]
    assert {item["model"] for item in found[0]} == {FAMILY}
    sold = {r.model for r in all_providers()[other].routes if r.workflow == "text-to-video"}
    another = min(sold - {FAMILY})
    changed = _differences(capsys, f"{one}/{FAMILY}", f"{other}/{another}")
    assert changed != found[0]
    assert {item["model"] for item in changed} == {FAMILY}
    code, _, err = typed(capsys, "diff", f"{one}/{FAMILY}", other, "--model", FAMILY)
    assert (code, "VENDOR/MODEL" in err) == (2, True)


def _differences(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[JsonObject]:
    code, out, _ = typed(capsys, "diff", *arguments, "--json")
    assert code == 0
    found: list[JsonObject] = json.loads(out)
    return found


def test_the_matrix_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The vendors that sell it, and no other model."""
    model = PROVIDERS[0].routes[0].model
    sheets = json.loads(typed(capsys, "matrix", "--model", model, "--json")[1])
    named = {(one["vendor"], one["model"]) for sheet in sheets for one in sheet["vendors"]}
    assert named == {(p.id, model) for p in PROVIDERS if any(r.model == model for r in p.routes)}


def test_advise_ranks_all_vendors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every vendor is in the advice; the first one serves the request."""
    file = saved(tmp_path, EXAMPLES["text_to_video_guided"])
    code, out, _ = typed(capsys, "advise", file, "--json")
    advice = json.loads(out)
    assert code == 0
    assert {item["vendor"] for item in advice} == set(all_providers())
    assert advice[0]["refused"] == []
    assert typed(capsys, "advise", file)[0] == 0


def test_drift_says_what_it_cannot_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A spec without the bodies breaks nothing: that would be an answer about another question."""
    provider = next(one for one in PROVIDERS if len({r.schema for r in one.routes}) > 1)
    document = json.loads(json.dumps(provider.contract.document))
    whole, part, none = (tmp_path / name for name in ("whole.json", "part.json", "none.json"))
    whole.write_text(json.dumps(document))
    first, *others = dict.fromkeys(route.schema for route in provider.routes)
    for file, left_out in ((part, [first]), (none, [first, *others])):
        for name in left_out:
            document["components"]["schemas"].pop(name, None)
        document["paths"] = {}
        file.write_text(json.dumps(document))
    code, _, err = typed(capsys, "drift", str(part), str(whole))
    assert (code, "not compared, as" in err) == (0, True)
    code, _, err = typed(capsys, "drift", str(none), str(whole))
    assert (code, "there is nothing to compare" in err) == (2, True)


@pytest.mark.slow
def test_drift_tells_what_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 where nothing breaks, 2 where something does, for YAML and JSON specs."""
    smallest = min(PROVIDERS, key=lambda one: len(one.routes))
    for provider in PROVIDERS:
        document = json.loads(json.dumps(provider.contract.document))
        # JSON is YAML too, but takes much longer to read.
        older = tmp_path / f"older.{'yaml' if provider is smallest else 'json'}"
        older.write_text(json.dumps(document))
        assert typed(capsys, "drift", str(older), str(older))[0] == 0
        route = next(route for route in provider.routes if route.workflow == "text-to-video")
        row = route.by_name["duration"]
        limits = Contract(document).property(route.schema, row.places[0])
        assert limits
        limits["maximum"] = 4
        newer = tmp_path / "newer.json"
        newer.write_text(json.dumps(document))
        code, out, _ = typed(capsys, "drift", str(older), str(newer), "--json")
        assert code == 2
        assert {(item["field"], item["kind"]) for item in json.loads(out)} == {
            ("duration", "range narrowed")
        }
