"""Django: submit, webhook route, a browser that polls, and a worker, in one file."""

import os
import secrets
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from polyreel import AsyncClient, ClaimedError, Client, PlanRefusedError, RequestError, asgi

settings.configure(
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost").split(","),
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
)
client = AsyncClient.from_env()


async def clip(request: HttpRequest, name: str) -> HttpResponse:
    """POST submits a clip under a name, which is paid once; GET says how it is doing."""
    if request.method == "POST":
        try:
            await client.submit(
                request.GET.get("prompt", ""), duration=5, reference=name, output="clips"
            )
        except ClaimedError:  # submitted before
            return state(name)
        except (RequestError, PlanRefusedError) as error:  # also where the name has another prompt
            return JsonResponse({"error": str(error)}, status=400)
    return state(name)


def state(name: str) -> HttpResponse:
    """How a clip is doing, from the ledger: no vendor is asked."""
    for entry in client.jobs(reference=name, last=1):
        return JsonResponse({"name": name, "state": entry.state})
    return JsonResponse({}, status=404)


urlpatterns = [path("clips/<name>", clip)]
django, hooks = get_asgi_application(), asgi.webhooks(client)


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Vendors' webhooks go to polyreel, all else to Django."""
    is_hook = scope["type"] == "http" and scope["path"].startswith("/webhooks/")
    await (hooks if is_hook else django)(scope, receive, send)


def work(*, until_done: bool = False) -> None:
    """Finish what is in the ledger, in a process of its own."""
    with Client.from_env() as worker:
        worker.work(until_done=until_done, output="clips")


if __name__ == "__main__":
    work(until_done="--until-done" in sys.argv)
