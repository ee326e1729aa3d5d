"""Runway's own SDK: create, wait, download.

python docs/gateway/runway_sdk.py https://api.dev.runwayml.com KEY clip.mp4
"""

import sys
from importlib import import_module
from pathlib import Path

import httpx


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    client = import_module("runwayml").RunwayML(base_url=base_url, api_key=key)
    task = client.text_to_video.create(
        model="veo3.1", prompt_text="a cat in neon rain", ratio="1280:720", duration=8
    )
    done = task.wait_for_task_output()
    Path(path).write_bytes(httpx.get(done.output[0], timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(*sys.argv[1:4])
