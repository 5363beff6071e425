"""What the header reader says besides the JSON: where values lie, and that it cannot go on."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import dictionary_description, dictionary_has_tag

from dicomweb_box.dicom.header_tables import standard_vr

UNDEFINED: Final = 0xFFFFFFFF
ITEM, SEQUENCE_END = 0xE000, 0xE0DD


class Unusual(Exception):
    """Bytes this reader leaves to pydicom; the message says what they are."""


@dataclass(kw_only=True, slots=True)
class Pixels:
    """Where top-level Pixel Data lies."""

    tag: int
    vr: str
    offset: int
    length: int
    fragments: list[tuple[int, int]] | None = None  # encapsulated: all items, the offset table's first


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """Where a value lies in the source, for a deflated data set in the inflated stream."""

    vr: str
    offset: int
    length: int
    transfer_syntax_uid: str = ""
    encapsulated: bool = False


class Found(Exception):
    """The value looked for, before the whole was read."""

    def __init__(self, located: Located) -> None:
        super().__init__()
        self.located = located


def may_be_cut_off(tag: int, seen: Collection[int]) -> bool:
    """Whether an instance may end inside this top-level sequence.

    Radiotherapy plans that end too early are in use and read everywhere; no Pixel Data is lost with them, for
    its description would have come before. What is there is kept, with a warning.
    """
    return 0x3000 <= tag >> 16 <= 0x300F and standard_vr(tag) == "SQ" and 0x00280010 not in seen


def named(tag: int) -> str:
    """The attribute for a message, such as `Pixel Data (7FE0,0010)`."""
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return f"{dictionary_description(tag)} {number}" if dictionary_has_tag(tag) else number
