"""Torture: any client at simulated vendors that fail at every turn of a submit, and how many jobs were billed.

A client under test is a program of its own, told by its environment where the vendor is. Each run meets a fresh
simulator, whose bill is the oracle: it is read when the program has ended.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Final

from attrs import Factory, define, field, frozen

from ..environment import without_keys
from ..errors import RequestError, UnknownNameError
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..simulator import FAULTS, RunningClock, Simulator, server
from ..simulator.faults import fault_named

KEY: Final = "sk-torture-0123456789abcdef"
"""The key that programs get. It opens nothing."""
PREFIX: Final = "POLYREEL_TORTURE_"
SUBMIT_FAULTS: Final = tuple(name for name, fault in FAULTS.items() if fault.call == "submit")
TAIL_LINES: Final = 5
TAIL_BYTES: Final = 20_000
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
"""What calls a Python callable in a process of its own; an awaitable that it returns is awaited."""


@frozen
class Run:
    """What one run of a program came to."""

    vendor: str
    fault: str | None
    """None in the run without any fault."""
    stays: bool
    """Whether the fault met every submit, or only the first."""
    billed: int
    met: int
    """How many submits met the fault."""
    exit_code: int | None
    """None where the program did not end in time and was killed; negative where a signal ended it."""
    seconds: float
    complaint: str
    """The last lines of stderr, without keys."""


@frozen
class TortureReport:
    """The double-bill table of a program."""

    calls: int
    """How many submits the program makes on purpose: what is billed beyond that is billed twice."""
    baselines: tuple[Run, ...]
    cells: tuple[Run, ...]

    @property
    def strangers(self) -> tuple[Run, ...]:
        """Runs without a fault that were not billed exactly: nothing can be told of their vendors."""
        return tuple(run for run in self.baselines if run.billed != self.calls)

    @property
    def exceeding(self) -> tuple[Run, ...]:
        """The cells that were billed too often, the worst first."""
        found = [run for run in self.cells if run.billed > self.calls]
        return tuple(sorted(found, key=lambda run: -run.billed))


@frozen
class Torture:
    """What is to be run, and how."""

    command: str
    """A command line, or `package.module:function` for a Python callable that takes a base URL and a key."""
    vendors: Sequence[str] = Factory(lambda: list(all_providers()))
    faults: Sequence[str] = SUBMIT_FAULTS
    calls: int = 1
    timeout: float = 30.0
    """Seconds that a run may take; what the program has started is killed then."""
    jobs: int = 2
    """How many runs there are at once."""
    speed: float = 10.0
    """How many times faster than life the simulator's jobs run."""
    variables: Mapping[str, str] = Factory(dict)
    """More variables for the program; `{url}`, `{key}` and `{vendor}` are filled in."""

    def check(self) -> list[str]:
        """The program's arguments; RequestError or UnknownNameError where something cannot be meant."""
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
        """Run the program at every vendor without a fault, then with each.

        RequestError where a run without a fault is not billed exactly as often as the program submits on purpose;
        with `keep_going` the vendors of such runs are left out. `listener` hears of every run as it ends.
        """
        stage = _Stage(self, self.check(), listener or (lambda _: None))
        with stage.open() as play:
            baselines = play([(vendor, None, False) for vendor in self.vendors])
            first = TortureReport(self.calls, baselines, ())
            if first.strangers and not keep_going:
                raise RequestError([explain(run, self.calls) for run in first.strangers])
            lost = {run.vendor for run in first.strangers}
            known = [vendor for vendor in self.vendors if vendor not in lost]
            cells = [
                (vendor, fault, stays)
                for fault in self.faults
                for vendor in known
                for stays in (False, True)
            ]
            return TortureReport(self.calls, baselines, play(cells))


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
    told = f"; its last words: {run.complaint.splitlines()[-1]}" if run.complaint else ""
    return (
        f"without any fault {run.vendor} billed {times}: {reason}. The program {end}{told}. "
        f"It should submit exactly {calls} and read its base URL and key from one of: {names}"
    )


def variables(provider: Provider, url: str, templates: Mapping[str, str]) -> dict[str, str]:
    """What a program's environment tells it."""
    facts = {"url": url, "key": KEY, "vendor": provider.id}
    found = {f"{PREFIX}{name.upper()}": value for name, value in facts.items()}
    if provider.base_url_variable:
        found[provider.base_url_variable] = url
    found[provider.key_variable] = KEY
    for name, template in templates.items():
        found[name] = re.sub(r"\{(url|key|vendor)\}", lambda mark: facts[mark[1]], template)
    return found


def _arguments(command: str) -> list[str]:
    """What to run. A callable gets an interpreter of its own."""
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
    """The environment of a program: no real key of any vendor, no proxy between it and loopback."""
    strange = {
        name
        for one in all_providers().values()
        for name in (one.key_variable, one.base_url_variable)
    }
    kept = {name: value for name, value in os.environ.items() if name not in strange}
    return {**kept, "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, "PYTHONUNBUFFERED": "1", **own}


Cell = tuple[str, str | None, bool]
"""A vendor, a fault, and whether it stays."""


@define(eq=False)
class _Stage:
    """Plays cells, some at once, and leaves no process behind."""

    torture: Torture
    arguments: list[str]
    listener: Callable[[Run], None]
    living: set[subprocess.Popen[bytes]] = field(factory=set, init=False)
    closed: bool = field(default=False, init=False)
    lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def open(self) -> Iterator[Callable[[Sequence[Cell]], tuple[Run, ...]]]:
        """As long as the block runs, cells can be played."""
        with ThreadPoolExecutor(self.torture.jobs, "polyreel-torture") as pool:
            try:
                yield lambda cells: tuple(pool.map(self._play, cells))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                self._close()

    def _close(self) -> None:
        with self.lock:
            self.closed = True
            for process in self.living:
                _kill(process)

    def _play(self, cell: Cell) -> Run:
        vendor, fault, stays = cell
        simulator = Simulator(clock=RunningClock(self.torture.speed), seed=1)
        if fault is not None:
            simulator.inject(fault, vendor, times=None if stays else 1)
        # The server has ended, and with it every answer under way, before the bill is read.
        with server.running(simulator) as url, tempfile.TemporaryFile() as stderr:
            own = variables(
                all_providers()[vendor], url + server.mounts()[vendor], self.torture.variables
            )
            code, seconds = self._execute(_environment(own), stderr)
            complaint = _tail(stderr)
        run = Run(
            vendor,
            fault,
            stays,
            simulator.bill.count(),
            len(simulator.fired),
            code,
            seconds,
            complaint,
        )
        with self.lock:
            self.listener(run)
        return run

    def _execute(
        self, environment: Mapping[str, str], stderr: IO[bytes]
    ) -> tuple[int | None, float]:
        """Run the program to its end, or to that of its time; its exit code (None: killed), and how long it took."""
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
        """The program in a group of its own, which is dead when the block ends."""
        with self.lock:
            if self.closed:
                raise KeyboardInterrupt
            process = _start(self.arguments, environment, stderr)
            self.living.add(process)
        try:
            yield process
        finally:
            with self.lock:
                self.living.discard(process)
                _kill(process)
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


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what a program has started, and the program; what has ended already is let be."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _tail(stderr: IO[bytes]) -> str:
    """The last lines of what a program complained of, without keys."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - TAIL_BYTES))
    text = stderr.read().decode("utf-8", "replace").replace(KEY, "****")
    return "\n".join(without_keys(text).strip().splitlines()[-TAIL_LINES:])
