"""Submit a task, ask for it, download its result: a client of EvoLink.

python docs/gateway/submit_and_poll.py https://api.evolink.ai KEY clip.mp4
"""

import sys
import time
from pathlib import Path
from typing import Any

import httpx

BODY = {"model": "kling-v3-text-to-video", "prompt": "a cat in neon rain", "duration": 5}


def called(url: str, key: str, body: object = None) -> Any:
    """The JSON answer to a call."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.request("GET" if body is None else "POST", url, json=body, headers=headers)
    return answer.raise_for_status().json()


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    task = called(f"{base_url}/v1/videos/generations", key, BODY)
    while task["status"] in ("pending", "processing"):
        time.sleep(0.2)
        task = called(f"{base_url}/v1/tasks/{task['id']}", key)
    if task["status"] != "completed":
        sys.exit(task["error"]["message"])
    Path(path).write_bytes(httpx.get(task["results"][0], timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(*sys.argv[1:4])
