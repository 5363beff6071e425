"""The Box: everything a room needs, handed to it as first argument."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dicomweb_box.database import Database
from dicomweb_box.database.lanes import Lane
from dicomweb_box.settings import Settings
from dicomweb_box.storage import BlobStore, open_store

T = TypeVar("T")


class Closing(Protocol):
    """What `Box.resource` keeps: something to be closed with the box."""

    async def close(self) -> None:
        """Let go of what it holds."""


R = TypeVar("R", bound=Closing)


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Box:
    """One opened archive in one process."""

    settings: Settings
    database: Database
    blobs: BlobStore
    files: Lane[None]
    """For parsing and file work."""
    decoders: Lane[None]
    """For decoding and encoding pixels."""
    clock: Callable[[], datetime] = now
    cache: Path
    """Folder of derived files; anything in it can be deleted."""
    resources: dict[type[Any], Any] = field(default_factory=dict, repr=False)

    def resource(self, kind: type[R], make: Callable[["Box"], R]) -> R:
        """The one `kind` of this box; made at the first ask, closed with the box in reverse order.

        Call it on the event loop: there it needs no lock.
        """
        found = self.resources.get(kind)
        if found is None:
            found = self.resources[kind] = make(self)
        return found


def in_thread(box: Box, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    """What `work` returns or raises, run in one of the box's file threads."""
    return box.files.run(_called, work, *arguments)


def in_decoder(box: Box, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    """What `work` returns or raises, run in one of the box's few threads for pixels."""
    return box.decoders.run(_called, work, *arguments)


def _called(held: None, work: Callable[..., T], *arguments: Any) -> T:
    del held
    return work(*arguments)


@asynccontextmanager
async def open_box(settings: Settings, *, clock: Callable[[], datetime] = now) -> AsyncIterator[Box]:
    """An opened box: database migrated, stale spool files swept; all closed at the end.

    Raises BadSetting for an address that cannot be meant, and what the database raises if it cannot open.
    """
    async with AsyncExitStack() as stack:
        # Eager, as all of its jobs wait for a disk.
        files = Lane([None] * settings.file_threads, "files", eager=True)
        stack.callback(files.close)
        decoders = Lane([None] * settings.decode_threads, "decoders", eager=True)
        stack.callback(decoders.close)
        await asyncio.to_thread(settings.data.mkdir, parents=True, exist_ok=True)
        database = await Database.open(settings.database_address, readers=settings.database_readers)
        stack.push_async_callback(database.close)
        await database.migrate()
        blobs = open_store(
            settings.blob_address,
            spool=settings.data / "spool",
            options=settings.provider,
            insecure_http=settings.insecure_http,
            open_blobs=settings.open_blobs,
        )
        stack.callback(blobs.close)
        box = Box(
            settings=settings,
            database=database,
            blobs=blobs,
            files=files,
            decoders=decoders,
            clock=clock,
            cache=settings.data / "cache",
        )
        await in_thread(box, blobs.sweep)
        stack.push_async_callback(_close_resources, box)
        yield box


async def _close_resources(box: Box) -> None:
    for resource in reversed(list(box.resources.values())):
        await resource.close()
    box.resources.clear()
