"""Sequence of Ultrasound Regions (0018,6011): where an ultrasound is in its frames (PS3.3 C.8.5.5)."""

import struct
from collections.abc import Iterator
from typing import Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import ITEM, SEQUENCE_END, UNDEFINED, element_at, skipped
from dicomweb_box.deid.pixel_rules import Rectangle
from dicomweb_box.dicom.header_tables import Encoding

REGIONS: Final = 0x00186011
_DATA_TYPE: Final = 0x00186014
_SIDES: Final = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
"""Region Location Min x0, Min y0, Max x1, Max y1."""


def regions(value: bytes, encoding: Encoding, rows: int, columns: int) -> tuple[Rectangle, ...]:
    """The regions by the raw value of the sequence, cut to the frame.

    Raises Doubt where there is none, one is not wholly told, or nothing is outside of them.
    """
    # A Region Data Type of 0 is None: there is no ultrasound in it.
    shown = [one for one in _items(value, encoding) if one.get(_DATA_TYPE, b"\1").strip(b"\0")]
    found = [_cut(item, encoding, rows, columns) for item in shown]
    if not found:
        raise Doubt("nothing tells the regions of the ultrasound")
    if _cover(found, rows, columns):
        raise Doubt("the regions of the ultrasound leave nothing of its frames outside")
    return tuple(found)


def _cut(item: dict[int, bytes], encoding: Encoding, rows: int, columns: int) -> Rectangle:
    try:
        left, top, right, bottom = (struct.unpack(encoding.order + "I", item[side])[0] for side in _SIDES)
    except (KeyError, struct.error):
        raise Doubt("a region of the ultrasound does not tell where it is") from None
    right, bottom = min(right, columns - 1), min(bottom, rows - 1)
    if right < left or bottom < top:
        raise Doubt("a region of the ultrasound lies outside of its frames")
    return Rectangle(left, top, right - left + 1, bottom - top + 1)


def _cover(found: list[Rectangle], rows: int, columns: int) -> bool:
    """Whether each pixel is in one of them."""
    edges = sorted({0, rows, *(one.top for one in found), *(one.top + one.height for one in found)})
    for top in edges[:-1]:
        reached = 0
        for one in sorted(one for one in found if one.top <= top < one.top + one.height):
            if one.left > reached:
                return False
            reached = max(reached, one.left + one.width)
        if reached < columns:
            return False
    return True


def _items(value: bytes, encoding: Encoding) -> Iterator[dict[int, bytes]]:
    """The raw values of each item."""
    pos = 0
    while pos + 8 <= len(value):
        group, number, length = encoding.item(value, pos)
        if (group, number) == (0xFFFE, SEQUENCE_END):
            return
        if (group, number) != (0xFFFE, ITEM):
            raise Doubt("something else stands where an item begins")
        pos += 8
        end = len(value) if length == UNDEFINED else pos + length
        item: dict[int, bytes] = {}
        while pos < end and encoding.item(value, pos)[0] != 0xFFFE:
            element = element_at(value, pos, end, encoding)
            item[element.tag] = value[element.start : element.stop]
            pos = element.stop
            if element.undefined:
                pos = skipped(value, pos, end, encoding, element.vr)
        yield item
        pos = pos + 8 if length == UNDEFINED else end
