"""The calls that a simulated vendor makes about a job: signed webhooks, or plain callbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from ..errors import UnknownNameError
from ..places import Json, JsonObject, get, put
from ..providers.base.facts import Status
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import answers
from ..serving.calls import Call
from ..serving.links import Links
from ..serving.signing import signs
from ..serving.task_answers import task_body
from . import signing
from .engine import Simulator
from .tasks import Task


@frozen
class Delivery:
    """One call of a vendor, as a receiver gets it."""

    headers: Mapping[str, str]
    body: bytes


def deliveries(
    simulator: Simulator, vendor: str, task_id: str, secret: str | None, now: float
) -> list[Delivery]:
    """What a vendor has sent about a job until now, oldest first.

    `secret` signs the deliveries, where the contract says that they are signed; where the vendor
    publishes its keys, the simulator's own key does. `now`, in seconds since 1970, is also the time
    of the signature. The same delivery always has the same id in its headers. A contract without
    webhooks gives an empty list. Raises UnknownNameError for an unknown task, ValueError where a
    secret is needed and missing, and MissingExtraError where a library is.
    """
    provider = get_provider(vendor)
    task = simulator.tasks.get((vendor, task_id))
    if task is None:
        raise UnknownNameError(f"{vendor} has no task {task_id!r}", vendor=vendor)
    links = simulator.links(vendor)
    webhooks = [
        delivery
        for post in _posts(provider)
        for status in _reached(task, now)
        if (delivery := _webhook(links, task, status, post, secret, now)) is not None
    ]
    return [*webhooks, *_callbacks(simulator, provider, task, now)]


def _posts(provider: Provider) -> Iterator[JsonObject]:
    """The webhooks of a contract, where the provider knows how to read them."""
    if provider.webhook is not None:
        for item in provider.contract.document.get("webhooks", {}).values():
            yield item["post"]


def _reached(task: Task, now: float) -> list[Status]:
    """The states that a job has been in, in order."""
    statuses: list[Status] = ["queued", "running", task.end]
    return statuses[: statuses.index(task.status(now)) + 1]


def _webhook(
    links: Links, task: Task, status: Status, post: JsonObject, secret: str | None, now: float
) -> Delivery | None:
    """The delivery about one state; None where the contract has no example of it."""
    provider = get_provider(task.vendor)
    sample = _examples(post).get(status)
    if sample is None or provider.webhook is None:
        return None
    outputs = task.facts(status, now, links).urls if status == "succeeded" else ()
    body: JsonObject = links.here(sample, provider.servers, outputs)
    place = provider.webhook.reads.id[0]
    own = str(get(body, place))
    put(body, place, task.id)
    # A link of the vendor's own gives the file by the id.
    content = answers.dumps(body).replace(f"/{own}/".encode(), f"/{task.id}/".encode())
    headers = {"content-type": "application/json"}
    identity = f"msg_{task.id}_{status}"
    needed = secret is not None or not provider.webhook.optional
    if needed and signs(provider, post):
        headers |= signing.sign(provider, identity, content, secret, now)
    return Delivery(headers, content)


def _examples(post: JsonObject) -> dict[str, Json]:
    media = post["requestBody"]["content"].get("application/json", {})
    return {name: example["value"] for name, example in media.get("examples", {}).items()}


def _callbacks(
    simulator: Simulator, provider: Provider, task: Task, now: float
) -> Iterator[Delivery]:
    """For every callback of the paid call: the ended task, as the status query shows it."""
    paid, status = provider.operation(task.route), task.status(now)
    if status != task.end:
        return
    for _ in paid.spec.get("callbacks", {}):
        query = answers.status_query(provider)
        request = simulator.incoming(provider.id, query.method, query.full_path, {})
        body = task_body(Call(request, provider, query), task, status, now)
        yield Delivery({"content-type": "application/json"}, answers.dumps(body))
