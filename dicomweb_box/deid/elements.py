"""Raw elements of a data set: where each begins and ends, and what its head says (PS3.5 7.1)."""

from collections.abc import Iterator
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


def top_level(data: Any, pos: int, end: int, encoding: Encoding, last: int) -> Iterator[Element]:
    """The elements of a data set up to a tag, sequences unopened."""
    while pos < end:
        element = element_at(data, pos, end, encoding)
        if element.tag > last:
            return
        yield element
        pos = element.stop
        if element.undefined:
            pos = skipped(data, pos, end, encoding, element.vr)
