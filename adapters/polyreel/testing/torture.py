"""Runs any client against simulated vendors whose submits fail, and counts the billed jobs.

The client under test is a program of its own; its environment names the vendor's address. Each run
has a fresh simulator, whose bill is read when the program has ended.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from attrs import Factory, define, field, frozen

from ..environment import KEYS_VARIABLE, without_keys
from ..errors import RequestError, UnknownNameError
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..simulator import FAULTS, RunningClock, Simulator, server
from ..simulator.faults import fault_named
from ..simulator.tasks import Bill

KEY: Final = "sk-torture-0123456789abcdef"
"""The key that programs get. It opens nothing."""
PREFIX: Final = "POLYREEL_TORTURE_"
SUBMIT_FAULTS: Final = tuple(name for name, fault in FAULTS.items() if fault.call == "submit")
TAIL_LINES: Final = 5
TAIL_BYTES: Final = 20_000
MARK: Final = f"{PREFIX}RUN_"
"""The beginning of the variable by which every process of a run is found, whatever its session."""
SWEEPS: Final = 100
"""How often processes are looked for that are started while others are killed."""
NO_PROXY: Final = "127.0.0.1,localhost"
_CALLABLE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_CALLER: Final = """
import asyncio, functools, importlib, inspect, os, sys
module, _, name = sys.argv[1].partition(":")
called = functools.reduce(getattr, name.split("."), importlib.import_module(module))
result = called(os.environ["POLYREEL_TORTURE_URL"], os.environ["POLYREEL_TORTURE_KEY"])
if inspect.isawaitable(result):
    async def wait():
        await result
    asyncio.run(wait())
"""
"""Calls a Python callable in a process of its own, and awaits what it returns if need be."""


@frozen
class Run:
    """The result of one run of a program."""

    vendor: str
    fault: str | None
    """None in a run without a fault."""
    stays: bool
    """Whether every submit met the fault, or only the first."""
    billed: int
    met: int
    """How many submits met the fault."""
    exit_code: int | None
    """None where the program was killed at its timeout; negative where a signal ended it."""
    seconds: float
    complaint: str
    """The last lines of stderr, without keys."""


@frozen
class TortureReport:
    """The results of all runs of a program."""

    calls: int
    """How many submits the program makes on purpose; more billed jobs are double bills."""
    baselines: tuple[Run, ...]
    """The runs without a fault, one for each vendor."""
    cells: tuple[Run, ...]
    """The runs with a fault."""

    @property
    def wrong_baselines(self) -> tuple[Run, ...]:
        """Baselines that were not billed exactly: faults would prove nothing at their vendors."""
        return tuple(run for run in self.baselines if run.billed != self.calls)

    @property
    def exceeding(self) -> tuple[Run, ...]:
        """The runs with a fault that were billed too often, the worst first."""
        found = [run for run in self.cells if run.billed > self.calls]
        return tuple(sorted(found, key=lambda run: -run.billed))


@frozen
class Cell:
    """One run that is to be made."""

    vendor: str
    fault: str | None = None
    stays: bool = False

    def afflict(self, simulator: Simulator) -> None:
        """Let the fault happen to the first submit, or to every one."""
        if self.fault is not None:
            simulator.inject(self.fault, times=None if self.stays else 1)


@frozen
class Scene:
    """What a program is run against."""

    url: str
    """The base URL that it gets."""
    bill: Bill
    """What it has made the vendor bill, once the scene is closed."""
    fired: Sequence[tuple[str, str]]
    """The faults that have happened."""


@contextmanager
def simulated_vendor(cell: Cell, speed: float) -> Iterator[Scene]:
    """The vendor itself, simulated; `speed` is how many times as fast as real time it works."""
    simulator = Simulator(clock=RunningClock(speed), seed=1)
    cell.afflict(simulator)
    # The server has ended, with every answer under way, before the bill is read.
    with server.running(simulator) as url:
        yield Scene(url + server.mounts()[cell.vendor], simulator.bill, simulator.fired)


@frozen
class Torture:
    """A program to run, and how to run it."""

    command: str
    """A command line, or `package.module:function`: a callable that takes a base URL and a key."""
    vendors: Sequence[str] = Factory(lambda: list(all_providers()))
    faults: Sequence[str] = SUBMIT_FAULTS
    calls: int = 1
    timeout: float = 30.0
    """Seconds that a run may take; then the program and its children are killed."""
    jobs: int = 2
    """How many runs there are at the same time."""
    speed: float = 10.0
    """How many times as fast as real time the simulator's clock runs."""
    variables: Mapping[str, str] = Factory(dict)
    """More environment variables; `{url}`, `{key}` and `{vendor}` in them are replaced."""
    scene: Callable[[Cell, float], AbstractContextManager[Scene]] = simulated_vendor
    """What each run is made against."""

    def check(self) -> list[str]:
        """The program's arguments; RequestError or UnknownNameError where a setting is wrong."""
        for vendor in self.vendors:
            get_provider(vendor)
        for fault in self.faults:
            if fault_named(fault).call != "submit":
                raise UnknownNameError(
                    f"{fault!r} is no fault of submits; those are {', '.join(SUBMIT_FAULTS)}"
                )
        return _arguments(self.command)

    def run(
        self, *, keep_going: bool = False, listener: Callable[[Run], None] | None = None
    ) -> TortureReport:
        """Run the program against every vendor without a fault, then with each fault.

        RequestError where a run without a fault is not billed exactly `calls` times; with
        `keep_going`, the vendors of such runs are left out instead. `listener` is called with every
        run when it has ended.
        """
        runner = _Runner(self, self.check(), listener or (lambda _: None))
        with runner.open() as run_all:
            baselines = run_all([Cell(vendor) for vendor in self.vendors])
            first = TortureReport(self.calls, baselines, ())
            if first.wrong_baselines and not keep_going:
                raise RequestError([explain(run, self.calls) for run in first.wrong_baselines])
            left_out = {run.vendor for run in first.wrong_baselines}
            cells = [
                Cell(vendor, fault, stays)
                for fault in self.faults
                for vendor in self.vendors
                if vendor not in left_out
                for stays in (False, True)
            ]
            return TortureReport(self.calls, baselines, run_all(cells))


def explain(run: Run, calls: int) -> str:
    """Why a run without a fault says nothing about faults, and what the program should do."""
    times = f"{run.billed} job{'s' * (run.billed != 1)} instead of {calls}"
    end = "was killed" if run.exit_code is None else f"exited with {run.exit_code}"
    names = ", ".join(variables(get_provider(run.vendor), "", {}))
    reason = (
        "it did not reach the simulator"
        if run.billed == 0
        else "that is its own doing (or set the calls)"
    )
    last = f"; its last words: {run.complaint.splitlines()[-1]}" if run.complaint else ""
    return (
        f"without any fault {run.vendor} billed {times}: {reason}. The program {end}{last}. "
        f"It should submit exactly {calls} and read its base URL and key from one of: {names}"
    )


def variables(provider: Provider, url: str, templates: Mapping[str, str]) -> dict[str, str]:
    """The environment variables by which a program finds the vendor."""
    facts = {"url": url, "key": KEY, "vendor": provider.id}
    found = {f"{PREFIX}{name.upper()}": value for name, value in facts.items()}
    if provider.base_url_variable:
        found[provider.base_url_variable] = url
    found[provider.key_variable] = KEY
    for name, template in templates.items():
        found[name] = re.sub(r"\{(url|key|vendor)\}", lambda mark: facts[mark[1]], template)
    return found


def _arguments(command: str) -> list[str]:
    """The arguments of the process to start. A callable gets an interpreter of its own."""
    if _CALLABLE.fullmatch(command):
        return [sys.executable, "-c", _CALLER, command]
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise RequestError([f"this is no command line: {error}"]) from None
    if not arguments:
        raise RequestError(["there is no program to run"])
    return arguments


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: with no vendor's real key, and no proxy before loopback.

    Nor does it find stored keys.
    """
    removed = {
        name
        for one in all_providers().values()
        for name in (one.key_variable, one.base_url_variable)
    }
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    kept[KEYS_VARIABLE] = os.path.join(os.devnull, "keys")
    return {**kept, "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, "PYTHONUNBUFFERED": "1", **own}


@define(eq=False)
class _Runner:
    """Makes the runs, some at the same time, and leaves no process behind."""

    torture: Torture
    arguments: list[str]
    listener: Callable[[Run], None]
    running: dict[subprocess.Popen[bytes], str] = field(factory=dict, init=False)
    """The programs at work, with the mark of each."""
    closed: bool = field(default=False, init=False)
    lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def open(self) -> Iterator[Callable[[Sequence[Cell]], tuple[Run, ...]]]:
        """A function that makes runs, while the block runs."""
        with ThreadPoolExecutor(self.torture.jobs, "polyreel-torture") as pool:
            try:
                yield lambda cells: tuple(pool.map(self._run, cells))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                self._close()

    def _close(self) -> None:
        with self.lock:
            self.closed = True
            for process, mark in self.running.items():
                _kill(process, mark)

    def _run(self, cell: Cell) -> Run:
        made = self.torture.scene(cell, self.torture.speed)
        with made as scene, tempfile.TemporaryFile() as stderr:
            own = variables(all_providers()[cell.vendor], scene.url, self.torture.variables)
            code, seconds = self._execute(_environment(own), stderr)
            complaint = _tail(stderr)
        run = Run(
            vendor=cell.vendor,
            fault=cell.fault,
            stays=cell.stays,
            billed=scene.bill.count(),
            met=len(scene.fired),
            exit_code=code,
            seconds=seconds,
            complaint=complaint,
        )
        with self.lock:
            self.listener(run)
        return run

    def _execute(
        self, environment: Mapping[str, str], stderr: IO[bytes]
    ) -> tuple[int | None, float]:
        """Run the program; its exit code (None: killed at the timeout), and the seconds it took."""
        started = time.monotonic()
        with self._process(environment, stderr) as process:
            try:
                code: int | None = process.wait(self.torture.timeout)
            except subprocess.TimeoutExpired:
                code = None
        return code, time.monotonic() - started

    @contextmanager
    def _process(
        self, environment: Mapping[str, str], stderr: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The program in a process group of its own, which is killed when the block ends."""
        mark = f"{MARK}{secrets.token_hex(8)}"
        with self.lock:
            if self.closed:
                raise KeyboardInterrupt
            process = _start(self.arguments, {**environment, mark: "1"}, stderr)
            self.running[process] = mark
        try:
            yield process
        finally:
            with self.lock:
                self.running.pop(process, None)
                _kill(process, mark)
            process.wait()


def _start(
    arguments: list[str], environment: Mapping[str, str], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    silent = subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603 - running the user's program is what was asked for
            arguments,
            env=dict(environment),
            stdin=silent,
            stdout=silent,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise RequestError([f"{arguments[0]} cannot be run: {error.strerror}"]) from None


def _kill(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill a program and what it has started, if they have not ended.

    Where there is /proc, that includes processes that have left the program's session.
    """
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    for _ in range(SWEEPS):
        left = [*_marked(mark.encode())]
        for one in left:
            with suppress(OSError):
                os.kill(one, signal.SIGKILL)
        if not left:
            return


def _marked(mark: bytes) -> Iterator[int]:
    """The processes that have the mark in their environment; those that have ended have none."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                yield int(entry.name)


def _tail(stderr: IO[bytes]) -> str:
    """The last lines of a program's stderr, without keys."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - TAIL_BYTES))
    text = stderr.read().decode("utf-8", "replace").replace(KEY, "****")
    return "\n".join(without_keys(text).strip().splitlines()[-TAIL_LINES:])
