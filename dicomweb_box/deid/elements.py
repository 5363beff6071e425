"""Raw elements of a data set: where each begins and ends, and what its head says (PS3.5 7.1)."""

from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.dicom.header_tables import (
    IMPLICIT_LITTLE,
    KINDS,
    LONG_LENGTH,
    Encoding,
    standard_vr,
)

UNDEFINED: Final = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
PIXEL_DATA: Final = 0x7FE00010


@dataclass(frozen=True, slots=True)
class Element:
    """One element's head: the value is from `start` to `stop`, or to a delimiter where `undefined`."""

    tag: int
    vr: str
    start: int
    stop: int
    undefined: bool


def element_at(data: Any, pos: int, end: int, encoding: Encoding) -> Element:
    """The element that begins at a place. Raises Doubt where none can."""
    if pos + 8 > end:
        raise Doubt("a data set ends within an element")
    key, length = encoding.head(data, pos)
    tag, vr, long = named_by(key, encoding)
    start = pos + 8
    if long:
        start = pos + 12
        if start > end:
            raise Doubt("a data set ends within an element")
        length = encoding.long(data, pos + 8)[0]
    if length == UNDEFINED:
        return Element(tag, vr, start, start, True)
    if start + length > end:
        raise Doubt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is longer than what it is in")
    return Element(tag, vr, start, start + length, False)


def named_by(key: bytes, encoding: Encoding) -> tuple[int, str, bool]:
    """Tag, VR and whether the length has four bytes in explicit VR. Raises Doubt for a VR that is none."""
    order = "little" if encoding.order == "<" else "big"
    tag = int.from_bytes(key[:2], order) << 16 | int.from_bytes(key[2:4], order)  # type: ignore[arg-type]
    if not encoding.explicit:
        # Where the dictionary leaves a choice, the last one is as good as any: all are numbers or pixels.
        return tag, "UN" if tag >> 16 & 1 else standard_vr(tag).rpartition(" ")[2], False
    vr = key[4:6].decode("latin-1")
    if vr not in KINDS:
        raise Doubt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has a VR that there is not")
    return tag, vr, vr in LONG_LENGTH


def inside(encoding: Encoding, vr: str) -> Encoding:
    """How the items of a sequence are written: those of UN are Implicit VR Little Endian (PS3.5 6.2.2)."""
    return IMPLICIT_LITTLE if encoding.explicit and vr == "UN" else encoding


def skipped(data: Any, start: int, end: int, encoding: Encoding, vr: str) -> int:
    """Where a value of undefined length ends, its delimiter included, whatever is nested in it."""
    # Each level: how it is written, and whether it is a sequence; an item of known length is jumped over.
    stack: list[tuple[Encoding, bool]] = [(inside(encoding, vr), True)]
    pos = start
    while stack:
        encoding, in_sequence = stack[-1]
        if pos + 8 > end:
            raise Doubt("a sequence is not ended")
        group, number, length = encoding.item(data, pos)
        if group == 0xFFFE:
            pos += 8
            if number == (SEQUENCE_END if in_sequence else ITEM_END):
                stack.pop()
            elif number != ITEM or not in_sequence:
                raise Doubt("a delimiter stands where it does not belong")
            elif length == UNDEFINED:
                stack.append((encoding, False))
            else:
                pos += length
                if pos > end:
                    raise Doubt("an item is longer than what it is in")
            continue
        if in_sequence:
            raise Doubt("something else stands where an item begins")
        element = element_at(data, pos, end, encoding)
        pos = element.stop
        if element.undefined:
            stack.append((inside(encoding, element.vr), True))
    return pos


class Glance:
    """Raw values of some attributes at the top of a data set, read before it is walked."""

    def __init__(self, encoding: Encoding, wanted: frozenset[int], last: int) -> None:
        self._encoding, self._wanted, self._last = encoding, wanted, last
        self._known: dict[bytes, tuple[bool, int, str, bool]] = {}

    def values(self, data: Any, pos: int, size: int) -> dict[int, bytes]:
        """The values by tag, sequences with their delimiters. Raises Doubt where they cannot be followed."""
        head, long_length, known, last = self._encoding.head, self._encoding.long, self._known, self._last
        found: dict[int, bytes] = {}
        end = size - 7
        while pos < end:
            key, length = head(data, pos)
            long, tag, vr, wanted = known.get(key) or self._remember(key)
            if tag > last:
                break
            pos += 8
            if long:
                if pos + 4 > size:
                    raise Doubt("a data set ends within an element")
                length = long_length(data, pos)[0]
                pos += 4
            stop = pos + length
            if length == UNDEFINED:
                stop = skipped(data, pos, size, self._encoding, vr)
            elif stop > size:
                raise Doubt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is longer than what it is in")
            if wanted:
                # Nothing that tells of a patient is so long; that it is there is known all the same.
                found[tag] = bytes(data[pos:stop]) if stop - pos <= _LARGEST_SEEN else b""
            pos = stop
        return found

    def _remember(self, key: bytes) -> tuple[bool, int, str, bool]:
        tag, vr, long = named_by(key, self._encoding)
        seen = (long, tag, vr, tag in self._wanted)
        if len(self._known) < _MOST_KEPT:
            self._known[key] = seen
        return seen


_LARGEST_SEEN: Final = 1 << 20
_MOST_KEPT: Final = 50_000
