"""A process of its own for looking into videos: what kills or hangs a codec, kills or hangs no server.

It is started for one picture, which it writes to its standard output as PNG. Its alarm and its limit of
memory end it, whatever becomes of the server.
"""

import io
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from dicomweb_box.dicom import video
from dicomweb_box.errors import Damaged, OutOfResources

_MODULE = "dicomweb_box.archive.poster_process"
_START_SECONDS = 30.0


def picture_apart(source: Path, place: tuple[int, int], number: int, *, seconds: int, most: int) -> bytes:
    """Picture `number` of the video at an offset and length of a file, as PNG. Blocks.

    Raises Damaged where it cannot be decoded, takes too long or breaks its decoder; OutOfResources where no
    process can be started.
    """
    arguments = [str(source), *map(str, (*place, number, seconds, most))]
    try:
        done = subprocess.run(  # noqa: S603  (our own module; a path and numbers for arguments)
            [sys.executable, "-m", _MODULE, *arguments],
            # Nothing of our environment goes along: it holds the keys of stores and databases.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds + _START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Damaged(f"the video is not decoded in {seconds} seconds") from None
    except OSError as error:
        raise OutOfResources(f"no process for codecs can be started: {error.strerror}") from error
    if done.returncode or not done.stdout:
        raise Damaged("the video cannot be decoded")
    return done.stdout


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, descriptor: int, offset: int, length: int) -> None:
        self._descriptor, self._offset, self._length = descriptor, offset, length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._length - self._at)
        got = os.pread(self._descriptor, left if size < 0 else min(size, left), self._offset + self._at)
        self._at += len(got)
        return got


def main(source: str, offset: int, length: int, number: int, seconds: int, most: int) -> None:
    """Write one picture to standard output; ends with 1 where there is none."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.alarm(seconds)
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        made = video.frame_of(_Window(descriptor, offset, length), number)
    except (Damaged, MemoryError):
        sys.exit(1)
    made.save(sys.stdout.buffer, "PNG", compress_level=1)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
