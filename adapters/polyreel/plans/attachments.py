"""Local files in a plan: checked, and brought to the vendor the way it takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from .. import hosts
from ..flows import Part
from ..mapping import media
from ..mapping.groups import Group
from ..mapping.limits import LimitViolation, limit_violations
from ..mapping.media import LocalFile
from ..mapping.reports import (
    SENT_ALL_THE_SAME,
    Allowance,
    MappingReport,
    Problem,
    unless_allowed,
)
from ..places import JsonObject, leaves, pointer
from ..providers.base.provider import Provider
from ..providers.base.routes import Route

MEDIA_FIELDS: Final = media.FIELDS.keys() | {"elements"}
"""The shared fields that can hold local files."""


@frozen
class Upload:
    """A file to upload before the body is complete. `target` is its place in the body."""

    file: Part
    target: str

    @property
    def path(self) -> Path | None:
        """Where the file is; None where its content was given in the request."""
        return self.file.path


class Attachments:
    """The media inputs of one plan: checks them, and knows how local ones get to the vendor."""

    def __init__(
        self,
        provider: Provider,
        route: Route,
        shared: Mapping[str, Any],
        report: MappingReport,
        base_url: str = "",
        allow: Mapping[str, Allowance] | None = None,
    ) -> None:
        self.provider, self.route, self.report = provider, route, report
        self.allow = allow or {}
        self.base_url = base_url or provider.base_url
        self.homes: list[str] = []
        """Where media go in the body; a prompt that happens to read like a file name is not one."""
        self.local: dict[str, LocalFile] = {}
        if not MEDIA_FIELDS.isdisjoint(shared):
            self._look_at_all(shared)

    def _look_at_all(self, shared: Mapping[str, Any]) -> None:
        # The file of a field that cannot be written at all needs no problem of its own.
        refused = {problem.field for problem in self.report.problems}
        for name, at, value, kind in media.inputs(shared):
            if name in self.route.by_name and name not in refused:
                self.homes += [pointer(place) for place in self.route.by_name[name].places]
                self._look(name, at, value, kind)
        takes_forms = self.provider.files == "multipart"
        if self.local and takes_forms and not self.provider.operation(self.route).takes_files:
            self._refuse("extra", "/", f"{self.route.operation.PATH} takes no files")

    def _look(self, name: str, at: str, value: str, kind: media.Kind) -> None:
        if value.startswith(self.provider.own_links):
            return
        try:
            file = media.look(value, kind)
        except ValueError as error:
            self._refuse(name, at, str(error))
            return
        if file is None:
            reason = hosts.not_reachable(value)
            # Who has a gateway in a network of their own may have the files there, too.
            if reason and not hosts.not_reachable(self.base_url):
                advice = "put the file on a public server, or give the file itself"
                self._refuse(name, at, f"{reason}; {advice}")
        elif self.provider.files == "none" or kind not in self.provider.file_kinds:
            silent = f"{self.provider.id} documents no local files of {kind}"
            note = self.provider.file_note or silent
            reason = f"{media.described(value, file)}. {note}; put it where everybody can read it"
            self._refuse(name, at, reason, "an http(s) URL")
        else:
            self.local[value] = file
            for violation in self._limit_violations(name, file):
                self._judge(name, at, violation)
            if doubt := self.provider.file_doubts.get(kind):
                _warn(name, doubt, self.report)

    def _judge(self, name: str, at: str, violation: LimitViolation) -> None:
        """Refuse a file for what it does not keep to, unless the caller sends it all the same."""
        if not violation.inferred:
            self._refuse(name, at, violation.reason, violation.limit)
        elif self.allow.get(name) == "send":
            _warn(name, f"{violation.reason}; {violation.limit}; {SENT_ALL_THE_SAME}", self.report)
        else:
            self._refuse(name, at, violation.reason + unless_allowed(name), violation.limit)

    def _refuse(self, name: str, at: str, reason: str, limit: str = "") -> None:
        self.report.problems.append(Problem(name, at, reason, limit))

    def _limit_violations(self, name: str, file: LocalFile) -> list[LimitViolation]:
        """What a file does not keep to of its field's facts, and of those of the vendor's upload.

        Of two limits for the same fact, the field's counts.
        """
        contract, row = self.provider.contract, self.route.by_name[name]
        place = row.homes.get(name, row.places[0]) if isinstance(row, Group) else row.places[0]
        field = contract.property(self.route.schema, place) or {}
        upload = contract.upload_facts if self.provider.files == "upload" else {}
        facts = {**upload, **field.get("x-polyreel-media", {})}
        return list(limit_violations(facts, file.measured))

    def places(self, body: JsonObject) -> Iterator[tuple[str, LocalFile]]:
        """Every place of the body that holds a local file: pointer and file."""
        for at, value in leaves(body) if self.local else ():
            if isinstance(value, str) and value in self.local and self._is_home(at):
                yield at, self.local[value]

    def _is_home(self, at: str) -> bool:
        return any(at == home or at.startswith(home + "/") for home in self.homes)

    def stand_in(self, body: JsonObject) -> JsonObject:
        """The body with URLs in the place of local files, for checking it against the contract."""
        if not self.local:
            return body
        places = enumerate(at for at, _ in self.places(body))
        return replaced(body, {at: f"https://file.invalid/{index}" for index, at in places})

    def uploads(self, body: JsonObject) -> tuple[Upload, ...]:
        """What has to be uploaded first, for vendors that want that."""
        if not self.local or self.provider.files != "upload":
            return ()
        return tuple(Upload(_part(file), at) for at, file in self.places(body))

    def parts(self, body: JsonObject) -> tuple[Part, ...]:
        """The body as multipart parts, for vendors that take files along with it."""
        if not self.local or self.provider.files != "multipart":
            return ()
        return tuple(_parts(body, {at: _part(file) for at, file in self.places(body)}))


def _warn(name: str, reason: str, report: MappingReport) -> None:
    """Put a warning in the entry of a field."""
    report.entries[:] = [
        evolve(one, reason="; ".join(filter(None, [reason, one.reason])), warning=True)
        if one.field == name and one.source
        else one
        for one in report.entries
    ]


def _part(file: LocalFile) -> Part:
    return Part("", path=file.path, content_type=file.content_type, content=file.content)


def _parts(body: JsonObject, files: Mapping[str, Part]) -> Iterator[Part]:
    for name, value in body.items():
        for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            at = pointer(name) if index is None else f"{pointer(name)}/{index}"
            if at in files:
                yield evolve(files[at], name=name)
            else:
                # Booleans and numbers travel as their JSON text.
                yield Part(name, text=item if isinstance(item, str) else json.dumps(item))


def replaced(body: JsonObject, values: Mapping[str, Any]) -> JsonObject:
    """A copy of a body with other values at some JSON Pointers. Without any, the body itself."""
    if not values:
        return body
    copy: JsonObject = json.loads(json.dumps(body))
    for at, value in values.items():
        *parents, last = at.strip("/").split("/")
        node: Any = copy
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[int(last) if isinstance(node, list) else last] = value
    return copy
