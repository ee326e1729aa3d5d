"""The calls that a simulated vendor makes about a job, as its contract says: signed webhooks, or plain callbacks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from ..errors import UnknownNameError
from ..places import JsonObject, put
from ..providers.base.facts import Status
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving import answers
from ..serving.calls import Call
from .engine import HOST, Simulator
from .tasks import Task, task_state

SIGNATURE: Final = "webhook-signature"


@frozen
class Delivery:
    """One call of a vendor, as a receiver gets it."""

    headers: Mapping[str, str]
    body: bytes


def deliveries(
    simulator: Simulator, vendor: str, task_id: str, secret: str | None, now: float
) -> list[Delivery]:
    """What a vendor has sent of a job until now, oldest first: nothing where its contract has no webhooks.

    `secret` signs them, where the contract says that they are signed; ValueError where it is missing then. A repeated
    delivery has the same `webhook-id`. `now` is also the moment at which they are signed.
    """
    provider = get_provider(vendor)
    task = simulator.tasks.get((vendor, task_id))
    if task is None:
        raise UnknownNameError(f"{vendor} has no task {task_id!r}", vendor=vendor)
    made = [
        _webhook(provider, task, state, post, secret, now)
        for post in _posts(provider)
        for state in _reached(task, now)
    ]
    hooks = [delivery for delivery in made if delivery is not None]
    return [*hooks, *_callbacks(simulator, provider, task, now)]


def _posts(provider: Provider) -> Iterator[JsonObject]:
    """The webhooks of a contract that tell where the id of the job stands."""
    if provider.webhook is not None:
        yield from (
            item["post"] for item in provider.contract.document.get("webhooks", {}).values()
        )


def _reached(task: Task, now: float) -> list[Status]:
    """The states that a job has been in, in order."""
    states: list[Status] = ["queued", "running", task.end]
    return states[: states.index(task.status(now)) + 1]


def _webhook(
    provider: Provider, task: Task, state: Status, post: JsonObject, secret: str | None, now: float
) -> Delivery | None:
    """The delivery about one state; None where the contract shows none."""
    sample = _examples(post).get(state)
    if sample is None or provider.webhook is None:
        return None
    body = json.loads(json.dumps(sample))
    put(body, provider.webhook.reads.id[0], task.id)
    content, headers = answers.dumps(body), {"content-type": "application/json"}
    if any(parameter.get("name") == SIGNATURE for parameter in post.get("parameters", ())):
        headers |= _signed(provider, f"msg_{task.id}_{state}", content, secret, now)
    return Delivery(headers, content)


def _examples(post: JsonObject) -> dict[str, Any]:
    media = post["requestBody"]["content"].get("application/json", {})
    return {name: example["value"] for name, example in media.get("examples", {}).items()}


def _signed(
    provider: Provider, identity: str, content: bytes, secret: str | None, now: float
) -> dict[str, str]:
    if secret is None:
        raise ValueError(f"{provider.id} signs its webhooks: a secret is needed")
    return sign(identity, content, secret, now)


def sign(identity: str, content: bytes, secret: str, now: float) -> dict[str, str]:
    """The headers of Standard Webhooks, for a call that is made at this moment."""
    from standardwebhooks import Webhook  # noqa: PLC0415

    signature = Webhook(secret).sign(identity, datetime.fromtimestamp(now, UTC), content.decode())
    return {"webhook-id": identity, "webhook-timestamp": str(math.floor(now)), SIGNATURE: signature}


def _callbacks(
    simulator: Simulator, provider: Provider, task: Task, now: float
) -> Iterator[Delivery]:
    """The ended task, as the status query tells it, for every callback that the paid call documents."""
    paid, state = provider.operation(task.route), task.status(now)
    if state != task.end:
        return
    for _ in paid.spec.get("callbacks", {}):
        query = answers.query(provider)
        links = simulator.links(provider.id, f"https://{HOST}/{provider.id}")
        call = Call(provider.id, provider, query, {}, {}, {}, b"", links, len(simulator.journal))
        yield Delivery(
            {"content-type": "application/json"}, answers.dumps(task_state(call, task, state, now))
        )
