"""Work carried by Procrastinate, in the database of the ledger. It needs `polyreel[cluster]`.

Its tables are in the ledger's schema, and are made at the first use. It carries pieces of work, and
knows nothing of money: what it loses, the keeper of each worker finds in the ledger again.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ..errors import LedgerError, MissingExtraError, RequestError
from ..jobs.work import Save, Submit, Tend, Work
from .finding import outstanding
from .performing import ledger_of

try:
    import psycopg
    from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
    from procrastinate.exceptions import (
        AlreadyEnqueued,
        ConnectorException,
        ProcrastinateException,
    )
    from procrastinate.jobs import Status
    from procrastinate.worker import Worker
    from psycopg_pool import AsyncConnectionPool

    from ..ledger.postgres import PostgresLedger
    from ..ledger.postgres_connection import SELECTOR
    from ..ledger.postgres_database import PostgresTransaction
    from ..ledger.postgres_errors import as_own
except ImportError as error:
    raise MissingExtraError(
        f"workers on Procrastinate need it ({error}): pip install 'polyreel[cluster]'"
    ) from None

if TYPE_CHECKING:
    from psycopg.abc import PQGen

    from ..client.settings import ClientSettings
    from ..ledger.database import Transaction

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")
PREPARING: Final = 7_067_089_376
"""The number of the lock under which tables are made."""
KEEPING: Final = 7_067_089_377
"""The number of the lock under which one of the keepers looks for work."""
KEEP_SECONDS: Final = 5.0
"""The pause between two looks of a keeper."""
LEAST_SECONDS: Final = 1.0
"""The least such pause, after jobs were submitted that have to be waited for; and the pause between
two looks for workers that have died.
"""
STALLED: Final = """
    SELECT 1 AS one FROM procrastinate_jobs AS job
    LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
    WHERE job.status = 'doing' AND (worker.id IS NULL
    OR worker.last_heartbeat < clock_timestamp() - make_interval(secs => ?)) LIMIT 1"""
"""Tells whether there is work that Procrastinate would call stalled: it is asked every second."""
LOOK_SECONDS: Final = 2.0
"""After how many seconds a worker looks for work that it has not heard of."""
LISTEN_SECONDS: Final = 10.0
"""After how many seconds a connection looks whether there is anything else to do than to wait."""
NEVER: Final = 1e6
"""The pause between two looks for work to abort: none ever is."""
TOLD_SECONDS: Final = 10.0
"""For how long new work is left to those who were told of it."""
REST: Final = 30
"""Seconds until waiting, or a download, is tried again that went wrong."""
AGAIN_SECONDS: Final = 1.0
"""The pause before workers are started again whose database was away."""
POOL_SECONDS: Final = 5.0
"""How long a connection of Procrastinate's own is waited for."""
SUBMITTING_SECONDS: Final = 120.0
"""How long a worker that is to end waits for submits on their way."""
MOST_VENDORS: Final = 16
"""For how many vendors at most a worker waits with all its shards at the same time."""
TENDING_SECONDS: Final = 5.0
"""The same for those that wait for jobs, which can be waited for by others."""


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that wakes the process when there is something to read, not ten times a second.

    Psycopg looks so often for an interrupt, which asyncio tells of by itself.
    """

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = LISTEN_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's
    ) -> T:
        return await super().wait(gen, interval, timeout)


def _pool(**options: object) -> AsyncConnectionPool[Any]:
    """A pool for Procrastinate, which asks each connection before its use whether it is alive."""
    return AsyncConnectionPool(**cast("dict[str, Any]", options) | {"check": _check})


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let each statement be a transaction: a look for work is one message instead of three."""
    await connection.set_autocommit(True)


async def _check(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ask only one from which something can be read, such as that the server has ended it."""
    with SELECTOR() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        has_news = bool(selector.select(0))
    if has_news:
        await AsyncConnectionPool.check_connection(connection)


class ProcrastinateEngine:
    """Carries work to the workers of a ledger in Postgres.

    Where jobs are written down, `client.enqueue(..., engine=engine)` tells workers of them at once.
    In a worker, `run` does the work, until `stop` is set.

    Args:
        client: the client, live or simulated, whose ledger and kind of jobs are meant.
        submits: how many pieces of work this worker submits at the same time; as many downloads.
        shards: into how many pieces the waiting for each vendor's jobs is divided. All workers
            should have the same number.
        stop: `run` ends soon after it is set.

    MissingExtraError is raised where Procrastinate is not installed, RequestError for a ledger that
    is not in Postgres.
    """

    def __init__(
        self,
        client: ClientSettings,
        *,
        submits: int = 4,
        shards: int = 1,
        stop: asyncio.Event | None = None,
    ) -> None:
        ledger = ledger_of(client)
        if not isinstance(ledger, PostgresLedger):
            raise RequestError(["Procrastinate carries work in Postgres, not beside a file"])
        self._client, self._stop = client, stop
        self._submits, self._shards = submits, shards
        self._database, self._lease = ledger.database, ledger.lease
        self._kind = "simulated" if client.simulated else "live"
        # The clock of a simulated client may stand still, and work may be found twice.
        self._told_for = 0.0 if client.simulated else TOLD_SECONDS
        # It never opens a connection: it writes into the transactions of others.
        self._putting = App(connector=SyncPsycopgConnector())
        self._is_interrupted = False
        """Whether the database was away when it was last used, and that was said."""
        self._submitted = asyncio.Event()
        """Set where jobs were submitted that have to be waited for."""
        self._prepare()

    def _prepare(self) -> None:
        """Make the tables, where there are none."""
        with self._database.writing() as transaction:
            connection = transaction.connection
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (PREPARING,))
            (row,) = connection.execute("SELECT to_regclass('procrastinate_jobs') AS name")
            if row["name"] is None:
                connection.execute(self._putting.schema_manager.get_schema())

    # -- putting -----------------------------------------------------------------------------------

    def put(self, work: Work, transaction: Transaction | None = None) -> None:
        """Tell workers of a piece of work, in a transaction: they hear of it when that is over."""
        if transaction is not None:
            self._put(work, transaction)
            return
        with self._database.writing() as own:
            self._put(work, own)

    def _put(self, work: Work, transaction: Transaction, rest: int = 0) -> None:
        assert isinstance(transaction, PostgresTransaction)
        connection = transaction.connection
        name, arguments, options = self._described(work)
        if rest:
            options["schedule_in"] = {"seconds": rest}
        task = self._putting.configure_task(name, connection=connection, **options)
        try:
            with connection.transaction():
                task.defer(**arguments)
        except AlreadyEnqueued:
            LOG.debug("%s waits already", work)
        except ConnectorException as error:
            raise LedgerError(f"{work} cannot be put into the database: {error}") from None

    def _described(self, work: Work) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The name of a task, its arguments, and what Procrastinate is to know of them."""
        submit, tend = f"{self._kind}-submit", f"{self._kind}-tend"
        if isinstance(work, Submit):
            options: dict[str, Any] = {"queue": submit}
            if len(work.ids) > 1:  # found by a keeper, which may find it often
                options["queueing_lock"] = f"{submit}/{work.ids[0]}"
            return "submit", {"ids": [*work.ids]}, options
        if isinstance(work, Save):
            save = f"{self._kind}-save"
            options = {"queue": save, "queueing_lock": f"{save}/{work.id}"}
            return "save", {"id": work.id}, options
        shard = f"{tend}/{work.vendor}/{work.shard}/{work.shards}"
        arguments = {"vendor": work.vendor, "shard": work.shard, "shards": work.shards}
        return "tend", arguments, {"queue": tend, "lock": shard, "queueing_lock": shard}

    def keep(self) -> None:
        """Put all work that there is by the ledger, unless it waits already."""
        with self._database.writing() as transaction:
            lock = "SELECT pg_try_advisory_xact_lock(%s) AS is_mine"
            (row,) = transaction.connection.execute(lock, (KEEPING,))
            if row["is_mine"]:
                for work in outstanding(self._client, shards=self._shards, age=self._told_for):
                    self._put(work, transaction)

    # -- working -----------------------------------------------------------------------------------

    async def run(self, do: Callable[[Work], Awaitable[None]]) -> None:
        """Do the work that comes, until stopped. A database that is away is waited for."""
        asyncio.get_running_loop().set_exception_handler(_tell)
        while not self._is_stopped:
            try:
                await self._run_once(do)
            except (LedgerError, ProcrastinateException, psycopg.Error, OSError) as error:
                if not self._is_interrupted:
                    problem = self._problem(error)
                    LOG.warning("work is interrupted until the database answers: %s", problem)
                self._is_interrupted = True
            if not self._is_stopped:
                await asyncio.sleep(AGAIN_SECONDS)

    def _problem(self, error: Exception) -> Exception:
        """An error in the words of the ledger; Procrastinate's own have what happened beneath."""
        while isinstance(error, ProcrastinateException) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        if isinstance(error, psycopg.Error | OSError):
            return as_own(self._database.place, error)
        return error

    @property
    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    async def _run_once(self, do: Callable[[Work], Awaitable[None]]) -> None:
        """Do the work that comes, until stopped, or until the database is lost."""
        app = self._app(do)
        # The pool of Procrastinate pauses ever longer between its tries.
        await asyncio.to_thread(self._database.query, "SELECT 1")
        async with app.open_async():
            workers = [
                self._worker(app, "submit", self._submits, SUBMITTING_SECONDS),
                # However many submits wait: links to files do not live for ever.
                self._worker(app, "save", self._submits, SUBMITTING_SECONDS),
                self._worker(app, "tend", max(1, self._shards) * MOST_VENDORS, TENDING_SECONDS),
            ]
            running = [asyncio.create_task(_run(worker)) for worker in workers]
            watching = [asyncio.create_task(one) for one in (self._keep(app), self._stopped())]
            try:
                await asyncio.wait((*running, *watching), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for worker in workers:
                    _stop(worker)
                for task in watching:
                    task.cancel()
                ends = await asyncio.gather(*running, *watching, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _worker(self, app: App, queue: str, at_once: int, patience: float) -> Worker:
        return Worker(
            app,
            queues=[f"{self._kind}-{queue}"],
            concurrency=at_once,
            delete_jobs="always",
            fetch_job_polling_interval=LOOK_SECONDS,
            # To be told costs a connection, and CPU all the time. Downloads can wait.
            listen_notify=queue != "save",
            abort_job_polling_interval=NEVER,
            install_signal_handlers=False,
            shutdown_graceful_timeout=patience,
            update_heartbeat_interval=self._lease / 3,
            stalled_worker_timeout=self._lease,
        )

    async def _stopped(self) -> None:
        await (self._stop or asyncio.Event()).wait()

    async def _keep(self, app: App) -> None:
        """Put work that was lost, with the process that did it or otherwise."""
        pause = min(KEEP_SECONDS, self._lease / 3)
        kept_at = time.monotonic() - pause
        while True:
            is_lost = await self._bury(app)
            if is_lost or self._submitted.is_set() or time.monotonic() - kept_at >= pause:
                self._submitted.clear()
                kept_at = time.monotonic()
                await asyncio.to_thread(self.keep)
                await asyncio.to_thread(ledger_of(self._client).outstanding.show_up)
            if self._is_interrupted:
                self._is_interrupted = False
                LOG.warning("the database answers: work goes on")
            await asyncio.sleep(LEAST_SECONDS)

    async def _bury(self, app: App) -> bool:
        """Take the work of workers that have died away from them; whether there was any.

        Their submits that were on their way become ambiguous.
        """
        if not await asyncio.to_thread(self._is_somebody_dead):
            return False
        lost = [*await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=self._lease)]
        for job in lost:
            with suppress(ConnectorException):  # another keeper was faster
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        return bool(lost)

    def _is_somebody_dead(self) -> bool:
        """Whether work is at workers that have died. Submits of the dead become ambiguous."""
        ledger_of(self._client).recover()
        return bool(self._database.query(STALLED, self._lease))

    def _app(self, do: Callable[[Work], Awaitable[None]]) -> App:
        conninfo = self._database.conninfo
        app = App(
            connector=PsycopgConnector(
                conninfo=conninfo,
                max_size=4,
                timeout=POOL_SECONDS,
                connection_class=_Connection,
                pool_factory=_pool,
                configure=_configure,
            )
        )

        @app.task(name="submit")
        async def submit(ids: list[str]) -> None:
            await self._do(Submit((*ids,)), do)

        @app.task(name="tend")
        async def tend(vendor: str, shard: int, shards: int) -> None:
            await self._do(Tend(vendor, shard, shards), do)

        @app.task(name="save")
        async def save(id: str) -> None:  # noqa: A002
            await self._do(Save(id), do)

        return app

    async def _do(self, work: Work, do: Callable[[Work], Awaitable[None]]) -> None:
        try:
            await do(work)
            if isinstance(work, Submit):
                self._submitted.set()
        except Exception as error:  # nothing is lost: the ledger has it
            LOG.warning("%s: %s", work, error)
            if not isinstance(work, Submit):  # those of which nothing was sent are queued
                with suppress(LedgerError):  # a keeper puts it again
                    await asyncio.to_thread(self._put_later, work)

    def _put_later(self, work: Work) -> None:
        with self._database.writing() as transaction:
            self._put(work, transaction, REST)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what nobody has waited for.

    Procrastinate leaves an error so where a piece of work was given to another worker meanwhile,
    because this one stood still. The ledger knows what has become of it.
    """
    if isinstance(context.get("exception"), ProcrastinateException):
        LOG.debug("a piece of work belongs to another worker by now")
    else:
        loop.default_exception_handler(context)


async def _run(worker: Worker) -> None:
    await worker.run()  # type: ignore[no-untyped-call]


def _stop(worker: Worker) -> None:
    worker.stop()  # type: ignore[no-untyped-call]
