"""fal's own SDK: submit, wait, download. It takes addresses that begin with https:// only.

python docs/gateway/fal_sdk.py https://queue.fal.run KEY clip.mp4
"""

import os
import sys
from importlib import import_module
from pathlib import Path

import httpx


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    os.environ["FAL_QUEUE_RUN_HOST"] = base_url.removeprefix("https://")
    client = import_module("fal_client").SyncClient(key=key)
    body = {"prompt": "a cat in neon rain", "duration": "5"}
    done = client.submit("fal-ai/kling-video/v3/standard/text-to-video", arguments=body).get()
    Path(path).write_bytes(httpx.get(done["video"]["url"], timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(*sys.argv[1:4])
