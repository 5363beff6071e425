"""The elements of a small data set as it comes in a message: identifiers of C-FIND, C-MOVE and C-GET.

Values stay bytes until the character set is known. Nothing here is fit for objects: it reads all at once.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicomweb_box.dicom.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dicom.vr_lookup import LONG_VRS, implicit_vr
from dicomweb_box.errors import BadRequest

SYNTAXES: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""The transfer syntaxes that are read, in the order they are preferred."""
_DEEPEST: Final = 16
_MOST: Final = 10_000  # elements; a key takes a microsecond, and nobody waits for it meanwhile
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_NUMBERS: Final = {"SS": "h", "US": "H", "SL": "i", "UL": "I", "SV": "q", "UV": "Q", "FL": "f", "FD": "d"}


class BadIdentifier(BadRequest):
    """Bytes that are no data set of this transfer syntax."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: bytes, or of VR SQ the elements of each item."""

    tag: str
    """Eight hexadecimal digits."""
    vr: str
    value: bytes
    items: tuple[tuple["Element", ...], ...] = ()


def elements(data: bytes, transfer_syntax: str) -> tuple[Element, ...]:
    """The elements in their order, group lengths left out; raises BadIdentifier."""
    reader = _Reader(data, transfer_syntax)
    try:
        return tuple(reader.level(len(data), None, 0))
    except (struct.error, IndexError):
        raise BadIdentifier("The identifier ends within an element.") from None


def numbers(element: Element, transfer_syntax: str) -> list[str]:
    """The values of an element of a binary number's VR, as text."""
    order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
    code = order + _NUMBERS[element.vr]
    size = struct.calcsize(code)
    whole = element.value[: len(element.value) // size * size]
    return [str(value) for (value,) in struct.iter_unpack(code, whole)]


def is_number(vr: str) -> bool:
    """Whether values of the VR are binary numbers."""
    return vr in _NUMBERS


class _Reader:
    """Reads one data set; knows how far it is."""

    def __init__(self, data: bytes, transfer_syntax: str) -> None:
        self._data = data
        self._implicit = transfer_syntax == IMPLICIT_LITTLE
        order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "I")
        self._at = 0
        self._count = 0

    def level(self, end: int, delimiter: int | None, depth: int) -> list[Element]:
        """The elements up to `end`, or to a delimiter."""
        found: list[Element] = []
        creators: dict[str, str] = {}
        while self._at < end:
            tag = self._next_tag()
            if tag == delimiter:
                self._at += 4
                break
            if element := self._element(tag, creators, end, depth):
                found.append(element)
        return found

    def _next_tag(self) -> int:
        group, number = self._tag.unpack_from(self._data, self._at)
        self._at += 4
        self._count += 1
        if self._count > _MOST:
            raise BadIdentifier("The identifier has too many elements.")
        return int(group << 16 | number)

    def _element(self, tag: int, creators: dict[str, str], end: int, depth: int) -> Element | None:
        vr, length = self._head(tag, creators)
        name = f"{tag:08X}"
        if vr == "SQ" or length == _UNDEFINED:
            return Element(name, "SQ", b"", tuple(self._items(length, end, depth + 1)))
        value = self._data[self._at : self._at + length]
        if len(value) < length or self._at + length > end:
            raise BadIdentifier("The identifier ends within an element.")
        self._at += length
        if tag & 0xFFFF == 0:
            return None
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            creators[name[:4] + name[6:]] = value.decode("latin-1").strip(" \0")
        return Element(name, vr, value)

    def _head(self, tag: int, creators: dict[str, str]) -> tuple[str, int]:
        if self._implicit:
            (length,) = self._long.unpack_from(self._data, self._at)
            self._at += 4
            return self._looked_up(tag, creators), length
        code = self._data[self._at : self._at + 2]
        if not (code.isalpha() and code.isupper()):
            raise BadIdentifier("The identifier has an element without a VR.")
        if code in LONG_VRS:
            (length,) = self._long.unpack_from(self._data, self._at + 4)
            self._at += 8
        else:
            (length,) = self._short.unpack_from(self._data, self._at + 2)
            self._at += 4
        vr = code.decode("ascii")
        # What a sender did not know itself, the dictionary may.
        return (self._looked_up(tag, creators) if vr == "UN" else vr), length

    def _looked_up(self, tag: int, creators: dict[str, str]) -> str:
        name = f"{tag:08X}"
        creator = creators.get(name[:6]) if tag >> 16 & 1 else None
        # PS3.3 C.7.6.3.1: without the object there is no Pixel Representation; keys are seldom negative.
        return (implicit_vr(tag, creator, {}) or b"US").decode("ascii")

    def _items(self, length: int, end: int, depth: int) -> Sequence[tuple[Element, ...]]:
        if depth > _DEEPEST:
            raise BadIdentifier("The identifier is nested too deeply.")
        stop = end if length == _UNDEFINED else self._at + length
        if stop > end:
            raise BadIdentifier("The identifier ends within an element.")
        items: list[tuple[Element, ...]] = []
        while self._at < stop:
            tag = self._next_tag()
            (size,) = self._long.unpack_from(self._data, self._at)
            self._at += 4
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM:
                raise BadIdentifier("The identifier has a sequence with something that is no item.")
            until = stop if size == _UNDEFINED else self._at + size
            if until > stop:
                raise BadIdentifier("The identifier ends within an element.")
            items.append(tuple(self.level(until, _ITEM_END if size == _UNDEFINED else None, depth)))
        return items
