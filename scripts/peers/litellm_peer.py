"""Measure LiteLLM: importing, submitting, making a body, polling and downloading a video. Prints
one JSON object.

LITELLM_LOCAL_MODEL_COST_MAP makes it take the table of prices in the package, not fetch a newer one
while importing.

`bytes` is of its provider for Runway, which sends JSON and has fields to translate; the one for
OpenAI sends a form. `polling` needs answers whose `object` is "video"; gateway.py puts that into
those of a gateway that says otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import measuring
from measuring import KEY, NOWHERE, PROMPT, QUEUED, REQUEST, best


def submit(_: argparse.Namespace) -> float:
    """Seconds for one `video_generation`, over a transport that answers at once."""
    litellm, http = import_module("litellm"), import_module("httpx")
    handler = import_module("litellm.llms.custom_httpx.http_handler").HTTPHandler
    reply = {
        "headers": {"content-type": "application/json"},
        "content": json.dumps(QUEUED).encode(),
    }
    client = handler(
        client=http.Client(transport=http.MockTransport(lambda _: http.Response(200, **reply)))
    )
    request: dict[str, Any] = {**REQUEST, "model": f"openai/{REQUEST['model']}"}

    def work() -> Any:
        return litellm.video_generation(**request, api_key=KEY, api_base=NOWHERE, client=client)

    assert work().status == QUEUED["status"]
    return best(work, 50)


def content(_: argparse.Namespace) -> float:
    """Seconds to make a JSON body of a request, as `video_generation` does before it sends it."""
    manager = import_module("litellm.utils").ProviderConfigManager
    provider = import_module("litellm").LlmProviders.RUNWAYML
    optional = import_module(
        "litellm.videos.utils"
    ).VideoGenerationRequestUtils.get_optional_params_video_generation
    general = import_module("litellm.types.router").GenericLiteLLMParams()

    prompts = cycle([f"{PROMPT}, take {number}" for number in range(1_000)])

    def work(prompt: str = "") -> bytes:
        config = manager.get_provider_video_config(model="gen4.5", provider=provider)
        fields = optional(
            model="gen4.5",
            video_generation_provider_config=config,
            video_generation_optional_params={"seconds": "5", "size": "720x1280"},
        )
        body, _, _ = config.transform_video_create_request(
            model="gen4.5",
            prompt=prompt or next(prompts),
            api_base=NOWHERE,
            video_create_optional_request_params=fields,
            litellm_params=general,
            headers={},
        )
        return json.dumps(body).encode()

    assert json.loads(work(PROMPT)) == {
        "model": "gen4.5",
        "promptText": PROMPT,
        "ratio": "720:1280",
        "duration": 5,
    }
    return best(work, 2000)


def polling(options: argparse.Namespace) -> dict[str, float]:
    """Status queries with `avideo_status`, which does not retry."""
    litellm = import_module("litellm")
    to: Any = {"custom_llm_provider": "openai", "api_key": KEY, "api_base": options.base_url}

    async def ask(job: str) -> None:
        assert (await litellm.avideo_status(job, **to)).status

    async def poll() -> dict[str, float]:
        return await measuring.polling(ask, options)

    return asyncio.run(poll())


def download(options: argparse.Namespace) -> dict[str, float]:
    """A film with `video_content`, which returns bytes, written to a file as its documentation
    does.
    """
    litellm = import_module("litellm")

    def fetch(url: str, path: Path) -> None:
        path.write_bytes(
            litellm.video_content("film", custom_llm_provider="openai", api_key=KEY, api_base=url)
        )

    return measuring.download(fetch, options)


if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    figures = {"submit": submit, "bytes": content, "polling": polling, "download": download}
    measuring.report("litellm", "litellm", figures)
