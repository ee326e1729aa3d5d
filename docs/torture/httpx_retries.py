"""A submit with the retry loop that many programs have.

polyreel torture "python docs/torture/httpx_retries.py"
"""

import os
import time

import httpx

PROMPT = "a cat walking through neon rain"
SUBMITS = {
    "evolink": (
        "/v1/videos/generations",
        {"model": "kling-o3-text-to-video", "prompt": PROMPT, "duration": 5},
    ),
    "skills-video": ("/generation/kling-ai/o3/video", {"prompt": PROMPT, "duration": 5}),
    "uniall": (
        "/v1/video/generations",
        {"model": "kling-v3-std-silent", "prompt": PROMPT, "duration": 5},
    ),
}
TRIES = 4


def submit() -> httpx.Response:
    """Try until it works: a time-out looks like a job that was not accepted, and is not."""
    path, body = SUBMITS[os.environ["POLYREEL_TORTURE_VENDOR"]]
    headers = {"Authorization": f"Bearer {os.environ['POLYREEL_TORTURE_KEY']}"}
    for attempt in range(TRIES):
        try:
            url = os.environ["POLYREEL_TORTURE_URL"] + path
            reply = httpx.post(url, json=body, headers=headers, timeout=1)
            reply.raise_for_status()
            reply.json()["id"]
        except (httpx.HTTPError, ValueError, KeyError):
            if attempt == TRIES - 1:
                raise
            time.sleep(0.1)
        else:
            return reply
    raise AssertionError


if __name__ == "__main__":
    submit()
