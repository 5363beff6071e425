"""Palette Color Lookup Tables: which index is displayed darkest (PS3.3 C.7.6.3.1.5 and .6)."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.dicom.header_tables import Encoding

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_DATA: Final = (0x00281201, 0x00281202, 0x00281203)


def darkest(raw: Mapping[int, bytes], encoding: Encoding, *, signed: bool) -> int:
    """The stored value whose colour is the darkest, the first of several. Raises Doubt where none is told."""
    try:
        tables = [
            _table(raw[descriptor], raw[data], encoding, signed=signed)
            for descriptor, data in zip(_DESCRIPTORS, _DATA, strict=True)
        ]
    except (KeyError, struct.error):
        raise Doubt("its palette cannot be read") from None
    firsts, values = [first for first, _ in tables], [table for _, table in tables]
    if len(set(firsts)) > 1 or len({len(table) for table in values}) > 1:
        raise Doubt("the tables of its palette are not of one length")
    sums = [sum(colour) for colour in zip(*values, strict=True)]
    return firsts[0] + sums.index(min(sums))


def _table(descriptor: bytes, data: bytes, encoding: Encoding, *, signed: bool) -> tuple[int, Sequence[int]]:
    """The first stored value that is mapped, and the entries."""
    count, _, bits = struct.unpack(encoding.order + "3H", descriptor)
    (first,) = struct.unpack_from(encoding.order + ("h" if signed else "H"), descriptor, 2)
    count = count or 1 << 16
    if bits == 8 and len(data) < 2 * count:
        # Two entries in a word.
        entries = struct.unpack(f"{encoding.order}{(count + 1) // 2}H", data[: count + count % 2])
        return first, [part for word in entries for part in (word & 0xFF, word >> 8)][:count]
    return first, struct.unpack(f"{encoding.order}{count}H", data[: 2 * count])
