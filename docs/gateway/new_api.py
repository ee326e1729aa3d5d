"""A client of a server that runs new-api, such as UniAll's.

python docs/gateway/new_api.py https://api.uniall.ai KEY clip.mp4
"""

import sys
import time
from pathlib import Path
from typing import Any

import httpx

BODY = {"model": "kling-v3-std-silent", "prompt": "a cat in neon rain", "duration": 5}


def called(url: str, key: str, body: object = None) -> Any:
    """The JSON answer to a call."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.request("GET" if body is None else "POST", url, json=body, headers=headers)
    return answer.raise_for_status().json()


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    job = called(f"{base_url}/v1/video/generations", key, BODY)
    while job["status"] in ("queued", "in_progress"):
        time.sleep(0.2)
        job = called(f"{base_url}/v1/videos/{job['id']}", key)
    if job["status"] != "completed":
        sys.exit(job["error"]["message"])
    url, headers = f"{base_url}/v1/videos/{job['id']}/content", {"Authorization": f"Bearer {key}"}
    clip = httpx.get(url, headers=headers, timeout=60).raise_for_status().content
    Path(path).write_bytes(clip)


if __name__ == "__main__":
    main(*sys.argv[1:4])
