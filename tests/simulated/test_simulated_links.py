"""No link in a simulated answer leads to a real host, whatever the vendor's examples say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from polyreel import Client, Simulator
from polyreel.places import Json, JsonObject, leaves
from polyreel.providers import Contract, Reads
from polyreel.providers.base import registry
from polyreel.providers.base.calling import (
    PLACEHOLDER,
    filled,
    key_scheme_of,
    own_path,
    task_place,
)
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.serving.links import Links
from polyreel.simulator.clock import VirtualClock
from polyreel.simulator.webhooks import deliveries
from polyreel.testing.registration import registered
from support.odd_queue import QUEUE_DOCUMENT, QueueVendor
from support.odd_vendors import ListVendor

PUBLIC = "http://127.0.0.1:9999"
CDN = "https://cdn.real.example"
SECRET = "whsec_" + "A" * 32


def deep_queue(host: str) -> JsonObject:
    """The queue's contract with a base URL that has a path, relative links, and more of them."""
    base = f"https://{host}.example/api/v1"
    text = json.dumps(QUEUE_DOCUMENT).replace("https://queue.example/acme", "/api/v1/acme")
    document: JsonObject = json.loads(text.replace('"https://queue.example"', f'"{base}"'))
    replies = document["paths"]["/{owner}/{app}/requests/{request_id}/status"]["get"]["responses"]
    for example in replies["200"]["content"]["application/json"]["examples"].values():
        example["value"] |= {
            "cover": f"{CDN}/cover.png",
            "clip": f"{CDN}/a/clip.mp4?x=1",
            "cancel_url": f"{base}/acme/video/requests/9f1c/cancel",
            "raw": json.dumps({"urls": [f"{CDN}/b.mp4"]}),
            "note": f"see {CDN}/docs",
        }
    if host == "shape":
        del document["paths"]["/{owner}/{app}/requests/{request_id}"]
    return document


class DeepQueue(QueueVendor):
    """The queue at a base URL with a path."""

    document = Contract(deep_queue("deep"))
    id = "deep-queue"
    key_variable = "DEEP_QUEUE_API_KEY"


class ByShape(QueueVendor):
    """The queue without a second call, whose links nobody has written down."""

    document = Contract(deep_queue("shape"))
    id = "shape-queue"
    key_variable = "SHAPE_QUEUE_API_KEY"
    reads: ClassVar[Reads] = Reads(
        id=("request_id",), status=("status",), outputs=("nowhere",), locator=("status_url",)
    )


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """The vendors are known while these tests run, and afterwards no more."""
    before = registry.entry_points
    for vendor in (ListVendor, QueueVendor, DeepQueue, ByShape):
        registered(vendor)
    yield
    registry.entry_points = before
    registry.all_providers.cache_clear()


ODD = ("list-vendor", "queue-vendor", "deep-queue")
VENDORS = (*all_providers(), *ODD)


def links_in(value: Json) -> Iterator[str]:
    """Every link of an answer, also of JSON in a text."""
    for _, leaf in leaves(value):
        text = leaf if isinstance(leaf, str) else ""
        if text.startswith("{"):
            yield from links_in(json.loads(text))
        elif text.startswith(("http://", "https://")):
            yield text


def each_answer(provider: Provider, simulator: Simulator) -> Iterator[tuple[str, bytes]]:
    """The answers to every call of a vendor, in every state and with every error."""
    scheme = key_scheme_of(provider.contract)
    headers = {**scheme.headers("key"), "content-type": "application/json"}
    names = {
        name
        for operation in provider.contract.operations.values()
        for _, _, name, _ in provider.contract.replies(operation)
    }
    with Client(simulator=simulator, vendors=[provider.id]) as client:
        plan = client.plan({"prompt": "a cat"})
    public = f"{PUBLIC}/{provider.id}"

    def ask(method: str, path: str, content: bytes = b"") -> bytes:
        return simulator.handle(provider.id, method, path, headers, content, public).content

    for name in sorted(names):
        try:
            simulator.script(provider.id, name)
        except LookupError:
            continue
        yield name, ask(plan.method, urlsplit(plan.url).path, plan.content)
    yield "create", ask(plan.method, urlsplit(plan.url).path, plan.content)
    clock = simulator.clock
    assert isinstance(clock, VirtualClock)
    for seconds in (0, 7, 900):
        clock.advance(seconds)
        tasks = [task for owner, task in simulator.tasks if owner == provider.id]
        for operation in provider.contract.operations.values():
            deletes = operation.spec.get("x-polyreel-cancel", {}).get("deletes")
            if operation.role in {"create", "stream", "content"} or deletes:
                continue
            example = next(iter(operation.request_examples.values()), None)
            for task in tasks:
                unset = dict.fromkeys(PLACEHOLDER.findall(operation.path), task)
                values = {**unset, **(plan.route.path_values if plan.route else {})}
                where = task_place(provider.contract, operation)
                query = f"?{where.name}={task}" if where and where.place == "query" else ""
                body = {"task_ids": [task]} if operation.role == "batch-get" else example
                content = b"" if body is None else json.dumps(body).encode()
                yield (
                    operation.id,
                    ask(operation.method, filled(operation.full_path, values) + query, content),
                )
        for task in tasks:
            for one in deliveries(simulator, provider.id, task, SECRET, clock.now()):
                yield "webhook", one.body


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_link_of_an_answer_leads_to_a_real_host(vendor: str) -> None:
    """In any field, in any state, in lists, errors and webhooks."""
    simulator = Simulator(seed=1, clock=VirtualClock(1_800_000_000.0))
    here = (f"{PUBLIC}/", "https://simulator.invalid/")
    found = 0
    for name, content in each_answer(get_provider(vendor), simulator):
        for link in links_in(json.loads(content)):
            assert link.startswith(here), (name, link)
            found += 1
    assert found


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_example_keeps_a_real_link(vendor: str) -> None:
    """Each documented answer, as whoever shows it shows it."""
    provider, links = get_provider(vendor), Links(f"{PUBLIC}/{vendor}")
    for operation in provider.contract.operations.values():
        for _, _, name, body in provider.contract.replies(operation):
            made = links.here(body, provider.servers)
            wrong = [one for one in links_in(made) if not one.startswith(f"{PUBLIC}/")]
            assert wrong == [], (operation.id, name)


def test_what_a_link_leads_to() -> None:
    """The vendor's own path, the output of the same type, or nothing."""
    links = Links(f"{PUBLIC}/x")
    servers, outputs = ["https://api.example/v1"], [f"{PUBLIC}/x/outputs/1.mp4"]
    given: dict[str, Any] = {
        "own": "https://api.example/v1/jobs/1?a=b",
        "host": "https://api.example.evil.example/v1",
        "clip": f"{CDN}/1.mov",
        "cover": f"{CDN}/1.png",
        "text": f"read {CDN}/1.mp4",
        "list": [f"{CDN}/1.mp4", 5, None],
        "json": json.dumps({"a": f"{CDN}/1.mp4"}),
    }
    assert links.here(given, servers, outputs) == {
        "own": f"{PUBLIC}/x/v1/jobs/1?a=b",
        "host": f"{PUBLIC}/x/links/api.example.evil.example/v1",
        "clip": outputs[0],
        "cover": f"{PUBLIC}/x/links/cdn.real.example/1.png",
        "text": f"read {CDN}/1.mp4",
        "list": [outputs[0], 5, None],
        "json": json.dumps({"a": outputs[0]}),
    }


# -- links to ask at -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/api/v1/videos/a", "/videos/a"),
        ("/videos/a", "/videos/a"),
        ("https://router.example/api/v1/videos/a?b=c", "/videos/a?b=c"),
        ("https://router.example/videos/a", None),
        ("/api/v1//evil.example/a", None),
        ("/api/v10/videos/a", "/api/v10/videos/a"),
        ("https://gateway.example/llm/videos/a", "/videos/a"),
        ("/llm/videos/a", "/videos/a"),
    ],
)
def test_a_path_is_not_doubled(link: str, expected: str | None) -> None:
    """A link without a host may begin with the path of the base URL."""
    bases = ["https://gateway.example/llm", "https://router.example/api/v1"]
    assert own_path(bases, link) == expected


@pytest.mark.parametrize("vendor", ["queue-vendor", "deep-queue"])
@pytest.mark.parametrize("base", [None, "https://gateway.example/of/us"])
def test_a_simulated_job_is_asked_about_where_its_answer_said(
    vendor: str, base: str | None, tmp_path: Path
) -> None:
    """Also behind a base URL of the user's own."""
    options: dict[str, Any] = {"base_urls": {vendor: base}} if base else {}
    with Client(vendors=[vendor], **options) as client:
        job = client.submit(client.plan({"prompt": "a cat"}))
        assert job.locator == f"/acme/video/requests/{job.id}/status"
        assert client.generate({"prompt": "a cat"}, output=tmp_path).status == "succeeded"


def test_links_that_nobody_wrote_down_lead_to_the_file(tmp_path: Path) -> None:
    """They are found by their shape, and work."""
    with Client(vendors=["shape-queue"]) as client:
        job = client.generate({"prompt": "a cat"}, output=tmp_path)
        assert job.outputs
        assert job.outputs[0].path
