"""What a store of blobs offers, whichever kind it is."""

import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dicomweb_box.errors import NotFound

_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_PART}(?:/{_PART}){{0,15}}\Z")


def checked(key: str) -> str:
    """The key itself; NotFound for one that no store has made, above all one that would leave the store."""
    if _KEY.match(key) is None:
        raise NotFound("no blob can have this key")
    return key


class Blob(Protocol):
    """An opened blob: immutable bytes at rest. Close it, or use it as a context manager."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """The bytes at offset; fewer at the end. Blocks: call it in a thread."""

    def pread_now(self, offset: int, length: int) -> bytes | bytearray | None:
        """As pread, but None where that would wait for a disk or a network: for the event loop."""

    def buffer(self) -> memoryview | mmap.mmap:
        """The whole blob as one readable buffer, paged in as it is touched; valid until close. Blocks."""

    def close(self) -> None:
        """Let go of it; safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class SpoolFile(Protocol):
    """A temporary file that may become a blob by `BlobStore.adopt`."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append; OutOfResources when the disk is full."""

    def close(self) -> None:
        """Finish writing; the file stays until adopted or discarded."""

    def discard(self) -> None:
        """Close and delete; harmless once adopted."""


class BlobStore(Protocol):
    """Blobs by key. All block (call them in a thread) but `open_now`, `local_path` and `Blob.pread_now`.

    A full or refusing store raises OutOfResources; a key that is not there, NotFound.
    """

    def put(self, key: str, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Store the pieces, joined, under the key; durable on return, and never seen in part."""

    def adopt(self, key: str, spool: Path) -> None:
        """Make a written spool file the blob of this key; durable on return, the spool file is gone."""

    def spool(self) -> SpoolFile:
        """A new spool file."""

    def open(self, key: str) -> Blob:
        """The blob of this key."""

    def open_now(self, key: str) -> Blob | None:
        """The blob if it is open already, else None: for the event loop."""

    def local_path(self, key: str) -> Path | None:
        """Where the blob lies as a file of its own; None in an object store."""

    def delete(self, key: str) -> None:
        """Forget the blob; nothing happens if there is none."""

    def keys(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Each key that begins with prefix, with its size, sorted."""

    def probe(self) -> None:
        """Return if blobs can be stored and read now; OutOfResources if not."""

    def sweep(self) -> int:
        """Delete what processes that are no longer alive left in the spool; how many files that were."""

    def trim(self) -> None:
        """Let go of descriptors that were not used for a while, so that deleted blobs free their disk."""

    def close(self) -> None:
        """Let go of everything held."""
