"""The pytest plugin in runs of pytest of its own: fixtures, the marker, and loading."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest
from polyreel import testing
from polyreel.simulator import server, transport
from polyreel.testing import simulated
from support.paths import ROOT

pytest_plugins = ["pytester"]
LOADED = ("-p", "no:polyreel", "-p", "polyreel.testing.plugin", "-p", "no:schemathesis")
"""The plugin by its module, in the place of an entry point that may not be installed."""
STRICT = ("-p", "no:cacheprovider", "-W", "error", "--strict-markers", "--strict-config")


HEAD = """
import asyncio, contextlib, socket
import httpx, polyreel, pytest
from polyreel.testing import NetworkBlockedError, assert_billed_once

VENDORS = list(polyreel.all_providers())
PLAN = polyreel.plan({"prompt": "a cat"}, VENDORS[0])
PATH = PLAN.route.operation.PATH
KEY = {"Authorization": "Bearer any"}
FOREIGN = ("192.0.2.1", 9)  # reserved for documentation: nobody is there

def reach(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as own:
        own.settimeout(0.1)
        own.connect(FOREIGN)
"""
Run = Callable[..., pytest.RunResult]
ONCE = (server, simulated, transport)
"""Loaded here, so that not every run of pytest inside the tests loads them anew."""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs tests in a project of their own, in this process."""

    def run(code: str, *arguments: str, **outcomes: int) -> pytest.RunResult:
        pytester.makepyfile(HEAD + code)
        found = pytester.runpytest_inprocess(*LOADED, *STRICT, *arguments)
        if outcomes:
            found.assert_outcomes(**outcomes)
        return found

    return run


# -- fixtures --------------------------------------------------------------------------------------


EVERY_FIXTURE = """
def test_simulator(polyreel_simulator):
    assert polyreel_simulator.seed == 0 and polyreel_simulator.bill.count() == 0
    before = polyreel_simulator.clock.now()
    polyreel_simulator.clock.advance(3600)
    assert polyreel_simulator.clock.now() == before + 3600

def test_client(polyreel_client, polyreel_simulator, tmp_path):
    job = polyreel_client.generate({"prompt": "a cat"}, output=tmp_path)
    assert job.simulated and polyreel_simulator.bill.count(VENDORS[0]) == 1
    assert polyreel_simulator.journal[0][:2] == (VENDORS[0], "POST")

def test_async_client(polyreel_async_client, polyreel_simulator):
    job = asyncio.run(polyreel_async_client.submit(PLAN))
    assert job.status == "queued"
    assert_billed_once(polyreel_simulator)

def test_transport(polyreel_transport, polyreel_simulator):
    with httpx.Client(transport=polyreel_transport, headers=KEY) as client:
        assert client.post(PLAN.base_url + PATH, json=PLAN.body).status_code == 200

    async def again():
        async with httpx.AsyncClient(transport=polyreel_transport, headers=KEY) as client:
            return await client.post(PLAN.base_url + PATH, json=PLAN.body)

    assert asyncio.run(again()).status_code == 200
    assert polyreel_simulator.bill.count() == 2

def test_server(polyreel_server):
    with httpx.Client(headers=KEY) as client:
        assert client.get(polyreel_server.url).json()["simulator"] == "polyreel"
        answer = client.post(polyreel_server.base_url() + PATH, json=PLAN.body)
    assert answer.status_code == 200, answer.text
    assert polyreel_server.bill.count() == 1
    assert_billed_once(polyreel_server, VENDORS[0])
    first = polyreel_server.base_urls[VENDORS[0]]
    assert polyreel_server.base_url(VENDORS[-1]) != polyreel_server.base_url() == first
    with pytest.raises(LookupError):
        polyreel_server.base_url("nobody")

def test_a_live_client_at_the_server(polyreel_server):
    with polyreel.Client(keys={VENDORS[0]: "any"}, base_urls=polyreel_server.base_urls) as client:
        assert client.submit(client.plan({"prompt": "a cat"})).simulated is False
    assert_billed_once(polyreel_server)
"""


def test_every_fixture_works(run: Run) -> None:
    """Each as its description says, with every warning an error."""
    run(EVERY_FIXTURE, passed=6)


def test_fixtures_markers_and_options_are_documented(run: Run) -> None:
    """pytest's own help shows them."""
    found = run("", "--fixtures")
    for name in ("simulator", "client", "async_client", "transport", "server"):
        found.stdout.re_match_lines([rf"polyreel_{name}\b.*"])
    assert (
        "no docstring available" not in found.stdout.str().partition("polyreel.testing.plugin")[2]
    )
    run("", "--markers").stdout.fnmatch_lines(
        ["@pytest.mark.polyreel(seed=0*", "@pytest.mark.polyreel_live*"]
    )
    run("", "--help").stdout.fnmatch_lines(
        ["*--polyreel-live*", "*--polyreel-allow-network*", "*polyreel_block_network*"]
    )


# -- the marker ------------------------------------------------------------------------------------


def test_the_marker_configures_the_fixtures(run: Run) -> None:
    """A test's own marker goes before that of its class."""
    code = """
@pytest.mark.polyreel(seed=7, keys=["good"], vendor=VENDORS[-1], speed=5)
class TestClass:
    def test_class(self, polyreel_simulator, polyreel_client):
        assert (polyreel_simulator.seed, polyreel_simulator.keys) == (7, {"good"})
        assert polyreel_client.plan({"prompt": "a cat"}).vendor == VENDORS[-1]

    @pytest.mark.polyreel(
        seed=8, balance=1, faults=["lost-reset", "lost-reset", "failed"], vendor=VENDORS[0]
    )
    def test_own(self, polyreel_simulator, polyreel_transport):
        assert (polyreel_simulator.seed, polyreel_simulator.keys) == (8, {"good"})
        assert polyreel_simulator.balance == 1
        headers = {"Authorization": "Bearer good"}
        with httpx.Client(transport=polyreel_transport, headers=headers) as client:
            with pytest.raises(httpx.HTTPError):
                client.post(PLAN.base_url + PATH, json=PLAN.body)
                client.post(PLAN.base_url + PATH, json=PLAN.body).raise_for_status()

    def test_server(self, polyreel_server):
        assert polyreel_server.simulator.clock.speed == 5
        assert polyreel_server.vendor == VENDORS[-1]
"""
    run(code, passed=3)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ("sed=1", "takes seed=, balance=, keys=, faults=, vendor=, speed=, network= but no sed"),
        ("'lost-reset'", "but no 'lost-reset'"),
        ("faults='lost-reset'", "takes a list of texts here, not str"),
    ],
)
def test_a_marker_that_says_nonsense_is_an_error(run: Run, arguments: str, reported: str) -> None:
    """Also where no fixture reads it."""
    found = run(f"@pytest.mark.polyreel({arguments})\ndef test_it(): ...", errors=1)
    found.stdout.fnmatch_lines([f"*{reported}*"])


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ("faults=['nonsense']", "there is no fault 'nonsense'"),
        ("faults=['nonsense'], vendor=VENDORS[0]", "documents no 'nonsense'"),
        ("vendor='nobody'", "no vendor is called 'nobody'"),
    ],
)
def test_a_marker_that_names_what_is_not_there_is_an_error(
    run: Run, arguments: str, reported: str
) -> None:
    """The message lists what there is."""
    found = run(
        f"@pytest.mark.polyreel({arguments})\ndef test_it(polyreel_simulator): ...", errors=1
    )
    found.stdout.fnmatch_lines([f"*{reported}*"])


def test_live_tests_are_for_those_who_ask(run: Run) -> None:
    """Skipped with a reason; with the option they run, and may leave the machine."""
    code = """
@pytest.mark.polyreel_live
def test_live(polyreel_client):
    with contextlib.suppress(OSError):
        reach()
"""
    run(code, "-rs", skipped=1).stdout.fnmatch_lines(
        ["*it calls a real vendor and may cost money*--polyreel-live*"]
    )
    run(code, "--polyreel-live", passed=1).stdout.fnmatch_lines(
        ["polyreel: live tests call real vendors"]
    )


# -- loading ---------------------------------------------------------------------------------------


def test_loading_the_plugin_costs_next_to_nothing() -> None:
    """No third-party module but pytest, and nothing of polyreel but its front door."""
    code = """
import sys, pytest
before = set(sys.modules)
import polyreel.testing.plugin
new = set(sys.modules) - before
print(sorted(name for name in new if name.split('.')[0] not in sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["polyreel", "polyreel.testing", "polyreel.testing.plugin"])


def test_a_suite_that_does_not_use_it_does_not_pay_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest finds the plugin by the entry point of pyproject.toml, and a run without it imports
    nothing more.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, module),) = project["entry-points"]["pytest11"].items()
    assert "Framework :: Pytest" in project["classifiers"]
    installed = pytester.mkdir("site") / "stand_in-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    monkeypatch.setenv("PYTHONPATH", str(installed.parent), prepend=os.pathsep)
    pytester.makepyfile("""
        import sys

        def test_it(pytestconfig):
            plugin = pytestconfig.pluginmanager.get_plugin("polyreel")
            assert plugin.__name__ == "polyreel.testing.plugin"
            loaded = {name for name in sys.modules if name.startswith("polyreel")}
            assert loaded == {"polyreel", "polyreel.testing", "polyreel.testing.plugin"}
            assert not {"httpx", "pydantic"} & set(sys.modules)
        """)
    pytester.runpytest_subprocess(*STRICT).assert_outcomes(passed=1)


def test_public_names_are_exact() -> None:
    """`__all__` is sorted, every name in it loads, and `dir` shows it."""
    assert testing.__all__ == sorted(testing.__all__)
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError):
        _ = testing.nonsense
