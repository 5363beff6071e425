"""Blobs on a local disk: written beside, fsynced, renamed, their folder fsynced."""

import contextlib
import errno
import mmap
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from dicomweb_box.errors import NotFound, OutOfResources
from dicomweb_box.storage.blobs import checked
from dicomweb_box.storage.folders import Folders
from dicomweb_box.storage.spool import File, Spool, full_disk_reported

SPOOL = ".spool"
IDLE = 60.0
"""Seconds after which an unused descriptor is closed, so that a deleted blob's disk comes free."""

_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", None)
_NOT_NOW = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class LocalStore:
    """A BlobStore in a folder; a key is a path below it."""

    def __init__(self, root: Path, *, open_blobs: int = 256) -> None:
        self.root = root.absolute()
        self._text = str(self.root)
        self._folders = Folders(self.root)
        self._spool = Spool(self.root / SPOOL)
        self._descriptors = _Descriptors(open_blobs)

    def put(self, key: str, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Store the pieces under the key; durable on return."""
        path = self._place(key)
        with self.spool() as file:
            for piece in pieces:
                file.write(piece)
            file.sync()
            self._name(file.name, path)
            file.renamed()
        self._descriptors.drop(key)

    def adopt(self, key: str, spool: Path) -> None:
        """Make the spool file the blob of this key; durable on return."""
        path = self._place(key)
        with full_disk_reported():
            descriptor = os.open(spool, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._name(str(spool), path)
        self._descriptors.drop(key)

    def spool(self) -> File:
        """A new spool file on the same file system as the blobs."""
        with full_disk_reported():
            # First, so that the spool's folder is not what makes the store's own.
            self._folders.ensure(self._text)
        return self._spool.new()

    def open(self, key: str) -> "LocalBlob":
        """The blob, by a descriptor that may be shared; NotFound if there is none."""
        return LocalBlob(self._descriptors, self._descriptors.take(key, self.root))

    def open_now(self, key: str) -> "LocalBlob | None":
        """The blob if its descriptor is open already, else None."""
        held = self._descriptors.held(key)
        return None if held is None else LocalBlob(self._descriptors, held)

    def local_path(self, key: str) -> Path:
        """Where the blob lies, or would lie."""
        return self._path(key)

    def delete(self, key: str) -> None:
        """Remove the blob, if it is there."""
        path = self._path(key)
        self._descriptors.drop(key)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        # Durable too: a blob that comes back after a power cut would be an orphan.
        self._folders.sync(str(path.parent))

    def keys(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Each key that begins with prefix, with its size, sorted within each folder."""
        return _walk(self.root, "", prefix)

    def probe(self) -> None:
        """Write and remove a small file; OutOfResources if that cannot be done."""
        try:
            # Through a folder entry of its own: a disk with no inodes left, or mounted read-only, shows here.
            with self.spool() as file:
                file.write(b"probe")
        except OSError as error:
            raise OutOfResources(f"the blob folder cannot be written: {error.strerror}") from error

    def sweep(self) -> int:
        """Delete the spool files of dead processes; how many."""
        return self._spool.sweep()

    def trim(self) -> None:
        """Close descriptors that were not used for a while."""
        self._descriptors.trim(time.monotonic() - IDLE)

    def close(self) -> None:
        """Close every descriptor that is not lent out; the others follow when they come back."""
        self._descriptors.trim(float("inf"))

    def _path(self, key: str) -> Path:
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        return f"{self._text}/{checked(key)}"

    def _name(self, spool: str, path: str) -> None:
        folder = path.rpartition("/")[0]
        with full_disk_reported():
            self._folders.ensure(folder)
            try:
                os.replace(spool, path)  # noqa: PTH105  (texts, for speed)
            except FileNotFoundError:
                # Somebody tidied the empty folder away since we made it.
                self._folders.forget(folder)
                self._folders.ensure(folder)
                os.replace(spool, path)  # noqa: PTH105
            self._folders.sync(folder)


class _Held:
    """One open descriptor and how many blobs lean on it."""

    __slots__ = ("descriptor", "dropped", "key", "size", "used", "users")

    def __init__(self, key: str, descriptor: int, size: int) -> None:
        self.key = key
        self.descriptor = descriptor
        self.size = size
        self.users = 0
        self.used = 0.0
        self.dropped = False


class _Descriptors:
    """The most recently used descriptors; one is closed only when nobody leans on it any more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def take(self, key: str, root: Path) -> _Held:
        return self.held(key) or self._open(key, root)

    def held(self, key: str) -> _Held | None:
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
                held.users += 1
                held.used = time.monotonic()
            return held

    def _open(self, key: str, root: Path) -> _Held:
        try:
            descriptor = os.open(f"{root}/{checked(key)}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("the blob is not in the store") from error
        opened = _Held(key, descriptor, os.fstat(descriptor).st_size)
        with self._lock:
            held = self._held.setdefault(key, opened)
            held.users += 1
            held.used = time.monotonic()
            if held is not opened:  # another thread was faster
                os.close(descriptor)
            while len(self._held) > self._most:
                self._let_go(self._held.popitem(last=False)[1])
        return held

    def release(self, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            if held.dropped and not held.users:
                os.close(held.descriptor)

    def drop(self, key: str) -> None:
        with self._lock:
            held = self._held.pop(key, None)
            if held is not None:
                self._let_go(held)

    def trim(self, before: float) -> None:
        with self._lock:
            for key in [key for key, held in self._held.items() if held.used < before]:
                self._let_go(self._held.pop(key))

    def _let_go(self, held: _Held) -> None:
        held.dropped = True
        if not held.users:
            os.close(held.descriptor)


class LocalBlob:
    """An opened blob on the local disk."""

    __slots__ = ("_held", "_mapped", "_owner", "size")

    def __init__(self, owner: _Descriptors, held: _Held) -> None:
        self._owner = owner
        self._held: _Held | None = held
        self._mapped: mmap.mmap | None = None
        self.size = held.size

    def pread(self, offset: int, length: int) -> bytes:
        """The bytes at offset; fewer at the end."""
        pieces = []
        while length > 0 and (piece := os.pread(self._descriptor, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pread_now(self, offset: int, length: int) -> bytes | bytearray | None:
        """The bytes at offset if all are in the page cache; None if a disk would have to be waited for."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if _RWF_NOWAIT is None:
            return None
        found = bytearray(length)
        try:
            count = os.preadv(self._descriptor, [found], offset, _RWF_NOWAIT)
        except OSError as error:
            if error.errno in _NOT_NOW or error.errno in _UNSUPPORTED:
                return None
            raise
        return found if count == length else None

    def buffer(self) -> memoryview | mmap.mmap:
        """The whole blob, mapped; valid until close."""
        if not self.size:
            return memoryview(b"")
        if self._mapped is None:
            self._mapped = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return self._mapped

    def close(self) -> None:
        """Let go; safe to call twice."""
        held, self._held = self._held, None
        if held is None:
            return
        if self._mapped is not None:
            # A reader may still hold a view; the map then goes with it.
            with contextlib.suppress(BufferError):
                self._mapped.close()
            self._mapped = None
        self._owner.release(held)

    @property
    def _descriptor(self) -> int:
        if self._held is None:
            raise ValueError("the blob is closed")
        return self._held.descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _walk(folder: Path, below: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        key = below + entry.name
        if entry.name.startswith(".") or not (key.startswith(prefix) or prefix.startswith(f"{key}/")):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{key}/", prefix)
        elif entry.is_file():
            with contextlib.suppress(FileNotFoundError):  # deleted while we walked
                yield key, entry.stat().st_size
