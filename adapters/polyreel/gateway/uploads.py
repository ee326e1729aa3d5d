"""Files that clients upload: kept here, and sent to whichever vendor makes the job."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..errors import LedgerError
from ..flows import Reply
from ..places import Json, JsonObject, Place, leaves
from ..serving import forms
from ..serving.uploads import Uploads, bare, new_link
from .listing import only_known

if TYPE_CHECKING:
    from ..serving.calls import Call, IncomingRequest

TO_BE_PUT: Final = 2**62
"""The least number of a link at which a file is to be put: only who was given it knows it.

Numbers of files that were sent are lower. They come from the content, which others may know: a file
that is put there would take the place of the one that somebody's job is made from.
"""
_PATH: Final = re.compile(r"/uploads/([0-9]{1,20})/([A-Za-z0-9_-][A-Za-z0-9._-]{0,99})")


@frozen
class KeptUploads(Uploads):
    """Uploaded files in a folder, by their links."""

    folder: Path = field(kw_only=True)

    def kept(self, request: IncomingRequest, name: str, content: bytes | None) -> str:
        """Keep a file; the result is its link, the same for the same content.

        Without content it is a new link, at which the file can be put.
        """
        digest = None if content is None else sha256(content).hexdigest()
        number = TO_BE_PUT + secrets.randbits(62) if digest is None else int(digest[:15], 16)
        link = new_link(request, name.lstrip(".")[-100:] or "file", number)
        if (path := self._path(link, request.links.public)) is None:
            raise LedgerError(f"{name[:100]!r} is no name for a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            _write(path, content)
        return link

    def is_given(self, request: IncomingRequest) -> bool:
        """Whether a request is to a link that an upload has given."""
        return self._path_of(request) is not None

    def _path_of(self, request: IncomingRequest) -> Path | None:
        path = self._path(request.links.public + request.path, request.links.public)
        is_open = path is not None and int(path.parent.name) >= TO_BE_PUT and path.parent.is_dir()
        return path if is_open else None

    def put(self, request: IncomingRequest) -> Reply:
        """Take a file at a link that an upload has given."""
        path = self._path_of(request)
        if path is None:
            return Reply(404, {"content-type": "text/plain"}, b"no such upload")
        _write(path, request.content)
        return super().put(request)

    def answer(self, call: Call, facts: JsonObject, link: str) -> Reply:
        """The documented answer to an upload, with what is known of the file."""
        known = {str(value) for value in facts.values()}

        def is_known(at: Place, value: Json) -> bool:
            text = str(value)
            return (isinstance(value, str) and bare(link) in text) or text in known

        return only_known(call, super().answer(call, facts, link), is_known)[0]

    def of_form(
        self, request: IncomingRequest, parts: Iterable[forms.FormPart], body: JsonObject
    ) -> JsonObject:
        """The body of a form with the links of its files, which are kept."""
        links = {
            f"{forms.UPLOADS}{number}": self.kept(request, part.filename or "file", part.content)
            for number, part in enumerate(parts, 1)
            if part.filename is not None
        }
        return {name: _with(links, value) for name, value in body.items()}

    def files_in(self, body: JsonObject, public: str) -> dict[str, str]:
        """The files that a body names by their links, by those links."""
        found = {}
        for _, value in leaves(body):
            if isinstance(value, str) and "://" in value:
                path = self._path(value, public)
                if path is not None and path.is_file():
                    found[value] = str(path)
        return found

    def _path(self, link: str, public: str) -> Path | None:
        """Where the file of a link is; None where it is no link of this face."""
        start = bare(public)
        if not bare(link).startswith(start):
            return None
        found = _PATH.fullmatch(bare(link).removeprefix(start))
        return self.folder / found[1] / found[2] if found else None


def _with(links: dict[str, str], value: Json) -> Json:
    if isinstance(value, list):
        return [_with(links, item) for item in value]
    return links.get(value, value) if isinstance(value, str) else value


def _write(path: Path, content: bytes) -> None:
    """Write a file, so that nobody reads a part of it."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    part.write_bytes(content)
    part.replace(path)
