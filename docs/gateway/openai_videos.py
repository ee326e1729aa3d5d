"""The openai SDK's videos: create, wait, download.

python docs/gateway/openai_videos.py http://127.0.0.1:8770/v1 KEY clip.mp4
"""

import sys
from importlib import import_module


def main(base_url: str, key: str, path: str) -> None:
    """Have one clip made, and fetch it."""
    client = import_module("openai").OpenAI(base_url=base_url, api_key=key)
    video = client.videos.create_and_poll(
        model="kling-v3", prompt="a cat in neon rain", seconds="5", size="720x1280"
    )
    if video.status != "completed":
        sys.exit(video.error.message)
    client.videos.download_content(video.id).write_to_file(path)


if __name__ == "__main__":
    main(*sys.argv[1:4])
