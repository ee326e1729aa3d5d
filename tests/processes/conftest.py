"""A Postgres server, for the tests that ask for one."""

from collections.abc import Iterator

import pytest
from support.postgres import database, execute, server


@pytest.fixture(scope="session")
def own_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database that is this worker's."""
    with database(server(tmp_path_factory.getbasetemp().parent)) as address:
        yield address


@pytest.fixture
def postgres(own_database: str) -> Iterator[str]:
    """The address of a database that is empty."""
    yield own_database
    execute(own_database, "DROP SCHEMA IF EXISTS polyreel CASCADE")
