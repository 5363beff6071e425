"""Mapped files whose pages are let go of once they were read: pixels must not pile up in memory."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicomweb_box.deid.doubt import Doubt


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The bytes of a file; raises Doubt for an empty one, which can be no instance."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise Doubt("it is not a DICOM instance that can be read")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def let_go(data: Any, start: int, stop: int) -> None:
    """Let the memory have the pages of these bytes back, where `data` is a mapped file."""
    release = getattr(data, "madvise", None)
    if release is not None and stop > start:
        page = start - start % mmap.PAGESIZE
        release(mmap.MADV_DONTNEED, page, min(stop, len(data)) - page)
