"""A process of its own for looking into videos: what kills or hangs a codec, kills or hangs no server.

It is started for one picture, which it writes to its standard output as PNG. Its alarm and its limit of
memory end it, whatever becomes of the server.
"""

import io
import os
import sys
from pathlib import Path

from dicomweb_box.archive.apart import limit, run_apart
from dicomweb_box.dicom.display import video
from dicomweb_box.errors import Damaged

_MODULE = "dicomweb_box.archive.poster_process"


def picture_apart(source: Path, place: tuple[int, int], number: int, *, seconds: int, most: int) -> bytes:
    """Picture `number` of the video at an offset and length of a file, as PNG. Blocks.

    Raises Damaged where it cannot be decoded, takes too long or breaks its decoder; OutOfResources where no
    process can be started.
    """
    try:
        done = run_apart(_MODULE, [source, *place, number, seconds, most], seconds)
    except TimeoutError:
        raise Damaged(f"the video is not decoded in {seconds} seconds") from None
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
    limit(seconds, most)
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        made = video.frame_of(_Window(descriptor, offset, length), number)
    except (Damaged, MemoryError):
        sys.exit(1)
    made.save(sys.stdout.buffer, "PNG", compress_level=1)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
