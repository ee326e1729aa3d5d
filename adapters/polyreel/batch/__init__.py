"""Many jobs from one file: checked, planned and priced before the first is paid, then all made.

    from polyreel import AsyncClient, batch

    async with AsyncClient(ledger="jobs.sqlite3") as client:
        work = batch.Batch(client, batch.read("jobs.jsonl"), output="clips", max_cost=Decimal(20))
        print(work.plan())
        results = await work.run()

Each row has its own reference in the ledger: the same batch run again continues where it stopped.
"""

from ..money.amounts import CostRange
from .costs import Budget, Summary
from .results import Result, tally
from .rows import Row, RowProblem, Scan, read, refuse, scan
from .running import Batch

__all__ = [
    "Batch",
    "Budget",
    "CostRange",
    "Result",
    "Row",
    "RowProblem",
    "Scan",
    "Summary",
    "read",
    "refuse",
    "scan",
    "tally",
]
