"""Temporary files that carry their owner's name, so that only those of dead processes are swept."""

import errno
import functools
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dicomweb_box.errors import OutOfResources

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FOREIGN_AGE = 24 * 3600.0
"""Seconds without a write after which another host's spool file counts as left behind."""


@contextmanager
def full_disk_reported() -> Iterator[None]:
    """Turn "no space" and "quota exceeded" into OutOfResources."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfResources("the disk is full") from error
        raise


class Spool:
    """A folder of spool files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self) -> "File":
        """A new, empty spool file of this process."""
        path = self.folder / f"{_host()}.{_owner(os.getpid())}.{secrets.token_hex(8)}"
        with full_disk_reported():
            try:
                return File(path)
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                return File(path)

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

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append the piece; OutOfResources when the disk is full."""
        with full_disk_reported():
            written = os.write(self._descriptor, piece)
            if written < len(piece) or isinstance(piece, memoryview):
                rest = memoryview(piece).cast("B")[written:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]

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
