"""Values that may stay, and values that say nothing (PS3.5 6.2)."""

import re
import struct
from typing import Final

_PADDING: Final = rb"[ \0]*"
_DS: Final = rb" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *"
_ONE: Final = {
    "AS": rb"\d{3}[DWMY]",
    "CS": rb"[A-Z0-9_ ]{0,16}",
    "DS": rb"(?=[^\\]{0,32}(?:\\|$))(?:" + _DS + rb"|)",
    "IS": rb" *(?:[+-]?\d{1,12})? *",
    "DA": rb"(?:\d{4}\.?\d\d\.?\d\d)? *",
    "TM": rb"(?:\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?)? *",
    "UI": rb"(?:[0-9]+(?:\.[0-9]+)*)?",
    "DT": rb"(?:\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?)? *",
}
GRAMMAR: Final = {
    vr: re.compile(rb"(?:" + one + rb")(?:\\(?:" + one + rb"))*" + _PADDING).fullmatch
    for vr, one in _ONE.items()
}
"""Whether bytes are values of a VR."""

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


def is_readable(value: bytes) -> bool:
    """Whether a text has no control characters, behind which more may stand than people see."""
    return not _CONTROL.search(value.rstrip(b" \0"))


_REMOVED: Final = b"REMOVED"
_TEXTS: Final = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), _REMOVED),
    "AS": b"000Y",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "DS": b"0",
    "IS": b"0",
    "TM": b"000000",
    "UR": b"urn:removed",
}
_WIDTHS: Final = {
    **dict.fromkeys(("OB", "UN"), 2),
    **dict.fromkeys(("OW", "US", "SS"), 2),
    **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}


def dummy(vr: str) -> bytes:
    """A value that says nothing, padded."""
    if vr in _TEXTS:
        return padded(_TEXTS[vr], vr)
    return bytes(_WIDTHS[vr])


def padded(value: bytes, vr: str) -> bytes:
    """The value with an even length."""
    return value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)


class Writer:
    """Elements and sequences in one encoding."""

    def __init__(self, *, explicit: bool, order: str, long_vrs: frozenset[str]) -> None:
        self.explicit = explicit
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "I")
        self._long_vrs = long_vrs
        self.item = self._tag.pack(0xFFFE, 0xE000) + b"\xff\xff\xff\xff"
        self.item_end = self._tag.pack(0xFFFE, 0xE00D) + bytes(4)
        self.sequence_end = self._tag.pack(0xFFFE, 0xE0DD) + bytes(4)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """A whole element; a value too long for its VR's length is refused."""
        return self.head(tag, vr, len(value)) + value

    def head(self, tag: int, vr: str, length: int) -> bytes:
        """Tag, VR and length."""
        start = self._tag.pack(tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return start + self._long.pack(length)
        if vr in self._long_vrs:
            return start + vr.encode("ascii") + b"\0\0" + self._long.pack(length)
        return start + vr.encode("ascii") + self._short.pack(length)

    def sequence(self, tag: int, *items: bytes) -> bytes:
        """A sequence of items of elements."""
        return self.open_sequence(tag) + b"".join(map(self.whole_item, items)) + self.sequence_end

    def open_sequence(self, tag: int, vr: str = "SQ") -> bytes:
        """The head of a sequence of undefined length."""
        return self.head(tag, vr, 0xFFFFFFFF)

    def whole_sequence(self, tag: int, vr: str, content: bytes, within: "Writer") -> bytes:
        """A sequence of items that `within` has written."""
        if self.is_bounded(vr):
            return self.head(tag, vr, len(content)) + content
        return self.open_sequence(tag, vr) + content + within.sequence_end

    def is_bounded(self, vr: str) -> bool:
        """Whether a sequence needs its length: in VR UN its items are little endian whatever it stands in
        (PS3.5 6.2.2), and readers look for a delimiter in the order of the rest.
        """
        return vr == "UN" and self.item[:2] == b"\xff\xfe"

    def whole_item(self, elements: bytes) -> bytes:
        """An item with elements."""
        return self.item + elements + self.item_end
