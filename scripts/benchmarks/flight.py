"""Ten thousand jobs in flight, in one process, at the simulated vendors in another."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import Factory, define
from polyreel import AsyncClient, Client, Network
from polyreel.flows import Send
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import Simulator
from polyreel_generated.shared import Job

from .measuring import REQUEST, Peers, Row, resident, serving

JOBS: Final = 10_000
LONG: Final = {**REQUEST, "duration": 15}
"""Long jobs, so that all are in flight at once."""
ASKED: Final = 1000
"""How many jobs the peers ask about."""
ALONE: Final = 300
"""How many jobs are asked about one by one, to compare with."""
OPENAI_SECONDS: Final = 1.0
LITELLM_SECONDS: Final = 10.0
"""How long the peers wait between two polls: the SDK's default, and what the documentation's
examples do.
"""


@define
class Count:
    """What was sent."""

    requests: Counter[str] = Factory(Counter)
    """Status queries of each vendor."""
    polls: int = 0
    """How many jobs they were about: those about several name them in their body."""

    def see(self, when: str, step: Any) -> None:
        """Hear of a step."""
        if when == "before" and isinstance(step, Send) and not step.paid:
            self.requests[step.vendor] += 1
            self.polls += len(next(iter(json.loads(step.content).values()))) if step.content else 1


@define
class Flown:
    """How it went."""

    ended: Counter[str]
    requests: Counter[str]
    polls: int
    cpu: float
    wall: float
    bytes_per_job: float
    ages: Sequence[float]
    """How old each job was when its end was seen, in seconds."""


def flying(peers: Peers) -> Iterator[Row]:
    """As many jobs as asked for, of all vendors alike."""
    with vendors() as bases, tempfile.TemporaryDirectory() as folder:
        papers = Path(folder) / "jobs.jsonl"
        asyncio.run(submit(bases, papers))
        theirs = asked(peers, bases, papers, Path(folder))
        found = asyncio.run(fly(bases, papers))
    assert found.ended == Counter({"succeeded": JOBS}), found.ended
    requests = found.requests.total()
    yield Row(
        f"in flight: {JOBS:,} jobs, all of them finished",
        f"{found.wall:.0f} s",
        f"{JOBS:,}",
        1.0,
        "= 1",
    )
    for kind, number in (("poll (one job's state)", found.polls), ("status query", requests)):
        each = found.cpu / number * 1e6
        what, reported = f"in flight: CPU for a {kind}", f"{each:.0f} us"
        yield Row(what, reported, "400 us", each / 400, "<= 1" if number == found.polls else "-")
        for who, figures in theirs.items():
            cpu = figures["cpu_seconds_per_request"] * 1e6
            yield Row(what, reported, f"{who}, {cpu:.0f} us", each / cpu)
    per_job = f"{requests / JOBS:.2f}"
    for who, seconds in (
        ("openai, every second", OPENAI_SECONDS),
        ("litellm's examples, every 10 s", LITELLM_SECONDS),
    ):
        polls = sum(age / seconds for age in found.ages) / len(found.ages)
        yield Row(
            "in flight: status queries for a job",
            per_job,
            f"{who}, {polls:.1f}",
            requests / JOBS / polls,
        )
    yield Row(
        "in flight: memory for a job",
        f"{found.bytes_per_job / 1024:.2f} KiB",
        "4 KiB",
        found.bytes_per_job / 4096,
        "<= 1",
    )
    for provider in all_providers().values():
        if provider.survey is not None and not provider.survey.running_only:
            together, alone = counted(provider, together=True), counted(provider, together=False)
            beside = f"one by one, {alone / ALONE:.2f}"
            what = f"status queries for a job of {provider.name}, {ALONE} in flight"
            yield Row(what, f"{together / ALONE:.2f}", beside, together / alone, "<= 0.05")


@contextmanager
def vendors() -> Iterator[Mapping[str, str]]:
    """The base URLs of `polyreel simulate`, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "polyreel",
        "simulate",
        "--port",
        "0",
        "--speed",
        "1",
        "--json",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        reported = "".join(iter(server.stdout.readline, "}\n"))  # to the end of one JSON document
        try:
            yield dict(json.loads(reported + "}")["vendors"])
        finally:
            server.kill()


def client(bases: Mapping[str, str]) -> AsyncClient:
    """A client that takes the simulated vendors for real ones."""
    keys = dict.fromkeys(bases, "simulated")
    return AsyncClient(keys=keys, base_urls=bases, call_timeout=300, network=Network(fast=True))


async def submit(bases: Mapping[str, str], papers: Path) -> None:
    """Submit all jobs and write them to a file, so that only the scheduler holds them in memory."""
    async with client(bases) as one:
        plans = {vendor: one.plan(LONG, get_provider(vendor)) for vendor in bases}
        left = iter([vendor for vendor, _ in zip([*bases] * JOBS, range(JOBS), strict=False)])
        with papers.open("w", encoding="utf-8") as file:

            async def worker() -> None:
                for vendor in left:
                    job = await one.submit(plans[vendor])
                    file.write(job.model_dump_json(exclude_none=True) + "\n")

            await asyncio.gather(*(worker() for _ in range(8)))


async def fly(bases: Mapping[str, str], papers: Path) -> Flown:
    """Wait for all of them."""
    count = Count()
    async with client(bases) as one:
        one.wire.observer = count.see
        await warm_up(one, papers)
        count.requests.clear()
        count.polls = 0
        gc.collect()
        before, taken = resident(), 0.0

        def jobs() -> Iterator[Job]:
            nonlocal taken
            with papers.open(encoding="utf-8") as file:
                yield from map(Job.model_validate_json, file)
            gc.collect()
            taken = resident() - before

        ended, ages = Counter[str](), []
        wall, cpu = time.perf_counter(), time.process_time()
        async for end in one.as_completed(jobs(), timeout=3600):
            ended[end.job.status if end.error is None else type(end.error).__name__] += 1
            ages.append(time.time() - (end.job.created_at or 0))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Flown(ended, count.requests, count.polls, cpu, wall, taken / JOBS, ages)


async def warm_up(one: AsyncClient, papers: Path) -> None:
    """Ask once about a job of each vendor, so that what is loaded only once does not count."""
    seen: set[str] = set()
    with papers.open(encoding="utf-8") as file:
        for job in map(Job.model_validate_json, file):
            if job.vendor not in seen:
                seen.add(job.vendor)
                await one.get(job)


def asked(peers: Peers, bases: Mapping[str, str], papers: Path, folder: Path) -> Mapping[str, Any]:
    """What the peers need to ask about jobs of a vendor whose status query is that of OpenAI."""
    vendor = next(
        name for name, one in all_providers().items() if path_of(one).endswith("/v1/videos/{id}")
    )
    jobs = [
        job
        for job in map(json.loads, papers.read_text(encoding="utf-8").splitlines())
        if job["vendor"] == vendor
    ]
    ids = folder / "ids"
    ids.write_text("\n".join(job["id"] for job in jobs[:ASKED]), encoding="utf-8")
    relay = Path(__file__).parents[1] / "peers" / "gateway.py"  # says what LiteLLM wants to hear
    with serving(str(relay), "--base-url", f"{bases[vendor]}/v1") as url:
        return peers.figures(
            "polling", "--base-url", url, "--ids", str(ids), only=("openai", "litellm")
        )


def path_of(provider: Provider) -> str:
    """The path of a vendor's status query."""
    found = provider.contract.operation("get")
    return found.path if found else ""


def counted(provider: Provider, *, together: bool) -> int:
    """How many status queries jobs of a vendor take, in virtual time: all at once, or each as if it
    were alone.
    """
    count = Count()
    for number in range(1 if together else ALONE):
        with Client(simulator=Simulator(seed=number)) as one:
            one.wire.observer = count.see
            jobs = [one.submit(one.plan(LONG, provider)) for _ in range(ALONE if together else 1)]
            if together:
                assert all(end.error is None for end in one.as_completed(jobs))
            else:
                assert one.wait(jobs[0]).status == "succeeded"
    return count.requests.total()
