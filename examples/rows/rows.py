"""A clip of each row of a CSV file. Each row is paid once, however often the program runs."""

import csv
import sys
from pathlib import Path

from polyreel import Client, VideoRequest

ROWS = 300


def prompts(path: Path) -> dict[str, str]:
    """The prompts by the names of their rows; the file is made where there is none."""
    if not path.exists():
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["name", "prompt"])
            table.writerows(
                [f"cat-{n:03}", f"cat number {n} crosses a street"] for n in range(ROWS)
            )
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row["name"]: row["prompt"] for row in csv.DictReader(file)}


def main() -> None:
    wanted = prompts(Path("rows.csv"))
    with Client.from_env() as client:
        known = {entry.submission.reference for entry in client.jobs()}
        for name, prompt in wanted.items():
            if name not in known:
                request = VideoRequest(prompt=prompt, duration=5)
                client.submit(client.plan(request), reference=name, output="clips")
        client.work(until_done=True, listener=lambda job: print(job.id, job.status))
        with Path("results.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["name", "state", "file"])
            for entry in client.jobs():
                outputs = (entry.job.outputs if entry.job else None) or []
                reference = entry.submission.reference
                table.writerow([reference, entry.state, outputs[0].path if outputs else ""])
    print(f"{len(wanted)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
