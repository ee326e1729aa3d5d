"""What can go wrong on a vendor's side, as data. Nothing here knows a vendor, and `spoiling` alone acts on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from attrs import Factory, frozen

from ..errors import UnknownNameError
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
"""The kind of a call by its role in the contract; a submit that streams is of the kind `stream` too. Other calls, such
as that for the credits, have no faults."""

When = Literal["always", "ended", "succeeded", "ranged"]
"""What a call must be about for a fault to fit it: a job that has ended, or succeeded; a part of a file."""

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
"""How the vendor's own answer is changed: how far a stream goes, the facts of a task, a list, or what is given of a
file."""

HTML: Final = b"<!doctype html><html><head><title>One moment</title></head><body>One moment, please.</body></html>"
_TYPE_HTML: Final = MappingProxyType({"content-type": "text/html; charset=utf-8"})
_TYPE_JSON: Final = MappingProxyType({"content-type": "application/json"})


@frozen
class Fault:
    """One thing that can go wrong.

    Where it is `accepted`, the vendor does first what was asked (a submit makes a job, and is billed), and then its
    answer is spoiled; a refusal is not. Otherwise the fault comes in the place of everything.
    """

    name: str
    call: CallKind
    accepted: bool = False
    when: When = "always"
    refuses: bool = False
    """Whether not even the connection is accepted. Over a real port, which cannot do that, it is reset."""
    error: str | int | None = None
    """Answer with a documented error, by its name or HTTP status."""
    content: bytes | None = None
    """Answer HTTP 200 with this."""
    status: int | None = None
    """Another HTTP status than that of the answer."""
    headers: Mapping[str, str] = Factory(dict)
    """Headers in the place of the answer's; `{now}` and `{later}` are HTTP dates, two seconds apart."""
    change: Change | None = None
    ending: Ending = "whole"


def _lost_submits() -> Iterator[Fault]:
    """Submits that are accepted and billed, and whose answers never arrive in one piece."""
    endings: tuple[Ending, ...] = ("reset", "close", "silence", "cut", "drip")
    yield from (Fault(f"lost-{ending}", "submit", True, ending=ending) for ending in endings)
    yield Fault("lost-html", "submit", True, content=HTML, headers=_TYPE_HTML)
    yield Fault("lost-empty", "submit", True, content=b"{}", headers=_TYPE_JSON)
    yield from (
        Fault(f"lost-{status}", "submit", True, error=status) for status in (500, 502, 503, 504)
    )


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
"""What a rate limit can say of when to come again."""


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
    """Event streams that tell of the job once, and then no more."""
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


def fault_named(name: str) -> Fault:
    """A fault by its name; UnknownNameError lists what there is."""
    if name not in FAULTS:
        raise UnknownNameError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    return FAULTS[name]
