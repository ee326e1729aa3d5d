"""Requests of one shape: what planning makes of one of them is known for the others.

Most requests of a program are for the same vendor, set the same fields, and differ in their texts
alone. Such a text goes into the body as it is. So a plan is remembered with places for the texts.
For the next request of that shape, its texts are put there, and its body is checked as any other.

That texts go into the body as they are is proved for each shape. The rows are run with values in
the place of the texts that raise an error where anything looks at them: what the rows make of such
values, they make of all. Whatever else planning looks at is part of the key of the shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from attrs import evolve, frozen

from ..mapping.marks import may_have_marks
from ..mapping.media import FIELDS as MEDIA
from ..mapping.reports import Allowance
from ..places import JsonObject, json_bytes, json_text
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from .planning import Plan, ways, written
from .quick import is_plain_text, value_check
from .requests import CheckedRequest

if TYPE_CHECKING:
    import jsonschema_rs

FREE: Final[Mapping[str, object]] = {
    **dict.fromkeys(("prompt", "negative_prompt", "name", "description", "end_user_id"), str),
    "seed": int,
    **MEDIA,
}
"""The fields whose values may differ in the requests of a shape."""
MOST: Final = 1000
"""How many shapes are remembered."""
PLAIN_URL: Final = re.compile(r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/[!-\[\]-~]*")
"""A URL of which planning looks at the origin, and at nothing behind that."""
MARK: Final = re.compile(r'("\\u0000[0-9]+\\u0000")')
SCALARS: Final = frozenset({str, int, float, bool, type(None)})

Key: TypeAlias = tuple[object, ...]
Values: TypeAlias = dict[str, Any]
"""The values that differ, by their fields."""


def sighted(
    request: object,
    provider: Provider,
    base_url: str | None,
    allow: Mapping[str, Allowance] | None,
    preferences: Mapping[str, Any] | None,
    override: bool,
    stream: bool,
) -> tuple[Key, Values] | None:
    """The key of a request's shape, and the values that differ in the requests of that shape.

    None for a request of no shape: one with values that planning looks into. They are files,
    reference marks, fractions, and whatever is nested.
    """
    kind = None
    if type(request) is CheckedRequest:
        kind, request = request.kind, request.fields
    if type(request) is not dict:
        return None
    key: list[object] = [provider, kind, base_url, not override, not stream]
    if allow or preferences:
        options = (_frozen(allow), _frozen(preferences))
        if None in options:
            return None
        key.append(options)
    values = {}
    for name, value in request.items():
        key.append(name)
        of = type(value)
        if name not in FREE:
            if of is int or of is bool:
                key.append(of)  # for 1 and True are equal
            elif of is not str:
                return None
            key.append(value)
            continue
        if name in MEDIA:
            if (origins := _origins(value)) is None:
                return None
            key.append(origins)
        elif of is not FREE[name] or not _is_plain(value):
            return None
        values[name] = value
    return tuple(key), values


def _is_plain(value: str | int) -> bool:
    """Whether a value is one that nothing looks at but its schema."""
    if isinstance(value, int):
        return value.bit_length() < 64
    return not may_have_marks(value) and is_plain_text(value)


def _frozen(options: Mapping[str, Any] | None) -> Key | None:
    """Options as part of a key; None where they are not plain."""
    if not options:
        return ()
    if type(options) is not dict or not {str, int, bool}.issuperset(map(type, options.values())):
        return None
    return tuple((name, type(value), value) for name, value in options.items())


def _origins(value: object) -> str | tuple[str, ...] | None:
    """The origin of a plain URL, or of each in a list; None for anything else."""
    if type(value) is str:
        found = PLAIN_URL.fullmatch(value)
        return found and found[1]
    if type(value) is not list:
        return None
    each = [PLAIN_URL.fullmatch(one) if type(one) is str else None for one in value]
    origins = tuple(one[1] for one in each if one)
    return origins if len(origins) == len(each) else None


class LookedAtError(BaseException):
    """Something looks at a value that may be any. `except Exception` does not hide that."""


class AnyValue:
    """Stands for all values of a type. It can be handed on, and nothing else."""

    __slots__ = ("_absent", "_field", "_item", "_type")

    def __init__(
        self, of: type, absent: list[tuple[str, str]], field: str, item: int | None = None
    ) -> None:
        self._type, self._absent, self._field, self._item = of, absent, field, item

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The type is the same for all of them."""
        return self._type

    def __contains__(self, part: object) -> bool:
        """No: texts that have this part are of no shape. So it is written down."""
        if self._type is not str or type(part) is not str or self._item is not None:
            raise LookedAtError
        self._absent.append((self._field, part))
        return False

    def __eq__(self, other: object) -> bool:
        """A text is no object and no list, whichever text it is."""
        if self is not other and type(other) is not dict and type(other) is not list:
            raise LookedAtError
        return self is other

    def __hash__(self) -> int:
        raise LookedAtError

    def _look(self, *_: object) -> NoReturn:
        raise LookedAtError

    __lt__ = __le__ = __gt__ = __ge__ = _look
    __bool__ = __len__ = __iter__ = __getitem__ = _look
    __str__ = __repr__ = __format__ = __getattr__ = __reduce_ex__ = _look
    __int__ = __index__ = __float__ = __add__ = __radd__ = __mod__ = __rmod__ = _look

    def real(self, values: Values) -> Any:
        """The value that it stands for."""
        value = values[self._field]
        return value if self._item is None else value[self._item]


def _real(template: object, values: Values) -> Any:
    """A copy of a JSON value in which the real values stand in the place of each AnyValue."""
    if isinstance(template, AnyValue):
        return template.real(values)
    if isinstance(template, dict):
        return {name: _real(one, values) for name, one in template.items()}
    if isinstance(template, list):
        return [_real(one, values) for one in template]
    return template


@frozen(eq=False)
class Shape:
    """What planning makes of the requests of one shape."""

    made: Plan
    """The plan of one of them."""
    schema: str
    """The name of the body's schema."""
    checks: Mapping[str, jsonschema_rs.Validator]
    """What the shared schema says of each value that differs."""
    absent: tuple[tuple[str, str], ...]
    """What is in none of the texts, each with the field of the text."""
    body: JsonObject
    """The body, with an AnyValue in the place of each value that differs."""
    holes: tuple[str, ...]
    """The members of the body that each plan has for itself."""
    text: tuple[str | AnyValue, ...]
    """The JSON text of the body in pieces."""
    contract: Contract
    vendors: Mapping[str, Provider]

    @property
    def is_current(self) -> bool:
        """Whether the vendors are the same as then."""
        return self.vendors is all_providers() and self.contract is self.made.provider.contract

    def plan(self, values: Values) -> Plan | None:
        """The plan of a request with these values; None where something speaks against one."""
        made = self.made
        if not self.is_current:
            return None
        for name, part in self.absent:
            if part in values[name]:
                return None
        fields, body = {**made.request}, {**self.body}
        for name, value in values.items():
            if not self.checks[name].is_valid(value):
                return None
            fields[name] = [*value] if type(value) is list else value
        for name in self.holes:
            body[name] = _real(body[name], values)
        if self.contract.sends(self.schema, body):
            return None
        text = [
            json_text(one.real(values)) if isinstance(one, AnyValue) else one for one in self.text
        ]
        return made.with_values(fields, body, "".join(text).encode())


class Shapes:
    """The shapes that came twice, by their keys.

    Threads share it without a lock: at worst, two of them find out the same.
    """

    def __init__(self) -> None:
        self._known: dict[Key, Shape | Literal["once", "none"]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def plan(self, key: Key, values: Values) -> Plan | None:
        """The plan of a request of a known shape; None where it has to be planned."""
        shape = self._known.get(key)
        return shape.plan(values) if type(shape) is Shape else None

    def learn(
        self,
        key: Key,
        values: Values,
        made: Plan,
        allow: Mapping[str, Allowance] | None,
        preferences: Mapping[str, Any] | None,
    ) -> None:
        """Remember a shape whose plan is made for the second time. The oldest one is forgotten.

        Refused plans leave nothing: what anybody can send takes no memory.
        """
        known = self._known.get(key)
        if made.refused or known == "none" or (type(known) is Shape and known.is_current):
            return
        if known is not None:
            self._known[key] = _shape(values, made, allow or {}, preferences or {}) or "none"
            return
        while len(self._known) >= MOST:
            try:
                del self._known[next(iter(self._known))]
            except (KeyError, RuntimeError):  # another thread was faster
                break
        self._known[key] = "once"


SHAPES: Final = Shapes()
"""Those of this process."""


def _shape(
    values: Values,
    made: Plan,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
) -> Shape | None:
    """The shape of the request of a plan; None where something looks at the values that differ."""
    provider, fields = made.provider, {**made.request}
    if any(link.startswith("http") for link in provider.own_links):
        return None  # more of a URL counts than its origin
    absent: list[tuple[str, str]] = []
    for name, value in values.items():
        if type(value) is list:
            fields[name] = [AnyValue(str, absent, name, at) for at in range(len(value))]
        else:
            fields[name] = AnyValue(type(value), absent, name)
    asked = CheckedRequest(fields, made.kind)
    try:
        # A route that the rows refuse whatever the texts are is passed over as in planning.
        for course, allowed in ways(asked, provider, allow, preferences):
            body, query, report = written(
                provider, course, asked, allowed, preferences, override=False
            )
            if not report.problems:
                break
        else:
            return None
    except (Exception, LookedAtError):
        return None
    if (course.route, query, tuple(report.entries)) != (made.route, made.query, made.entries):
        return None
    # A copy of its own: the caller can change what the plan has.
    own = evolve(made, checked=evolve(made.checked, fields={**made.request}), query={**query})
    shape = Shape(
        own,
        course.route.schema,
        {name: value_check(made.kind, name) for name in values},
        tuple(dict.fromkeys(absent)),
        body,
        tuple(name for name, value in body.items() if type(value) not in SCALARS),
        _in_pieces(body, {name: fields[name] for name in values}),
        provider.contract,
        all_providers(),
    )
    again = shape.plan(values)
    if again != made or not again.content == made.content == json_bytes(again.body):
        return None
    return shape


def _in_pieces(body: JsonObject, places: Values) -> tuple[str | AnyValue, ...]:
    """The JSON text of a body, and between its pieces what stands for values."""
    marks: dict[str, AnyValue] = {}

    def marked(one: AnyValue) -> str:
        mark = f"\0{len(marks)}\0"
        marks[json_text(mark)] = one
        return mark

    named = {k: [*map(marked, v)] if type(v) is list else marked(v) for k, v in places.items()}
    text = json_text(_real(body, named))
    return tuple(marks.get(one, one) for one in MARK.split(text))
