"""Makes one clip, and says how it is doing."""

import sys
import time

from polyreel import Client, VideoRequest


def main(prompt: str) -> None:
    request = VideoRequest(prompt=prompt, duration=5)
    with Client.from_env() as client:
        job = client.submit(client.plan(request), output="clips")
        while job.status not in ("succeeded", "failed", "canceled"):
            time.sleep(0.5 if job.simulated else 5)
            job = client.get(job)
            print(job.status, file=sys.stderr)
        if job.error is not None:
            sys.exit(f"{job.vendor}: {job.error.message}")
        for output in client.download(job, "clips").outputs or ():
            print(output.path)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "a cat walking through neon rain")
