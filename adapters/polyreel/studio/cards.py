"""What a card shows of a job: its state, its files, what was asked for, the bill, what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from attrs import field, frozen

from ..environment import without_keys
from ..errors import PolyreelError
from ..jobs.locations import is_there, location_of
from ..ledger.records import PROVED_UNPAID, LedgerEntry
from ..mapping.inputs import HEAD
from ..mapping.measures import Measures, measure
from ..mapping.media import FIELDS as MEDIA
from ..mapping.media import abridged_body, any_content_type, is_local
from ..mapping.workflows import kind_of, workflow_of
from ..money.amounts import Cost
from ..money.charged import charged
from ..plans.reading import read
from ..providers.base.facts import FINAL
from .forms import VENDOR, Pairs, pairs_of
from .notes import LABEL, RunNote, new_run_id

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.records import Submission
    from ..places import Json, JsonObject
    from .uploads import UploadFolder

MOST_TEXT: Final = 20_000
"""Characters of a raw answer that are shown."""
STATES: Final[Mapping[str, str]] = {
    "queued": "waits to be submitted",
    "sending": "being submitted",
    "unsent": "not sent",
    "rejected": "refused",
    "ambiguous": "unclear, needs you",
    "accepted": "accepted",
    "succeeded": "made, files to be saved",
    "failed": "failed",
    "canceled": "canceled",
    "saved": "done",
    "abandoned": "given up",
    "resubmitted": "submitted again",
}
"""The states of entries in words."""
ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "accepted": ("cancel", "resume"),
    "succeeded": ("resume",),
    "ambiguous": ("reconcile", "adopt", "abandon"),
}
"""What can be done about an entry, by its state."""


@frozen
class Clip:
    """A file of a job that is here."""

    number: int
    path: Path
    content_type: str
    size: int
    measures: Measures

    @property
    def kind(self) -> str:
        """`video`, `image` or `audio`."""
        return self.content_type.partition("/")[0]


def clip_of(entry: LedgerEntry, number: int) -> Clip | None:
    """A file that the ledger says was saved for an entry; None where it is not here, or no media.

    Nothing else is ever opened, whatever an address asks for.
    """
    outputs = (entry.job.outputs if entry.job is not None else None) or []
    path = outputs[number].path if 0 <= number < len(outputs) else None
    if path is None:
        return None
    try:
        place = location_of(path)
        if not isinstance(place, Path):
            return None  # in object storage
        with place.open("rb") as file:
            kind = any_content_type(file.read(HEAD))
            size = file.seek(0, 2)
            if kind is None:
                return None
            return Clip(number, place, kind, size, measure(file, size, kind))
    except (OSError, ValueError):
        return None


@frozen
class AskedAndGot:
    """One thing that was asked for, and what the file has."""

    name: str
    asked: str
    got: str


@frozen(slots=False)
class JobCard:
    """One entry of the ledger as it is shown."""

    entry: LedgerEntry
    uploads: UploadFolder
    note: RunNote | None = None
    """What was typed, where the job was made here."""
    has_client: bool = True
    """Whether there is a client that can do something about it."""
    message: str = ""
    """What became of the last action."""
    again: str = field(factory=new_run_id)
    """The id of the run that begins where it is run again."""

    @property
    def own(self) -> Submission:
        """The paid call."""
        return self.entry.submission

    @property
    def job(self) -> Job | None:
        """The job that it became."""
        return self.entry.job

    @property
    def run(self) -> str | None:
        """The run that it belongs to."""
        return self.own.labels.get(LABEL)

    # -- how it is ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """How it is, in words."""
        if self.entry.trouble is not None:
            return "its row cannot be read"
        if self.entry.state == "accepted" and self.job is not None:
            return "submitted" if self.job.status == "unknown" else self.job.status
        return STATES[self.entry.state]

    @property
    def progress(self) -> int | None:
        """How many percent are done, where the vendor says."""
        known = self.job.progress if self.job is not None else None
        return None if known is None or self.entry.state != "accepted" else round(known * 100)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself soon: it is over, or needs a person."""
        return not self.entry.is_open or self.needs_you or self.entry.trouble is not None

    @property
    def needs_you(self) -> bool:
        """Whether nobody can know what became of it without a person."""
        return self.entry.state == "ambiguous"

    @property
    def reason(self) -> str:
        """What went wrong, in the words of polyreel or the vendor."""
        error = self.job.error if self.job is not None else None
        said = f"{error.code}: {error.message}" if error and error.code else error and error.message
        return without_keys(self.entry.trouble or self.entry.reason or said or "")

    @property
    def prompt(self) -> str:
        """The beginning of its prompt."""
        text = str(self.request.get("prompt") or self.request.get("name") or "")
        shots = self.request.get("shots")
        if not text and isinstance(shots, list):
            text = " / ".join(str(one.get("prompt")) for one in shots if isinstance(one, dict))
        return text if len(text) <= 120 else f"{text[:120]}…"

    @property
    def when(self) -> str:
        """When it was first written down; simulated time can be ahead of everybody else's."""
        text, made = moment_text(self.entry.created_at), self.entry.created_at
        is_ahead = self.entry.submission.simulated and made > time.time()
        return f"{text} by the simulator's clock" if is_ahead else text

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """Its files that are here."""
        outputs = (self.job.outputs if self.job is not None else None) or []
        found = (clip_of(self.entry, number) for number in range(len(outputs)))
        return tuple(one for one in found if one is not None)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Where its other files are: in object storage, or no longer here."""
        outputs = (self.job.outputs if self.job is not None else None) or []
        here = {one.number for one in self.clips}
        return tuple(
            f"{one.path}{'' if is_there(one.path) else ' (not there any more)'}"
            for number, one in enumerate(outputs)
            if one.path and number not in here
        )

    # -- what was asked for ------------------------------------------------------------------------

    @cached_property
    def request(self) -> JsonObject:
        """The shared request, as it is read back from what was sent; empty where it cannot be."""
        try:
            return read(native_of(self.own), self.own.provider, _path(self.own)).request
        except (PolyreelError, ValueError, LookupError):
            return {}

    @property
    def asked(self) -> Iterator[AskedAndGot]:
        """What was asked for beside what the first file has."""
        first = self.clips[0] if self.clips else None
        found = first.measures if first is not None else Measures()
        if first is None or first.kind == "video":
            yield AskedAndGot("seconds", self._said("duration"), _number(found.seconds))
        size = f"{found.width} x {found.height}" if found.width else ""
        yield AskedAndGot("frame", self._said("resolution", "aspect_ratio"), size)
        if first is None or first.kind == "video":
            sound = {True: "with sound", False: "silent", None: ""}[found.sound]
            yield AskedAndGot("sound", self._said("audio"), sound)

    def _said(self, *names: str) -> str:
        values = [self.request[name] for name in names if name in self.request]
        words = {True: "with sound", False: "silent"}
        texts = [words[one] if isinstance(one, bool) else str(one) for one in values]
        return ", ".join(texts) or "the vendor's default"

    @property
    def pairs(self) -> Pairs:
        """What would be typed for the same request; empty where it cannot be said."""
        if self.note is not None:
            typed = parse_qsl(self.note.query, keep_blank_values=True)
            return [pair for pair in typed if pair[0] != VENDOR]
        if not self.request:
            return ()
        workflow = workflow_of(self.request, kind_of(self.own.workflow))
        named = {name: self._given(name, value) for name, value in self.request.items()}
        kept = {name: value for name, value in named.items() if value not in (None, [])}
        return [*pairs_of(kept, workflow)]

    def _given(self, name: str, value: Json) -> Json:
        """A value as it is typed: a file of this machine by its name here, or not at all."""
        if name not in MEDIA or isinstance(value, bool | int | float):
            return value
        if isinstance(value, list):
            return [one for one in (self._given(name, each) for each in value) if one is not None]
        if isinstance(value, str) and is_local(value):
            return self.uploads.name(value)
        return value if isinstance(value, str) and len(value) < MOST_TEXT else None

    @property
    def query(self) -> str:
        """The query of the form's page with its request."""
        return urlencode(list(self.pairs))

    # -- money -------------------------------------------------------------------------------------

    @property
    def estimate(self) -> str:
        """What it was to cost."""
        return "not estimated" if self.own.estimate is None else str(Cost.read(self.own.estimate))

    @property
    def charge(self) -> str:
        """What was charged, as far as anybody knows."""
        if self.own.simulated:
            return "nothing: it is simulated"
        if self.entry.state in PROVED_UNPAID:
            return "nothing"
        charge = None if self.job is None else charged(self.job)
        if charge is not None:
            return str(charge)
        over = self.job is not None and self.job.status in FINAL
        return "unknown: the vendor does not say" if over else "not known yet"

    # -- what can be done --------------------------------------------------------------------------

    @property
    def actions(self) -> tuple[str, ...]:
        """What can be done about it here."""
        if self.entry.trouble is not None or not self.has_client:
            return ()
        missing = self.entry.state == "saved" and len(self.clips) + len(self.elsewhere) == 0
        return ("resume",) if missing else ACTIONS.get(self.entry.state, ())

    @property
    def _reconciling(self) -> str:
        """What reconcile does for this job, which may be to submit it."""
        if not self.own.is_replayable:
            return " Reconcile asks the vendor for it, and submits nothing."
        cost = "" if self.own.estimate is None else f", for {self.estimate}"
        return (
            " Reconcile asks the vendor for it. In the first hour it does so by the same submit"
            " under the same key: that makes no second job, but where the first submit never"
            f" arrived, it makes and bills the job now{cost}."
        )

    @property
    def advice(self) -> str:
        """What a state that needs a person means, and what to do next."""
        if not self.needs_you:
            return ""
        cost = "" if self.own.estimate is None else f" It may have cost {self.estimate}."
        paid = (
            " Nothing was paid, as it is simulated; live it would be the same."
            if self.own.simulated
            else f"{cost} It is never sent again by itself."
        )
        return (
            f"Nobody knows whether {self.own.vendor} has accepted and billed this job.{paid}"
            f"{self._reconciling} If the vendor's dashboard"
            " shows its task, adopt it by its id. If it is not there, give it up. To run it again"
            " before that may pay twice."
        )

    # -- raw ---------------------------------------------------------------------------------------

    @property
    def raw_request(self) -> str:
        """The call as it was sent, without keys, which are never written down."""
        send = self.own.send
        head = [f"{send.method} {send.url}", *(f"{k}: {v}" for k, v in send.headers.items())]
        return without_keys("\n".join([*head, "", pretty(native_of(self.own))]))

    @property
    def raw_answer(self) -> str:
        """The vendor's last answer about it, without keys."""
        raw: Any = self.job.raw if self.job is not None else None
        return "" if raw is None else without_keys(pretty(raw))[:MOST_TEXT]


def pretty(value: Json) -> str:
    """JSON in lines; files in it are cut."""
    return json.dumps(abridged_body(value), indent=2, ensure_ascii=False)


def moment_text(seconds: float) -> str:
    """A moment as people write it, in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "unknown"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def native_of(own: Submission) -> JsonObject:
    """What was sent: the body, with the names of files in the place of files."""
    files: dict[str, list[str]] = {}
    for part in own.send.parts:
        if part.is_file:
            files.setdefault(part.name, []).append(str(part.path or part.digest()))
    alone = {name: several[0] if len(several) == 1 else several for name, several in files.items()}
    query = parse_qsl(own.send.url.partition("?")[2])
    return {**own.body, **alone, **{f"?{name}": value for name, value in query}}


def _path(own: Submission) -> str:
    """The path of the call below the vendor's base URL."""
    return own.send.url.partition("?")[0].removeprefix(own.base_url)
