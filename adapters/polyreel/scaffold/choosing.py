"""Chooses the calls of a document that polyreel needs: paid ones, and the status query of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Final

from attrs import field, frozen

from ..errors import RequestError
from ..places import JsonObject
from ..providers.base.calling import PLACEHOLDER
from ..providers.base.contract import Contract, Operation
from ..providers.base.specified import snake
from . import matching
from .plain import schema_of
from .replies import ID_NAMES, STATUS_NAMES, names_in_reply, success

ABOUT_VIDEO: Final = frozenset({"video", "clip", "movie", "animation", "t2v", "i2v", "v2v"})
MAKING: Final = ABOUT_VIDEO | {
    *("image", "picture", "generate", "generation", "prediction", "imagine", "imagination"),
    *("render", "creation", "task", "t2i", "i2i"),
}
"""Words in the path or the id of a call that makes something."""
MAKING_OTHERS: Final = frozenset(
    (
        *("chat", "completion", "message", "embedding", "speech", "tts", "voice", "audio", "music"),
        *("sound", "song", "lyric", "transcription", "guardrail", "workspace", "preset", "avatar"),
        *("document", "conversation", "session", "dataset", "collection", "deployment"),
    )
)
"""Words of calls that make something else, unless they are about video too."""
NEVER_MAKING: Final = frozenset(
    (
        *("upscale", "reframe", "cancel", "delete", "retry", "estimate", "price", "pricing"),
        *("quote", "cost", "validate", "download", "upload", "file", "webhook", "caption"),
        *("search", "list", "query", "status", "training", "moderation"),
    )
)
"""Words in the path of a call that makes no clip from a request."""
ASKING: Final = frozenset(
    (
        *("task", "status", "job", "get", "result", "generation", "prediction", "query", "fetch"),
        *("request", "retrieve", "operation", "detail", "info", "record"),
    )
)
"""Words in the path or the id of a status query."""
OTHER_IDS: Final = re.compile(
    r"(^|_)(user|model|project|org|organization|workspace|account|team|file|voice|page|slug|name)"
    r"(_|$)"
)
"""Names of parameters that are no job's id."""
INPUTS: Final = frozenset({"prompt", "first_frame", "source_video", "motion_video"})
"""Shared fields of which a paid call takes at least one."""
FREE_INPUTS: Final = frozenset({"input", "inputs", "content", "contents", "instances"})
"""Names of members that hold all inputs of a job."""


@frozen
class Wishes:
    """What the author of a package says about the document."""

    paths: Sequence[str] = ()
    """Patterns of the paths that are looked at, as `/v1/videos*`; empty for all."""
    create: Sequence[str] = ()
    """The paid calls: operation ids, paths, or `POST /path`; empty to guess them."""
    get: str = ""
    """The status query, in the same words; empty to guess it."""
    only: Sequence[str] = ()
    """Patterns of models and workflows that get routes; empty for all."""


@frozen
class ChosenCalls:
    """The calls that were chosen."""

    creates: list[Operation]
    query: Operation
    elsewhere: list[tuple[Operation, Operation]] = field(factory=list)
    """Paid calls that another call is asked about, with that call."""


def keep_paths(document: JsonObject, patterns: Sequence[str]) -> None:
    """Keep the paths that fit a pattern; RequestError where none does."""
    if not patterns:
        return
    kept = {
        path: item
        for path, item in document["paths"].items()
        if any(path == one or fnmatchcase(path, one) for one in patterns)
    }
    if not kept:
        some = ", ".join(list(document["paths"])[:8])
        reason = f"no path of the document fits; it has {some} and so on"
        raise RequestError([f"--paths {' '.join(patterns)}: {reason}"])
    document["paths"] = kept


def choose(contract: Contract, wishes: Wishes) -> ChosenCalls:
    """The paid calls and their status query; RequestError with the reason where there is none."""
    every = list(contract.operations.values())
    creates = [named(every, one, "--create") for one in wishes.create] or [
        one for one in every if one.role == "create"
    ]
    queries = [named(every, wishes.get, "--get")] if wishes.get else _queries(contract, every)
    chosen_by_user = bool(creates)
    possible = [] if chosen_by_user else _makers(contract, every)
    guessed = [one for one in possible if words(one) & MAKING] or possible
    guessed = [one for one in guessed if not _is_about_a_job(one, queries)]
    creates = creates or [one for one in guessed if "{" not in one.path] or guessed
    if not creates:
        reason = "no POST with a JSON body takes a prompt or an image, so nothing can be made"
        raise RequestError([f"the spec: {reason}; --create names the call"])
    if not queries:
        reason = "no GET has one id in its path or its query, so that no job can be asked for"
        raise RequestError([f"the spec: {reason}; --get names the call"])
    pairs = [(one, *_best(contract, one, queries)) for one in creates]
    paired = [pair for pair in pairs if chosen_by_user or pair[2] > 0] or pairs
    main = max(paired, key=lambda pair: (bool(words(pair[0]) & ABOUT_VIDEO), pair[2]))
    first = paired[0] if chosen_by_user else main
    return ChosenCalls(
        [create for create, query, _ in paired if query is first[1]],
        first[1],
        [(create, query) for create, query, _ in paired if query is not first[1]],
    )


def named(every: Sequence[Operation], text: str, option: str) -> Operation:
    """The operation that an id, a path, or a method and a path name; RequestError for none."""
    wanted = text.strip()
    method = "GET" if option == "--get" else "POST"
    found = [one for one in every if wanted in {one.id, f"{one.method} {one.path}"}] or [
        one for one in every if wanted == one.path and one.method == method
    ]
    if not found:
        near = [one for one in every if one.method == method]
        some = ", ".join(f"{one.method} {one.path}" for one in near[:8])
        raise RequestError(
            [f"{option} {wanted[:80]}: the document has no such call; it has {some}"]
        )
    if option == "--create" and not found[0].request_schemas:
        raise RequestError([f"{option} {wanted[:80]}: the call takes no JSON body"])
    if option == "--get" and id_parameter(found[0]) is None:
        raise RequestError([f"{option} {wanted[:80]}: the call takes no id"])
    return found[0]


# -- paid calls ----------------------------------------------------------------------------------


def words(operation: Operation) -> set[str]:
    """The words of a call's path and id, in the singular."""
    return _words(operation.path) | _words(operation.id)


def _words(text: str) -> set[str]:
    parts = snake(text).split("_")
    letters = [letter for part in parts for letter in re.findall("[a-z]+", part)]
    return {_singular(word) for word in [*parts, *letters] if word}


def _singular(word: str) -> str:
    keeps = len(word) < 4 or word.endswith(("ss", "us"))
    return word if keeps or not word.endswith("s") else word[:-1]


def _makers(contract: Contract, every: Sequence[Operation]) -> list[Operation]:
    """The calls that can make something; outdated ones only where no other is about video."""
    possible = [one for one in every if _can_make(contract, one)]
    current = [one for one in possible if not one.spec.get("deprecated")]
    videos = [one for one in possible if words(one) & ABOUT_VIDEO]
    return current if not videos or not set(current).isdisjoint(videos) else videos


def _can_make(contract: Contract, operation: Operation) -> bool:
    """Whether a call takes what a clip is made from, and is not about something else."""
    if operation.method != "POST" or not operation.request_schemas:
        return False
    ours = words(operation)
    if _words(operation.path) & NEVER_MAKING:
        return False
    if ours & MAKING_OTHERS and not ours & ABOUT_VIDEO:
        return False
    return any(_takes_inputs(contract, schema) for schema in operation.request_schemas)


def _takes_inputs(contract: Contract, schema: str) -> bool:
    for place in contract.properties(schema):
        name = snake(place.rpartition(".")[2])
        node = schema_of(contract, contract.property(schema, place))
        if name in FREE_INPUTS and "." not in place:
            return True
        can_be_text = node.get("type") not in {"boolean", "number", "integer"}
        if can_be_text and INPUTS & set(matching.candidates(place)):
            return True
    return False


def _is_about_a_job(operation: Operation, queries: Sequence[Operation]) -> bool:
    """Whether a call goes on with a job that exists: its path begins with that of a query."""
    stems = [one.path[: one.path.rindex("}") + 1] for one in queries if "{" in one.path]
    return any(operation.path == stem or operation.path.startswith(stem + "/") for stem in stems)


# -- status queries ------------------------------------------------------------------------------


def id_parameter(query: Operation) -> JsonObject | None:
    """The parameter that holds a job's id: the last one of the path, or one of the query."""
    parameters = [one for one in query.spec.get("parameters", ()) if "name" in one]
    if names := PLACEHOLDER.findall(query.path):
        made = {"name": names[-1], "in": "path", "required": True, "schema": {"type": "string"}}
        return next((one for one in parameters if one["name"] == names[-1]), made)
    found = [
        one
        for one in parameters
        if one.get("in") == "query"
        and re.search(r"(^|_)(id|ids|uuid)$", snake(one["name"]))
        and not OTHER_IDS.search(snake(one["name"]))
    ]
    return next((one for one in found if one.get("required")), found[0] if found else None)


def _queries(contract: Contract, every: Sequence[Operation]) -> list[Operation]:
    marked = [one for one in every if one.role == "get"]
    found = [one for one in every if one.method == "GET" and _asks_for_one(one)]
    with_status = [one for one in found if _has_status(contract, one)]
    return marked or with_status or found


def _asks_for_one(query: Operation) -> bool:
    place = id_parameter(query)
    return place is not None and not OTHER_IDS.search(snake(place["name"]))


def _has_status(contract: Contract, query: Operation) -> bool:
    return bool(names_in_reply(contract, query) & {*STATUS_NAMES})


def _best(
    contract: Contract, create: Operation, queries: Sequence[Operation]
) -> tuple[Operation, int]:
    """The likeliest status query of a paid call, and how likely it is."""
    scored = [(nearness(contract, create, one), one) for one in queries]
    score, best = max(scored, key=lambda pair: pair[0])
    return best, score


def nearness(contract: Contract, create: Operation, query: Operation) -> int:
    """How likely a query asks for what a call has made.

    A link of the document counts most, then a text that names the query, a status in its reply,
    equal replies, the name of the id, and common parts of the paths. Words of the query that the
    paid call has not, count against it, and that only one of the two is outdated.
    """
    replies = json.dumps([contract.resolve(one) for one in create.spec["responses"].values()])
    links = f'"operationId": {json.dumps(query.id)}' in replies
    ours, theirs = success(contract, create), success(contract, query)
    same = bool(ours and theirs) and ours["schema"] == theirs["schema"]  # type: ignore[index]
    score = 100 * links + 20 * (_mentions(create, query) or _mentions(query, create)) + 8 * same
    if theirs is not None:
        score += 12 * _has_status(contract, query)
    score += _id_nearness(contract, create, query)
    score -= 8 * (query.spec.get("deprecated", False) is not create.spec.get("deprecated", False))
    near = [_literals(create.path), _literals(query.path)]
    leading = zip(*near, strict=False)
    score += 3 * sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], leading))
    asked = {word for part in near[1] for word in _words(part)}
    own = words(create)
    score += 4 * len(asked & own) - 4 * len(asked - own - ASKING) + 2 * bool(asked & ASKING)
    extra = set(PLACEHOLDER.findall(query.path)[:-1]) - set(PLACEHOLDER.findall(create.path))
    return score - 10 * len(extra)


def _id_nearness(contract: Contract, create: Operation, query: Operation) -> int:
    """How well the id that a query takes fits what a paid call answers with."""
    names = names_in_reply(contract, create)
    place = id_parameter(query)
    name = re.sub("ids$", "id", snake(place["name"])) if place else ""
    if success(contract, create) is not None and not names & {name, *ID_NAMES}:
        return -30
    return 6 if name in names and name != "id" else 3 if name in ID_NAMES else 0


def _literals(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part and not part.startswith("{")]
    return [part for part in parts if not re.fullmatch(r"v\d+\w*|api", part)]


def _mentions(one: Operation, other: Operation) -> bool:
    """Whether the texts of a call name the path of another one."""
    texts: Iterator[str] = (
        text for key in ("description", "summary") if isinstance(text := one.spec.get(key), str)
    )
    path = r"[{:<]?\w+[}>]?".join(map(re.escape, re.split(r"\{[^}]+\}", other.path)))
    return any(re.search(path + r"(?![\w/{-])", text) for text in texts)


__all__ = ["ChosenCalls", "Wishes", "choose", "id_parameter", "keep_paths", "nearness"]
