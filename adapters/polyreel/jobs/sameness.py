"""Whether a new request under a reference is the one whose job the ledger has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import RequestError
from ..places import Json, get, is_missing, leaves, pointer

if TYPE_CHECKING:
    from ..flows import Part
    from ..ledger.records import LedgerEntry, Submission
    from ..places import JsonObject
    from ..plans.planning import Plan

SHOWN: Final = 60
"""How many characters of a value a message shows."""
MOST_SHOWN: Final = 5
"""How many differences a message shows."""
NOTHING: Final = "nothing"


def differences(plan: Plan, submission: Submission) -> list[str]:
    """What a plan asks for that a submission did not, one text for each difference.

    Files that are uploaded first have another link each time, so their contents are not compared.
    """
    if plan.vendor != submission.vendor:
        return [f"the vendor: {submission.vendor} then, {plan.vendor} now"]
    found = [
        f"the {name}: {_shown(then)} then, {_shown(now)} now"
        for name, then, now in (
            ("workflow", submission.workflow, plan.workflow),
            ("model", submission.model, plan.model),
        )
        if then != now
    ]
    return found or [*_of_bodies(plan, submission)]


def _of_bodies(plan: Plan, submission: Submission) -> Iterator[str]:
    uploaded = tuple(upload.target for upload in plan.uploads)
    # The id that polyreel has put into the body is another one for each submit.
    own = submission.own_id_place
    added = pointer(own) if own is not None and is_missing(get(plan.body, own)) else None
    # As it is sent: what JSON makes of the values, not what they are in Python.
    now = dict(leaves(_sent(plan)))
    then = dict(leaves(_with_files(submission)))
    for place in dict.fromkeys([*then, *now]):
        if (
            place == added
            or place.startswith(uploaded)
            or (place in then and then.get(place) == now.get(place))
        ):
            continue
        before, after = (_shown(one[place]) if place in one else NOTHING for one in (then, now))
        yield f"{place.removeprefix('/')}: {before} then, {after} now"


def _sent(plan: Plan) -> JsonObject:
    """The body of a plan; of a form its fields, with the names of files for the files."""
    if not plan.parts:
        body: JsonObject = json.loads(plan.content)
        return body
    return {part.name: _file_name(part) if part.is_file else part.text for part in plan.parts}


def _with_files(submission: Submission) -> JsonObject:
    files = {part.name: _file_name(part) for part in submission.send.parts if part.is_file}
    return {**submission.body, **files}


def _file_name(part: Part) -> str:
    """A file's name; of one without a path, that of its content."""
    return part.path.name if part.path is not None else part.digest()


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def check_request(plans: Sequence[Plan], entry: LedgerEntry, reference: str) -> None:
    """Raise RequestError where an entry is the job of another request than that of these plans.

    Of several plans, the one for the vendor that has the job counts.
    """
    plan = next((one for one in plans if one.vendor == entry.vendor), None) or plans[0]
    found = differences(plan, entry.submission)
    if not found:
        return
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    error = RequestError(
        [
            f"the reference {reference!r} has the job of another request already ({entry.id}, "
            f"{entry.state}); nothing was sent. Different are {'; '.join(found[:MOST_SHOWN])}"
            f"{more}. Give the new request another reference, or resume {entry.id}"
        ]
    )
    error.vendor, error.ledger_id = entry.vendor, entry.id
    raise error
