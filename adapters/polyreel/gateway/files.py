"""The files of jobs: fetched from their vendors, kept, and given to clients.

Without a store they are fetched when somebody asks for them, and kept for some days. With one,
such as `s3://bucket/clips`, they are fetched once, when their job has ended, and stay there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..drivers import arun, origin, storage
from ..errors import DownloadError, MissingExtraError
from ..jobs.finishing import try_output
from ..jobs.locations import Location, StorageUrl, is_there, location_of
from ..ledger.states import has_result

if TYPE_CHECKING:
    from polyreel_generated.shared import Job, Output

    from ..client import AsyncClient
    from ..flows import Flow

LOG: Final = logging.getLogger("polyreel")
KEPT_SECONDS: Final = 3 * 24 * 60 * 60.0
"""How long files are kept beside the ledger, those of clients and those of vendors."""


@frozen
class FileAnswer:
    """A file of this machine, as the answer to a call."""

    path: Path
    content_type: str


def trying(store: Location) -> Flow[None]:
    """Try whether files can be saved in a store. Raises DownloadError, or MissingExtraError."""
    if isinstance(store, Path):
        try:
            store.mkdir(parents=True, exist_ok=True)
            probe = store / f".{secrets.token_hex(8)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DownloadError(f"cannot save to {store}: {error.strerror}") from None
    else:
        yield from try_output(str(store))


class JobFiles:
    """The files of the jobs of a gateway."""

    def __init__(self, client: AsyncClient, folder: Path, store: Location | None = None) -> None:
        """Keep them in `store` for good, where there is one, and in `folder` for some days."""
        self.client, self.folder, self.store = client, folder, store
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def try_store(self) -> None:
        """Raise DownloadError where nothing can be saved in the store."""
        if self.store is not None:
            await arun(trying(self.store), self.client.wire)

    def purge(self) -> None:
        """Delete the files that were fetched long ago: they are fetched again where need be."""
        oldest = time.time() - KEPT_SECONDS
        for path in [*self.folder.glob("*/*"), *self.folder.glob("uploads/*/*")]:
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
                    path.parent.rmdir()
        for path in self.folder.glob("uploads/*"):
            with suppress(OSError):  # those with files stay
                if path.stat().st_mtime < oldest:
                    path.rmdir()

    def are_given(self, vendor: str, url: str) -> bool:
        """Whether clients get a link of the gateway to a file, and not the vendor's own.

        They do where files are stored, where the vendor's link needs its key, and where it leads
        to nowhere in the world.
        """
        return self.store is not None or origin(url) in self.client.wire.hosts.get(vendor, ())

    async def stored(self, job: Job) -> Job:
        """Have all files of a job in the store; the result is the job with where they are.

        Raises DownloadError.
        """
        assert self.store is not None
        if has_result(job) and all(self._is_stored(one) for one in job.outputs or ()):
            return job
        return await self.client.download(job, str(self.store))

    def _is_stored(self, output: Output) -> bool:
        if output.path is None or not is_there(output.path):
            return False
        path, store = location_of(output.path), self.store
        if isinstance(path, StorageUrl) and isinstance(store, StorageUrl):
            return path.scheme == store.scheme and path.path.is_relative_to(store.path)
        if isinstance(path, Path) and isinstance(store, Path):
            return path.resolve().is_relative_to(store.resolve())
        return False

    async def answer(self, job: Job, number: int, name: str) -> FileAnswer:
        """Give an output of a job, by its number from 1; `name` is that of the job here.

        Raises DownloadError.
        """
        if self.store is not None:
            try:
                job = await self.stored(job)
            except DownloadError as error:  # its vendor may still have it
                LOG.warning("%s: %s", name, error)
        output = (job.outputs or [])[number - 1]
        path = None if output.path is None else await self._here(output.path, name)
        if path is None:
            saved = await self.client.download(job, self.folder / name)
            output = (saved.outputs or [])[number - 1]
            path = Path(str(output.path))
        return FileAnswer(path, output.content_type or "application/octet-stream")

    async def _here(self, path: str, name: str) -> Path | None:
        """A saved file on this machine, copied from its store; None where it is gone."""
        place = location_of(path)
        if isinstance(place, Path):
            return place if place.exists() else None
        copy = self.folder / name / place.name
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            try:
                await asyncio.to_thread(storage.copy_here, path, copy)
            except FileNotFoundError:
                return None
            except MissingExtraError:
                raise
            except Exception as error:  # the stores' packages have no common root
                kind = type(error).__name__  # and their words can have secrets in them
                raise DownloadError(f"cannot read {path}: {kind}") from None
        return copy
