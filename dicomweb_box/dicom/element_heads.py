"""Heads of elements, items and delimiters in Explicit VR Little Endian (PS3.5 7.1.2, 7.5)."""

import struct
from typing import Final

from dicomweb_box.dicom.vr_lookup import LONG_VRS

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED: Final = 0xFFFFFFFF
ITEM_HEAD: Final = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
EMPTY_ITEM: Final = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
ITEM_TAIL: Final = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
SEQUENCE_TAIL: Final = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def head(tag: int, vr: bytes, size: int) -> bytes:
    """What stands before a value of so many bytes."""
    group, number = tag >> 16, tag & 0xFFFF
    if vr in LONG_VRS:
        return struct.pack("<HH2sHI", group, number, vr, 0, size)
    if size > 0xFFFF:  # PS3.5 6.2.2, note 2: too long for its own VR
        return struct.pack("<HH2sHI", group, number, b"UN", 0, size)
    return struct.pack("<HH2sH", group, number, vr, size)


def whole_sequence(tag: int, items: bytes) -> bytes:
    """A sequence of these items, of undefined length."""
    return head(tag, b"SQ", UNDEFINED) + items + SEQUENCE_TAIL
