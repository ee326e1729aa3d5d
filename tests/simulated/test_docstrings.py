"""The examples in the docstrings of the main entry points do what they say."""

import doctest

import polyreel
import pytest
from polyreel.batch import Batch

ENTRY_POINTS = {
    "AsyncClient": polyreel.AsyncClient,
    "Batch": Batch,
    "Client": polyreel.Client,
    "Ledger": polyreel.Ledger,
    "Simulator": polyreel.Simulator,
    "VideoRequest": polyreel.VideoRequest,
    "plan": polyreel.plan,
    "translate": polyreel.translate,
}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_example_of_an_entry_point_is_true(name: str) -> None:
    """Each has an example, and what it prints is what it says."""
    found = doctest.DocTestFinder(recurse=False).find(ENTRY_POINTS[name], name, globs={})
    examples = [example for test in found for example in test.examples]
    assert examples
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    messages: list[str] = []
    for test in found:
        runner.run(test, out=messages.append)
    assert messages == []
