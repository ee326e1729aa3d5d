"""Measure fal-client: importing and submitting. Prints one JSON object.

It has no other figures: it asks its own queue about jobs, not a gateway in OpenAI's shape, and has
no call that makes a body without sending it and none that downloads a file.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from typing import Final

import measuring
from measuring import KEY, NOWHERE, PROMPT, best

ARGUMENTS: Final = {
    "prompt": PROMPT,
    "duration": "5",
    "aspect_ratio": "9:16",
    "generate_audio": True,
}
ANSWER: Final = {
    "request_id": "1",
    **{f"{name}_url": f"{NOWHERE}/{name}" for name in ("response", "status", "cancel")},
}


def submit(_: argparse.Namespace) -> float:
    """Seconds for one `SyncClient.submit`, over a transport that answers at once.

    The client has no public place for a transport. It keeps its own, which knows a second address,
    above the mock.
    """
    os.environ["FAL_RUN_HOST"] = "simulated.invalid"
    fal, http = import_module("fal_client.client"), import_module("httpx")
    reply = {
        "headers": {"content-type": "application/json"},
        "content": json.dumps(ANSWER).encode(),
    }
    mocked = http.MockTransport(lambda _: http.Response(200, **reply))
    client = fal.SyncClient(key=KEY)
    client._client._transport = fal.BackupDomainTransport(transport=mocked)
    assert (
        client.submit("simulated/text-to-video", arguments=ARGUMENTS).request_id
        == ANSWER["request_id"]
    )
    return best(lambda: client.submit("simulated/text-to-video", arguments=ARGUMENTS), 100)


if __name__ == "__main__":
    measuring.report("fal-client", "fal_client", {"submit": submit})
