"""Measure the OpenAI SDK: importing, submitting, polling and downloading a video. Prints one JSON
object.

Its client sends a video request as a multipart form, not as JSON, and has no call that makes a body
without sending it: there is no figure `bytes`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measuring
from measuring import KEY, NOWHERE, QUEUED, REQUEST, best


def submit(_: argparse.Namespace) -> float:
    """Seconds for one `videos.create`, over a transport that answers at once."""
    http = import_module(
        "httpx2" if find_spec("httpx2") else "httpx"
    )  # as the SDK has it from 3.0, and before
    reply = {
        "headers": {"content-type": "application/json"},
        "content": json.dumps(QUEUED).encode(),
    }
    mocked = http.Client(transport=http.MockTransport(lambda _: http.Response(200, **reply)))
    with import_module("openai").OpenAI(
        api_key=KEY, base_url=NOWHERE, http_client=mocked
    ) as client:
        assert client.videos.create(**REQUEST).id == QUEUED["id"]
        return best(lambda: client.videos.create(**REQUEST), 100)


def polling(options: argparse.Namespace) -> dict[str, float]:
    """Status queries with `AsyncOpenAI.videos.retrieve`."""

    async def poll() -> dict[str, float]:
        openai = import_module("openai")
        async with openai.AsyncOpenAI(
            api_key=KEY, base_url=options.base_url, max_retries=0
        ) as client:

            async def ask(job: str) -> None:
                assert (await client.videos.retrieve(job)).id == job

            return await measuring.polling(ask, options)

    return asyncio.run(poll())


def download(options: argparse.Namespace) -> dict[str, float]:
    """A film streamed to a file, the SDK's way."""
    openai = import_module("openai")
    clients: dict[str, Any] = {}

    def fetch(url: str, path: Path) -> None:
        client = clients.setdefault(url, openai.OpenAI(api_key=KEY, base_url=url, max_retries=0))
        with client.videos.with_streaming_response.download_content("film") as response:
            response.stream_to_file(path)

    return measuring.download(fetch, options)


if __name__ == "__main__":
    measuring.report(
        "openai", "openai", {"submit": submit, "polling": polling, "download": download}
    )
