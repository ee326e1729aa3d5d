"""A job in another vendor's words: what is known of it, and nothing that an example made up."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from ..mapping.workflows import kind_of
from ..places import Json, JsonObject, Place, Pointer, get, is_missing, leaves, pointer_parts, put
from ..plans.reading import Reading, read
from ..providers.base.facts import FINAL, Reads, SimulatedTask, Status
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from ..providers.base.specified import filled_in
from ..serving.answers import status_query
from ..serving.calls import Call
from ..serving.shapes import picture_of
from .neutral import Cleaning

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.gateway_rows import GatewayJob

KINDS: Final = frozenset({"object", "type", "kind"})
"""Names of members that say what a thing is, and not how a job is."""
OTHER_ID: Final = "zzzzzzzzzzzzzzzzyyyyyyyyyyyyyyyy"
NO_LINK: Final = "https://untold.invalid/none"
"""What stands for the link of a job that has none yet. It never gets into an answer."""
MESSAGE: Final = 1000
"""How many characters of a vendor's words are repeated."""


@frozen(eq=False)
class FacedTask:
    """A job, as the clients of a face see it."""

    row: GatewayJob
    provider: Provider
    """The vendor in whose words it is shown."""
    _reading: Reading | None
    """What the client asked for, where it is known already."""
    job: Job
    """The job, at whatever vendor it is."""
    ended: float | None
    """When it has ended, in seconds since 1970."""
    link: Callable[[int, str], str]
    """The link that a client gets for an output, by its number from 1 and the vendor's link."""
    untold: list[str] = field(factory=list)
    """The members of the answers that are neutral, because nobody knows them."""

    @property
    def id(self) -> str:
        """The id that the client knows."""
        return self.row.id

    @property
    def body(self) -> JsonObject:
        """The client's own body."""
        return self.row.body

    @cached_property
    def reading(self) -> Reading:
        """What the client asked for. Of the jobs of a long list, most are never read."""
        return self._reading or read(self.row.body, self.provider, self.row.path)

    @property
    def route(self) -> Route:
        """What was asked for."""
        return self.reading.route

    def status(self, now: float) -> Status:
        """The state of the job, as far as the face has a word for it."""
        return state_in(self.provider, self.job)

    def shown(
        self, call: Call, status: Status, now: float, sample: JsonObject, schema: Json
    ) -> JsonObject:
        """A copy of a documented sample with what is known of the job, and nothing else."""
        provider = self.provider
        way = (provider.impersonate, provider.reads)
        return self._shown(call, status, now, sample, schema, way)

    def told(
        self,
        call: Call,
        status: Status,
        now: float,
        sample: JsonObject,
        schema: Json,
        reads: Reads,
    ) -> JsonObject:
        """The same for a documented webhook, which has its facts at places of its own."""
        make = partial(filled_in, reads=reads)
        return self._shown(call, status, now, sample, schema, (make, reads))

    def _shown(
        self,
        call: Call,
        status: Status,
        now: float,
        sample: JsonObject,
        schema: Json,
        way: tuple[Callable[[JsonObject, SimulatedTask], JsonObject], Reads],
    ) -> JsonObject:
        make, reads = way
        own = call.request.links.here(sample, self.provider.servers)
        facts = self._facts(status, now)
        shown = make(own, facts)
        other = make(own, _varied(facts, self.provider, self._knows))
        others = {pointer_parts(at): value for at, value in leaves(other)}
        told = {
            place
            for at, value in leaves(shown)
            if (place := pointer_parts(at)) not in others or others[place] != value
        }
        self._place_links(call, shown)
        if status in {"failed", "canceled"}:
            told |= self._put_reason(shown, reads)
        words = {*reads.status, ok_place(self.provider)}

        def is_kept(at: Place, value: Json) -> bool:
            place = tuple(map(str, at))
            named = ".".join(place)
            is_kind = place[-1:] and place[-1] in KINDS and self._is_of_kind(value)
            return place in told or named in words or bool(is_kind)

        cleaning = Cleaning(self.provider.contract, is_kept)
        found = cleaning.of(shown, schema)
        self.untold.extend(cleaning.untold)
        return found

    def _is_of_kind(self, value: Json) -> bool:
        """Whether a word for what a thing is fits what was asked for: examples are of videos."""
        return isinstance(value, str) and self.reading.kind == "video"

    def _place_links(self, call: Call, shown: JsonObject) -> None:
        """Have the link by which a job is asked about lead here, where it has no host."""
        for place in self.provider.reads.locator:
            if isinstance(link := get(shown, place), str) and link.startswith("/"):
                put(shown, place, call.request.links.public + link)

    def _put_reason(self, shown: JsonObject, reads: Reads) -> set[Pointer]:
        """Put the vendor's own words in the place of a failure's text; the result is where.

        Its code is told where the face is that vendor's: no other face has such codes.
        """
        error = self.job.error
        found: dict[str | None, str] = {}
        if error is not None and error.code is not None and self.job.vendor == self.provider.id:
            found[_first_place(shown, reads.error_code)] = error.code
        found[_first_place(shown, reads.error_message)] = reason_of(self.job)
        for place, text in found.items():
            if place is not None:
                put(shown, place, text)
        return {tuple(place.split(".")) for place in found if place is not None}

    @property
    def _knows(self) -> frozenset[str]:
        """The facts that are known, beside those that always are."""
        asked = {**self.provider.defaults(self.route), **self.reading.request}
        known = set()
        if isinstance(asked.get("duration"), int):
            known.add("duration")
        if self.job.progress is not None or self.job.status in {"queued", "succeeded"}:
            known.add("progress")
        if self.job.status == "succeeded":
            known.add("urls")
            if self._content_type() is not None:
                known.add("content_type")
        return frozenset(known)

    def _facts(self, status: Status, now: float) -> SimulatedTask:
        picture = picture_of(self.reading)
        job, outputs = self.job, self.job.outputs or []
        links = [self.link(number, one.url) for number, one in enumerate(outputs, 1)]
        none = [] if kind_of(self.route.workflow) == "element" else [NO_LINK]
        progress = {"queued": 0, "succeeded": 100}.get(status, int((job.progress or 0) * 100))
        return SimulatedTask(
            id=self.id,
            status=status,
            model=str(self.body.get("model", self.route.model)),
            created=int(self.row.created_at),
            elapsed=int(max(0.0, (self.ended or now) - self.row.created_at)),
            progress=progress,
            duration=picture.seconds,
            width=picture.width,
            height=picture.height,
            prompt=picture.prompt,
            credits=0.0,
            body=self.body,
            urls=tuple(links or none),
            content_type=self._content_type() or "",
            element=job.element if status == "succeeded" else None,
            path_values=self.route.path_values,
        )

    def _content_type(self) -> str | None:
        first = next(iter(self.job.outputs or ()), None)
        if first is None:
            return None
        return first.content_type or mimetypes.guess_type(urlsplit(first.url).path)[0]


def _varied(facts: SimulatedTask, provider: Provider, known: frozenset[str]) -> SimulatedTask:
    """Other facts where they are known, and the same ones where they are not.

    What differs between two answers is what is known of a job.
    """
    changed: dict[str, Any] = {
        "id": provider.new_task_id(7, facts.created + 7, OTHER_ID),
        "model": f"{facts.model}-other",
        "created": facts.created + 90_061,
        "elapsed": facts.elapsed + 7,
        "prompt": f"{facts.prompt} other",
        "body": {},
        "element": None if facts.element is None else str(_number(facts.element) + 7),
    }
    if "duration" in known:
        changed["duration"] = facts.duration + 1
    if "progress" in known:
        changed["progress"] = facts.progress + 1
    if "urls" in known:
        changed["urls"] = tuple(f"{one}.other" for one in (*facts.urls, *facts.urls[:1]))
    if "content_type" in known:
        changed["content_type"] = f"{facts.content_type}-other"
    return evolve(facts, **changed)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _first_place(value: JsonObject, places: tuple[str, ...]) -> str | None:
    return next((place for place in places if not is_missing(get(value, place))), None)


def ok_place(provider: Provider) -> str:
    """The place whose value says that a 2xx answer is no error, where there is one."""
    return str(provider.contract.document.get("x-polyreel-ok", {}).get("place", ""))


def state_in(provider: Provider, job: Job) -> Status:
    """The state of a job in the words that a face has."""
    if job.status == "unknown":
        return "running"
    if job.status == "succeeded" and not (job.outputs or job.element):
        return "running"  # the vendor says that it is done, and has not said where the file is
    if job.status == "canceled":
        named = {name for *_, name, _ in provider.contract.replies(status_query(provider))}
        return "canceled" if "canceled" in named else "failed"
    return job.status if job.status in FINAL or job.status == "running" else "queued"


def reason_of(job: Job) -> str:
    """Why a job failed, in its vendor's words."""
    error = job.error
    if error is None:
        return f"{job.vendor}: {job.status}"
    code = f" ({error.code})" if error.code and error.code not in error.message else ""
    return f"{job.vendor}: {error.message}{code}"[:MESSAGE]
