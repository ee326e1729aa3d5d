"""Uploads before a submit: each content once per account, as long as its vendor keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..errors import NeverSentError, VendorError
from ..flows import Flow, Part, Record, Send, Sleep, Step, altered
from ..ledger.uploads import ForgetUpload, KeepUpload, TakeUpload, UploadKey
from ..mapping.media import SUFFIXES

if TYPE_CHECKING:
    from ..plans.planning import Plan
    from ..providers.base.provider import Provider

PAUSE: Final = 0.5
"""Seconds until it is looked again whether somebody else has uploaded a content."""
PATIENCE: Final = 1200
"""How often that is looked at; then the content is uploaded once more, which costs nothing."""


def upload_all(plan: Plan, *, simulated: bool) -> Flow[tuple[Plan, tuple[UploadKey, ...]]]:
    """Upload the files of a plan, for vendors that want that; the result has their links.

    The second value names the contents whose links are in the plan. NeverSentError is raised where
    a file cannot be uploaded: then nothing was submitted.
    """
    links: dict[str, str] = {}
    known: dict[UploadKey, str] = {}
    for upload in plan.uploads:
        try:
            content = upload.file.digest()
        except OSError as error:
            text = f"{upload.file.path} cannot be read: {error.strerror}"
            raise _unsubmitted(plan, VendorError(text, vendor=plan.vendor)) from None
        key = UploadKey(plan.vendor, content, simulated)
        try:
            if key not in known:
                asked = _link(plan.provider, upload.file, key)
                known[key] = yield from _at(asked, plan.provider.base_url, plan.base_url)
        except VendorError as error:
            raise _unsubmitted(plan, error) from None
        links[upload.target] = known[key]
    return (plan.uploaded(links) if links else plan), tuple(known)


def forget(keys: Iterable[UploadKey]) -> Flow[None]:
    """Forget where contents are, so that they are uploaded anew the next time."""
    for key in keys:
        yield Record(ForgetUpload(key))


def content_name(file: Part, content: str) -> str:
    """The name that a file gets at a vendor: that of its content, so its own name stays here."""
    return f"{content[:32]}{SUFFIXES.get(file.content_type or '', '')}"


def _link(provider: Provider, file: Part, key: UploadKey) -> Flow[str]:
    """The link of a content at its vendor, which is uploaded where the vendor does not have it.

    How long a vendor keeps a file may be unknown: then each job uploads its own.
    """
    name = content_name(file, key.content)
    if (seconds := provider.upload_seconds) is None:
        return (yield from provider.upload(file, name))
    for _ in range(PATIENCE):
        taken: str | bool | None = yield Record(TakeUpload(key))
        if isinstance(taken, str):
            return taken
        if taken is not False:
            break
        yield Sleep(PAUSE)
    try:
        link = yield from provider.upload(file, name)
    except VendorError:
        yield Record(ForgetUpload(key))
        raise
    yield Record(KeepUpload(key, link, seconds))
    return link


def _at(flow: Flow[str], documented: str, base_url: str) -> Flow[str]:
    """A flow whose calls to the documented base URL go to another one, such as a gateway's."""

    def there(step: Step) -> Flow[Step]:
        yield from ()
        if isinstance(step, Send) and step.url.startswith(f"{documented}/"):
            return evolve(step, url=base_url + step.url.removeprefix(documented))
        return step

    return altered(flow, there)


def _unsubmitted(plan: Plan, error: VendorError) -> NeverSentError:
    text = f"{error}; the job was not submitted, so nothing was billed"
    return NeverSentError(text, vendor=plan.vendor, status=error.status, code=error.code)
