"""What the programs beside this file have in common: how they measure, and what they print.

They run with the Python of the peer's own virtual environment, without polyreel: this is standard
library only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

KEY: Final = "simulated"
NOWHERE: Final = "http://simulated.invalid/v1"
PROMPT: Final = "a cat walking through neon rain"
REQUEST: Final = {"prompt": PROMPT, "model": "sora-2", "seconds": "4", "size": "720x1280"}
QUEUED: Final = {
    "id": "video_1",
    "object": "video",
    "status": "queued",
    "progress": 0,
    "created_at": 1,
    **REQUEST,
}
"""What a gateway in OpenAI's shape answers to the request."""

Figure = Callable[[argparse.Namespace], Any]
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "polling": ("base_url", "ids"),
    "download": ("download_url",),
}
"""Options without which a figure cannot be measured."""


def report(package: str, module: str, figures: dict[str, Figure]) -> None:
    """Measure what the command line asks for and print one JSON object."""
    figures = {"import": lambda _: importing_alone(module), **figures}
    parser = argparse.ArgumentParser(
        description=f"Measure {package}; run it with the Python of its own environment."
    )
    parser.add_argument(
        "figures", nargs="*", help=f"some of {', '.join(figures)}; else all that the options allow"
    )
    parser.add_argument("--base-url", help="polling: status queries go to {base}/videos/{id}")
    parser.add_argument("--ids", type=Path, help="polling: file of job ids, one a line")
    parser.add_argument(
        "--concurrency", type=int, default=50, help="polling: so many queries at a time"
    )
    parser.add_argument(
        "--download-url", help="download: the file is at {base}/videos/{id}/content"
    )
    options = parser.parse_args()
    lacking = {
        name: [need for need in NEEDS.get(name, ()) if getattr(options, need) is None]
        for name in figures
    }
    for name in options.figures:
        if name not in figures:
            parser.error(f"{package} has no figure {name!r}; there are {', '.join(figures)}")
        if lacking[name]:
            parser.error(
                f"{name} needs "
                + " and ".join("--" + need.replace("_", "-") for need in lacking[name])
            )
    os.environ["NO_PROXY"] = "*"  # every address is on loopback
    warnings.simplefilter("ignore", DeprecationWarning)
    chosen = options.figures or [name for name in figures if not lacking[name]]
    with redirect_stdout(sys.stderr):
        measured = {name: figures[name](options) for name in chosen}
    print(json.dumps({"peer": package, "version": version(package), "figures": measured}))


def importing_alone(module: str) -> float:
    """Seconds in which a fresh interpreter imports it."""
    clock = "time.perf_counter()"
    code = f"import time; start = {clock}; import {module}; print({clock} - start)"
    runs = [
        subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
        for _ in range(5)
    ]
    return median(float(one.stdout.split()[-1]) for one in runs)


def best(work: Callable[[], Any], rounds: int, repeats: int = 7) -> float:
    """Seconds of CPU for one call: the best of several rounds. scripts/bench measures CPU, too."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(rounds):
            work()
        times.append((time.process_time() - start) / rounds)
    return min(times)


async def polling(
    ask: Callable[[str], Awaitable[Any]], options: argparse.Namespace
) -> dict[str, float]:
    """One status query for each job, so many at a time; `ask` may make one request only, and raises
    if it fails.
    """
    ids = options.ids.read_text(encoding="utf-8").split()
    await _all(ask, ids[: 2 * options.concurrency], options.concurrency)
    cpu, wall = time.process_time(), time.perf_counter()
    await _all(ask, ids, options.concurrency)
    wall = time.perf_counter() - wall
    await asyncio.sleep(
        0.5
    )  # what the library does afterwards, in tasks and threads of its own, is its work too
    used = time.process_time() - cpu
    return {"requests": len(ids), "cpu_seconds_per_request": used / len(ids), "wall_seconds": wall}


async def _all(ask: Callable[[str], Awaitable[Any]], ids: Sequence[str], concurrency: int) -> None:
    left = iter(ids)

    async def worker() -> None:
        for job in left:
            await ask(job)

    await asyncio.gather(*(worker() for _ in range(concurrency)))


def download(fetch: Callable[[str, Path], Any], options: argparse.Namespace) -> dict[str, float]:
    """The best of three downloads to a file, and how far the peak of the memory rose, after one of
    a small file.
    """
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with _small_file() as url:
            fetch(url, path)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak that importing had
        before = _peak()
        for _ in range(3):
            gc.collect()  # what cycles hold of the last download is not needed for this one
            start = time.perf_counter()
            fetch(options.download_url, path)
            times.append(time.perf_counter() - start)
        extra, size = _peak() - before, path.stat().st_size
    return {
        "bytes": size,
        "megabytes_per_second": size / min(times) / 1e6,
        "extra_memory_mib": extra,
    }


def _peak() -> float:
    """The peak of this process in MiB.

    Linux lets ru_maxrss begin with that of the parent, so it is second choice.
    """
    with suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts bytes


class _SmallFile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(1000))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _small_file() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SmallFile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
