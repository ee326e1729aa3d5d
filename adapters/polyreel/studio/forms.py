"""The form of a request: its controls, made from the shared schema, and what was typed in them.

What is typed is the query of the page's address, so that a reload and a shared link keep it. Each
field stands in it by its name, a list as often as it has items. The shots are two such lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, Literal, get_args
from urllib.parse import urlencode

from attrs import field, frozen

from ..depth import json_is_deep
from ..errors import RequestError, did_you_mean
from ..mapping.media import ELEMENT
from ..mapping.media import FIELDS as MEDIA
from ..mapping.reports import Allowance
from ..mapping.workflows import WORKFLOWS, inputs_of_others, kind_of, request_of
from ..places import Json, JsonObject
from ..plans.requests import CheckedRequest, check_request
from ..providers.base.contract import Contract
from ..providers.base.registry import all_providers
from ..simulator import FAULTS
from .uploads import UPLOAD, UploadFolder

Pairs = Sequence[tuple[str, str]]
"""The names and texts of a form, in order, as a query or a body has them."""
Widget = Literal["text", "line", "number", "choice", "switch", "list", "shots", "json"]
"""How a field is typed: a text, a line, a number, a choice, yes or no, a list, ..."""

WORKFLOW: Final = "workflow"
VENDOR: Final = "vendor"
ALLOW: Final = "allow"
FAULT, TIMES = "fault", "times"
"""What is to go wrong when the request is run, simulated, and how often at each vendor."""
MOST_TIMES: Final = 10
SHOT: Final = ("shot_prompt", "shot_duration")
"""What is typed of each shot."""
LONG_TEXTS: Final = frozenset({"prompt", "negative_prompt", "description"})
FIRST: Final = ("model", "duration", "aspect_ratio", "resolution", "audio", "count", "seed")
"""Fields that most requests set, in the order of the form."""
SELDOM: Final = frozenset({"end_user_id", "callback_url", "extra", "watermark", "enhance_prompt"})
"""Fields that stand folded away."""
MOST_PAIRS: Final = 500
TABS: Final = (
    "text-to-video",
    "image-to-video",
    "reference-to-video",
    "edit-video",
    "extend-video",
    "reference-video",
    "motion-control",
    "generate-image",
    "images-to-element",
    "video-to-element",
)
"""The workflows in the order of the tabs. A test compares them with those that there are."""


@frozen
class FormControl:
    """One field of the form."""

    name: str
    title: str
    widget: Widget
    help: str
    choices: tuple[str, ...] = ()
    media: str = ""
    """`image`, `video` or `audio` where it holds such files."""
    is_whole: bool = False
    can_be_auto: bool = False
    seldom: bool = False


@cache
def controls(workflow: str) -> tuple[FormControl, ...]:
    """The controls of a workflow: one for each field that a request for it may have."""
    contract, elsewhere = Contract.load("polyreel"), inputs_of_others(workflow)
    schema = contract.schema(request_of(workflow))["properties"]
    others = elsewhere | _later_inputs(workflow)
    found = [_control(contract, name, node) for name, node in schema.items() if name not in others]
    own = WORKFLOWS[workflow]
    return tuple(sorted(found, key=lambda one: (one.seldom, _rank(one, own))))


def _later_inputs(workflow: str) -> frozenset[str]:
    """Inputs by which other workflows of the kind are told, and which only they have a use for."""
    kind, asked = kind_of(workflow), set(WORKFLOWS[workflow])
    later = {
        name
        for other, names in WORKFLOWS.items()
        if kind_of(other) == kind and other != workflow
        for name in names
    }
    return frozenset(later - asked - _taken(workflow))


@cache
def _taken(workflow: str) -> frozenset[str]:
    """The shared fields that some route of a workflow takes."""
    routes = (route for one in all_providers().values() for route in one.routes)
    return frozenset(
        name for route in routes if route.workflow == workflow for name in route.by_name
    )


def _rank(control: FormControl, own: Sequence[str]) -> int:
    """Where a control stands: what the workflow is about first, then what everybody sets."""
    if control.name in {"prompt", "name"}:
        return 0
    if control.name in own:
        return 1
    return 2 + FIRST.index(control.name) if control.name in FIRST else 2 + len(FIRST)


def _control(contract: Contract, name: str, node: JsonObject) -> FormControl:
    schema = {**contract.resolve(node), **node}
    options = [contract.resolve(one) for one in schema.get("anyOf", ())]
    kinds = {str(one.get("type")) for one in (options or [schema])}
    words = [word for one in (options or [schema]) for word in one.get("enum", ())]
    return FormControl(
        name=name,
        title=name.replace("_", " ").capitalize(),
        widget=_widget(name, kinds, words),
        help=" ".join(str(schema.get("description", "")).split()),
        choices=tuple(map(str, words)),
        media=MEDIA.get(name, ""),
        is_whole="integer" in kinds,
        can_be_auto="auto" in words and "integer" in kinds,
        seldom=name in SELDOM,
    )


def _widget(name: str, kinds: set[str], words: Sequence[Any]) -> Widget:
    if name == "shots":
        return "shots"
    if "object" in kinds:
        return "json"
    if "array" in kinds:
        return "list"
    if "boolean" in kinds:
        return "switch"
    if kinds & {"integer", "number"}:
        return "number"
    if words:
        return "choice"
    return "text" if name in LONG_TEXTS else "line"


@frozen
class StudioForm:
    """What was typed: a request, the vendors beside each other, and what may be lost."""

    workflow: str
    texts: Mapping[str, tuple[str, ...]]
    """The texts of each field, as typed; blank ones are left out."""
    fields: JsonObject
    """The request that they make."""
    vendors: tuple[str, ...]
    allow: Mapping[str, Allowance]
    problems: Mapping[str, str] = field(factory=dict)
    """What is wrong, by field; what belongs to no field has the name ``."""
    checked: CheckedRequest | None = None
    """The request, where nothing is wrong with it."""
    fault: str = ""
    """What is to go wrong when it is run, simulated."""
    times: int = 1
    """How often, at each vendor."""
    strangers: tuple[str, ...] = ()
    """What is to be said of vendors that are asked for, and that nobody knows."""

    @property
    def query(self) -> str:
        """The query of the page that has this form."""
        pairs = [(WORKFLOW, self.workflow)]
        pairs += [(name, text) for name, several in self.texts.items() for text in several]
        vendors = _vendors_query(self.vendors, tuple(all_providers()))
        more = [(ALLOW, f"{name}={what}") for name, what in self.allow.items()]
        if self.fault:
            more += [(FAULT, self.fault), (TIMES, str(self.times))]
        return urlencode(pairs) + vendors + (f"&{urlencode(more)}" if more else "")

    def text(self, name: str) -> str:
        """What was typed for a field of one text."""
        return next(iter(self.texts.get(name, ())), "")


@lru_cache(maxsize=64)
def _vendors_query(chosen: tuple[str, ...], every: tuple[str, ...]) -> str:
    """The part of a query that names the vendors; nothing where they are all."""
    named = () if set(chosen) == set(every) else chosen
    return "".join(f"&{urlencode([(VENDOR, name)])}" for name in named)


def read_form(pairs: Pairs, uploads: UploadFolder | None = None) -> StudioForm:
    """What was typed. It never fails: what is wrong is in `problems`.

    Files are the ones that were given to `uploads`: no other path is read, whatever a link says.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs[:MOST_PAIRS]:
        given.setdefault(name, []).append(text)
    named = given.get(WORKFLOW, [""])[-1]
    workflow = named if named in WORKFLOWS else TABS[0]
    texts: dict[str, tuple[str, ...]] = {}
    fields: JsonObject = {}
    problems: dict[str, str] = {}
    for control in controls(workflow):
        names = SHOT if control.widget == "shots" else (control.name,)
        if given.keys().isdisjoint(names):
            continue
        several = [given.get(name, []) for name in names]
        if control.widget == "shots":
            several = [_padded(one, max(map(len, several))) for one in several]
            kept = [row for row in zip(*several, strict=True) if any(map(str.strip, row))]
            texts |= {name: tuple(row[i] for row in kept) for i, name in enumerate(names) if kept}
        else:
            kept = [(text,) for text in several[0] if text.strip()]
            texts |= {control.name: tuple(text for (text,) in kept)} if kept else {}
        if kept:
            try:
                fields[control.name] = _value(control, kept, uploads)
            except ValueError as error:
                problems[control.name] = str(error)
    every, asked = all_providers(), given.get(VENDOR, [])
    # The page of none is that of all: nobody wants to see no vendor.
    vendors = tuple(one for one in every if one in asked) or tuple(every)
    allow = allowed(given.get(ALLOW, ()))
    checked = None
    if fields and not problems:
        checked, problems = _checked(fields, workflow)
        if uploads is not None:
            problems = {name: uploads.told(text) for name, text in problems.items()}
    fault = given.get(FAULT, [""])[-1]
    return StudioForm(
        workflow,
        texts,
        fields,
        vendors,
        allow,
        problems,
        checked,
        fault if fault in FAULTS else "",
        _times(given.get(TIMES, ["1"])[-1]),
        tuple(_unknown(one) for one in dict.fromkeys(asked) if one not in every),
    )


def _unknown(vendor: str) -> str:
    """What is said of a vendor that there is not."""
    return f"There is no vendor {vendor[:40]!r}{did_you_mean(vendor, [*all_providers()])}"


def _times(text: str) -> int:
    """How often something is to go wrong."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else 1
    return min(max(number, 1), MOST_TIMES)


def _padded(texts: Sequence[str], length: int) -> list[str]:
    return [*texts, *[""] * (length - len(texts))]


def allowed(texts: Iterable[str]) -> dict[str, Allowance]:
    """What may be lost. Words that mean nothing are left out."""
    pairs = (text.partition("=")[::2] for text in texts)
    words = {one: one for one in get_args(Allowance)}
    return {name: words[what] for name, what in pairs if name in _names() and what in words}


@cache
def _names() -> frozenset[str]:
    """The fields of all workflows."""
    return frozenset(one.name for kind in WORKFLOWS for one in controls(kind))


def _checked(fields: JsonObject, workflow: str) -> tuple[CheckedRequest | None, dict[str, str]]:
    """The request, checked, or what is wrong with it."""
    try:
        return check_request(dict(fields), kind_of(workflow)), {}
    except RequestError as error:
        found: dict[str, str] = {}
        for text in error.problems:
            name, _, reason = text.partition(": ")
            top = name.split(".")[0].split("[")[0].split("/")[0]
            known = reason and top in fields
            found.setdefault(top if known else "", reason if known else text)
        return None, found


def _value(
    control: FormControl, rows: Sequence[tuple[str, ...]], uploads: UploadFolder | None
) -> Any:
    """The value of a field; ValueError says what is wrong with what was typed."""
    text = rows[-1][0]
    if control.widget == "shots":
        return [_shot(*row) for row in rows]
    if control.widget == "list":
        return [_item(control, row[0], uploads) for row in rows]
    if control.widget == "json":
        return _json(text)
    if control.widget == "number":
        return _number(control, text.strip())
    if control.widget == "switch":
        if text not in {"true", "false"}:
            raise ValueError("write true or false")
        return text == "true"
    return _item(control, text, uploads) if control.media else text.strip()


def _item(control: FormControl, text: str, uploads: UploadFolder | None) -> Any:
    """A text, the file that it names, or a subject that is described in JSON."""
    text = text.strip()
    if control.media:
        return _media(text, uploads)
    if control.name == "elements" and text.startswith("{"):
        return {
            name: _described(value, uploads) if name in ELEMENT else value
            for name, value in _json(text).items()
        }
    return text


def _described(value: Json, uploads: UploadFolder | None) -> Json:
    """The files of a member of a described subject."""
    if isinstance(value, list):
        return [_described(one, uploads) for one in value]
    return _media(value, uploads) if isinstance(value, str) else value


def _media(text: str, uploads: UploadFolder | None) -> str:
    """The URL or the file that a text names."""
    if text.startswith(UPLOAD):
        path = uploads.path(text) if uploads is not None else None
        if path is None:
            raise ValueError(f"the file {text} is not here any more: give it again")
        return str(path)
    if not text.startswith(("https://", "http://", "data:")):
        raise ValueError("a URL, or a file that is dropped or pasted here; paths are not read")
    return text


def _number(control: FormControl, text: str) -> int | float | str:
    if control.can_be_auto and text == "auto":
        return text
    try:
        return int(text) if control.is_whole else float(text)
    except ValueError:
        kind = "a whole number" if control.is_whole else "a number"
        raise ValueError(f"{kind}, not {text[:40]!r}") from None


def _shot(prompt: str, duration: str) -> JsonObject:
    shot: JsonObject = {"prompt": prompt.strip()}
    if duration.strip():
        try:
            shot["duration"] = int(duration)
        except ValueError:
            raise ValueError(f"a shot lasts whole seconds, not {duration[:40]!r}") from None
    return shot


def _json(text: str) -> Any:
    try:
        if json_is_deep(text.encode("utf-8", "replace")):
            raise ValueError("nested too deeply")
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, line {error.lineno}") from None


def pairs_of(request: Mapping[str, Any], workflow: str) -> Iterator[tuple[str, str]]:
    """What would be typed for a request: the opposite of `read_form`."""
    yield WORKFLOW, workflow
    for name, value in request.items():
        if name == "shots" and isinstance(value, list):
            for shot in (one for one in value if isinstance(one, dict)):
                yield SHOT[0], str(shot.get("prompt", ""))
                yield SHOT[1], str(shot.get("duration", ""))
        elif isinstance(value, list):
            for item in value:
                yield name, item if isinstance(item, str) else json.dumps(item)
        elif isinstance(value, bool):
            yield name, "true" if value else "false"
        else:
            yield name, json.dumps(value) if isinstance(value, dict) else str(value)
