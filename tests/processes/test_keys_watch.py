"""The watch over keys sees what it has to see."""

import logging
import shutil

import pytest

pytest_plugins = ["pytester"]
WATCHED = """
import logging, sys
KEY = "-".join(["sk", "CANARY-0123456789"])
def test_stdout(): print(KEY)
def test_stderr(): sys.stderr.write(KEY)
def test_log(): logging.getLogger("any").debug("Authorization: Bearer %s", KEY)
def test_failure(): assert KEY == ""
def test_file(tmp_path): (tmp_path / "ledger.sqlite3").write_bytes(b"..." + KEY.encode())
"""


def test_a_shown_key_fails_the_test(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a stream, in a log, in a failure, in a file."""
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath / "tests"))
    conftest = (request.config.rootpath / "tests" / "conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(conftest)
    pytester.makepyfile(WATCHED)
    found = pytester.runpytest_subprocess(
        *("-p", "no:cacheprovider", "-p", "no:schemathesis"),
        "-o",
        "log_level=DEBUG",
        "-rA",
        "--tb=short",
    )
    # What a stream or a log has shown is shown again when the test is torn down; the file is found
    # at the very end.
    found.assert_outcomes(passed=1, failed=4, errors=4)
    found.stdout.fnmatch_lines(["*a key was shown during*"])
    for left in pytester.path.glob("runpytest-[0-9]*"):
        shutil.rmtree(left)


def test_logs_are_watched_at_their_most_talkative() -> None:
    """The suite runs with every log switched on."""
    assert logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)
