"""Lists and other answers that are about no single job, without what their examples made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from attrs import evolve

from ..flows import Reply
from ..places import Json, Place
from ..serving.answers import dumps
from ..serving.calls import Call
from .neutral import Cleaning
from .tasks import KINDS, ok_place

COUNTS: Final = frozenset({"total", "page", "page_size", "count", "has_more", "next_cursor"})
"""Members that a list of tasks fills in: see `serving.pages`."""


def only_known(
    call: Call, reply: Reply, is_known: Callable[[Place, Json], bool]
) -> tuple[Reply, list[str]]:
    """An answer with what is known of it, and the members that are neutral."""
    value = json.loads(reply.content) if reply.content else None
    if not isinstance(value, dict):
        return reply, []
    ok = ok_place(call.provider)

    def is_kept(at: Place, value: Json) -> bool:
        return is_known(at, value) or ".".join(map(str, at)) == ok or at[-1:] in KIND_NAMES

    cleaning = Cleaning(call.provider.contract, is_kept)
    found = cleaning.of(value, call.provider.contract.reply_schema(call.operation, reply.status))
    return evolve(reply, content=dumps(found)), cleaning.untold


KIND_NAMES: Final = frozenset((name,) for name in KINDS)


def list_alone(call: Call, reply: Reply) -> tuple[Reply, list[str]]:
    """A list of tasks as it is, with what is known around them."""
    value = json.loads(reply.content)
    members = value.items() if isinstance(value, dict) else ()
    first = next((name for name, item in members if isinstance(item, list)), "")
    listed = call.operation.spec.get("x-polyreel-tasks") or first

    def is_known(at: Place, value: Json) -> bool:
        named = ".".join(map(str, at))
        inside = bool(listed) and (named == listed or named.startswith(f"{listed}."))
        return inside or (at[-1] if at else "") in COUNTS

    return only_known(call, reply, is_known)
