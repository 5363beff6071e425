"""Frames as one animated picture: GIF and WebP, written frame after frame, one of them in memory at a time.

Frames are pictures of grey levels or RGB, all of one size; times are milliseconds.
"""

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image

_GIF_SHORTEST = 2
"""Hundredths of a second: browsers show what claims to be shorter for a tenth."""
_GIF_LONGEST = 0xFFFF
_FOREVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, b"\x3b"


class GifWriter:
    """A GIF89a that loops; greys come out exactly, colours by 256 of each frame's own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = False

    def add(self, frame: "Image", begin: float, end: float) -> None:
        """Write the next frame."""
        if not self._begun:
            columns, rows = frame.size
            self._file.write(b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0, 0, 0) + _FOREVER)
            self._begun = True
        # From the times since the beginning, so that rounding to hundredths does not add up.
        shown = min(max(round(end / 10) - round(begin / 10), _GIF_SHORTEST), _GIF_LONGEST)
        self._file.write(struct.pack("<BBBBHBB", _EXTENSION, 0xF9, 4, 0, shown, 0, 0))
        self._file.write(_gif_image(frame))

    def close(self) -> None:
        """Write the end."""
        self._file.write(_TRAILER)


def _gif_image(frame: "Image") -> bytes:
    """One image of a GIF with a colour table of its own."""
    alone = io.BytesIO()
    frame.save(alone, "GIF", optimize=False, interlace=0)
    data = alone.getvalue()
    flags = data[10]
    table_end = 13 + (3 << ((flags & 7) + 1)) if flags & 0x80 else 13
    at = table_end
    while data[at] == _EXTENSION:
        at = _after_blocks(data, at + 2)
    if data[at] != _IMAGE:
        raise ValueError("a GIF holds no image where one belongs")
    if data[at + 9] & 0x80:  # it has its own table already
        return data[at:-1]
    # The global table of a GIF of one image is the local one of this image.
    head = data[at : at + 9] + bytes([0x80 | (data[at + 9] & 0x40) | (flags & 7)])
    return head + data[13:table_end] + data[at + 10 : -1]


def _after_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


class WebpWriter:
    """An animated WebP that loops; `quality` from 1 to 100.

    `file` must allow to go back to its beginning, where the length of the whole stands.
    """

    def __init__(self, file: BinaryIO, quality: int) -> None:
        self._file, self._quality = file, quality
        self._length = 0

    def add(self, frame: "Image", begin: float, end: float) -> None:
        """Write the next frame."""
        columns, rows = frame.size
        if not self._length:
            self._length = _webp_head(self._file, rows, columns)
        shown = min(max(round(end) - round(begin), 1), 0xFFFFFF)
        place = bytes(6) + _three(columns - 1) + _three(rows - 1) + _three(shown)
        # Each frame replaces the one before: it is drawn over it whole, not blended.
        self._length += _chunk(self._file, b"ANMF", place + b"\x02" + _webp_image(frame, self._quality))

    def close(self) -> None:
        """Write the length of the whole."""
        self._file.seek(4)
        self._file.write(struct.pack("<I", self._length))
        self._file.seek(0, io.SEEK_END)


def _webp_head(file: BinaryIO, rows: int, columns: int) -> int:
    file.write(b"RIFF\0\0\0\0WEBP")
    animated = 0x02
    length = 4 + _chunk(file, b"VP8X", bytes((animated, 0, 0, 0)) + _three(columns - 1) + _three(rows - 1))
    return length + _chunk(file, b"ANIM", struct.pack("<IH", 0xFF000000, 0))


def _webp_image(frame: "Image", quality: int) -> bytes:
    """The bit stream chunk of one frame."""
    alone = io.BytesIO()
    frame.save(alone, "WEBP", quality=quality, method=2)
    return b"".join(chunk for name, chunk in _chunks(alone.getvalue()) if name in (b"VP8 ", b"VP8L"))


def _chunks(webp: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(webp):
        name, size = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        whole = 8 + size + size % 2
        yield name, webp[at : at + whole]
        at += whole


def _chunk(file: BinaryIO, name: bytes, content: bytes) -> int:
    whole = name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return file.write(whole)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")
