"""Assertions on a bill, and on keys in texts.

Their messages say what happened, and what to do about it.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

from ..providers.base.registry import get_provider
from ..simulator import Simulator
from .explanation import explain

SHOWN_AROUND = 30


def assert_billed_once(subject: object, vendor: str | None = None) -> None:
    """Assert that exactly one job was billed, by one vendor or by all together.

    `subject` is a simulator, `polyreel_server`, or a simulated client.
    """
    __tracebackhide__ = True
    assert_billed(subject, 1, vendor)


def assert_nothing_billed(subject: object, vendor: str | None = None) -> None:
    """Assert that no job was billed."""
    __tracebackhide__ = True
    assert_billed(subject, 0, vendor)


def assert_billed(subject: object, count: int, vendor: str | None = None) -> None:
    """Assert that `count` jobs were billed."""
    __tracebackhide__ = True
    simulator = simulator_of(subject)
    if vendor is not None:
        get_provider(vendor)
    if simulator.bill.count(vendor) != count:
        raise AssertionError(explain(simulator, count, vendor))


def assert_no_key_shown(shown: object, *keys: str) -> None:
    """Assert that none of the keys is in a text, as it is or encoded.

    `shown` is text, bytes, or anything else whose `str()` is searched. The message does not show
    the key either.
    """
    __tracebackhide__ = True
    if not keys or not all(keys):
        raise ValueError("assert_no_key_shown needs the keys that must not be shown")
    text = shown.decode("utf-8", "replace") if isinstance(shown, bytes | bytearray) else str(shown)
    for number, key in enumerate(keys, 1):
        for kind, spelling in _spellings(key).items():
            if spelling in text:
                which = f"key {number} of {len(keys)}" if len(keys) > 1 else "the key"
                raise AssertionError(f"{which} is shown{kind}: {_around(text, spelling, keys)}")


def simulator_of(subject: object) -> Simulator:
    """The simulator of an object; TypeError where it has none, such as a live client."""
    found = getattr(subject, "simulator", subject)
    if not isinstance(found, Simulator):
        keepers = "a simulator, polyreel_server or a simulated client"
        raise TypeError(f"a bill is kept by {keepers}; this {type(subject).__name__} has none")
    return found


def _spellings(key: str) -> dict[str, str]:
    """The ways in which a key may be shown, by their names."""
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    return {"": key, " quoted, as in a URL": quote(key, safe=""), " in Base64": encoded}


def _around(text: str, spelling: str, keys: tuple[str, ...]) -> str:
    """The place where a key is shown, without that key and without any other."""
    before, _, after = text.partition(spelling)
    for hidden in (spelling for key in keys for spelling in _spellings(key).values()):
        before, after = before.replace(hidden, "****"), after.replace(hidden, "****")
    lines = before.count("\n")
    place = f"line {lines + 1}, " if lines or "\n" in after else ""
    start, end = before.rpartition("\n")[2][-SHOWN_AROUND:], after.partition("\n")[0][:SHOWN_AROUND]
    return f"{place}...{start}****{end}..." if start or end else f"{place}****"
