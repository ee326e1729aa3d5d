"""One request, every vendor: which would serve it, and with which body."""

import json
import sys

import polyreel


def main(vendor: str | None = None) -> None:
    request = polyreel.VideoRequest(prompt="a cat", duration=5, aspect_ratio="16:9")
    with polyreel.Client(vendors=[vendor] if vendor else None) as client:
        plans = client.plans(request)
        for plan in plans:
            verdict = "refused" if plan.refused else "serves it"
            print(plan.vendor, verdict, json.dumps(plan.body, sort_keys=True))
        job = client.generate(plans, output="clips")
        print(job.vendor, job.status)


if __name__ == "__main__":
    main(*sys.argv[1:2])
