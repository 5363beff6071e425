"""Works out the frame table of an instance from its Pixel Data and the attributes that describe it."""

import struct
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from dicomweb_box.dicom import uids
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.header_parts import Pixels
from dicomweb_box.dicom.header_tables import EXTENDED_LENGTHS, EXTENDED_OFFSETS

# The codestreams that may be split over fragments begin so: JPEG and JPEG-LS (SOI), JPEG 2000 (SOC, SIZ), the
# boxes of JP2 and JPEG XL, JPEG XL bare.
_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xff\x0a")
_FLOAT_BITS: Final = {0x7FE00008: 32, 0x7FE00009: 64}


def native(pixels: Pixels, *, rows: int, columns: int, samples: int, bits: int, count: int, photometric: str,
           deflated: bool) -> FrameTable:  # fmt: skip
    """The table of native frames: those that are wholly there; all there is as one, where not even one is."""
    bits = _FLOAT_BITS.get(pixels.tag, bits)
    frame_bits = rows * columns * samples * bits
    if photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"} and samples == 3:
        frame_bits = frame_bits // 3 * 2  # PS3.3 C.7.6.3.1.2: two chrominance samples for two pixels
    available = pixels.length * 8
    if not frame_bits or frame_bits > available:
        frame_bits, count = available, 1
    count = min(count, available // frame_bits) if frame_bits else 1
    aligned = not frame_bits % 8
    kind: Any = "deflated" if deflated else "native" if aligned else "bits"
    return FrameTable(
        count=count, kind=kind, offset=pixels.offset, frame_bits=frame_bits, length=pixels.length
    )


def encapsulated(
    data: Any, pixels: Pixels, *, count: int, syntax: str, offset_tables: dict[int, tuple[int, int]]
) -> FrameTable | None:
    """The table of encapsulated frames; None where there are no fragments."""
    basic, *fragments = pixels.fragments or [(0, 0)]
    if not fragments:
        return None
    offsets = array("Q", [offset for offset, _ in fragments])
    lengths = array("Q", [length for _, length in fragments])
    if syntax in uids.VIDEO:
        # PS3.5 A.4.5 and on: one stream over however many fragments.
        return FrameTable(count=1, kind="video", offsets=offsets, lengths=lengths, firsts=array("Q", [0]))
    extended = _extended(data, offset_tables, offsets, lengths, count)
    if extended is not None:
        return FrameTable(count=count, kind="encapsulated", offsets=offsets, lengths=extended)
    firsts = _firsts(data, basic, offsets, lengths, count, syntax)
    if len(firsts) == len(fragments):
        return FrameTable(count=len(firsts), kind="encapsulated", offsets=offsets, lengths=lengths)
    return FrameTable(
        count=len(firsts), kind="encapsulated", offsets=offsets, lengths=lengths, firsts=array("Q", firsts)
    )


def _extended(
    data: Any, tables: dict[int, tuple[int, int]], offsets: Sequence[int], lengths: Sequence[int], count: int
) -> "array[int] | None":
    """Exact lengths by the Extended Offset Table (PS3.3 C.7.6.3.1.8); None where it does not fit."""
    if EXTENDED_OFFSETS not in tables or EXTENDED_LENGTHS not in tables or len(offsets) != count:
        return None
    (at, size), (lengths_at, lengths_size) = tables[EXTENDED_OFFSETS], tables[EXTENDED_LENGTHS]
    if size != 8 * count or lengths_size != 8 * count:
        return None
    told = struct.unpack_from(f"<{count}Q", data, at)
    exact = struct.unpack_from(f"<{count}Q", data, lengths_at)
    fits = all(start == offset - offsets[0] for start, offset in zip(told, offsets, strict=True)) and all(
        length - 1 <= tells <= length and tells for tells, length in zip(exact, lengths, strict=True)
    )
    return array("Q", exact) if fits else None


def _firsts(
    data: Any, basic: tuple[int, int], offsets: Sequence[int], lengths: Sequence[int], count: int, syntax: str
) -> list[int]:
    """The index of each frame's first fragment."""
    by_table = _basic(data, basic, offsets)
    if by_table is not None and len(by_table) == count:
        return by_table
    if len(offsets) == count or syntax == uids.RLE_LOSSLESS:  # PS3.5 A.4.2: RLE frames are one fragment each
        return list(range(len(offsets)))
    if count == 1:
        return [0]
    starts = [
        index
        for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True))
        if data[offset : offset + min(length, 8)].startswith(_STARTS)
    ]
    if starts and starts[0] == 0 and (len(starts) == count or by_table is None):
        return starts
    return by_table or list(range(len(offsets)))


def _basic(data: Any, basic: tuple[int, int], offsets: Sequence[int]) -> list[int] | None:
    """First fragments by the Basic Offset Table (PS3.5 A.4); None where it is empty or does not fit."""
    at, size = basic
    if not size or size % 4:
        return None
    items = {offset - offsets[0]: index for index, offset in enumerate(offsets)}
    firsts = [items.get(told, -1) for told in struct.unpack_from(f"<{size // 4}I", data, at)]
    if firsts[0] != 0 or any(second <= first for first, second in pairwise(firsts)):
        return None
    return firsts
