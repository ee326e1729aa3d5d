"""Create a generation and wait for it: the flow that skills.video publishes.

python docs/gateway/create_and_wait.py https://open.skills.video/api/v1 KEY clip.mp4
"""

import sys
import time
from pathlib import Path
from typing import Any

import httpx

BODY = {"prompt": "a cat walking through neon rain", "duration": 5}


def called(url: str, key: str, body: object = None) -> Any:
    """The JSON answer to a call."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.request("GET" if body is None else "POST", url, json=body, headers=headers)
    return answer.raise_for_status().json()


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    made = called(f"{base_url}/generation/kling-ai/v3/video", key, BODY)
    while made["status"] not in ("COMPLETED", "FAILED", "CANCELED"):
        time.sleep(0.2)
        made = called(f"{base_url}/generation/{made['id']}", key)
    if made["status"] != "COMPLETED":
        sys.exit(made.get("message") or made["status"])
    link = made["data"]["videos"][0]["url"]
    Path(path).write_bytes(httpx.get(link, timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(*sys.argv[1:4])
