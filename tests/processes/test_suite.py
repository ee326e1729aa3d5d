"""The test suite itself: samples of tables, folders by cost, and the order of both."""

from __future__ import annotations

import pytest
from support import matrix

pytest_plugins = ["pytester"]
TABLE = """
import pytest
from hypothesis import given, strategies as st
@pytest.mark.matrix("fault+kind", "vendor")
@pytest.mark.parametrize("kind", ["a", "b"])
@pytest.mark.parametrize("fault", [1, 2, 3])
@pytest.mark.parametrize("vendor", [["x"], {"y": "z"}], ids=["x", "y"])
def test_table(vendor, fault, kind): pass

@pytest.mark.matrix("class", "fault")
@pytest.mark.parametrize("fault", [1, 2])
class Kit:
    def test_kit(self, fault): pass
class TestOne(Kit): pass
class TestTwo(Kit): pass

@given(st.integers())
def test_drawn(number):
    with open("drawn", "a") as file:
        print(number, file=file)
"""
VENDORS = """
import pytest
@pytest.mark.parametrize("kind", ["a", "b"])
@pytest.mark.parametrize("vendor", ["v", "w", "x", "y", "z"])
def test_vendors(vendor, kind): pass
"""
LEAVING = """
import socket, subprocess, sys
def test_socket():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
def test_process():
    subprocess.run([sys.executable, "-c", ""])
def test_swallowed():
    try:
        socket.create_connection(("127.0.0.1", 1), timeout=0.1)
    except OSError:
        pass
def test_pair():
    for one in socket.socketpair():
        one.close()
"""


@pytest.fixture
def suite(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """An empty suite with the hooks of this one."""
    tests = request.config.rootpath / "tests"
    monkeypatch.setenv("PYTHONPATH", str(tests), prepend=":")
    monkeypatch.delenv("POLYREEL_MATRIX", raising=False)
    pytester.makeconftest((tests / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = matrix\naddopts = -p no:schemathesis")
    return pytester


def names(found: pytest.RunResult) -> list[str]:
    """The tests that passed, in their order."""
    return [line.split()[0] for line in found.outlines if line.endswith("]") and " PASSED" in line]


def test_a_sample_of_a_table_is_run(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs of a fault and a kind, and all vendors; a seed repeats it, and all can be run."""
    suite.makepyfile(TABLE)
    monkeypatch.setenv("POLYREEL_SEED", "a seed")
    found = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    found.assert_outcomes(passed=9, deselected=2)  # most are never made
    drawn = suite.path.joinpath("drawn").read_text(encoding="utf-8")
    found.stdout.fnmatch_lines(["*POLYREEL_SEED=a seed repeats it*"])
    run = [one.rpartition("::")[2] for one in names(found) if "::test_table[" in one]
    assert len({one.partition("-")[2] for one in run}) == 6
    assert {one.partition("-")[0] for one in run} == {"test_table[x", "test_table[y"}
    kits = [one.split("::")[1:] for one in names(found) if "::test_kit[" in one]
    assert len({one for one, _ in kits}) == len({other for _, other in kits}) == len(kits) == 2
    again = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    assert names(again) == names(found)
    assert suite.path.joinpath("drawn").read_text(encoding="utf-8") == drawn * 2
    monkeypatch.setenv("POLYREEL_MATRIX", "whole")
    suite.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=17)


def test_a_dear_test_is_run_for_some_vendors(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others for all of them; and so are all where every combination is asked for."""
    for place in ("servers", "unit"):
        (suite.mkdir(place) / f"test_{place}.py").write_text(VENDORS, encoding="utf-8")
    found = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    found.assert_outcomes(passed=2 * matrix.SOME + 10)
    assert len([one for one in names(found) if one.startswith("unit/")]) == 10
    monkeypatch.setenv("POLYREEL_MATRIX", "whole")
    found = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider", "-m", "matrix")
    found.assert_outcomes(passed=10, deselected=10)
    assert all(one.startswith("servers/") for one in names(found))


def test_cheap_tests_open_no_socket_and_start_no_process(suite: pytest.Pytester) -> None:
    """They run first, and one that leaves its process fails, whatever it swallows."""
    for folder in ("processes", "servers", "simulated"):
        (suite.mkdir(folder) / f"test_{folder}.py").write_text(LEAVING, encoding="utf-8")
    found = suite.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    found.assert_outcomes(passed=9, failed=3)
    order = [one.partition("/")[0] for one in names(found)]
    assert order == sorted(order, key=["simulated", "servers", "processes"].index)
    found.stdout.fnmatch_lines(
        [
            "*socket.bind: a test in tests/simulated opens no socket and starts no process*",
            "*subprocess.Popen: a test in tests/simulated opens no socket*",
            "*socket.connect, socket.getaddrinfo: a test in tests/simulated opens no socket*",
            "matrix: a covering sample;*",
        ]
    )
