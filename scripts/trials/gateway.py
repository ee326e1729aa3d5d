"""The gateway under chaos: it is killed again and again, at vendors that fail, and its customers
repeat their calls.

The gateway is a process of its own on a socket that outlives it. The customers, in another process,
know nothing of the vendors behind: each speaks one face, or `/v1/jobs`, and sends its own key.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import socket
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from polyreel import AsyncClient
from polyreel.flows import Reply
from polyreel.gateway.application import Edge, GatewayApplication
from polyreel.gateway.behind import Behind
from polyreel.gateway.creating import Creator
from polyreel.gateway.faces import Faces
from polyreel.gateway.jobs import FacedJobs
from polyreel.gateway.server import serve
from polyreel.ledger.records import LedgerEntry
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import Simulator, ready_made, server
from polyreel.simulator.http import HOST, listen
from support.server import PROVIDERS, poll
from support.swaps import Swap, asked, first_swap, with_prompt

from . import clocks
from .clocks import TrialClock
from .faults import afflict
from .forking import Running, children, load, process
from .judging import NEVER, judge, row_of
from .runner import CALL_SECONDS, KEY, addresses, opened, request, vendors

MEMORY: Final = Path("/dev/shm")
AT_ONCE: Final = 24
"""How many customers there are at the same time."""
TRIES: Final = 12
"""How often a customer repeats a call that is refused, or whose outcome is unknown."""
PATIENCE: Final = 60.0
"""Seconds after which an answer of the gateway comes no more."""
LOOKS: Final = 400
"""How often a customer asks for a job, at most."""
PAUSE: Final = 0.15
ENDED: Final = frozenset({"succeeded", "failed", "canceled"})


def take_part(options: argparse.Namespace) -> None:
    """Be the gateway, or its customers, in a process of its own."""
    if options.gateways:
        gateways(options.gateways, options.folder)
    else:
        customers(options.number, options.folder, options.jobs)


# -- the gateway -----------------------------------------------------------------------------------


def gateways(url: str, folder: Path) -> None:
    """Tell the port, and start a gateway there for each line of stdin: see `forking.children`."""
    bound = listen(0)
    print(bound.getsockname()[1], flush=True)
    load()
    children(lambda _: _gateway(url, folder, bound))


def _gateway(url: str, folder: Path, bound: socket.socket) -> None:
    with opened(folder) as ledger:
        client = AsyncClient(
            keys=dict.fromkeys(all_providers(), KEY),
            base_urls=addresses(url),
            ledger=ledger,
            call_timeout=CALL_SECONDS,
        )
        client.wire.clock = TrialClock(folder)
        jobs = FacedJobs(client, folder / "gateway")
        creator = Creator(jobs, Behind(tuple(all_providers().values())))
        asyncio.run(serve(GatewayApplication(Faces(jobs, creator), Edge()), bound))


# -- its customers ---------------------------------------------------------------------------------


@define
class Line:
    """A customer's way to the gateway: calls that break are made again."""

    port: int
    simulator: Simulator = field(factory=Simulator)
    broken: int = 0
    """How many calls got no answer."""

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Reply:
        """One call to a face."""
        return self.call(method, f"/{vendor}{target}", headers, content)

    def fetched(self, url: str) -> bool:
        """Whether a clip is behind a link, asked for again where a vendor fails."""
        path = url.partition(f":{self.port}")[2]
        for _ in range(TRIES):
            file = self.call("GET", path, {"Authorization": "Bearer any-key"})
            if file.status == 200:
                return file.content[4:8] == b"ftyp"
            time.sleep(PAUSE)
        return False

    def call(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes = b""
    ) -> Reply:
        """The answer to a call, however often its connection breaks."""
        while True:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
            try:
                connection.request(method, target, content or None, dict(headers))
                answer = connection.getresponse()
                found = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(answer.status, found, answer.read())
            except (OSError, http.client.HTTPException):
                self.broken += 1
                time.sleep(0.05)
            finally:
                connection.close()


def customers(port: int, folder: Path, jobs: int) -> None:
    """Have all jobs made, each by a customer of its own, and write down what they were told."""
    swaps, turns = [first_swap(one) for one in PROVIDERS], vendors()

    def one(number: int) -> dict[str, Any]:
        line, key, row = Line(port), f"chaos-{number:08d}-0123456789", f"row {number}"
        half, is_odd = divmod(number, 2)
        if is_odd:
            found = _by_face(line, swaps[half % len(swaps)], row, key)
        else:
            found = _by_jobs(line, number, turns[half % len(turns)], key)
        return {"row": row, "broken": line.broken, **found}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [*pool.map(one, range(jobs))]
    (folder / "customers.json").write_text(json.dumps(found))


def _by_face(line: Line, swap: Swap, row: str, key: str) -> dict[str, Any]:
    """A job in the words of a vendor: asked for twice, followed, and fetched."""
    face, _, made = swap
    ids: list[str] = []
    for _ in range(TRIES):
        reply = asked(line, made, with_prompt(made, row), key=key)
        if reply.ok:
            ids.append(str(face.read(reply).of_submit(face.reads).id))
        if len(ids) == 2:
            break
        time.sleep(PAUSE)
    for _ in range(LOOKS if ids else 0):
        facts = poll(line, face, ids[0])
        if facts.status in ENDED:
            return {"ids": ids, "status": facts.status, "files": [*map(line.fetched, facts.urls)]}
        time.sleep(PAUSE)
    return {"ids": ids, "status": None, "files": []}


def _by_jobs(line: Line, number: int, vendor: str, key: str) -> dict[str, Any]:
    """The same in the shared words."""
    bearer = {"Authorization": "Bearer any-key"}
    headers = {**bearer, "Content-Type": "application/json", "Idempotency-Key": key}
    wanted = {"request": request(number, get_provider(vendor)), "vendors": [vendor]}
    content = json.dumps(wanted).encode()
    ids: list[str] = []
    for _ in range(TRIES):
        reply = line.call("POST", "/v1/jobs", headers, content)
        if reply.status in {200, 201}:
            ids.append(json.loads(reply.content)["id"])
        if len(ids) == 2:
            break
        time.sleep(PAUSE)
    for _ in range(LOOKS if ids else 0):
        job = json.loads(line.call("GET", f"/v1/jobs/{ids[0]}", bearer).content)
        if job["status"] in ENDED:
            files = [line.fetched(one["url"]) for one in job.get("outputs", ())]
            return {"ids": ids, "status": job["status"], "files": files}
        time.sleep(PAUSE)
    return {"ids": ids, "status": None, "files": []}


# -- the trial -------------------------------------------------------------------------------------


def trial(seed: int, jobs: int, kills: int, share: float) -> bool:
    """One seed; whether every figure is as promised."""
    started, chance = time.monotonic(), random.Random(seed)
    # Files are drawn by nobody: they would take longer than all the rest.
    ready_made.is_used = lambda _: True  # type: ignore[assignment]
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        simulator = clocks.ForgetfulVendors(clock=clocks.begin(folder), seed=seed, folder=folder)
        afflict(simulator, share)
        with (
            server.running(simulator) as url,
            process("gateways", url, folder) as made,
        ):
            assert made.stdin is not None
            assert made.stdout is not None
            port = made.stdout.readline().decode().strip()
            start = partial(Running, made.stdin, made.stdout, "gateway")
            killed = 0
            with process("customers", url, folder, "--number", port, "--jobs", str(jobs)) as asking:
                for goal in sorted(chance.uniform(0, 0.95) * jobs for _ in range(kills)):
                    running, before = start(), len(simulator.journal)
                    while asking.poll() is None and (
                        simulator.bill.count() < goal or len(simulator.journal) == before
                    ):
                        time.sleep(0.002)
                    time.sleep(chance.random() * 0.3)
                    killed += asking.poll() is None
                    running.kill()
                running = start()
                asking.wait()
            simulator.calm()
            told = json.loads((folder / "customers.json").read_text())
            found = judge(simulator, folder, jobs, row_of_entry)
            complaints = (folder / "stderr.txt").read_text() if found["tracebacks"] else ""
    customers_found = {
        "calls without an answer": sum(one["broken"] for one in told),
        "told of two jobs": sum(len(set(one["ids"])) > 1 for one in told),
        "got their file": sum(bool(one["files"]) and all(one["files"]) for one in told),
        "got a bad file": sum(not all(one["files"]) for one in told),
        "told of no job": sum(not one["ids"] for one in told),
    }
    figures = {"seed": seed, "mode": "gateway", "kills": killed, **found, **customers_found}
    for figure, value in {**figures, "seconds": round(time.monotonic() - started, 1)}.items():
        print(f"{figure}: {value}")
    print(complaints, flush=True)
    return bool(
        not any(found[figure] for figure in NEVER)
        and not customers_found["told of two jobs"]
        and not customers_found["got a bad file"]
        and killed >= kills
    )


def row_of_entry(entry: LedgerEntry) -> str:
    """Which job an entry of the ledger is about."""
    return row_of(entry.submission.body)
