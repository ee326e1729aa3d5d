"""Processes that run a command line of Python, forked from one that has imported polyreel.

A fresh interpreter needs half a second of CPU to import it, and the tests start hundreds. Each of
these is a real process all the same: it has its own pid, streams, folder, environment and exit
code, and signals reach it as they reach any other. What depends on how an interpreter starts or
ends, such as its encodings and lazy imports, is tested with a fresh one.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import types
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver, reduction
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen, TimeoutExpired
from typing import IO, Any, Self

from .waiting import HANGS


class Program:
    """A running command line: `-W error -m polyreel models`, `-c "print()"` or `program.py`.

    It is used as `subprocess.Popen` is, and its streams are text in UTF-8.
    """

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> None:
        self.args = [*map(str, arguments)]
        self.stdin, theirs_in = _stream(stdin, 0)
        self.stdout, theirs_out = _stream(stdout, 1)
        self.stderr, theirs_err = _stream(stderr, 2)
        streams = (theirs_in, theirs_out, theirs_err)
        place, variables = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
        self._process = context().Process(
            target=_run, args=(self.args, place, variables, [*map(_Passed, streams)])
        )
        self._process.start()
        for theirs in streams:
            os.close(theirs)
        assert self._process.pid
        self.pid: int = self._process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended."""
        if self.returncode is None:
            self._process.join(timeout)
        if self.poll() is None:
            raise TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, sent: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Send text and the end of the input; what it has written until its end."""
        with ThreadPoolExecutor(2) as pool:
            out, err = (
                pool.submit(stream.read if stream else str) for stream in (self.stdout, self.stderr)
            )
            if self.stdin:
                with suppress(BrokenPipeError), self.stdin:
                    self.stdin.write(sent)
            try:
                self.wait(timeout)
            except BaseException:
                self.kill()  # what reads its streams would wait for ever
                raise
            return out.result(), err.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        self.wait()
        self._process.close()


class Fresh(Popen[str]):
    """The same with an interpreter of its own, which takes all options of `subprocess`."""

    def __init__(self, *arguments: str | Path, **options: Any) -> None:
        command = [sys.executable, *map(str, arguments)]
        super().__init__(command, encoding="utf-8", errors="replace", **options)


def run(
    *arguments: str | Path, fresh: bool = False, timeout: float = 4 * HANGS, **options: Any
) -> CompletedProcess[str]:
    """Run a command line until its end: its exit code, and what it wrote."""
    streams = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE}
    with (Fresh if fresh else Program)(*arguments, **{**streams, **options}) as program:
        try:
            out, err = program.communicate("", timeout)
        except BaseException:
            program.kill()
            raise
    return CompletedProcess(arguments, program.wait(), out or "", err or "")


def _stream(wanted: int | IO[Any] | None, number: int) -> tuple[IO[str] | None, int]:
    """Our end of a stream, if it is a pipe, and the descriptor for the program."""
    if wanted == PIPE:
        reading, writing = os.pipe()
        ours, theirs = (writing, reading) if number == 0 else (reading, writing)
        mode = "w" if number == 0 else "r"
        return open(ours, mode, encoding="utf-8", errors="replace", newline="\n"), theirs
    if wanted == DEVNULL:
        return None, os.open(os.devnull, os.O_RDWR)
    if wanted is None:
        return None, os.dup(number)
    return None, os.dup(wanted if isinstance(wanted, int) else wanted.fileno())


class _Passed:
    """A descriptor that goes along to the new process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return _arrived, (reduction.DupFd(self.descriptor),)


def _arrived(passed: Any) -> int:
    return int(passed.detach())


@cache
def context() -> ForkServerContext:
    """The standard library's server of forks: one for each process that runs tests."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["support.preloaded", "support.forked"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    # It would end by itself, but a little later than this process.
    atexit.register(forkserver._forkserver._stop)  # type: ignore[attr-defined]
    return made


def _run(arguments: list[str], folder: str, variables: dict[str, str], streams: list[int]) -> None:
    """Become a process of this command line, and run it until its end."""
    gc.freeze()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        errors, line = ("backslashreplace", True) if number == 2 else ("strict", os.isatty(number))
        mode = "w" if number else "r"
        made = open(  # noqa: SIM115
            number, mode, 1 if line else -1, "utf-8", errors, closefd=False
        )
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    try:
        _execute(arguments)
    finally:
        # As an interpreter does at its end, which a fork does not come to.
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join()
        atexit._run_exitfuncs()


def _execute(arguments: list[str]) -> None:
    first, *rest = arguments
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if first == "-W":
        warnings.simplefilter(rest[0])  # type: ignore[arg-type]
        _execute(rest[1:])
    elif first == "-m":
        sys.argv, sys.path = rest, [os.getcwd(), *paths, *sys.path]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path = ["-c", *rest[1:]], ["", *paths, *sys.path]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    else:
        sys.argv, sys.path = arguments, [os.path.dirname(first), *paths, *sys.path]
        runpy.run_path(first, run_name="__main__")
