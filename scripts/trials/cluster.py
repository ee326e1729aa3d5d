"""A trial of many workers: two hosts of two, killed, stopped and cut off while they work.

Each host reaches the database by a way of its own, which can freeze. What goes wrong comes one
thing after the other, so that the time until the others have taken over can be measured.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psycopg
from attrs import Factory, define, field
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import webhooks
from psycopg.rows import dict_row
from support import postgres
from support.frozen import FreezingProxy, freezing

from .clocks import ForgetfulVendors, disturb
from .forking import process
from .runner import address_in
from .workers import LEASE, SECRET, client_in, way_of

HOSTS: Final = 2
WORKERS_OF_A_HOST: Final = 2
FREEZE: Final = 1.5 * LEASE
"""For how many seconds a worker is stopped, or a way to the database is frozen."""
REPAIRED: Final = LEASE + 2
"""Within how many seconds after a worker's death the others are to have taken over."""
ACT_SECONDS: Final = 10.0
"""How long one thing that goes wrong takes, about."""
GIVEN_UP: Final = 60.0
"""Seconds after which nobody waits for a repair any more."""
QUIET: Final = 900.0
"""Seconds within which all jobs have to be over after the last disturbance."""
EVERY: Final = 5
"""One of so many jobs is reported by webhooks."""
UNDER_WAY: Final = "state IN ('queued', 'sending', 'accepted', 'succeeded')"
OVERDUE: Final = """
    SELECT count(*) AS number FROM procrastinate_jobs AS waiting
    WHERE status = 'todo' AND task_name = 'tend'
    AND (scheduled_at IS NULL OR scheduled_at <= now()) AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS running
        WHERE running.status = 'doing' AND running.lock = waiting.lock)"""
"""The shards whose jobs nobody waits for."""
ORPHANED: Final = """
    SELECT count(*) AS number FROM procrastinate_jobs
    LEFT JOIN procrastinate_workers ON procrastinate_workers.id = worker_id
    WHERE status = 'doing' AND (worker_id IS NULL OR last_heartbeat < %s)"""
"""Work at workers that were not seen since a moment."""


@define(eq=False)
class Worker:
    """A worker at work."""

    host: Host
    pid: int

    def send(self, number: int) -> None:
        """Send a signal to it. ProcessLookupError where it has ended by itself."""
        os.kill(self.pid, number)


@define(eq=False)
class Host:
    """A host: its process, which starts workers, and its way to the database."""

    commands: IO[bytes]
    answers: IO[bytes]
    way: FreezingProxy

    def start(self) -> Worker:
        """Start one more worker."""
        self.commands.write(b"\n")
        self.commands.flush()
        return Worker(self, int(self.answers.readline()))


@define(eq=False)
class Receiver:
    """Who takes webhooks in: killed and started again at the same port."""

    start: Callable[[], subprocess.Popen[bytes]]
    running: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it."""
        self.running = self.start()

    def kill(self) -> None:
        """Kill it."""
        if self.running is not None:
            self.running.kill()  # the end of the trial waits for it


@define(eq=False)
class Postman:
    """Brings the webhooks of some jobs, twice at most where nobody takes them in."""

    simulator: ForgetfulVendors
    url: str
    over: threading.Event
    taken: int = 0
    _seen: set[tuple[str, str]] = Factory(set)

    def run(self) -> None:
        """Bring them, until the trial is over."""
        hooked = {
            vendor
            for vendor, provider in all_providers().items()
            if provider.webhook and not provider.webhook.published
        }
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while not self.over.wait(0.2):
                now = self.simulator.clock.now()
                with self.simulator.lock:
                    tasks = [*self.simulator.tasks.items()]
                for number, (key, task) in enumerate(tasks):
                    if number % EVERY or key[0] not in hooked or key in self._seen:
                        continue
                    if task.status(now) in FINAL:
                        self._seen.add(key)
                        self._bring(client, *key, now)

    def _bring(self, client: httpx.Client, vendor: str, task: str, now: float) -> None:
        for delivery in webhooks.deliveries(self.simulator, vendor, task, SECRET, now):
            for _ in range(2):
                with suppress(httpx.HTTPError):
                    answer = client.post(
                        f"{self.url}/{vendor}", headers=delivery.headers, content=delivery.body
                    )
                    self.taken += answer.is_success
                    break


@define(eq=False)
class Cluster:
    """All that runs in a trial, and what was done to it."""

    simulator: ForgetfulVendors
    address: str
    hosts: list[Host]
    receiver: Receiver
    postman: Postman
    chance: random.Random
    workers: list[Worker] = Factory(list)
    repairs: list[float] = Factory(list)
    """How many seconds it took, after each death, until the others had taken over."""
    done: dict[str, int] = Factory(dict)
    ended: int = 0
    """How many workers have ended by themselves."""
    flagged: int = 0
    """How many submits became ambiguous because their worker had died, or was cut off."""
    _connection: psycopg.Connection[dict[str, Any]] | None = field(default=None, init=False)

    def ask(self, statement: str, *values: object) -> Any:
        """The only value that a statement finds; the database, and its tables, are waited for."""
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(
                        self.address,
                        autocommit=True,
                        row_factory=dict_row,
                        options="-c search_path=polyreel",
                    )
                (row,) = self._connection.execute(statement.encode(), values).fetchall()
                return next(iter(row.values()))
            except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
                time.sleep(0.05)

    # -- what goes wrong ---------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill a worker, start another one, and wait until the work of the first is taken over."""
        worker = self.chance.choice(self.workers)
        self._strike(worker, signal.SIGKILL)
        self.workers.remove(worker)
        self.workers.append(worker.host.start())
        self.repairs.append(self._repaired([worker]))

    def stop(self) -> None:
        """Stop a worker for longer than its lease, and let it go on."""
        worker = self.chance.choice(self.workers)
        self._strike(worker, signal.SIGSTOP)
        began = time.monotonic()
        self._repaired([worker])
        time.sleep(max(0.0, began + FREEZE - time.monotonic()))
        worker.send(signal.SIGCONT)

    def freeze(self) -> None:
        """Let nothing come through between a host and the database, for longer than a lease."""
        host = self.chance.choice(self.hosts)
        host.way.flowing.clear()
        disturb(self.simulator.folder)
        began = time.monotonic()
        self._repaired([worker for worker in self.workers if worker.host is host])
        time.sleep(max(0.0, began + FREEZE - time.monotonic()))
        host.way.flowing.set()

    def restart(self) -> None:
        """Let the database end at once, and start again."""
        postgres.restart(self.simulator.folder)
        disturb(self.simulator.folder)
        time.sleep(LEASE)

    def deafen(self) -> None:
        """Kill the receiver of webhooks, and start it again later."""
        self.receiver.kill()
        disturb(self.simulator.folder)
        time.sleep(LEASE / 2)
        self.receiver.begin()

    def _strike(self, worker: Worker, number: int) -> None:
        try:
            worker.send(number)
        except ProcessLookupError:
            self.ended += 1
        disturb(self.simulator.folder)

    def _repaired(self, gone: list[Worker]) -> float:
        """Seconds until the submits of workers are flagged, and their shards are taken over."""
        began, now = time.monotonic(), self.ask("SELECT now()")
        names = [
            str(self.ask("SELECT coalesce(max(id), '') FROM owners WHERE host LIKE %s", f"%/{pid}"))
            for pid in (worker.pid for worker in gone)
        ]
        sending = "SELECT count(*) FROM jobs WHERE state = 'sending' AND owner LIKE ANY(%s)"
        patterns = [f"{name}/%" for name in names if name]
        self.flagged += int(self.ask(sending, patterns))
        # By then each worker that lives has been seen since.
        time.sleep(LEASE / 2)
        while time.monotonic() - began < GIVEN_UP:
            if not (self.ask(sending, patterns) or self.ask(ORPHANED, now) or self.ask(OVERDUE)):
                break
            time.sleep(0.02)
        return time.monotonic() - began

    # -- the whole ---------------------------------------------------------------------------------

    def torment(self, jobs: int, plan: Mapping[str, int]) -> None:
        """Let everything go wrong so often, spread over the jobs."""
        acts = [name for name, times in plan.items() for _ in range(times)]
        self.chance.shuffle(acts)
        for number, name in enumerate(acts):
            goal = 0.9 * jobs * number / len(acts)
            while self.simulator.bill.count() < goal:
                time.sleep(0.02)
            time.sleep(self.chance.random() * 0.5)
            getattr(self, name)()
            self.done[name] = self.done.get(name, 0) + 1

    def settle(self, jobs: int) -> None:
        """Wait until nothing is under way."""
        end = time.monotonic() + QUIET
        while time.monotonic() < end and (
            self.ask("SELECT count(*) FROM jobs") < jobs
            or self.ask(f"SELECT count(*) FROM jobs WHERE {UNDER_WAY}")
        ):
            time.sleep(0.2)

    def check(self) -> None:
        """Count the workers that have ended by themselves."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.send(0)
                continue
            self.ended += 1

    @property
    def slowest(self) -> float:
        """The most seconds that a repair has taken."""
        return max(self.repairs, default=0.0)

    def figures(self) -> dict[str, object]:
        """What was done, and how long repairs took."""
        return {
            **{f"how often: {name}": times for name, times in self.done.items()},
            "workers that ended by themselves": self.ended,
            "submits cut off, and flagged": self.flagged,
            "lease, in s": LEASE,
            "repairs after a death, in s": sorted(round(each, 1) for each in self.repairs),
            "webhooks taken in": self.postman.taken,
        }


@contextmanager
def cluster(
    url: str, simulator: ForgetfulVendors, jobs: int, seed: int, seconds: float
) -> Iterator[Cluster]:
    """A database, two hosts with their workers, who writes jobs down, and who takes webhooks in.

    The jobs are written down over so many seconds.
    """
    folder = simulator.folder
    with ExitStack() as stack:
        address = stack.enter_context(postgres.database(postgres.server(folder)))
        address_in(folder).write_text(address)
        hosts = []
        for number in range(HOSTS):
            way = stack.enter_context(freezing(address))
            way_of(folder, number).write_text(way.address)
            begun = stack.enter_context(process("host", url, folder, "--number", str(number)))
            assert begun.stdin is not None
            assert begun.stdout is not None
            hosts.append(Host(begun.stdin, begun.stdout, way))
        port, over = _free_port(), threading.Event()

        def receiver() -> subprocess.Popen[bytes]:
            return stack.enter_context(process("receiver", url, folder, "--number", str(port)))

        postman = Postman(simulator, f"http://127.0.0.1:{port}", over)
        chance = random.Random(seed)
        made = Cluster(simulator, address, hosts, Receiver(receiver), postman, chance)
        made.receiver.begin()
        made.workers = [host.start() for host in hosts for _ in range(WORKERS_OF_A_HOST)]
        telling = threading.Thread(target=postman.run)
        telling.start()
        stack.callback(telling.join)
        stack.callback(over.set)
        more = ("--jobs", str(jobs), "--seconds", str(seconds))
        stack.enter_context(process("handlers", url, folder, *more))
        yield made


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def reconcile(url: str, folder: Path) -> None:
    """Ask the vendors what became of ambiguous submits, as far as they tell."""
    with client_in(url, folder) as client:
        client.reconcile()
