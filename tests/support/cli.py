"""The command line as a stranger meets it: run in process or as a process of its own, with what
nobody may ever see.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import av
import httpx
import polyreel
import pytest
from attrs import frozen
from polyreel.cli import app
from polyreel.providers.base.registry import all_providers, get_provider

from . import forked

CANARY = "sk-canary-0123456789abcdef"
"""The value of every key in the environment; it is shown nowhere."""
LEDGER = ".polyreel/ledger.sqlite3"
"""The ledger, in the folder where a command runs."""
VENDORS = list(all_providers())
KEYS = [provider.key_variable for provider in all_providers().values()]
FIRST = VENDORS[0]
NO_REFERENCES = next(
    vendor
    for vendor, provider in all_providers().items()
    if all(route.workflow != "reference-to-video" for route in provider.routes)
)
NO_FILES = next(vendor for vendor, provider in all_providers().items() if provider.files == "none")


def seller(workflow: str, model: str | None = None) -> str:
    """The first vendor that serves a workflow."""
    return next(
        vendor
        for vendor, provider in all_providers().items()
        if any(
            route.workflow == workflow and model in {None, route.model} for route in provider.routes
        )
    )


@frozen
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def last_line(self) -> str:
        """The last message."""
        return self.err.strip().splitlines()[-1]

    def check(self) -> "Outcome":
        """What holds for every command line: no traceback, no terminal codes, no key."""
        for text in (self.out, self.err):
            assert "Traceback" not in text, text
            assert "Exception ignored" not in text, text
            assert "\x1b" not in text
            assert CANARY not in text
        return self


class Command:
    """Runs command lines in this process."""

    def __init__(
        self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.capture = capture
        self.monkeypatch = monkeypatch
        self.seen: list[str] = []
        """Everything that was shown so far."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        self.monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii")
        )
        self.capture.readouterr()
        code = app.run(list(arguments))
        outcome = Outcome(code, *self.capture.readouterr()).check()
        self.seen += [outcome.out, outcome.err]
        return outcome

    def fails(self, code: int, arguments: tuple[str, ...], needle: str) -> None:
        """One message on stderr names what is wrong; stdout has one document with --json, and
        nothing without.
        """
        plain, asked = self(*arguments), self(*arguments, "--json")
        assert (plain.code, asked.code) == (code, code), plain.err
        assert plain.out == ""
        for found in (plain, asked):
            assert re.findall(r"^(error|internal error|interrupted)", found.err, re.MULTILINE) == [
                "error"
            ], found.err
            assert needle in found.err
        document = asked.document
        assert document["status"] == "error"
        assert document["error"]["exit_code"] == code
        assert document["error"]["message"] in plain.err


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when anything is sent."""

    def sent(*_: object) -> NoReturn:
        # Not an Exception: nothing may catch it.
        raise pytest.fail.Exception("a request was sent")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", sent)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", sent)


def stranger(
    capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Command:
    """Command lines in a folder, with a key for every vendor and no way out to the network."""
    monkeypatch.chdir(folder)
    for provider in all_providers().values():
        monkeypatch.setenv(provider.key_variable, CANARY)
        if provider.base_url_variable:
            monkeypatch.delenv(provider.base_url_variable, raising=False)
    monkeypatch.delenv("POLYREEL_VENDORS", raising=False)
    monkeypatch.setenv("POLYREEL_LEDGER", LEDGER)
    monkeypatch.setenv("POLYREEL_LIMITS", str(folder / "limits"))
    no_network(monkeypatch)
    return Command(capture, monkeypatch)


def environment(**more: str) -> dict[str, str]:
    """The environment of a process, with a key for every vendor."""
    bases = {provider.base_url_variable for provider in all_providers().values()}
    odd = {"POLYREEL_VENDORS", "PYTHONIOENCODING", "PYTHONUTF8", "FORCE_COLOR", "NO_COLOR", *bases}
    plain = {name: value for name, value in os.environ.items() if name not in odd}
    return {**plain, **dict.fromkeys(KEYS, CANARY), "POLYREEL_LEDGER": LEDGER, **more}


def process(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    fresh: bool = False,
    **options: Any,
) -> Outcome:
    """Run a command line as a process of its own.

    It is a fresh interpreter where that is asked for, and where there are options of `subprocess`.
    """
    variables, fresh = environment(**(env or {})), fresh or bool(options)
    command = ("-m", "polyreel", *arguments)
    done = forked.run(*command, cwd=cwd, env=variables, fresh=fresh, **options)
    return Outcome(done.returncode, done.stdout, done.stderr).check()


def streams(path: str) -> tuple[float, int, int, int]:
    """Seconds, width, height and number of sound streams of a clip."""
    with av.open(path) as clip:
        assert clip.duration is not None
        video = clip.streams.video[0]
        return clip.duration / 1_000_000, video.width, video.height, len(clip.streams.audio)


def failing(error: BaseException) -> Callable[..., NoReturn]:
    """A function that raises."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


def read_terminal(terminal: int) -> bytes:
    """What a terminal shows next; nothing at its end."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        # Linux says so when the other side is closed.
        return b""


# --- bad requests: arguments of `generate`, the bytes of r.json, and what the message names

PLAIN = polyreel.plan({"prompt": "a"}, get_provider(FIRST))
DEEP = b'{"prompt": "x", "extra": {"x": {"y": ' + b"[" * 500 + b"]" * 500 + b"}}}"
TAKEN = json.dumps({"prompt": "a", "extra": {FIRST: {next(iter(PLAIN.body)): "b"}}}).encode()
STRAY = json.dumps({"prompt": "a", "extra": {FIRST: {"no_such_field": 1}}}).encode()

FLAGS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "prompt"),
    "empty-prompt": (("",), "prompt"),
    "blank-prompt": (("  ",), "prompt"),
    "half-character": (("a \udcff cat",), "prompt: not valid Unicode text"),
    "two-prompts": (("a", "b"), "unexpected extra argument"),
    "duration-text": (("a", "--duration", "long"), "--duration"),
    "duration-fraction": (("a", "--duration", "5.5"), "--duration"),
    "duration-zero": (("a", "--duration", "0"), "duration"),
    "duration-99": (("a", "--duration", "99", "--vendor", FIRST), "duration"),
    "duration-huge": (("a", "--duration", "9" * 400, "--vendor", FIRST), "duration"),
    "ratio-spelling": (("a", "--aspect-ratio", "9x16"), "aspect_ratio"),
    "ratio-not-offered": (("a", "--aspect-ratio", "98:97"), "aspect_ratio"),
    "resolution": (("a", "--resolution", "8k"), "--resolution"),
    "guidance-nan": (("a", "--guidance-scale", "nan"), "guidance_scale"),
    "guidance-2": (("a", "--guidance-scale", "2"), "guidance_scale"),
    "model": (("a", "--model", "nonesuch"), "model: "),
    "vendor": (("a", "--vendor", "nonesuch"), "nonesuch"),
    "vendor-empty": (("a", "--vendor", ""), "vendor"),
    "option": (("a", "--durations", "5"), "--durations"),
    "timeout-negative": (("a", "--timeout", "-1"), "--timeout"),
    "timeout-nan": (("a", "--timeout", "nan"), "--timeout"),
    "timeout-text": (("a", "--timeout", "soon"), "--timeout"),
    "file-missing": (("a", "--first-frame", "none.png"), "first_frame"),
    "file-folder": (("a", "--first-frame", "."), "first_frame"),
    "file-text": (("a", "--first-frame", "r.json"), "first_frame"),
    "file-long": (("a", "--first-frame", "x" * 5000), "first_frame"),
    "file-not-taken": (("a", "--first-frame", "cat.png", "--vendor", NO_FILES), "first_frame"),
    "url-data": (("a", "--first-frame", "data:image/png;base64,AAAA"), "first_frame"),
    "url-ftp": (("a", "--first-frame", "ftp://example.com/a.png"), "first_frame"),
    "url-no-host": (("a", "--first-frame", "https://"), "first_frame"),
    "url-broken": (("a", "--first-frame", "https://[::1/a.png"), "first_frame"),
    "callback": (("a", "--callback-url", "http://10.0.0.1/x"), "callback_url"),
    "image-and-video": (
        ("a", "--output-format", "webp", "--source-video", "https://example.com/a.mp4"),
        "source_video",
    ),
    "clips-not-sold": (
        (
            *("a", "--count", "2", "--model", "kling-o3"),
            *("--source-video", "https://example.com/a.mp4"),
        ),
        "count",
    ),
    "duration-word": (("a", "--duration", "soon"), "--duration"),
    "image-and-seconds": (("a", "--output-format", "webp", "--duration", "5"), "duration"),
}
REQUESTS: Mapping[str, tuple[bytes, str]] = {
    "no-bytes": (b"", "--request r.json"),
    "broken": (b'{"prompt": ', "--request r.json"),
    "list": (b'[{"prompt": "a"}]', "--request r.json"),
    "text": (b'"a cat"', "--request r.json"),
    "only-null": (b"null", "--request r.json"),
    "empty-object": (b"{}", "prompt"),
    "null-value": (b'{"prompt": "a", "duration": null}', "duration"),
    "unknown-field": (b'{"prompt": "a", "seconds": 5}', "seconds"),
    "number-as-text": (b'{"prompt": "a", "duration": "5"}', "duration"),
    "yes-as-number": (b'{"prompt": "a", "duration": true}', "duration"),
    "wrong-kind": (b'{"prompt": "a", "resolution": ["720p"]}', "resolution"),
    "blank-shot": (b'{"shots": [{"prompt": " "}]}', "shots"),
    "no-number": (b'{"prompt": "a", "guidance_scale": NaN}', "NaN"),
    "infinite": (b'{"prompt": "a", "guidance_scale": 1e999}', "guidance_scale"),
    "twice": (b'{"prompt": "a", "prompt": "b"}', "prompt is there twice"),
    "lone-surrogate": (b'{"prompt": "\\ud800"}', "prompt: not valid Unicode text"),
    "nul-in-path": (b'{"prompt": "a", "first_frame": "a\\u0000.png"}', "first_frame"),
    "not-utf-8": (b'{"prompt": "\xff\xfe"}', "--request r.json"),
    "endless": (b"[" * 200_000, "nested too deeply"),
    "deep": (DEEP, "extra"),
    "huge-number": (b'{"duration": ' + b"9" * 5000 + b"}", "digits"),
    "too-long": (b" " * 8_000_001, "--request r.json"),
    "extra-text": (json.dumps({"prompt": "a", "extra": {FIRST: "x"}}).encode(), "extra"),
}
REFUSED: dict[str, tuple[tuple[str, ...], bytes, str]] = {
    **{name: (flags, b"", needle) for name, (flags, needle) in FLAGS.items()},
    **{
        name: (("--request", "r.json"), content, needle)
        for name, (content, needle) in REQUESTS.items()
    },
    "taken": (("--request", "r.json", "--vendor", FIRST), TAKEN, "extra"),
    "stray": (("--request", "r.json", "--vendor", FIRST), STRAY, "extra"),
    "request-missing": (("--request", "none.json"), b"", "--request none.json"),
    "request-folder": (("--request", "."), b"", "--request ."),
}
if (UNREADABLE := Path("/proc/self/mem")).exists():  # not even root can read its first byte
    REFUSED["request-unreadable"] = ("--request", str(UNREADABLE)), b"", f"--request {UNREADABLE}"
    REFUSED["file-unreadable"] = ("a", "--first-frame", str(UNREADABLE)), b"", "first_frame"
