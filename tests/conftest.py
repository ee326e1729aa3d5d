"""Options and order of the test suite, and the watch over keys.

Whatever any test does, no key shows up anywhere.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import re
import signal
from collections.abc import Generator, Iterator

import httpx
import pytest
from hypothesis import HealthCheck, settings
from polyreel.providers.base.contract import data_file
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import rendering
from support import chromium, folders, matrix
from support.authorities import trust_nobody
from support.rendered import RenderedOnce
from support.waiting import HANGS
from support.webhooks import OTHER_SECRET, SECRET

EXAMPLES = {"quick": 5, "ci": 6, "full": 2000}
"""How many examples a law is tried with in each profile, which POLYREEL_LAWS names."""
for _name, _examples in EXAMPLES.items():
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
PROFILE = os.environ.get("POLYREEL_LAWS", "ci")
settings.load_profile(PROFILE)

# What the machine says about its network is not what the tests are about.
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)
for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "POLYREEL_NETWORK", "POLYREEL_USER_AGENT"):
    os.environ.pop(_name, None)

# Some hundreds of processes are started. Where Python may not keep what it compiled, each compiles
# all of polyreel first, which is half of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nor are the keys that its user has stored.
os.environ["POLYREEL_KEYS"] = os.path.join(os.devnull, "keys")
# Nor is what vendors said of their models.
os.environ["POLYREEL_LIMITS"] = os.path.join(os.devnull, "limits")

# httpx gives up after 5 seconds of silence, which on a slow machine says nothing of the server.
for wait in ("connect", "read", "write", "pool"):
    setattr(inspect.signature(httpx.get).parameters["timeout"].default, wait, HANGS)

trust_nobody()

# A shell that starts the tests in the background lets them ignore Ctrl-C, and a process inherits
# that: the commands that tests interrupt would run for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SECRETS = [secret.removeprefix("whsec_") for secret in (SECRET, OTHER_SECRET)]
KEYS = ["-".join(["sk", "canary"]), *(secret.lower() for secret in SECRETS)]
"""Every key and secret in the tests looks so. Compiled, this file has none of them in it."""
SHOWN = re.compile("|".join(map(re.escape, KEYS)), re.IGNORECASE)


def is_key_in(content: bytes) -> bool:
    """Whether a key is there, in letters of either case: 20 times as fast as a pattern says it."""
    lowered = content.lower()
    return any(key.encode() in lowered for key in KEYS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-plans",
        action="store_true",
        help="write tests/plans/ and tests/readings/ anew; read the difference before committing",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Of a commit, the same examples are drawn in each run, so that a run elsewhere is the same.

    `scripts/laws`, which has thousands of them, draws others each time.
    """
    if config.option.hypothesis_seed is None and PROFILE != "full":
        config.option.hypothesis_seed = matrix.seed()


def pytest_report_header() -> list[str]:
    found = (
        chromium.EXECUTABLE or "not here, so that tests/processes/test_studio_browser*.py are not"
    )
    return [matrix.reported(), f"chromium: {found}"]


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None]:
    """Most combinations are left out before there is a test of each."""
    yield
    matrix.thin(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    """What a sample is taken of can be asked for by its marker, as scripts/matrix does."""
    if matrix.dear_vendor(item) is not None:
        item.add_marker("matrix")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The cheapest tests come first, or all are mixed where several workers share them.

    Of tests over several axes only a sample is run.
    """
    kept = matrix.sample(items)
    left = {*items}.difference(kept)
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
    ordered = folders.cheapest_first(kept)
    items[:] = folders.spread(ordered) if hasattr(config, "workerinput") else ordered


def pytest_collection_finish() -> None:
    """What stays until the end is not looked through again each time that garbage is collected.

    Nor is what tests leave in caches looked through every few tests, which took a twelfth of all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A failure in a sample can be repeated."""
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(matrix.reported())


EXITS = folders.Exits()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    EXITS.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that leaves its process lies in a folder of tests that do."""
    yield
    if complaint := EXITS.complaint(item.path):
        pytest.fail(complaint, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that shows a key on a stream, in a log, or in its own failure, fails.

    Logs are at their most talkative.
    """
    report = yield
    texts = [report.longreprtext, *(text for _, text in report.sections)]
    if any(is_key_in(text.encode(errors="replace")) for text in texts if text):
        failure = f", which failed:\n{report.longreprtext}" if report.failed else ""
        report.outcome = "failed"
        report.longrepr = SHOWN.sub("****", f"a key was shown during {report.nodeid}{failure}")
        report.sections.clear()
    return report


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without extras: simulated files are ready-made, and not rendered."""
    monkeypatch.setattr(rendering, "is_installed", lambda *, video: False)


@pytest.fixture(scope="session", autouse=True)
def clips_are_rendered_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Encoding takes longer than most tests. Those of the renderer import it, and get itself."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "rendered"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "render_video", RenderedOnce(rendering.render_video, folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def contracts_stay_as_they_are() -> Iterator[None]:
    """All answers are made of their examples, and whoever makes one leaves them alone."""
    yield
    for name, provider in all_providers().items():
        file = f"{name.replace('-', '_')}.json"
        shipped = json.loads(data_file("polyreel_generated.contracts", file))
        assert provider.contract.document == shipped, f"{name}: something changed its contract"


@pytest.fixture(scope="session", autouse=True)
def no_file_holds_a_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All that the tests left behind is searched: ledgers, memories, media, recordings."""
    yield
    files = [path for path in tmp_path_factory.getbasetemp().rglob("*") if path.is_file()]
    assert [str(path) for path in files if is_key_in(path.read_bytes())] == []
