"""What can go wrong on a vendor's side, as data. It names no vendor; `corruption` acts on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from attrs import Factory, frozen

from ..errors import UnknownNameError, did_you_mean
from ..flows import Ending

CallKind = Literal["submit", "stream", "poll", "list", "download", "upload"]
CALL_KINDS: Final[Mapping[str, CallKind]] = {
    "create": "submit",
    "stream": "submit",
    "get": "poll",
    "get-fallback": "poll",
    "list": "list",
    "list-running": "list",
    "batch-get": "list",
    "content": "download",
    "upload": "upload",
    "upload-base64": "upload",
    "upload-url": "upload",
}
"""The kind of a call, by its role in the contract.

A submit that streams is of the kind `stream` too. Other calls, such as that for credits, have no
faults.
"""

When = Literal["always", "ended", "succeeded", "ranged"]
"""What a call must be about for a fault to fit it.

`ended` and `succeeded` are states of its job; `ranged` is a part of a file.
"""

Change = Literal[
    "first-event",
    "strange-status",
    "no-status",
    "running-again",
    "no-outputs",
    "no-tasks",
    "whole-file",
    "other-part",
    "no-part",
    "other-file",
]
"""How the vendor's own answer is changed: the end of a stream, facts of a task, a list, a file."""

HTML: Final = (
    b"<!doctype html><html><head><title>One moment</title></head>"
    b"<body>One moment, please.</body></html>"
)
FOREIGN: Final = b'{"blocked": true, "rule": 949110}'
"""What a gateway in front of a vendor can answer: JSON, and not in the vendor's own shape."""
_TYPE_HTML: Final = MappingProxyType({"content-type": "text/html; charset=utf-8"})
_TYPE_JSON: Final = MappingProxyType({"content-type": "application/json"})


@frozen
class Fault:
    """One thing that can go wrong.

    Every field that is set changes one thing about the answer.
    """

    name: str
    call: CallKind
    accepted: bool = False
    """Whether the vendor first does what was asked: a submit makes a job and is billed.

    Then the fault changes the answer, unless that is an error. Otherwise the fault replaces it, and
    nothing is done.
    """
    when: When = "always"
    refuses: bool = False
    """Whether not even the connection is accepted; a server on a port resets it instead."""
    error: str | int | None = None
    """Answer with a documented error, by its name or HTTP status."""
    names_task: bool = False
    """Whether a documented error also has the id of the task that was accepted."""
    content: bytes | None = None
    """Answer HTTP 200 with this."""
    status: int | None = None
    """Another HTTP status than that of the answer."""
    headers: Mapping[str, str] = Factory(dict)
    """Headers that replace those of the answer.

    `{now}` and `{later}` become HTTP dates, two seconds apart.
    """
    change: Change | None = None
    ending: Ending = "whole"


def _lost_submits() -> Iterator[Fault]:
    """Submits that are accepted and billed, and whose answers do not arrive whole."""
    endings: tuple[Ending, ...] = ("reset", "close", "silence", "cut", "drip")
    yield from (Fault(f"lost-{ending}", "submit", True, ending=ending) for ending in endings)
    yield Fault("lost-html", "submit", True, content=HTML, headers=_TYPE_HTML)
    yield Fault("lost-empty", "submit", True, content=b"{}", headers=_TYPE_JSON)
    yield from (
        Fault(f"lost-{status}", "submit", True, error=status) for status in (500, 502, 503, 504)
    )
    # Statuses of refusals, which are none: the vendor has the job.
    yield Fault("lost-429-id", "submit", True, error="rate_limited", names_task=True)
    yield Fault("lost-400-json", "submit", True, content=FOREIGN, status=400, headers=_TYPE_JSON)
    yield from (
        Fault(
            f"lost-{status}-html", "submit", True, content=HTML, status=status, headers=_TYPE_HTML
        )
        for status in (401, 403, 404, 429)
    )
    yield Fault("lost-429-empty", "submit", True, content=b"", status=429)


RETRY_AFTER: Final[Mapping[str, Mapping[str, str]]] = {
    "seconds": {"retry-after": "2"},
    "date": {"retry-after": "{later}", "date": "{now}"},
    "zero": {"retry-after": "0"},
    "negative": {"retry-after": "-1"},
    "huge": {"retry-after": "1000000000"},
    "nan": {"retry-after": "NaN"},
    "superscript": {"retry-after": "\u00b2"},
    "none": {},
}
"""What the answer to too many requests can say about when to try again."""


def _unaccepted_submits() -> Iterator[Fault]:
    """Submits that the vendor never accepted."""
    yield Fault("refused", "submit", refuses=True, ending="reset")
    endings: tuple[Ending, ...] = ("reset", "close", "silence")
    yield from (Fault(f"unheard-{ending}", "submit", ending=ending) for ending in endings)
    yield from (Fault(str(status), "submit", error=status) for status in (500, 502, 503, 504))
    for name, headers in RETRY_AFTER.items():
        yield Fault(f"rate-limited-{name}", "submit", error="rate_limited", headers=headers)
    for status in (301, 302, 303, 307, 308):
        yield Fault(
            f"redirect-{status}",
            "submit",
            content=b"",
            status=status,
            headers={"location": "/moved/here"},
        )


def _streams() -> Iterator[Fault]:
    """Event streams that end after their first event."""
    endings: tuple[Ending, ...] = ("cut", "reset", "silence")
    yield from (
        Fault(f"stream-{ending}", "stream", True, change="first-event", ending=ending)
        for ending in endings
    )
    yield Fault("stream-end", "stream", True, change="first-event")


def _polls() -> Iterator[Fault]:
    yield Fault("poll-reset", "poll", ending="reset")
    yield Fault("poll-silence", "poll", ending="silence")
    yield Fault("poll-cut", "poll", True, ending="cut")
    yield Fault("poll-html", "poll", content=HTML, headers=_TYPE_HTML)
    yield Fault("poll-empty", "poll", content=b"{}", headers=_TYPE_JSON)
    yield Fault("poll-500", "poll", error=500)
    yield Fault("poll-503", "poll", error=503)
    yield Fault("poll-rate-limited", "poll", error="rate_limited", headers=RETRY_AFTER["seconds"])
    yield Fault("poll-not-found", "poll", error="not_found")
    yield Fault("unknown-status", "poll", True, change="strange-status")
    yield Fault("missing-status", "poll", True, change="no-status")
    yield Fault("regressing-status", "poll", True, "ended", change="running-again")
    yield Fault("no-output", "poll", True, "succeeded", change="no-outputs")


def _lists_and_uploads() -> Iterator[Fault]:
    yield Fault("list-500", "list", error=500)
    yield Fault("list-empty", "list", True, change="no-tasks")
    yield Fault("upload-500", "upload", error=500)
    yield Fault("upload-reset", "upload", True, ending="reset")
    yield Fault("upload-html", "upload", True, content=HTML, headers=_TYPE_HTML)


def _downloads() -> Iterator[Fault]:
    yield from (Fault(f"link-{status}", "download", error=status) for status in (403, 404, 410))
    yield Fault("file-cut", "download", True, ending="cut")
    yield Fault("file-reset", "download", ending="reset")
    yield Fault("file-html", "download", True, content=HTML, headers=_TYPE_HTML)
    yield Fault(
        "file-empty",
        "download",
        True,
        content=b"",
        headers={"content-type": "application/octet-stream"},
    )
    yield Fault("file-500", "download", error=500)
    yield Fault("range-ignored", "download", True, "ranged", change="whole-file")
    yield Fault("range-wrong", "download", True, "ranged", change="other-part")
    yield Fault("range-refused", "download", True, "ranged", change="no-part")
    yield Fault("file-changed", "download", True, change="other-file")


_SUBMITS: Final = (*_lost_submits(), *_unaccepted_submits(), *_streams())
_ALL: Final = (*_SUBMITS, *_polls(), *_lists_and_uploads(), *_downloads())
FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({fault.name: fault for fault in _ALL})
"""Every fault, by its name."""
NAMED: Final = 50
"""How many faults a message names. One over 1,000 characters is read by nobody."""


def fault_names() -> str:
    """The names of faults, for a message. It ends after some, with where all of them are."""
    names = list(FAULTS)
    more = f" and {len(names) - NAMED} more, which GET /_polyreel/faults lists"
    return ", ".join(names[:NAMED]) + (more if len(names) > NAMED else "")


def known_faults(name: object) -> str:
    """What follows the refusal of a fault's name: those that there are, and the near ones."""
    return f"there are {fault_names()}{did_you_mean(name, FAULTS)}"


def fault_named(name: str) -> Fault:
    """A fault by its name. Raises UnknownNameError, which names the faults that there are."""
    if name not in FAULTS:
        raise UnknownNameError(f"there is no fault {name!r}; {known_faults(name)}")
    return FAULTS[name]
