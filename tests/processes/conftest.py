"""A Postgres server, for the tests that ask for one; those in Chromium where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chromium import EXECUTABLE
from support.postgres import database, execute, server

collect_ignore = [] if EXECUTABLE else ["test_studio_browser.py", "test_studio_browser_runs.py"]


@pytest.fixture(scope="session")
def own_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database that is this worker's."""
    with database(server(tmp_path_factory.getbasetemp().parent)) as address:
        yield address


@pytest.fixture
def postgres(own_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a database that is empty; what belongs to it on this machine is empty too."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    yield own_database
    execute(own_database, "DROP SCHEMA IF EXISTS polyreel CASCADE")
