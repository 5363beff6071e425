"""Frames of RLE Lossless (PS3.5 G), followed byte by byte without being decoded: nothing may hide in them."""

import struct
from typing import Any, Final

from dicomweb_box.deid.doubt import Doubt

_HEADER: Final = 64
_MOST_PADDING: Final = 1
"""PS3.5 G.3.1: a segment has an even number of bytes."""


def check(data: Any, start: int, stop: int, *, segments: int, size: int) -> None:
    """Raises Doubt where a frame holds anything but its header and this many segments of so many bytes."""
    if stop - start < _HEADER:
        raise Doubt("a run length encoded frame has no header")
    count, *offsets = struct.unpack_from("<16I", data, start)
    used, unused = offsets[:count], offsets[count:]
    if count != segments or any(unused) or not used or used[0] != _HEADER:
        raise Doubt("a run length encoded frame has other segments than its description says")
    for at, following in zip(used, [*used[1:], stop - start], strict=True):
        end = _end(data, start + at, start + following, size)
        rest = bytes(data[end : start + following])
        if len(rest) > _MOST_PADDING or rest.strip(b"\0"):
            raise Doubt("something follows a segment of a run length encoded frame")


def _end(data: Any, at: int, stop: int, size: int) -> int:
    """Where a segment ends that decodes to so many bytes (PS3.5 G.3.2)."""
    decoded = 0
    while decoded < size:
        if at >= stop:
            raise Doubt("a segment of a run length encoded frame ends too soon")
        number = data[at]
        if number < 128:
            decoded += number + 1
            at += number + 2
        elif number > 128:
            decoded += 257 - number
            at += 2
        else:
            at += 1
    if at > stop or decoded > size:
        raise Doubt("a segment of a run length encoded frame does not end where it should")
    return at
