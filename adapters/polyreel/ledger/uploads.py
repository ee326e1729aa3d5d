"""Which vendor has which content, so that one content is uploaded once per account while it lives.

The rows are in the ledger's file. Without a ledger, a client remembers them in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from .database import Transaction

SPARE: Final = 3600.0
"""Seconds that an uploaded file must have left: its vendor fetches it some time after the submit.

No vendor says how long. An hour is more than the queues seen.
"""
COLUMNS: Final = "vendor = ? AND account = ? AND simulated = ? AND content = ?"


@frozen
class UploadKey:
    """One content that a vendor is to have: it is uploaded once per account while it lives."""

    vendor: str
    content: str
    """The SHA-256 of the file."""
    simulated: bool
    account: str = ""
    """Whose files they are. The driver fills it in: a flow knows no keys."""


@frozen
class TakeUpload:
    """Ask where a vendor has a content. The result is its link, True or False.

    True: nowhere, and this flow is to upload it. False: another living flow uploads it just now.
    """

    key: UploadKey


@frozen
class KeepUpload:
    """A content was uploaded, and its vendor keeps it for so many seconds, as far as it says."""

    key: UploadKey
    link: str
    seconds: float


@frozen
class ForgetUpload:
    """A content was not uploaded after all, or its link may no longer work."""

    key: UploadKey


UploadEvent = TakeUpload | KeepUpload | ForgetUpload


def write(
    connection: Transaction,
    event: UploadEvent,
    owner: str,
    now: float,
    is_alive: Callable[[str | None], bool],
) -> str | bool | None:
    """Write one event inside of a transaction; the result is what the event says."""
    key = event.key
    where = (key.vendor, key.account, key.simulated, key.content)
    if isinstance(event, ForgetUpload):
        connection.execute(f"DELETE FROM uploads WHERE {COLUMNS}", where)  # noqa: S608
        return None
    if isinstance(event, KeepUpload):
        _put(connection, key, event.link, now + event.seconds, None)
        connection.execute("DELETE FROM uploads WHERE owner IS NULL AND expires_at <= ?", (now,))
        return None
    # The row is there before it is read, so that of two who ask at once one has to wait.
    connection.execute(
        "INSERT INTO uploads (vendor, account, simulated, content, expires_at)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*where, now),
    )
    select = f"SELECT link, expires_at, owner FROM uploads WHERE {COLUMNS}"  # noqa: S608
    row = connection.execute(select, where).fetchone()
    if row is not None and row["link"] and row["expires_at"] - now > SPARE:
        return str(row["link"])
    if row is not None and row["owner"] not in {None, owner} and is_alive(row["owner"]):
        return False
    _put(connection, key, None, now, owner)
    return True


def _put(
    connection: Transaction,
    key: UploadKey,
    link: str | None,
    expires_at: float,
    owner: str | None,
) -> None:
    connection.execute(
        "INSERT INTO uploads (vendor, account, simulated, content, link, expires_at, owner)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (vendor, account, simulated, content) DO UPDATE"
        " SET link = excluded.link, expires_at = excluded.expires_at, owner = excluded.owner",
        (key.vendor, key.account, key.simulated, key.content, link, expires_at, owner),
    )


@define
class RememberedUploads:
    """The same in memory, for the flows of one client that keeps no ledger."""

    _links: dict[UploadKey, tuple[str, float]] = field(factory=dict)
    _owners: dict[UploadKey, object] = field(factory=dict)
    """Who uploads a content just now."""

    def write(self, event: UploadEvent, owner: object, now: float) -> str | bool | None:
        """Write one event; the result is what the event says."""
        key = event.key
        if isinstance(event, TakeUpload):
            link, expires_at = self._links.get(key, ("", 0.0))
            if expires_at - now > SPARE:
                return link
            return self._owners.setdefault(key, owner) is owner
        self._owners.pop(key, None)
        self._links.pop(key, None)
        if isinstance(event, KeepUpload):
            self._links[key] = (event.link, now + event.seconds)
        return None

    def release(self, owner: object) -> None:
        """Free what an owner, whose flow has ended, was to upload."""
        if self._owners:
            self._owners = {key: one for key, one in self._owners.items() if one is not owner}
