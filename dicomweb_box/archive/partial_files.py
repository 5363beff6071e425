"""Files that arrive in chunks: on the local disk of this machine, one to each, under names of our own.

A file's row says how much of it is durable; what lies behind that is the rest of a chunk that broke off, and
is cut away before the next one. Whoever writes or reads a partial file holds its lock, which ends with its
process.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from dicomweb_box.storage.spool import full_disk_reported


class Busy(Exception):
    """Another request or process holds the file."""


def folder(data: Path) -> Path:
    """Where they lie: a folder for each session."""
    return data / "uploads"


def place(data: Path, session_id: str, file_id: str) -> Path:
    """Where a file lies; both names are random ones of ours, never a sender's."""
    return folder(data) / session_id / file_id


class PartialFile:
    """One locked file, open for appending and reading."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, create: bool = False) -> "PartialFile":
        """Raises Busy where it is locked, FileNotFoundError where it is not there and not to be made."""
        with full_disk_reported():
            if create and not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync(path.parent.parent)
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            descriptor = os.open(path, flags, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = not os.fstat(descriptor).st_nlink  # whoever held it before has deleted it
        except BlockingIOError:
            gone = True
        if gone:
            os.close(descriptor)
            raise Busy
        return cls(path, descriptor)

    def begin(self, offset: int) -> bool:
        """Be ready to take what follows `offset`; False where that much is not here."""
        if os.fstat(self._descriptor).st_size < offset:
            return False
        os.ftruncate(self._descriptor, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return True

    def write(self, pieces: list[bytes]) -> None:
        """Append; OutOfResources when the disk is full."""
        with full_disk_reported():
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Return once what was written, and the file's name, are on the disk."""
        with full_disk_reported():
            os.fsync(self._descriptor)
            _sync(self.path.parent)

    def rename(self, path: Path) -> None:
        """Give it another name in its folder; durable on return."""
        self.path.replace(path)
        self.path = path
        _sync(path.parent)

    def head(self) -> bytes:
        """The first four bytes."""
        return os.pread(self._descriptor, 4, 0)

    def remove(self) -> None:
        """Delete it; it stays locked until it is closed."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_session(data: Path, session_id: str) -> None:
    """Delete whatever of a session lies here."""
    shutil.rmtree(folder(data) / session_id, ignore_errors=True)


def remove(data: Path, session_id: str, file_id: str) -> None:
    """Delete one file, if it is here, and the session's folder with the last one."""
    path = place(data, session_id, file_id)
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return  # others are left, or it is gone


def left_behind(data: Path, age: float) -> Iterator[tuple[str, str]]:
    """Session and file of what was not written to for `age` seconds."""
    if not folder(data).is_dir():
        return
    for path in folder(data).glob("*/*"):
        try:
            if time.time() - path.stat().st_mtime > age:
                yield path.parent.name, path.name
        except FileNotFoundError:
            continue
