"""The character repertoires of PS3.3 C.12.1.1.2: by defined term, how each is designated, and its codec."""

from collections.abc import Mapping
from typing import Final, NamedTuple

UTF8: Final = "ISO_IR 192"


class Designation(NamedTuple):
    """How a set is called in by code extensions (PS3.3 Tables C.12-3 and C.12-4)."""

    element: int
    """Where it is to be: in G0 or in G1."""
    escape: bytes
    codec: str
    """Of Python, or a name of ours for sets that Python has only as parts of others."""


SINGLE_BYTE: Final[Mapping[str, Designation]] = {
    "ISO_IR 100": Designation(1, b"\x1b-A", "latin-1"),
    "ISO_IR 101": Designation(1, b"\x1b-B", "iso8859_2"),
    "ISO_IR 109": Designation(1, b"\x1b-C", "iso8859_3"),
    "ISO_IR 110": Designation(1, b"\x1b-D", "iso8859_4"),
    "ISO_IR 126": Designation(1, b"\x1b-F", "iso8859_7"),
    "ISO_IR 127": Designation(1, b"\x1b-G", "iso8859_6"),
    "ISO_IR 138": Designation(1, b"\x1b-H", "iso8859_8"),
    "ISO_IR 144": Designation(1, b"\x1b-L", "iso8859_5"),
    "ISO_IR 148": Designation(1, b"\x1b-M", "iso8859_9"),
    "ISO_IR 166": Designation(1, b"\x1b-T", "tis_620"),
    "ISO_IR 203": Designation(1, b"\x1b-b", "iso8859_15"),
}
"""Sets of one byte for each character, whose other half is ASCII (PS3.3 Table C.12-2)."""

DESIGNATIONS: Final[Mapping[str, Designation]] = {
    **SINGLE_BYTE,
    "ISO_IR 13": Designation(1, b"\x1b)I", "katakana"),
    "ISO_IR 58": Designation(1, b"\x1b$)A", "gb2312"),
    "ISO_IR 87": Designation(0, b"\x1b$B", "jis0208"),
    "ISO_IR 149": Designation(1, b"\x1b$)C", "euc_kr"),
    "ISO_IR 159": Designation(0, b"\x1b$(D", "jis0212"),
}
