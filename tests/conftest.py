"""Options and fixtures of the test suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-plans", action="store_true", help="write tests/plans/ anew; read the difference before committing"
    )
