"""The control API of a simulator behind a port: look at it, and change what happens. JSON below `/_polyreel/`.

Looking is open to this machine. What changes something needs the token that was made when the server started.
"""

from __future__ import annotations

import hmac
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from ..errors import UnknownNameError
from ..flows import Answer
from . import faultfile
from .calling import CallbackTarget, call, checked
from .clock import RunningClock
from .engine import Simulator
from .faultfile import MistakeError, fields, number, one_of, shown
from .faults import FAULTS
from .http import HttpRequest, plain
from .injection import Rule
from .tasks import BillLine, Task

__all__ = ["PREFIX", "Control", "Seen", "look"]

PREFIX: Final = "/_polyreel"
MAX_BODY: Final = 65_536
LAST: Final = 1000
"""How many entries of a list are shown, the last ones; `count` tells of all."""
MAX_JUMP: Final = 366 * 86_400.0
END_OF_TIME: Final = 4_102_444_800.0
"""2100-01-01: until then every vendor's way to write a time can write it."""
MAX_DELAY: Final = 10.0

Document = dict[str, Any]


@frozen
class Seen:
    """A simulator at one moment."""

    now: float
    tasks: Sequence[Task]
    charges: Sequence[BillLine]
    requests: Sequence[tuple[str, str, str]]
    heard: Sequence[float]
    rules: Sequence[Rule]
    fired: Sequence[tuple[str, str]]


def look(simulator: Simulator) -> Seen:
    """All of it, while no call is served."""
    with simulator.lock:
        return Seen(
            simulator.clock.now(),
            list(simulator.tasks.values()),
            list(simulator.bill.charges),
            list(simulator.journal),
            list(simulator.heard),
            simulator.active,
            list(simulator.fired),
        )


class ControlError(Exception):
    """A request of the control API is refused."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@frozen
class Control:
    """Answers the requests below `/_polyreel/`. Threads may share one."""

    simulator: Simulator
    mounts: Mapping[str, str]
    """The vendors that answer, and their base paths."""
    token: str = field(repr=False)
    any_host: bool = False
    """Whether webhooks may go to other machines."""

    def answer(self, request: HttpRequest) -> Answer:
        """Answer one request; whatever is wrong with it is told as JSON, with its HTTP status."""
        try:
            return self._answer(request)
        except ControlError as error:
            return plain(error.status, str(error), error.headers)
        except UnknownNameError as error:
            return plain(404, str(error))
        except ValueError as error:
            return plain(400, str(error))

    def _answer(self, request: HttpRequest) -> Answer:
        name = request.target.partition("?")[0].removeprefix(PREFIX).strip("/")
        if name not in CALLS:
            known = ", ".join(f"{PREFIX}/{one}" for one in CALLS if one)
            raise ControlError(404, f"there is no such call; there are {known}")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in CALLS[name]:
            allowed = ", ".join(CALLS[name])
            raise ControlError(405, f"{PREFIX}/{name} takes {allowed}", {"allow": allowed})
        if method != "GET":
            self._authorize(request)
        given = _object(request) if method == "POST" else {}
        found = CALLS[name][method](self, request, given)
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        return Answer(200, headers, json.dumps(found, allow_nan=False).encode())

    def _authorize(self, request: HttpRequest) -> None:
        """Refuse who does not know the token."""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = request.headers.get(
            "x-polyreel-token", bearer if kind.lower() == "bearer" else ""
        ).strip()
        # Bytes: `compare_digest` takes no text beyond ASCII.
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            told = "this needs the token that was printed at the start, as Authorization: Bearer or X-Polyreel-Token"
            raise ControlError(401, told, {"www-authenticate": 'Bearer realm="polyreel"'})


def _object(request: HttpRequest) -> Document:
    """The JSON object of a body; nothing is an empty one."""
    if len(request.content) > MAX_BODY:
        raise ControlError(413, f"the body is larger than {MAX_BODY} bytes")
    if not request.content:
        return {}
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ControlError(415, "the body must be JSON, with Content-Type: application/json")
    try:
        found = json.loads(request.content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ControlError(400, "the body is not JSON, or nested too deeply") from None
    if not isinstance(found, dict):
        raise ControlError(400, "the body must be a JSON object")
    return found


def _no_number(name: str) -> float:
    raise ValueError(name)


# -- looking ------------------------------------------------------------------------------------------


def _index(control: Control, request: HttpRequest, _: Document) -> Document:
    return {
        "calls": [
            f"{method} {request.base}{PREFIX}/{name}" for name in CALLS for method in CALLS[name]
        ]
    }


def status(control: Control, request: HttpRequest, _: Document) -> Document:
    """How it is set up, and how much has happened."""
    simulator, seen = control.simulator, look(control.simulator)
    clock = simulator.clock
    return {
        "simulator": "polyreel",
        "vendors": {vendor: request.base + path for vendor, path in control.mounts.items()},
        "now": seen.now,
        "speed": clock.speed if isinstance(clock, RunningClock) else None,
        "seed": simulator.seed,
        "balance": simulator.balance if math.isfinite(simulator.balance) else None,
        "link_seconds": simulator.link_seconds,
        "requests": len(seen.requests),
        "billed": len(seen.charges),
        "tasks": dict(Counter(task.status(seen.now) for task in seen.tasks)),
        "faults": len(seen.rules),
        "fired": len(seen.fired),
    }


def _bill(control: Control, _: HttpRequest, __: Document) -> Document:
    charges = look(control.simulator).charges
    vendors = {
        vendor: _sum([one for one in charges if one.vendor == vendor]) for vendor in control.mounts
    }
    shown = [
        {"vendor": c.vendor, "task": c.task, "credits": c.credits, "at": c.at}
        for c in charges[-LAST:]
    ]
    return {**_sum(charges), "vendors": vendors, "charges": shown}


def _sum(charges: Sequence[BillLine]) -> Document:
    return {"count": len(charges), "total": sum(one.credits for one in charges)}


def _journal(control: Control, _: HttpRequest, __: Document) -> Document:
    seen = look(control.simulator)
    pairs = zip(seen.requests[-LAST:], seen.heard[-LAST:], strict=True)
    shown = [{"vendor": one[0], "method": one[1], "path": one[2], "at": at} for one, at in pairs]
    return {"count": len(seen.requests), "requests": shown}


def _tasks(control: Control, _: HttpRequest, __: Document) -> Document:
    seen = look(control.simulator)
    return {
        "count": len(seen.tasks),
        "tasks": [_task(task, seen.now) for task in seen.tasks[-LAST:]],
    }


def _task(task: Task, now: float) -> Document:
    """What may be shown of a job: not what it was asked for."""
    facts = {
        "vendor": task.vendor,
        "id": task.id,
        "status": task.status(now),
        "credits": task.picture.credits,
    }
    facts |= {"model": task.route.model, "workflow": task.route.workflow}
    return {**facts, "created": task.created, "ends": task.created + task.seconds}


def _faults(control: Control, _: HttpRequest, __: Document) -> Document:
    seen = look(control.simulator)
    known: dict[str, list[str]] = {}
    for fault in FAULTS.values():
        known.setdefault(fault.call, []).append(fault.name)
    fired = [{"vendor": vendor, "name": name} for vendor, name in seen.fired[-LAST:]]
    return {
        "known": known,
        "active": [_rule(rule) for rule in seen.rules],
        "fired": fired,
        "count": len(seen.fired),
    }


def _rule(rule: Rule) -> Document:
    return {"name": rule.fault.name, "vendor": rule.vendor, "share": rule.share, "left": rule.left}


# -- changing -----------------------------------------------------------------------------------------


def _reset(control: Control, request: HttpRequest, given: Document) -> Document:
    seed = fields(given, {"seed": lambda value: None if value is None else faultfile.seed(value)})
    control.simulator.reset(**seed)
    return status(control, request, {})


def _advance(control: Control, _: HttpRequest, given: Document) -> Document:
    readers = {"seconds": number(0, MAX_JUMP, f"a number of seconds from 0 to {MAX_JUMP:.0f}")}
    seconds, clock = _needed(fields(given, readers), "seconds"), control.simulator.clock
    jump: Callable[[float], None] | None = getattr(clock, "advance", None)
    if jump is None:
        raise ValueError("this clock cannot be moved")
    with control.simulator.lock:
        if clock.now() + seconds > END_OF_TIME:
            raise MistakeError("seconds", "the clock does not go beyond the year 2099")
        jump(seconds)
        return {"now": clock.now()}


def _inject(control: Control, _: HttpRequest, given: Document) -> Document:
    faultfile.injection(given, list(control.mounts)).into(control.simulator)
    return {"active": [_rule(rule) for rule in look(control.simulator).rules]}


def _calm(control: Control, _: HttpRequest, __: Document) -> Document:
    control.simulator.calm()
    return {"active": []}


def _webhook(control: Control, request: HttpRequest, given: Document) -> Document:
    readers: dict[str, Callable[[Any], Any]] = {
        "vendor": one_of(list(control.mounts), "vendor"),
        "task": _text,
        "url": lambda value: checked(_text(value), any_host=control.any_host),
        "secret": _secret,
        "duplicate": _flag,
        "shuffle": _flag,
        "delay": number(0, MAX_DELAY, f"a number of seconds from 0 to {MAX_DELAY:.0f}"),
    }
    found = fields(given, readers)
    vendor, task = (_needed(found, name) for name in ("vendor", "task"))
    _needed(found, "url")
    receiver = CallbackTarget(
        **{name: value for name, value in found.items() if name not in {"vendor", "task"}}
    )
    made = call(control.simulator, vendor, task, receiver, f"{request.base}/{vendor}")
    return {
        "deliveries": made,
        **({} if made else {"message": f"{vendor} calls nobody about this job by now"}),
    }


def _needed(given: Document, name: str) -> Any:
    if name not in given:
        raise MistakeError(name, "is missing")
    return given[name]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {shown(value)}")
    return value


def _secret(value: Any) -> str | None:
    """A secret that can sign; it is never shown."""
    from standardwebhooks import Webhook  # noqa: PLC0415

    if value is None:
        return None
    try:
        Webhook(str(value) if isinstance(value, str) else "")
    except Exception:  # binascii.Error, or one of the library's own
        raise ValueError("must be base64, with or without whsec_ in front of it") from None
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")
    return value


Act = Callable[[Control, HttpRequest, Document], Document]
CALLS: Final[Mapping[str, Mapping[str, Act]]] = {
    "": {"GET": _index},
    "status": {"GET": status},
    "bill": {"GET": _bill},
    "journal": {"GET": _journal},
    "tasks": {"GET": _tasks},
    "faults": {"GET": _faults, "POST": _inject, "DELETE": _calm},
    "reset": {"POST": _reset},
    "advance": {"POST": _advance},
    "webhook": {"POST": _webhook},
}
"""Every call, by its name and method. What is no GET changes something."""
