"""Temporary files that carry their owner's name, so that only those of dead processes are swept."""

import errno
import functools
import os
import socket
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from dicomweb_box.errors import OutOfResources

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FOREIGN_AGE = 24 * 3600.0
"""Seconds without a write after which another host's spool file counts as left behind."""


_numbers = count(1)


class full_disk_reported:  # noqa: N801  (reads as a verb where it is used; a class costs half of a generator)
    """Context manager: turn "no space" and "quota exceeded" into OutOfResources."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            raise OutOfResources("the disk is full") from error


class Spool:
    """A folder of spool files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._text = str(folder)

    def new(self) -> "File":
        """A new, empty spool file of this process."""
        # Texts, not paths: a small instance is stored in less time than a few paths take to be put together.
        name = f"{self._text}/{_host()}.{_owner(os.getpid())}.{next(_numbers):x}"
        with full_disk_reported():
            try:
                return File(name)
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                return File(name)

    def sweep(self) -> int:
        """Delete what dead processes left; how many files that were."""
        swept = 0
        for path in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            if _left_behind(path):
                path.unlink(missing_ok=True)
                swept += 1
        return swept


class File:
    """One spool file, open for writing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._there = True
        self._descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.name)

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append the piece; OutOfResources when the disk is full."""
        with full_disk_reported():
            written = os.write(self._descriptor, piece)
            if written < len(piece) or isinstance(piece, memoryview):
                rest = memoryview(piece).cast("B")[written:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]

    def renamed(self) -> None:
        """It has another name now, and is no longer this file's to delete."""
        self._there = False

    def sync(self) -> None:
        """Return once all that was written is on the disk."""
        with full_disk_reported():
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Finish writing; the file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close and delete; harmless once it has been renamed away."""
        self.close()
        if self._there:
            self.path.unlink(missing_ok=True)

    def fileno(self) -> int:
        """The open descriptor."""
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


@functools.cache
def _host() -> str:
    return socket.gethostname().replace(".", "-").replace("/", "-")[:60] or "host"


@functools.cache
def _owner(process: int) -> str:
    # Numbers of processes come round again; number and start time together do not.
    return f"{process}-{_started(process) or 0}"


def _started(process: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is none, or no way to tell."""
    try:
        stat = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def _left_behind(path: Path) -> bool:
    host, _, rest = path.name.partition(".")
    owner = rest.partition(".")[0]
    try:
        if host != _host() or not owner:
            return time.time() - path.stat().st_mtime > FOREIGN_AGE
        process, _, started = owner.partition("-")
        return not _alive(int(process), int(started or 0))
    except (FileNotFoundError, ValueError):
        return False


def _alive(process: int, started: int) -> bool:
    now = _started(process)
    if now is not None:
        return now == started
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return started == 0  # no /proc (not Linux): the number is all there is to go by
