"""What de-identification has changed in an instance, by tag and kind of change, and never by value."""

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from dicomweb_box.deid.elements import ITEM, UNDEFINED, element_at, inside, skipped
from dicomweb_box.deid.engine import Deidentified
from dicomweb_box.dicom.header_tables import Encoding, standard_vr
from dicomweb_box.dicom.part10 import open_part10
from dicomweb_box.dicom.pieces import Stretch

Change = Literal["removed", "emptied", "replaced", "added"]
Place = tuple[int, ...]
"""Tags and numbers of items, from the top."""
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_PIXEL_HEADS: Final = frozenset(
    struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) for tag in _PIXELS for order in "<>"
)
_DEEPEST: Final = 32
_SHORT: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The attributes of an instance before and after, without its pixels."""

    before: Mapping[Place, bytes]
    after: Mapping[Place, bytes]

    def changes(self) -> Counter[tuple[int, Change]]:
        """How often which attribute was changed how; what lies in a removed sequence is not counted apart."""
        found: Counter[tuple[int, Change]] = Counter()
        for place, value in self.before.items():
            new = self.after.get(place)
            if new is None:
                if len(place) == 1 or place[:-2] in self.after:
                    found[place[-1], "removed"] += 1
            elif new != value:
                found[place[-1], "replaced" if new.strip(b" \0") else "emptied"] += 1
        for place in self.after.keys() - self.before.keys():
            if len(place) == 1 or place[:-2] in self.before:
                found[place[-1], "added"] += 1
        return found

    def retained(self, tag: int) -> bytes:
        """The value of an attribute at the top that stayed what it was; empty where it did not."""
        value = self.after.get((tag,), b"").strip(b" \0")
        return value if value == self.before.get((tag,), b"").strip(b" \0") else b""


def compared(data: Any, size: int, found: Deidentified) -> Compared:
    """What an instance was and has become; `data` is the source, as `deidentify` had it."""
    opened = open_part10(data, size)
    before: dict[Place, bytes] = {}
    _elements(opened.data, opened.start, opened.size, opened.encoding, (), before)
    if not found.meta:  # it goes as it is
        return Compared(before=before, after=before)
    after: dict[Place, bytes] = {}
    header = _header(found)
    _elements(header, 0, len(header), opened.encoding, (), after)
    return Compared(before=before, after=after)


def _header(found: Deidentified) -> bytes:
    """The new data set up to its pixels."""
    whole = bytearray()
    for piece in found.pieces:
        if isinstance(piece, Stretch):
            whole += found.data[piece.offset : piece.offset + piece.length]
        elif not isinstance(piece, bytes) or piece[:4] in _PIXEL_HEADS:
            break
        else:
            whole += piece
    return bytes(whole)


def _elements(
    data: Any, pos: int, end: int, encoding: Encoding, place: Place, found: dict[Place, bytes]
) -> int:
    """Where the elements end that begin at `pos`; their values, or digests of long ones, by their places."""
    while pos + 8 <= end:
        if encoding.item(data, pos)[0] == 0xFFFE:  # the delimiter of the item
            return pos + 8
        element = element_at(data, pos, end, encoding)
        if element.tag in _PIXELS:
            return end
        stop = element.stop
        if element.undefined:
            stop = skipped(data, element.start, end, encoding, element.vr)
        here = (*place, element.tag)
        if _is_sequence(element.tag, element.vr) and len(here) < 2 * _DEEPEST:
            # That a sequence has items is what it is compared by; what they hold is compared apart.
            found[here] = b"items" if stop - element.start > (8 if element.undefined else 0) else b""
            _items(data, element.start, stop, inside(encoding, element.vr), here, found)
        else:
            found[here] = _told(data, element.start, stop)
        pos = stop
    return pos


def _items(
    data: Any, pos: int, end: int, encoding: Encoding, place: Place, found: dict[Place, bytes]
) -> None:
    number = 0
    while pos + 8 <= end:
        group, element, length = encoding.item(data, pos)
        if group != 0xFFFE or element != ITEM:
            return
        stop = end if length == UNDEFINED else pos + 8 + length
        after = _elements(data, pos + 8, stop, encoding, (*place, number), found)
        pos = after if length == UNDEFINED else stop
        number += 1


def _is_sequence(tag: int, vr: str) -> bool:
    return vr == "SQ" or (vr == "UN" and not tag >> 16 & 1 and standard_vr(tag) == "SQ")


def _told(data: Any, start: int, stop: int) -> bytes:
    if stop - start <= _SHORT:
        return bytes(data[start:stop])
    return hashlib.sha256(data[start:stop]).digest()
