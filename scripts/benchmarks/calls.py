"""Importing, planning, submitting."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from statistics import median
from typing import Any

import httpx
from polyreel import Client, plan
from polyreel.simulator import Simulator

from .counting import counted
from .measuring import PROMPTS, REQUEST, ROUNDS, VENDOR, Figure, Peers, Row, in_turns


def importing(peers: Peers) -> Iterator[Row]:
    """A fresh interpreter that imports polyreel, beside one that imports httpx."""
    own, peer = (importing_alone(name) for name in ("polyreel", "httpx"))
    reported = f"{own * 1000:.1f} ms"
    yield Row("import", reported, f"httpx, {peer * 1000:.0f} ms", own / peer, "<= 0.22")
    for name, seconds in peers.figures("import").items():
        yield Row("import", reported, f"{name}, {seconds * 1000:.0f} ms", own / seconds)


def importing_alone(name: str) -> float:
    """Seconds."""
    clock = "time.perf_counter()"
    code = f"import time; start = {clock}; import {name}; print({clock} - start)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        for _ in range(9)
    ]
    return median(float(one.stdout) for one in runs)


def planning(peers: Peers) -> Iterator[Row]:
    """A request as bytes that the vendor's contract was checked for, beside what can be least: the
    checks alone. Each has another prompt.
    """
    made = plan(REQUEST, VENDOR)
    assert made.route is not None
    contract, schema = made.provider.contract, made.route.schema
    requests = cycle([{**REQUEST, "prompt": prompt} for prompt in PROMPTS])
    bodies = cycle([{**made.body, "prompt": prompt} for prompt in PROMPTS])

    def checked_by_hand() -> bytes:
        body = {**next(bodies)}
        assert not contract.sends(schema, body)
        return json.dumps(body).encode()

    found = in_turns(
        {
            "own": lambda: plan(next(requests), VENDOR).content,
            "unchecked": lambda: json.dumps({**next(bodies)}).encode(),
            "checked": checked_by_hand,
        },
        times=1_000,
        clock=time.process_time,
    )
    own, plain, checked = found["own"], found["unchecked"], found["checked"]
    what, reported = "request to checked bytes", shown(own)
    beside = f"dict and json.dumps, unchecked, {shown(plain)}"
    yield Row(what, reported, beside, own / plain, "<= 8")
    yield Row(what, reported, f"dict, contract and json.dumps, {shown(checked)}", own / checked)
    for name, seconds in peers.figures("bytes", only=("litellm",)).items():
        beside = f"{name}, unchecked, {seconds * 1e6:.1f} us"
        yield Row(what, reported, beside, own.median / seconds, "<= 1")


@contextmanager
def submits() -> Iterator[Mapping[str, Callable[[], object]]]:
    """A submit over httpx with a mock transport, and the same POST by hand."""
    made = plan(REQUEST, VENDOR)
    target = httpx.URL(made.url).raw_path.decode()
    answer = Simulator(seed=1).handle(
        VENDOR, "POST", target, {"authorization": "Bearer x"}, made.content
    )
    reply: dict[str, Any] = {
        "headers": {"content-type": "application/json"},
        "content": answer.content,
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, **reply))
    # A live client: one that simulates looks at what it could render.
    with (
        httpx.Client(transport=transport) as raw,
        Client(keys={VENDOR: "sk-" + "x" * 20}) as client,
    ):
        client.wire.transport = transport
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        yield {
            "own": lambda: client.submit(made),
            "peer": lambda: raw.post(made.url, content=made.content, headers=headers).json(),
        }


def submitting(peers: Peers) -> Iterator[Row]:
    """A submit beside the same POST by hand."""
    with submits() as ways:
        for way in ways.values():
            way()  # what is loaded for the first call is measured by `start`
        # Rounds of a few milliseconds: another program disturbs few of them, or both ways alike.
        found = in_turns(ways, times=25, rounds=40 * ROUNDS, clock=time.process_time)
    own, peer = found["own"], found["peer"]
    what, reported = "submit, mock transport", shown(own)
    yield Row(what, reported, f"httpx.Client.post, {shown(peer)}", own / peer, "<= 1.1")
    ours, theirs = (counted("submit", way) for way in ("own", "peer"))
    if ours is not None and theirs is not None:
        name = f"{what}, instructions"
        yield Row(name, f"{ours:,.0f}", f"httpx.Client.post, {theirs:,.0f}", ours / theirs)
    for name, seconds in peers.figures("submit").items():
        yield Row(what, reported, f"{name}, {seconds * 1e6:.0f} us", own.median / seconds)


def shown(figure: Figure) -> str:
    """CPU time in words."""
    return figure.shown(lambda seconds: seconds * 1e6, "us")
