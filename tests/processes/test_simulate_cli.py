"""`polyreel simulate` as a process: fault files, options, memory and webhooks."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import polyreel
import pytest
from attrs import frozen
from polyreel.flows import Answer, Reply
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import parse
from polyreel.simulator import faultfile, http
from standardwebhooks import Webhook
from support.cli import environment
from support.forked import Fresh, Program
from support.paths import DOCS
from support.peers import closed
from support.server import KEY, PROVIDERS, example, path_of, status_query
from support.waiting import HANGS, until
from support.webhooks import SECRET, SIGNED, STANDARD

VENDORS = [provider.id for provider in PROVIDERS]
BY_ID = {provider.id: provider for provider in PROVIDERS}
FIRST, OTHER = VENDORS[:2]
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


@frozen
class Process:
    """A running `polyreel simulate`, and what it printed at its start."""

    process: Program
    document: dict[str, Any]

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.document["url"])

    def base(self, provider: Provider) -> str:
        """The base URL of a vendor."""
        return str(self.document["vendors"][provider.id])

    def look(self, name: str) -> Any:
        """What a GET of the control API shows."""
        reply = httpx.get(self.document["control"] + name, timeout=HANGS)
        assert reply.status_code == 200
        return reply.json()

    def change(self, name: str, body: Any = None) -> Any:
        """A POST of the control API."""
        headers = {"Authorization": f"Bearer {self.document['token']}"}
        reply = httpx.post(
            self.document["control"] + name, json=body, headers=headers, timeout=HANGS
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    def submit(self, provider: Provider, **options: Any) -> httpx.Response:
        """Submit a documented body."""
        one = example(provider)
        return httpx.post(
            self.base(provider) + one.path, json=one.body, **{"headers": KEY, **options}
        )

    def job(self, provider: Provider) -> str:
        """The id of a new job."""
        facts = provider.read(Reply(200, {}, self.submit(provider).content))
        assert facts.id is not None
        return facts.id

    def state(self, provider: Provider, job: str) -> str:
        """The state of a job."""
        url = f"{self.url}/{provider.id}{path_of(status_query(provider), job)}"
        return provider.read(Reply(200, {}, httpx.get(url, headers=KEY).content)).status


@contextmanager
def simulating(folder: Path, *options: str) -> Iterator[Process]:
    """The command, until it is told to stop; then it has said so, and nothing else has gone
    wrong.
    """
    command = ("-W", "error", "-m", "polyreel", "simulate", "--port", "0", "--json", *options)
    with Program(*command, cwd=folder, env=environment(), stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        printed = "".join(iter(process.stdout.readline, "}\n"))
        try:
            yield Process(process, json.loads(printed + "}"))
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=HANGS)
    assert (process.returncode, out, err.splitlines()[-1]) == (0, "", "stopped"), err
    assert "Traceback" not in err
    assert "error" not in err


# -- a fault file, played against polyreel's own client --------------------------------------------


PLAYED = """
seed = 7
balance = 100000
keys = ["the-right-key"]
link_seconds = 3600

{faults}
"""
PLAYED_FAULT = """
[[fault]]
name = "{name}"
vendor = "{vendor}"
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The simulator with a lost submit, and then one too many, for every vendor."""
    folder = tmp_path_factory.mktemp("played")
    faults = [
        PLAYED_FAULT.format(name=name, vendor=vendor)
        for vendor in VENDORS
        for name in ("lost-reset", "rate-limited-zero")
    ]
    (folder / "faults.toml").write_text(PLAYED.format(faults="".join(faults)), encoding="utf-8")
    with simulating(folder, "--faults", "faults.toml", "--speed", "2000") as process:
        yield process


@each_vendor
def test_a_fault_file_is_played_over_a_port(
    played: Process, provider: Provider, tmp_path: Path
) -> None:
    """polyreel's own client meets what the file says: an ambiguous submit, then a job; the bill has
    both.
    """
    urls, vendor = {provider.id: played.base(provider)}, provider.id
    with polyreel.Client(keys={vendor: "the-right-key"}, base_urls=urls) as client:
        plan = client.plan({"prompt": "a cat", "duration": 5}, get_provider(vendor)).check()
        with pytest.raises(polyreel.AmbiguousError):
            client.submit(plan)
        assert played.look("bill")["vendors"][vendor]["count"] == 1
        job = client.submit(plan)
        played.change("advance", {"seconds": 1000})
        job = client.download(client.get(job), tmp_path)
    assert job.status == "succeeded"
    assert job.outputs
    assert job.outputs[0].path
    assert Path(job.outputs[0].path).stat().st_size > 1000
    bill = played.look("bill")
    assert bill["vendors"][vendor]["count"] == 2
    assert job.id in {charge["task"] for charge in bill["charges"]}
    fired = [one["name"] for one in played.look("faults")["fired"] if one["vendor"] == vendor]
    assert fired == ["lost-reset", "rate-limited-zero"]
    assert not [rule for rule in played.look("faults")["active"] if rule["vendor"] == vendor]


@each_vendor
def test_a_file_sets_up_the_vendors(played: Process, provider: Provider) -> None:
    """Keys, seed, balance and links are as it says."""
    assert played.submit(provider).status_code == 401
    found = played.look("status")
    assert (found["seed"], found["balance"], found["link_seconds"], found["speed"]) == (
        7,
        100000,
        3600,
        2000,
    )
    assert "the-right-key" not in json.dumps(
        [played.look(name) for name in ("status", "journal", "tasks", "faults")]
    )


# -- options ---------------------------------------------------------------------------------------


def test_vendor_latency_and_seed(tmp_path: Path) -> None:
    """One vendor answers, late, with the ids of the seed; options go before the file."""
    (tmp_path / "f.toml").write_text(
        f'seed = 1\nlatency = 60\nvendors = ["{OTHER}"]\n', encoding="utf-8"
    )
    options = ("--faults", "f.toml", "--vendor", FIRST, "--latency", "0.3-0.4", "--seed", "5")
    with simulating(tmp_path, *options) as one:
        assert list(one.document["vendors"]) == [FIRST]
        begin = time.monotonic()
        job = BY_ID[FIRST].read(Reply(200, {}, one.submit(BY_ID[FIRST], timeout=HANGS).content)).id
        assert 0.3 < time.monotonic() - begin < 60
        assert job is not None
        reply = httpx.get(f"{one.url}/{OTHER}/v1")
        assert (reply.status_code, reply.json()["message"]) == (
            404,
            f"{OTHER} does not answer here, only {FIRST}",
        )
        assert one.look("status")["seed"] == 5
        page = httpx.get(one.url, headers={"Accept": "text/html"})
        assert (job in page.text, one.document["token"] in page.text) == (True, False)


def test_others_are_let_in_loudly(tmp_path: Path) -> None:
    """Other machines, host names and pages are named at the start, and shown; so is a key."""
    command = ["-m", "polyreel", "simulate", "--port", "0", "--json"]
    command += ["--host", "0.0.0.0", "--allow-host", "simulator", "--key", "the-right-key"]
    command += ["--allow-origin", "http://localhost:3000"]
    with Program(*command, cwd=tmp_path, env=environment(), stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        shown = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        vendor = PROVIDERS[0]
        url = f"{shown['url']}/{vendor.id}{path_of(status_query(vendor), 'nonesuch')}"
        good = httpx.get(url, headers={"Authorization": "Bearer the-right-key"})
        named = {"Authorization": "Bearer another-key", "Host": "simulator:8765"}
        bad = httpx.get(url, headers=named)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=HANGS)
    assert (good.status_code == 401, bad.status_code) == (False, 401)
    warnings = [line for line in err.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert "0.0.0.0" in warnings[0]
    assert "simulator" in warnings[0]
    assert "http://localhost:3000" in warnings[1]
    assert "the-right-key" not in err


def test_jobs_are_remembered(tmp_path: Path) -> None:
    """The next start knows them and their charges, and they do not lie in its future."""
    provider = PROVIDERS[0]
    with simulating(tmp_path, "--remember", "memory", "--speed", "10") as one:
        one.change("advance", {"seconds": 100_000})
        job = one.job(provider)
        now = one.look("status")["now"]
    with simulating(tmp_path, "--remember", "memory", "--speed", "10") as one:
        assert one.look("bill")["charges"][0]["task"] == job
        assert one.look("status")["now"] > now - 60
        one.change("advance", {"seconds": 1000})
        assert one.state(provider, job) == "succeeded"
        assert one.job(provider) != job


@pytest.mark.parametrize("vendor", SIGNED)
def test_signed_webhooks_reach_a_receiver(played: Process, vendor: str) -> None:
    """The reference library believes them, though simulated time is hours ahead."""
    got: list[http.HttpRequest] = []

    def receive(request: http.HttpRequest) -> Answer:
        got.append(request)
        return Answer(204, {}, b"")

    key = {"Authorization": "Bearer the-right-key"}
    played.change("reset")
    reply = played.submit(BY_ID[vendor], headers=key)
    job = BY_ID[vendor].read(Reply(200, {}, reply.content)).id
    played.change("advance", {"seconds": 50_000})
    with http.running(receive) as url:
        asked = {
            "vendor": vendor,
            "task": job,
            "url": f"{url}/hook",
            "secret": SECRET,
            "duplicate": True,
        }
        made = played.change("webhook", asked)["deliveries"]
    assert [one["status"] for one in made] == [204] * len(got)
    assert len({one["id"] for one in made}) * 2 == len(made) > 0
    for one in got:
        assert parse(vendor, one.headers, one.content, SECRET).verified
        if vendor in STANDARD:
            Webhook(SECRET).verify(one.content, dict(one.headers))


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Fresh), (signal.SIGTERM, Program)])
def test_it_stops_at_a_signal(
    tmp_path: Path, number: signal.Signals, kind: type[Program | Fresh]
) -> None:
    """At once, with clients connected and a late answer under way; the exit code is 0."""
    command = ("-m", "polyreel", "simulate", "--port", "0", "--latency", "600")
    with kind(*command, cwd=tmp_path, env=environment(), stderr=PIPE) as process:
        assert process.stderr is not None
        lines = list(
            iter(
                process.stderr.readline,
                "Any bearer token is a valid key. Nothing is paid. Stop with Ctrl-C.\n",
            )
        )
        reported = dict(line.strip().split(": ", 1) for line in lines)
        assert [*reported] == [*VENDORS, "control", "token"]
        port = httpx.URL(reported["control"]).port or 0
        with socket.create_connection(("127.0.0.1", port)) as half, ThreadPoolExecutor(1) as pool:
            half.sendall(b"GET / HT")
            one = example(PROVIDERS[0])
            url = reported[FIRST] + one.path
            late = pool.submit(httpx.post, url, json=one.body, headers=KEY, timeout=9 * HANGS)
            until(lambda: httpx.get(f"{reported['control']}bill").json()["count"] == 1)
            begin = time.monotonic()
            process.send_signal(number)
            rest = process.stderr.read()
            process.wait(HANGS)
            assert time.monotonic() - begin < HANGS
            late.exception()
    assert (process.returncode, rest) == (0, "stopped\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_of_the_documentation_work(tmp_path: Path) -> None:
    """One after the other, as they stand there; and its fault file is a good one."""
    text = (DOCS / "simulator.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (table,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "faults.toml").write_text(table, encoding="utf-8")
    (tmp_path / ".curlrc").write_text('fail\nnoproxy = "*"\n', encoding="utf-8")
    assert len(faultfile.read(tmp_path / "faults.toml", VENDORS).faults) == 2
    with simulating(tmp_path) as one:
        known = {"URL": one.url, "TOKEN": str(one.document["token"]), "CURL_HOME": str(tmp_path)}
        shell = ["sh", "-euc", "\necho\n".join(commands)]
        done = subprocess.run(
            shell, env={**environment(), **known}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.count('"billed": 1') == 1
    assert '"deliveries": [{"id": null, "status": ' in done.stdout
    assert re.search(
        r'"name": "lost-reset", "vendor": "[^"]+", "share": 1.0, "left": 2', done.stdout
    )


# -- clients that misbehave ------------------------------------------------------------------------


def crumbs(peers: list[socket.socket], over: Callable[[], bool]) -> None:
    """A byte from each now and then: the slow loris."""
    while not over():
        for peer in peers:
            try:
                peer.sendall(b"x")
            except OSError:
                continue
        time.sleep(0.3)


def test_good_clients_are_served_among_bad_ones(tmp_path: Path) -> None:
    """300 half-open connections, a slow loris, bodies of 10 MB to vendors and to the control API: a
    good request is answered before the server gives up the half-open one that came just before it.
    """
    provider, done = PROVIDERS[0], False
    one = example(provider)
    with simulating(tmp_path) as running, ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        port = httpx.URL(running.url).port or 0
        path = httpx.URL(running.base(provider)).path + one.path
        heads = [b"", b"POS", f"POST {path} HTTP/1.1\r\nHost: loc".encode()]
        heads += [
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{{".encode()
        ]

        def bad(head: bytes) -> socket.socket:
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=HANGS))
            peer.sendall(head)
            return peer

        peers = [bad(head) for head in heads * 75]
        slow = pool.submit(crumbs, peers[::10], lambda: done)
        large = b'{"prompt": "' + b"x" * 10_000_000 + b'"}'
        token = {
            **KEY,
            "X-Polyreel-Token": running.document["token"],
            "Content-Type": "application/json",
        }
        urls = [running.url + path, f"{running.url}/_polyreel/reset"]
        bodies = [
            pool.submit(httpx.post, url, content=large, headers=token, timeout=HANGS)
            for url in urls
        ]
        for number in range(25):
            for ask in (lambda: running.submit(provider), lambda: running.look("bill")):
                before = bad(heads[number % len(heads)])
                ask()
                assert not closed(before)
        assert [body.result().status_code for body in bodies][1] == 413
        assert 400 <= bodies[0].result().status_code < 500
        done = True
        slow.result()
        assert running.look("bill")["count"] == 25
