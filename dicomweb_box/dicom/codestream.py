"""What a compressed frame says of itself, read from its first bytes before any codec sees them.

A codec allocates what the codestream asks for, whatever the instance describes: comparing both first is what
keeps a few bytes from becoming gigabytes.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged

_UID: Final = "1.2.840.10008.1.2."
JPEG: Final = frozenset(_UID + tail for tail in ("4.50", "4.51"))
JPEG_LOSSLESS: Final = frozenset(_UID + tail for tail in ("4.57", "4.70"))
JPEG_LS: Final = frozenset(_UID + tail for tail in ("4.80", "4.81"))
JPEG_2000: Final = frozenset(_UID + tail for tail in ("4.90", "4.91", "4.92", "4.93"))
HTJ2K: Final = frozenset(_UID + tail for tail in ("4.201", "4.202", "4.203"))
JPEG_XL: Final = frozenset(_UID + tail for tail in ("4.110", "4.111", "4.112"))
RLE: Final = _UID + "5"

_STANDALONE: Final = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
_FRAME_HEADERS: Final = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_MOST_MARKERS: Final = 1000
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Codestream:
    """Size and kind of the image in a codestream."""

    rows: int
    columns: int
    samples: int | None
    """None where the header's first bytes do not tell."""
    precision: int | None
    signed: bool | None = None
    colour: Literal["RGB", "YBR"] | None = None
    """What its markers say of the colour they hold; None where they say nothing."""


def examined(image: Image, frame: bytes) -> Codestream | None:
    """What the frame's codestream says; None for RLE, which describes itself only by its segments.

    Raises Damaged where there is no codestream or it disagrees with what the instance describes.
    """
    if image.transfer_syntax_uid == RLE:
        _check_segments(image, frame)
        return None
    try:
        found = _read(image.transfer_syntax_uid, frame)
    except (struct.error, IndexError, ValueError) as error:
        raise Damaged("a frame does not hold the codestream that its transfer syntax names") from error
    if (found.rows, found.columns) != (image.rows, image.columns):
        described, said = f"{image.rows}×{image.columns}", f"{found.rows}×{found.columns}"
        raise Damaged(f"a frame's codestream has {said} pixels where {described} are described")
    if found.samples not in (None, image.samples):
        raise Damaged(f"a frame's codestream has {found.samples} components, not {image.samples}")
    if found.precision is not None and found.precision > max(8, image.bits_allocated):
        raise Damaged(f"a frame's codestream has {found.precision} bits, not {image.bits_allocated}")
    return found


def _read(syntax: str, frame: bytes) -> Codestream:
    if syntax in JPEG_2000 or syntax in HTJ2K:
        return _jpeg_2000(frame)
    if syntax in JPEG_XL:
        return _jpeg_xl(frame)
    return _jpeg(frame)


def _check_segments(image: Image, frame: bytes) -> None:
    """PS3.5 G.5: a segment for each byte of a pixel, each within the frame."""
    if len(frame) < 64:
        raise Damaged("an RLE frame is shorter than its header")
    count, *offsets = struct.unpack_from("<16I", frame)
    expected = image.samples * max(1, image.bits_allocated // 8)
    if count != expected:
        raise Damaged(f"an RLE frame has {count} segments where {expected} are described")
    if any(not 64 <= offset <= len(frame) for offset in offsets[:count]):
        raise Damaged("an RLE segment begins outside of its frame")


def _jpeg(frame: bytes) -> Codestream:
    """ISO/IEC 10918-1 B.1.1 and 14495-1 C.1: markers up to the frame header."""
    if frame[:2] != b"\xff\xd8":
        raise ValueError
    at, jfif, adobe = 2, False, None
    for _ in range(_MOST_MARKERS):
        while frame[at] == 0xFF and frame[at + 1] == 0xFF:
            at += 1
        if frame[at] != 0xFF:
            raise ValueError
        marker = frame[at + 1]
        at += 2
        if marker in _STANDALONE:
            continue
        (size,) = struct.unpack_from(">H", frame, at)
        segment = frame[at + 2 : at + size]
        if marker in _FRAME_HEADERS:
            return _jpeg_frame(segment, jfif, adobe)
        jfif |= marker == 0xE0 and segment.startswith(b"JFIF")
        if marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = segment[11]
        at += size
    raise ValueError


def _jpeg_frame(segment: bytes, jfif: bool, adobe: int | None) -> Codestream:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", segment)
    names = bytes(segment[6 : 6 + 3 * samples : 3])
    colour: Literal["RGB", "YBR"] | None = None
    if adobe is not None and samples == 3:
        colour = "RGB" if adobe == 0 else "YBR"
    elif names in (b"RGB", b"rgb"):
        colour = "RGB"
    elif jfif:
        colour = "YBR"
    return Codestream(rows=rows, columns=columns, samples=samples, precision=precision, colour=colour)


def _jpeg_2000(frame: bytes) -> Codestream:
    """ISO/IEC 15444-1 A.5.1: the SIZ marker segment, which comes first, and A.6.1: COD."""
    at = _bare_jpeg_2000(frame)
    if frame[at : at + 4] != b"\xff\x4f\xff\x51":
        raise ValueError
    size, _, x, y, x0, y0, _, _, _, _, samples = struct.unpack_from(">HHIIIIIIIIH", frame, at + 4)
    kinds = frame[at + 42 : at + 42 + 3 * samples : 3]
    if not kinds:
        raise ValueError
    transformed = _multiple_component_transformed(frame, at + 4 + size)
    return Codestream(
        rows=y - y0,
        columns=x - x0,
        samples=samples,
        precision=max((kind & 0x7F) + 1 for kind in kinds),
        signed=bool(kinds[0] & 0x80),
        colour="RGB" if transformed else None,
    )


def _bare_jpeg_2000(frame: bytes) -> int:
    """Where the codestream begins: at once, or in the box of a JP2 file, which PS3.5 A.4.4 forbids."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        return 0
    if frame[4:8] != b"jP  ":
        raise ValueError
    return _box(frame, b"jp2c")


def _box(frame: bytes, wanted: bytes) -> int:
    at = 0
    for _ in range(_MOST_MARKERS):
        size, name = struct.unpack_from(">I4s", frame, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", frame, at + 8)
            head = 16
        if name == wanted:
            return at + head
        if size < head:
            break
        at += size
    raise ValueError


def _multiple_component_transformed(frame: bytes, at: int) -> bool:
    for _ in range(_MOST_MARKERS):
        marker, size = struct.unpack_from(">HH", frame, at)
        if marker == 0xFF52:
            return frame[at + 8] == 1
        if marker == 0xFF90 or marker <= 0xFF00:
            break
        at += 2 + size
    return False


def _jpeg_xl(frame: bytes) -> Codestream:
    """ISO/IEC 18181-1 SizeHeader; what follows it is not needed to know how much will be decoded."""
    if frame[:2] != b"\xff\x0a":
        if frame[4:8] != b"JXL ":
            raise ValueError
        try:
            frame = frame[_box(frame, b"jxlc") :]
        except ValueError:
            frame = frame[_box(frame, b"jxlp") + 4 :]
    if frame[:2] != b"\xff\x0a":
        raise ValueError
    bits = _Bits(frame[2:34])
    small = bits.take(1)
    rows = 8 * (1 + bits.take(5)) if small else bits.size()
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        columns = rows * over // under
    else:
        columns = 8 * (1 + bits.take(5)) if small else bits.size()
    return Codestream(rows=rows, columns=columns, samples=None, precision=None)


class _Bits:
    """Bits from the lowest of each byte."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError
        found = self._rest & (1 << count) - 1
        self._rest >>= count
        self._left -= count
        return found

    def size(self) -> int:
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])
