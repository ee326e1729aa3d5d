"""The pictures of the documentation: SVG with text, drawn of what the program really prints."""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from xml.sax.saxutils import escape

from polyreel.cli.app import run
from polyreel.providers.base.registry import all_providers

Span = tuple[str, str]
"""A text and its colour."""
SIZE: Final = 13
ADVANCE: Final = 7.83
"""Pixels of a character of that size."""
LINE: Final = 19
MARGIN: Final = 18
TEXT, DIM, TITLE = "#c9d1d9", "#8b949e", "#ffffff"
COLOURS: Final = {
    "exact": "#3fb950",
    "converted": "#39c5cf",
    "defaulted": "#d29922",
    "approximated": "#d29922",
    "dropped": "#d29922",
    "refused": "#f85149",
    "error:": "#f85149",
    "next:": "#39c5cf",
    "found": "#3fb950",
    "saved": "#3fb950",
}
FIELDS: Final = ("duration", "aspect_ratio", "resolution", "audio", "watermark")
REQUEST: Final = (
    *('"a cat in the rain"', "--duration 12", "--aspect-ratio 9:16", "--resolution 1080p"),
    *("--audio", "--no-watermark"),
)
"""What the plan is asked for, as it is typed."""
PROMPT: Final = "a cat in the rain"
PROGRESS: Final = re.compile(r"\S+ \S+: (queued|running|succeeded|unknown)\b.*")
"""A line of progress, which a terminal shows for a while only."""


def drawn(title: str, lines: Sequence[Sequence[Span]]) -> str:
    """Lines of coloured text on a dark ground."""
    columns = max(sum(len(text) for text, _ in line) for line in lines)
    width, height = round(columns * ADVANCE) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" '
        f'font-size="{SIZE}">',
    ]
    for number, line in enumerate(lines):
        at = 0
        for text, colour in line:
            if text.strip():
                x, y = round(MARGIN + at * ADVANCE, 1), MARGIN + number * LINE + SIZE
                length = round(len(text) * ADVANCE, 1)
                parts.append(
                    f'<text x="{x}" y="{y}" fill="{colour}" xml:space="preserve" '
                    f'textLength="{length}">{escape(text)}</text>'
                )
            at += len(text)
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


# -- one request, all vendors ----------------------------------------------------------------------


def plans() -> str:
    """What `polyreel plan --vendor all` says of one request, with a row for each vendor."""
    words = [word.strip('"') for text in REQUEST for word in re.findall(r'"[^"]*"|\S+', text)]
    with stranger():
        printed, _ = polyreel("plan", *words, "--vendor", "all", "--json")
    rows = [_row(plan) for plan in json.loads(printed)]
    headers = [[("", TEXT)] * 2, *([(name, TITLE), ("", TEXT)] for name in (*FIELDS, "price"))]
    cells = [headers, *rows]
    widths = [
        max(len(cell[n][0]) for row in cells for cell in [row[at]] for n in (0, 1)) + 2
        for at in range(len(headers))
    ]
    lines: list[list[Span]] = [[("$ polyreel plan " + " ".join(REQUEST) + " --vendor all", TITLE)]]
    for row in cells:
        lines.append([])
        lines += [
            [(cell[n][0].ljust(width), cell[n][1]) for cell, width in zip(row, widths, strict=True)]
            for n in ((0,) if row is headers else (0, 1))
        ]
    return drawn("What every vendor makes of one request", lines)


def _row(plan: dict[str, Any]) -> list[list[Span]]:
    """A vendor's cells, each of two lines: the verdicts, and the native fields and values."""
    found = {one["field"]: one for one in plan["verdicts"]}
    cells = [[(plan["vendor"], TITLE), (plan["model"] or "", DIM)]]
    for name in FIELDS:
        verdict = found[name]["verdict"]
        cells.append([(verdict, COLOURS[verdict]), (_native(plan, found[name]), DIM)])
    usd = plan["cost"]["usd"]
    price = "unknown" if usd is None else f"${float(usd):.2f}"
    return [*cells, [("-" if plan["violations"] else price, TEXT), ("", TEXT)]]


def _native(plan: dict[str, Any], verdict: dict[str, str]) -> str:
    """The native field and its value; why there is none."""
    if not verdict["target"]:
        reason = "not offered" if "not offered" in verdict["reason"] else "no such field"
        return reason if verdict["verdict"] == "refused" else ""
    value: Any = plan["body"]
    *_, name = path = verdict["target"].strip("/").split("/")
    for part in path:
        value = value[part]
    return f"{name}: {json.dumps(value)}"


# -- a lost answer ---------------------------------------------------------------------------------


def lost_answer() -> str:
    """A submit whose answer is lost, and the commands that finish it."""
    for vendor in all_providers():
        with stranger():
            lines = [*_session(vendor)][:-1]
        if lines:
            return drawn(
                "The answer to a submit is lost; reconcile and resume finish the job", lines
            )
    raise SystemExit("no vendor documents a way to find a lost job")


def _session(vendor: str) -> Iterator[list[Span]]:
    """The commands and what they print; nothing where the vendor's job is not found."""
    options = ("--vendor", vendor) if vendor != next(iter(all_providers())) else ()
    commands = (
        ("generate", PROMPT, *options, "--fault", "lost-reset"),
        ("reconcile",),
        ("resume",),
    )
    done = [polyreel(*command) for command in commands]
    (entry,) = json.loads(polyreel("jobs", "--json")[0])
    if [code for _, code in done] != [6, 0, 0] or entry["state"] != "saved":
        return
    names = {one: _like(one) for one in (entry["id"], entry["job"]["id"])}
    for command, (shown, _) in zip(commands, done, strict=True):
        typed = " ".join(f'"{word}"' if " " in word else word for word in command)
        yield [(f"$ polyreel {typed}", TITLE)]
        for text in shown.splitlines():
            line = text.replace(f"{Path.cwd()}{os.sep}", "")
            for name, other in names.items():
                line = line.replace(name, other)
            if line.strip() and not PROGRESS.fullmatch(line):
                yield from ([span] for span in _coloured(line))
        yield []


def _coloured(text: str) -> Iterator[Span]:
    """A line of output, in parts that are not too long."""
    colour = next((COLOURS[word] for word in text.split() if word in COLOURS), TEXT)
    rest = text.rstrip()
    while len(rest) > 100:
        at = rest.rfind(" ", 0, 100)
        yield rest[:at], colour
        rest = rest[at + 1 :]
    yield rest, colour


def _like(name: str) -> str:
    """Another id that looks the same, and is the same in every run: its words stay."""
    chance = random.Random(4)
    signs = "abcdefghijkmnpqrstuvwxyz23456789"

    def other(part: str) -> str:
        if part in {"-", "_"} or (part.isalpha() and len(part) < len("a2b3c4d5")):
            return part
        return "".join(chance.choice("123456789" if part.isdigit() else signs) for _ in part)

    return "".join(map(other, re.split(r"([-_])", name)))


def polyreel(*arguments: str) -> tuple[str, int]:
    """What a command shows, and its exit code; with --json only what stands on stdout."""
    shown, notes = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(shown), redirect_stderr(notes if "--json" in arguments else shown):
        code = run([*arguments])
    shown.seek(0)
    return shown.read(), code


@contextmanager
def stranger() -> Iterator[None]:
    """An empty folder with a ledger of its own, and an environment that says nothing."""
    before, here = dict(os.environ), Path.cwd()
    with TemporaryDirectory() as folder:
        for name in before:
            if name.startswith("POLYREEL") or any(name.startswith(stem) for stem in _stems()):
                del os.environ[name]
        os.environ |= {"COLUMNS": "100", "POLYREEL_LEDGER": str(Path(folder) / "jobs.sqlite3")}
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)


def _stems() -> list[str]:
    return [vendor.upper().replace("-", "_") for vendor in all_providers()]


PICTURES: Final = {"plans.svg": plans, "lost-answer.svg": lost_answer}
