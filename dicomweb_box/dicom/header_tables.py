"""What each (tag, VR) means to the header reader, worked out once and kept by its bytes in the stream."""

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydicom.datadict import dictionary_VR, private_dictionary_VR

# Kinds up to LAST_PLAIN are written by the reader's loop itself; those above need more than their own bytes.
TEXT, ASCII, CODE, NUMBER, NUMBERS, NAME, LONG_TEXT, TAGS, BINARY, SEQUENCE = range(1, 11)
LAST_PLAIN: Final = SEQUENCE
REMEMBERED, SKIPPED, DELIMITER, CHOICE, PRIVATE, CREATOR, FOREIGN, PIXELS, ODD = range(11, 20)

KINDS: Final = {
    "AE": CODE, "AS": ASCII, "AT": TAGS, "CS": CODE, "DA": ASCII, "DS": NUMBER, "DT": ASCII,
    "FD": NUMBERS, "FL": NUMBERS, "IS": NUMBER, "LO": TEXT, "LT": LONG_TEXT, "OB": BINARY, "OD": BINARY,
    "OF": BINARY, "OL": BINARY, "OV": BINARY, "OW": BINARY, "PN": NAME, "SH": TEXT, "SL": NUMBERS,
    "SQ": SEQUENCE, "SS": NUMBERS, "ST": LONG_TEXT, "SV": NUMBERS, "TM": ASCII, "UC": TEXT, "UI": ASCII,
    "UL": NUMBERS, "UN": BINARY, "UR": LONG_TEXT, "US": NUMBERS, "UT": LONG_TEXT, "UV": NUMBERS,
}  # fmt: skip
# PS3.5 7.1.2: two reserved bytes and a length of four.
LONG_LENGTH: Final = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
NUMBER_FORMATS: Final = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
WORD_SIZES: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}

CHARACTER_SET: Final = 0x00080005
PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
OFFSET_TABLES: Final = frozenset({EXTENDED_OFFSETS, EXTENDED_LENGTHS})
REMEMBER: Final = frozenset(
    {
        CHARACTER_SET,
        0x00080016,  # SOP Class UID
        0x00080018,  # SOP Instance UID
        0x0020000D,  # Study Instance UID
        0x0020000E,  # Series Instance UID
        0x00280002,  # Samples per Pixel
        0x00280004,  # Photometric Interpretation
        0x00280008,  # Number of Frames
        0x00280010,  # Rows
        0x00280011,  # Columns
        0x00280100,  # Bits Allocated
        0x00280103,  # Pixel Representation
        0x00283002,  # LUT Descriptor
        0x54001004,  # Waveform Bits Allocated
    }
)
# DS and IS whose text is JSON as it stands but for the backslashes, and too short to overflow.
PLAIN_NUMBERS: Final = {
    "DS": re.compile(
        rb" *(-?(?:0|[1-9]\d{0,15})(?:\.\d{1,17})?(?:\\-?(?:0|[1-9]\d{0,15})(?:\.\d{1,17})?)*)[ \0]*"
    ).fullmatch,
    "IS": re.compile(rb" *(-?(?:0|[1-9]\d{0,14})(?:\\-?(?:0|[1-9]\d{0,14}))*)[ \0]*").fullmatch,
}
_KEPT: Final = 50_000  # entries a table keeps: hostile data must not fill the memory


class Numbers(NamedTuple):
    """How a VR of binary numbers is read: one value at once, or many."""

    size: int
    code: str
    one: Callable[[Any, int], tuple[Any, ...]]


class Entry(NamedTuple):
    """What to do with an element: its kind, and the JSON around its value."""

    kind: int
    long: bool  # explicit VR with a length of four bytes
    opening: str  # ,"00100010":{"vr":"PN"
    values: str  # ,"00100010":{"vr":"PN","Value":[
    vr: str
    tag: int
    extra: Any = None  # Numbers; a match of PLAIN_NUMBERS; the Entry beneath; the dictionary's VR of a CHOICE


class Encoding:
    """One way to write elements: byte order and whether the VR is there."""

    def __init__(self, *, explicit: bool, order: str) -> None:
        self.explicit = explicit
        self.order = order
        # Explicit: tag and VR together are the key, then a length of two bytes. Implicit: tag, length of 4.
        self.head = struct.Struct(order + ("6sH" if explicit else "4sI")).unpack_from
        self.long = struct.Struct(order + "I").unpack_from
        self.item = struct.Struct(order + "HHI").unpack_from
        self.table: dict[bytes, Entry] = {}
        self._tag = struct.Struct(order + "HH").unpack_from

    def entry(self, key: bytes) -> Entry:
        """The Entry for the bytes of a tag (implicit VR) or of a tag and its VR (explicit)."""
        group, element = self._tag(key)
        tag = group << 16 | element
        entry = self._explicit(tag, key[4:6]) if self.explicit else self._implicit(tag)
        if len(self.table) < _KEPT:
            self.table[key] = entry
        return entry

    def plain(self, tag: int, vr: str, *, long: bool | None = None) -> Entry:
        """The Entry of an element whose VR is known."""
        if long is None:
            long = self.explicit and vr in LONG_LENGTH
        opening = f',"{tag:08X}":{{"vr":"{vr}"'
        extra: Any = PLAIN_NUMBERS.get(vr)
        if vr in NUMBER_FORMATS:
            one = struct.Struct(self.order + NUMBER_FORMATS[vr])
            extra = Numbers(one.size, NUMBER_FORMATS[vr], one.unpack_from)
        return Entry(KINDS[vr], long, opening, opening + ',"Value":[', vr, tag, extra)

    def _explicit(self, tag: int, raw_vr: bytes) -> Entry:
        if tag >> 16 == 0xFFFE:
            return _delimiter(tag)
        vr = raw_vr.decode("latin-1")
        if vr not in KINDS:
            return Entry(ODD, False, "", "", vr, tag)
        plain = self.plain(tag, vr)
        special = _special(plain)
        if vr == "UN" and not tag >> 16 & 1 and special.kind != SKIPPED:
            return Entry(FOREIGN, True, *plain[2:6], standard_vr(tag))
        return special

    def _implicit(self, tag: int) -> Entry:
        if tag >> 16 == 0xFFFE:
            return _delimiter(tag)
        if tag >> 16 & 1 and tag & 0xFFFF:
            if 0x10 <= tag & 0xFFFF <= 0xFF:  # PS3.5 7.8.1
                return Entry(CREATOR, False, *self.plain(tag, "LO")[2:])
            return Entry(PRIVATE, False, *self.plain(tag, "UN")[2:])
        vr = standard_vr(tag)
        if " or " in vr:
            return Entry(CHOICE, False, *self.plain(tag, "UN")[2:6], vr)
        return _special(self.plain(tag, vr))


def standard_vr(tag: int) -> str:
    """The dictionary's VR of a standard element, such as "PN" or "US or SS"; UN where it is not known."""
    if not tag & 0xFFFF:
        return "UL"  # PS3.5 7.2: a group length
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return vr if vr in KINDS or " or " in vr else "UN"


@lru_cache(maxsize=20_000)
def private_vr(tag: int, creator: str) -> str:
    """The VR that pydicom's private dictionary gives, UN where it knows none."""
    try:
        vr = private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"
    return vr if vr in KINDS else "UN"


def _special(plain: Entry) -> Entry:
    """The Entry with what the reader must note: group lengths, Pixel Data, what decides on other elements."""
    if not plain.tag & 0xFFFF or plain.tag >> 16 in {0, 2}:
        return Entry(SKIPPED, *plain[1:])
    if plain.tag in PIXEL_DATA or plain.tag in OFFSET_TABLES:
        return Entry(PIXELS, *plain[1:6], plain)
    if plain.tag in REMEMBER:
        return Entry(REMEMBERED, *plain[1:6], plain)
    return plain


def _delimiter(tag: int) -> Entry:
    return Entry(DELIMITER if tag == 0xFFFEE00D else ODD, False, "", "", "", tag)


IMPLICIT_LITTLE: Final = Encoding(explicit=False, order="<")
EXPLICIT_LITTLE: Final = Encoding(explicit=True, order="<")
EXPLICIT_BIG: Final = Encoding(explicit=True, order=">")
IMPLICIT_BIG: Final = Encoding(explicit=False, order=">")
