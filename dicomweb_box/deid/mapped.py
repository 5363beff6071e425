"""Mapped files whose pages are let go of once they were read: pixels must not pile up in memory."""

import mmap
from typing import Any


def let_go(data: Any, start: int, stop: int) -> None:
    """Let the memory have the pages of these bytes back, where `data` is a mapped file."""
    release = getattr(data, "madvise", None)
    if release is not None and stop > start:
        page = start - start % mmap.PAGESIZE
        release(mmap.MADV_DONTNEED, page, min(stop, len(data)) - page)
