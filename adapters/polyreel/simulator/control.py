"""The control API of a simulator behind a port: JSON below `/_polyreel/`.

A GET shows what has happened and is open to this machine. Everything else changes something, and
needs the token that was made when the server started.
"""

from __future__ import annotations

import hmac
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from ..depth import json_is_deep
from ..errors import MissingExtraError, Portable, UnknownNameError, did_you_mean
from ..flows import Answer
from ..places import JsonObject
from .calling import CallbackTarget, call
from .clock import RunningClock
from .engine import Simulator
from .faults import FAULTS
from .http import HttpRequest, plain
from .injection import Rule
from .settings import SettingError
from .snapshots import take_snapshot
from .tasks import BillLine, Task

__all__ = ["PREFIX", "Control"]

PREFIX: Final = "/_polyreel"
MAX_BODY: Final = 65_536
LAST: Final = 1000
"""How many entries of a list are shown, the last ones; `count` counts all of them."""
END_OF_TIME: Final = 4_102_444_800.0
"""2100-01-01 in seconds since 1970: the vendors can write every time before it."""


class ControlError(Portable, Exception):
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
        """Answer one request; an error is JSON too, with its HTTP status."""
        try:
            return self._answer(request)
        except ControlError as error:
            return plain(error.status, str(error), error.headers)
        except UnknownNameError as error:
            return plain(404, str(error))
        except MissingExtraError as error:
            return plain(501, str(error))
        except ValueError as error:
            return plain(400, str(error))

    def _answer(self, request: HttpRequest) -> Answer:
        name = request.target.partition("?")[0].removeprefix(PREFIX).strip("/")
        if name not in CALLS:
            calls = [f"{PREFIX}/{one}" for one in CALLS if one]
            known = f"{', '.join(calls)}{did_you_mean(f'{PREFIX}/{name}', calls)}"
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
        """Refuse a request without the token."""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        default = bearer if kind.lower() == "bearer" else ""
        given = request.headers.get("x-polyreel-token", default).strip()
        # Bytes: `compare_digest` takes no text beyond ASCII.
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            message = (
                "this needs the token that was printed at the start, "
                "as Authorization: Bearer or X-Polyreel-Token"
            )
            raise ControlError(401, message, {"www-authenticate": 'Bearer realm="polyreel"'})


def _object(request: HttpRequest) -> JsonObject:
    """The JSON object of a body; an empty one where there is no body."""
    if len(request.content) > MAX_BODY:
        raise ControlError(413, f"the body is larger than {MAX_BODY} bytes")
    if not request.content:
        return {}
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ControlError(415, "the body must be JSON, with Content-Type: application/json")
    try:
        if json_is_deep(request.content):
            raise ValueError("nested too deeply")
        found = json.loads(request.content, parse_constant=_refuse_constant)
    except ValueError:
        raise ControlError(400, "the body is not JSON, or nested too deeply") from None
    if not isinstance(found, dict):
        raise ControlError(400, "the body must be a JSON object")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


# -- looking ---------------------------------------------------------------------------------------


def _index(_: Control, request: HttpRequest, __: JsonObject) -> JsonObject:
    base = f"{request.base}{PREFIX}"
    return {"calls": [f"{method} {base}/{name}" for name in CALLS for method in CALLS[name]]}


def _status(control: Control, request: HttpRequest, _: JsonObject) -> JsonObject:
    """How the simulator is set up, and how much has happened."""
    simulator, snapshot = control.simulator, take_snapshot(control.simulator)
    clock = simulator.clock
    return {
        "simulator": "polyreel",
        "vendors": {vendor: request.base + path for vendor, path in control.mounts.items()},
        "now": snapshot.now,
        "speed": clock.speed if isinstance(clock, RunningClock) else None,
        "seed": simulator.seed,
        "balance": simulator.balance if math.isfinite(simulator.balance) else None,
        "link_seconds": simulator.link_seconds,
        "requests": len(snapshot.journal),
        "billed": len(snapshot.charges),
        "tasks": dict(Counter(task.status(snapshot.now) for task in snapshot.tasks)),
        "faults": len(snapshot.rules),
        "fired": len(snapshot.fired),
    }


def _bill(control: Control, _: HttpRequest, __: JsonObject) -> JsonObject:
    charges = take_snapshot(control.simulator).charges
    vendors = {
        vendor: _total([charge for charge in charges if charge.vendor == vendor])
        for vendor in control.mounts
    }
    shown = [
        {"vendor": charge.vendor, "task": charge.task, "credits": charge.credits, "at": charge.at}
        for charge in charges[-LAST:]
    ]
    return {**_total(charges), "vendors": vendors, "charges": shown}


def _total(charges: Sequence[BillLine]) -> JsonObject:
    return {"count": len(charges), "total": sum(charge.credits for charge in charges)}


def _journal(control: Control, _: HttpRequest, __: JsonObject) -> JsonObject:
    snapshot = take_snapshot(control.simulator)
    shown = [
        {"vendor": one.vendor, "method": one.method, "path": one.path, "at": one.at}
        for one in snapshot.last_requests(LAST)
    ]
    return {"count": len(snapshot.journal), "requests": shown}


def _tasks(control: Control, _: HttpRequest, __: JsonObject) -> JsonObject:
    snapshot = take_snapshot(control.simulator)
    shown = [_task(task, snapshot.now) for task in snapshot.tasks[-LAST:]]
    return {"count": len(snapshot.tasks), "tasks": shown}


def _task(task: Task, now: float) -> JsonObject:
    """What may be shown about a job: not its request."""
    return {
        "vendor": task.vendor,
        "id": task.id,
        "status": task.status(now),
        "credits": task.credits,
        "model": task.route.model,
        "workflow": task.route.workflow,
        "created": task.created,
        "ends": task.ended,
    }


def _faults(control: Control, _: HttpRequest, __: JsonObject) -> JsonObject:
    snapshot = take_snapshot(control.simulator)
    known: dict[str, list[str]] = {}
    for fault in FAULTS.values():
        known.setdefault(fault.call, []).append(fault.name)
    fired = [{"vendor": vendor, "name": name} for vendor, name in snapshot.fired[-LAST:]]
    active = [_rule(rule) for rule in snapshot.rules]
    return {"known": known, "active": active, "fired": fired, "count": len(snapshot.fired)}


def _rule(rule: Rule) -> JsonObject:
    return {"name": rule.fault.name, "vendor": rule.vendor, "share": rule.share, "left": rule.left}


# -- changing: `settings_models` is imported where a body is read, as it loads pydantic ------------


def _reset(control: Control, request: HttpRequest, given: JsonObject) -> JsonObject:
    from .settings_models import ResetSettings, SettingsContext, read_settings  # noqa: PLC0415

    control.simulator.reset(read_settings(ResetSettings, given, SettingsContext()).seed)
    return _status(control, request, {})


def _advance(control: Control, _: HttpRequest, given: JsonObject) -> JsonObject:
    return {"now": advance(control.simulator, given)}


def advance(simulator: Simulator, given: JsonObject) -> float:
    """Move the clock as a user asks for it; the time after it, in seconds since 1970.

    SettingError says what cannot be used, ValueError that the clock cannot be moved.
    """
    from .settings_models import ClockSettings, SettingsContext, read_settings  # noqa: PLC0415

    seconds = read_settings(ClockSettings, given, SettingsContext()).seconds
    clock = simulator.clock
    move: Callable[[float], None] | None = getattr(clock, "advance", None)
    if move is None:
        raise ValueError("this clock cannot be moved")
    with simulator.lock:
        if clock.now() + seconds > END_OF_TIME:
            raise SettingError("seconds", "the clock does not go beyond the year 2099")
        move(seconds)
        return clock.now()


def _inject(control: Control, _: HttpRequest, given: JsonObject) -> JsonObject:
    inject(control.simulator, list(control.mounts), given)
    return {"active": [_rule(rule) for rule in take_snapshot(control.simulator).rules]}


def inject(simulator: Simulator, vendors: Sequence[str], given: JsonObject) -> None:
    """Let a fault happen as a user asks for it. SettingError says what cannot be used."""
    from .settings_models import FaultSettings, SettingsContext, read_settings  # noqa: PLC0415

    settings = read_settings(FaultSettings, given, SettingsContext(vendors))
    settings.injection().into(simulator)


def _calm(control: Control, _: HttpRequest, __: JsonObject) -> JsonObject:
    control.simulator.calm()
    return {"active": []}


def _webhook(control: Control, request: HttpRequest, given: JsonObject) -> JsonObject:
    from .settings_models import SettingsContext, WebhookSettings, read_settings  # noqa: PLC0415

    context = SettingsContext(list(control.mounts), control.any_host)
    asked = read_settings(WebhookSettings, given, context)
    vendor = asked.vendor
    target = CallbackTarget(
        url=asked.url,
        secret=asked.secret,
        duplicate=asked.duplicate,
        shuffle=asked.shuffle,
        delay=asked.delay,
    )
    made = call(control.simulator, vendor, asked.task, target, f"{request.base}/{vendor}")
    if not made:
        return {"deliveries": [], "message": f"{vendor} calls nobody about this job by now"}
    return {"deliveries": made}


ControlCall = Callable[[Control, HttpRequest, JsonObject], JsonObject]
CALLS: Final[Mapping[str, Mapping[str, ControlCall]]] = {
    "": {"GET": _index},
    "status": {"GET": _status},
    "bill": {"GET": _bill},
    "journal": {"GET": _journal},
    "tasks": {"GET": _tasks},
    "faults": {"GET": _faults, "POST": _inject, "DELETE": _calm},
    "reset": {"POST": _reset},
    "advance": {"POST": _advance},
    "webhook": {"POST": _webhook},
}
"""Every call, by its name and method. All but GET change something."""
