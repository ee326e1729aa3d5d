"""The same by server-sent events: one call that ends with the clip.

python docs/gateway/create_and_stream.py https://open.skills.video/api/v1 KEY clip.mp4
"""

import json
import sys
from pathlib import Path

import httpx

BODY = {"prompt": "a cat walking through neon rain", "duration": 5}


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    url = f"{base_url}/generation/sse/kling-ai/o3/video"
    event = {}
    with httpx.stream("POST", url, json=BODY, headers=headers) as stream:
        for line in stream.raise_for_status().iter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
    if event.get("status") != "COMPLETED":
        sys.exit(event.get("message") or "the stream ended early")
    link = event["data"]["videos"][0]["url"]
    Path(path).write_bytes(httpx.get(link, timeout=60).raise_for_status().content)


if __name__ == "__main__":
    main(*sys.argv[1:4])
