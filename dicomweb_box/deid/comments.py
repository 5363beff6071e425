"""Comments and application data out of compressed frames, whose pixels stay bit for bit as they are."""

import re
import struct
from typing import Any, Final, Literal

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.dicom.codestream import HTJ2K, JPEG, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, JPEG_XL
from dicomweb_box.dicom.pieces import Stretch

Family = Literal["jpeg", "jpeg-ls", "jpeg-2000", "jpeg-xl"]
Span = Stretch | bytes

_SOI, _EOI, _SOS, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_JFIF, _ADOBE, _COLOUR = b"JFIF\0", b"Adobe", b"mrfx"
# In entropy-coded bytes 0xFF is followed by a stuffed 0 (ISO/IEC 10918-1 F.1.2.3) or a 0 bit (14495-1 A.1).
_MARKERS: Final = {
    "jpeg": re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL),
    "jpeg-ls": re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]", re.DOTALL),
}
# ISO/IEC 10918-1 Table B.1 without what it reserves; ISO/IEC 14495-1 Table C.1.
_SEGMENTS: Final = {
    "jpeg": frozenset((*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xDA, 0xE0))),
    "jpeg-ls": frozenset((0xDA, 0xDC, 0xDD, 0xF7, 0xF8)),
}
_JPEG_2000_SEGMENTS: Final = frozenset(
    (
        *(0x4F, 0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5C, 0x5D, 0x5E, 0x5F),
        *(0x60, 0x61, 0x63, *range(0x70, 0x79)),
    )
)
"""Without comments (ISO/IEC 15444-1 Table A.2, 15444-2 A.1, 15444-15)."""
_MOST_SEGMENTS: Final = 100_000


def family(transfer_syntax_uid: str) -> Family | None:
    """The kind of codestream whose comments are looked for; None where there can be none."""
    if transfer_syntax_uid in JPEG or transfer_syntax_uid in JPEG_LOSSLESS:
        return "jpeg"
    if transfer_syntax_uid in JPEG_LS:
        return "jpeg-ls"
    if transfer_syntax_uid in JPEG_2000 or transfer_syntax_uid in HTJ2K:
        return "jpeg-2000"
    return "jpeg-xl" if transfer_syntax_uid in JPEG_XL else None


def without_comments(data: Any, start: int, stop: int, kind: Family) -> list[Span]:
    """What stays of a fragment. Raises Doubt where its codestream cannot be followed."""
    try:
        if kind == "jpeg-2000":
            return _jpeg_2000(data, start, stop)
        if kind == "jpeg-xl":
            return _jpeg_xl(data, start, stop)
        return _jpeg(data, start, stop, kind)
    except (struct.error, IndexError):
        raise Doubt("a compressed frame ends within a segment") from None


def _jpeg(data: Any, start: int, stop: int, kind: Family) -> list[Span]:
    if data[start : start + 2] != b"\xff\xd8":
        return _continued(data, start, stop, kind)
    kept: list[Span] = []
    run, at, in_scan = start, start + 2, False
    for _ in range(_MOST_SEGMENTS):
        if in_scan:
            found = _MARKERS[kind].search(data, at, stop)
            if found is None:
                return _ended(data, kept, run, stop)
            at = found.start()
        marker, after = _marker(data, at, stop)
        if marker == _EOI:
            return _trimmed(data, kept, run, after, stop)
        if marker == _SOI or 0x01 <= marker <= 0x02 or 0xD0 <= marker <= 0xD7:
            raise Doubt("a compressed frame has a marker where it does not belong")
        (size,) = struct.unpack_from(">H", data, after)
        following = after + size
        if size < 2 or following > stop:
            raise Doubt("a compressed frame ends within a segment")
        if marker == _COMMENT or 0xE0 <= marker <= 0xEF:
            kept.append(Stretch(run, at - run))
            kept.append(_application(marker, bytes(data[after + 2 : following])))
            run = following
        elif marker not in _SEGMENTS[kind]:
            raise Doubt("a compressed frame has a segment that is not of its kind")
        in_scan = in_scan or marker == _SOS
        at = following
    raise Doubt("a compressed frame has absurdly many segments")


def _marker(data: Any, at: int, stop: int) -> tuple[int, int]:
    """The marker at a place and where it ends; bytes of fill may stand before it."""
    if data[at] != 0xFF:
        raise Doubt("a compressed frame has bytes between its segments")
    while at + 1 < stop and data[at + 1] == 0xFF:
        at += 1
    return data[at + 1], at + 2


def _application(marker: int, content: bytes) -> bytes:
    """What decoders need of an application segment: how colours are written, without thumbnails."""
    if marker == 0xE0 and content.startswith(_JFIF) and len(content) >= 14:
        return _segment(marker, content[:12] + b"\0\0")
    if marker == 0xEE and content.startswith(_ADOBE) and len(content) >= 12:
        return _segment(marker, content[:12])
    if marker == 0xE8 and content.startswith(_COLOUR) and len(content) >= 5:
        return _segment(marker, content[:5])
    return b""


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _continued(data: Any, start: int, stop: int, kind: Family) -> list[Span]:
    """A fragment in the midst of a frame: nothing but a scan, or it is not understood."""
    for found in _MARKERS[kind].finditer(data, start, stop):
        if found[0] == b"\xff\xd9":
            return _trimmed(data, [], start, found.end(), stop)
        raise Doubt("a frame's segments go on in another fragment")
    return _ended(data, [], start, stop)


def _ended(data: Any, kept: list[Span], run: int, stop: int) -> list[Span]:
    if stop > run and data[stop - 1] == 0xFF:
        raise Doubt("a fragment ends within a marker")
    kept.append(Stretch(run, stop - run))
    return kept


def _trimmed(data: Any, kept: list[Span], run: int, after: int, stop: int) -> list[Span]:
    """The rest up to the end of the image, and one byte of padding where it was there or is needed."""
    del data
    kept.append(Stretch(run, min(after, stop) - run))
    if sum(_length(span) for span in kept) % 2:
        kept.append(b"\0")
    return kept


def _length(span: Span) -> int:
    return len(span) if isinstance(span, bytes) else span.length


def _jpeg_2000(data: Any, start: int, stop: int) -> list[Span]:
    """ISO/IEC 15444-1 A.2: main header, tile-parts, end of codestream."""
    if data[start : start + 2] != b"\xff\x4f":
        raise Doubt("a fragment does not begin with a JPEG 2000 codestream")
    kept: list[Span] = []
    run = at = start + 2
    kept.append(b"\xff\x4f")
    for _ in range(_MOST_SEGMENTS):
        marker, size = struct.unpack_from(">HH", data, at)
        if marker == 0xFF90:
            kept.append(Stretch(run, at - run))
            return _tiles(data, kept, at, stop)
        if marker < 0xFF00 or size < 2 or at + 2 + size > stop:
            raise Doubt("a JPEG 2000 codestream ends within its header")
        if marker == 0xFF64:
            kept.append(Stretch(run, at - run))
            run = at + 2 + size
        elif marker & 0xFF not in _JPEG_2000_SEGMENTS:
            raise Doubt("a JPEG 2000 codestream has a segment that is not of its kind")
        at += 2 + size
    raise Doubt("a compressed frame has absurdly many segments")


def _tiles(data: Any, kept: list[Span], at: int, stop: int) -> list[Span]:
    run = at
    for _ in range(_MOST_SEGMENTS):
        marker, size, _, length = struct.unpack_from(">HHHI", data, at)
        if marker == 0xFFD9:
            return _trimmed(data, kept, run, at + 2, stop)
        if marker != 0xFF90 or size != 10:
            raise Doubt("a JPEG 2000 codestream has bytes between its tile-parts")
        _check_tile_header(data, at + 12, stop)
        if not length:
            return _last_tile(data, kept, run, stop)
        at += length
        if length < 14 or at > stop:
            raise Doubt("a JPEG 2000 codestream ends within a tile-part")
        if data[at : at + 2] == b"\xff\xd9":
            return _trimmed(data, kept, run, at + 2, stop)
    raise Doubt("a compressed frame has absurdly many segments")


def _check_tile_header(data: Any, at: int, stop: int) -> None:
    for _ in range(_MOST_SEGMENTS):
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == 0xFF93:
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        if (
            marker >> 8 != 0xFF
            or marker & 0xFF not in _JPEG_2000_SEGMENTS
            or size < 2
            or at + 2 + size > stop
        ):
            raise Doubt("the header of a tile-part holds a comment, or cannot be followed")
        at += 2 + size
    raise Doubt("a compressed frame has absurdly many segments")


def _last_tile(data: Any, kept: list[Span], run: int, stop: int) -> list[Span]:
    """The tile-part that goes on to the end of the codestream, which nothing but padding may follow."""
    end = stop - 1 if data[stop - 1] == 0 else stop
    if data[end - 2 : end] != b"\xff\xd9":
        raise Doubt("a JPEG 2000 codestream does not end where its fragment does")
    return _trimmed(data, kept, run, end, stop)


def _jpeg_xl(data: Any, start: int, stop: int) -> list[Span]:
    if data[start : start + 2] != b"\xff\x0a":
        raise Doubt("a JPEG XL frame is in a container, which may hold more than pixels")
    return [Stretch(start, stop - start)]
