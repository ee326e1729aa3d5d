"""Many jobs from one file: read and checked as a whole, planned and priced before the first is paid, run to the end.

    from polyreel import AsyncClient, batch

    async with AsyncClient(ledger="jobs.sqlite3") as client:
        work = batch.Batch(client, batch.read("jobs.jsonl"), output="clips", max_cost=Decimal(20))
        print(work.plan())
        results = await work.run()

Each row has its own reference in the ledger, so that the same batch run again goes on where it stopped.
"""

from .costs import Bound, Budget, Summary
from .results import Result, tally
from .rows import Row, RowProblem, Scan, read, refuse, scan
from .running import Batch

__all__ = [
    "Batch",
    "Bound",
    "Budget",
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
