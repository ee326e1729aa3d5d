"""Snippets of the studio for a shell, which a shell runs; and tests that pytest runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import count
from pathlib import Path

import polyreel
import pytest
from hypothesis import given
from polyreel.mapping.inputs import data_url
from polyreel.places import JsonObject
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import ready_made, server
from support.cli import Command, stranger
from support.gateway import HOST, gateway
from support.matrix import drawn
from support.pictures import FORMS, picture
from support.server import new_simulator
from support.snippets import (
    ShellCall,
    by_kind,
    check_gateway_call,
    check_paid_call,
    prompts,
    run_by_shell,
    served,
)

pytest_plugins = ["pytester"]

LOADED = ("-p", "no:polyreel", "-p", "polyreel.testing.plugin", "-p", "no:schemathesis")
"""The plugin by its module, in the place of an entry point that may not be installed."""
SHELL = ("curl", "cli", "gateway")
UPLOADING = [one.id for one in polyreel.all_providers().values() if one.files == "upload"]
NUMBERS = count()


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def planned(command: Command, call: ShellCall, monkeypatch: pytest.MonkeyPatch) -> JsonObject:
    """What the command line would send, had it been asked for a plan."""
    assert call.words[:2] == ("polyreel", "generate")
    monkeypatch.chdir(call.folder)
    document: JsonObject = command("plan", "--json", *call.words[2:]).document
    return document


def check_all(
    cases: list[tuple[JsonObject, str]],
    folder: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> list[ShellCall]:
    """Each snippet for a shell makes the call of the plan. The result are those to the gateway."""
    made = [by_kind(request, vendor)[kind].text for request, vendor in cases for kind in SHELL]
    calls = iter(run_by_shell(made, folder))
    to_gateway = []
    for request, vendor in cases:
        expected: Plan = polyreel.plan(request, get_provider(vendor))
        check_paid_call(next(calls), expected)
        found = planned(command, next(calls), monkeypatch)
        assert (found["vendor"], found["body"]) == (vendor, expected.body)
        to_gateway.append(next(calls))
        check_gateway_call(to_gateway[-1], request, vendor)
    return to_gateway


@pytest.mark.matrix
def test_every_request_is_in_its_commands(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """curl sends the plan's bytes; the command line plans the same; a gateway makes the job."""
    check_all(drawn(served(), 30), tmp_path / "all", command, monkeypatch)


def test_no_text_is_run(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in a prompt, the shell hands it on as it is."""

    @given(prompt=prompts, other=prompts)
    def law(prompt: str, other: str) -> None:
        requests: list[JsonObject] = [
            {"prompt": prompt},
            {"prompt": other, "negative_prompt": prompt},
        ]
        requests += [{"prompt": prompt, "shots": [{"prompt": other}]}]
        cases = [
            (request, one.id)
            for request in requests
            for one in polyreel.all_providers().values()
            if not polyreel.plan(request, one).refused
        ]
        chosen = cases[:: max(1, len(cases) // 4)]
        check_all(chosen, tmp_path / f"law{next(NUMBERS)}", command, monkeypatch)

    law()


def test_a_gateway_takes_its_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of the call make a job there; a file goes along as its content."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    (file := tmp_path / "it's a cat.png").write_bytes(picture())
    requests = [{"prompt": 'it\'s "a" cat'}, {"prompt": "a cat", "first_frame": str(file)}]
    texts = [by_kind(request, FORMS)["gateway"].text for request in requests]
    with gateway(tmp_path, get_provider(FORMS)) as stage:
        for call in run_by_shell(texts, tmp_path / "shell"):
            assert call.words[3].endswith("/v1/jobs")
            reply = stage.call("POST", f"{HOST}/v1/jobs", call.headers, call.body)
            assert reply.status == 201, reply.content
        assert stage.simulator.bill.count(FORMS) == 2


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="no curl or jq")
@pytest.mark.parametrize("vendor", [FORMS, *UPLOADING])
def test_curl_makes_a_job_with_a_file(vendor: str, tmp_path: Path) -> None:
    """With the address of the simulator, the calls upload the file and make the job."""
    (file := tmp_path / "a 'cat', \"2\".png").write_bytes(picture())
    provider, simulator = get_provider(vendor), new_simulator()
    with server.running(simulator) as url:
        for first_frame in (str(file), data_url(file.read_bytes())):
            made = by_kind({"prompt": "it's a cat", "first_frame": first_frame}, vendor)
            text = made["curl"].text
            for host in provider.servers:
                text = text.replace(host, f"{url}{server.mounts()[vendor]}")
            done = subprocess.run(
                ["sh", "-eu"],
                input=text,
                env={provider.key_variable: "any-key"},
                cwd=tmp_path,
                capture_output=True,
                check=False,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout), done.stderr
    assert simulator.bill.count(vendor) == 2


@pytest.mark.matrix
def test_pytest_runs_its_tests(pytester: pytest.Pytester) -> None:
    """As they are, with the plugin's fixtures."""
    cases = drawn(served(), 2)
    made = {
        f"test_{number}": by_kind(request, vendor)["pytest"].text
        for number, (request, vendor) in enumerate(cases)
    }
    pytester.makepyfile(**made)
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(passed=len(made))
