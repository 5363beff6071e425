"""A DICOM JSON Model object (PS3.18 F.2) written as a data set in Explicit VR Little Endian (PS3.5 A.2).

Bulk values are not read here: the data set comes as pieces, some of which only name bytes of a source.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_for_tag

from dicomweb_box.dicom.encoded_values import BINARY, VRS, BadValue, encoded, inline
from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.pieces import Piece, length
from dicomweb_box.dicom.vr_lookup import LONG_VRS
from dicomweb_box.errors import UnreadableInstance

PIXEL_DATA: Final = "7FE00010"
CHARACTER_SET: Final = "00080005"
_TAG: Final = re.compile(r"[0-9A-F]{8}")
_UNDEFINED: Final = 0xFFFFFFFF
_SHORT_MOST: Final = 0xFFFE
_ITEM_HEAD: Final = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_TAIL: Final = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_TAIL: Final = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


class BadAttribute(UnreadableInstance):
    """An attribute that cannot be written; the message names it, never its value."""


@dataclass(frozen=True, slots=True)
class BulkValue:
    """A value that is given apart from the metadata; `encapsulated`: fragments, delimiter included."""

    pieces: Sequence[Piece]
    encapsulated: bool = False


Bulk = Callable[[str, str, bool], BulkValue]
"""(tag, BulkDataURI, whether at the top level) → the value; raises UnreadableInstance without one."""


def encode(dataset: Dataset, bulk: Bulk) -> list[Piece]:
    """The data set's elements in ascending order, each once; nesting uses no recursion.

    Group lengths and groups up to 0002 are left out. Raises BadAttribute, and what `bulk` raises.
    """
    done: list[Piece] = []
    buffer = bytearray()
    open_levels: list[Iterator[Piece | Dataset]] = [_elements(dataset, bulk, top=True)]
    while open_levels:
        piece = next(open_levels[-1], None)
        if piece is None:
            open_levels.pop()
        elif isinstance(piece, bytes):
            buffer += piece
        elif isinstance(piece, Mapping):
            open_levels.append(_elements(piece, bulk, top=False))
        else:
            done += (bytes(buffer), piece)
            buffer.clear()
    return [*done, bytes(buffer)]


def named(tag: str) -> str:
    """The attribute as a sentence names it: `Rows (0028,0010)`."""
    keyword = _keyword(tag)
    number = f"({tag[:4]},{tag[4:]})"
    return f"{keyword} {number}" if keyword else number


def vr_of(tag: str, element: Element) -> str:
    """The VR that the element names, or, where it names none, the dictionary's; raises BadAttribute."""
    vr = element.get("vr") or _dictionary_vr(tag)
    if vr in ("US or SS", "US or SS or OW"):
        negative = any(isinstance(one, int) and one < 0 for one in element.get("Value") or ())
        return "SS" if negative else "US"
    if vr in ("OB or OW", "US or OW"):
        return "US" if "Value" in element else "OW"
    if vr not in VRS:
        raise BadAttribute(f"{named(tag)} has no VR of the standard")
    return str(vr)


def _elements(dataset: Any, bulk: Bulk, *, top: bool) -> Iterator[Piece | Dataset]:
    """The bytes of a data set's elements; an item of a sequence comes as the object it is."""
    for tag, element in sorted(_tags(dataset)):
        if tag[4:] == "0000" or tag < "00040000":
            continue
        # PS3.3 C.12.1.1.2: an item has the character set of what it is in, unless it says otherwise; alone in
        # an item it is about another data set, as in Modified Attributes Sequence.
        if tag == CHARACTER_SET and not top and len(dataset) > 1:
            continue
        vr = vr_of(tag, element)
        if vr == "SQ":
            yield from _sequence(tag, element)
        elif isinstance(uri := element.get("BulkDataURI"), str):
            yield from _apart(tag, vr, bulk(tag, uri, top))
        else:
            yield _element(tag, vr, element)


def _tags(dataset: Any) -> Iterator[tuple[str, Element]]:
    if not isinstance(dataset, Mapping):
        raise UnreadableInstance("the metadata is no JSON object of attributes")
    for name, element in dataset.items():
        tag = name.upper()
        if not _TAG.fullmatch(tag) or tag >= "FFFE0000":
            raise UnreadableInstance("the metadata holds a name that is no tag of eight hexadecimal digits")
        if not isinstance(element, Mapping):
            raise BadAttribute(f"{named(tag)} is no JSON object")
        yield tag, element  # type: ignore[misc]


def _sequence(tag: str, element: Element) -> Iterator[Piece | Dataset]:
    items = element.get("Value") or []
    if not isinstance(items, list):
        raise BadAttribute(f"{named(tag)} of VR SQ has a Value that is no array")
    if not items:
        yield _head(tag, "SQ", 0)
        return
    yield _head(tag, "SQ", _UNDEFINED)
    for item in items:
        yield _ITEM_HEAD
        if item is not None and not isinstance(item, Mapping):
            raise BadAttribute(f"{named(tag)} of VR SQ has an item that is no JSON object")
        yield dict(item or {})
        yield _ITEM_TAIL
    yield _SEQUENCE_TAIL


def _apart(tag: str, vr: str, value: BulkValue) -> Iterator[Piece]:
    if value.encapsulated:
        yield _head(tag, "OB", _UNDEFINED)
        yield from value.pieces
        return
    size = length(list(value.pieces))
    if size + size % 2 >= _UNDEFINED:
        raise BadAttribute(f"{named(tag)} is longer than an element can be")
    if size > _SHORT_MOST and vr.encode() not in LONG_VRS:
        vr = "UN"  # PS3.5 6.2.2
    yield _head(tag, vr, size + size % 2)
    yield from value.pieces
    if size % 2:
        yield b"\0" if vr in BINARY or vr == "UI" else b" "


def _element(tag: str, vr: str, element: Element) -> bytes:
    try:
        value = _value(vr, element)
    except BadValue as error:
        raise BadAttribute(f"{named(tag)} {error}") from None
    if len(value) > _SHORT_MOST and vr.encode() not in LONG_VRS:
        vr = "UN"
    return _head(tag, vr, len(value)) + value


def _value(vr: str, element: Element) -> bytes:
    if element.get("BulkDataURI") is not None:
        raise BadValue("has a BulkDataURI that is no text")
    if element.get("InlineBinary") is not None:
        return inline(vr, element["InlineBinary"])
    values = element.get("Value")
    if values is None:
        return b""
    if not isinstance(values, list):
        raise BadValue("has a Value that is no array")
    return encoded(vr, values) if values else b""


def _head(tag: str, vr: str, size: int) -> bytes:
    group, element, code = int(tag[:4], 16), int(tag[4:], 16), vr.encode()
    if code in LONG_VRS:
        return struct.pack("<HH2sHI", group, element, code, 0, size)
    return struct.pack("<HH2sH", group, element, code, size)


@lru_cache(maxsize=4096)
def _keyword(tag: str) -> str:
    return keyword_for_tag(int(tag, 16))


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: str) -> str:
    try:
        return str(dictionary_VR(int(tag, 16)))
    except KeyError:
        return ""
