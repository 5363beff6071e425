"""A data set as Implicit VR Little Endian (PS3.5 A.1), the transfer syntax that every receiver takes (10.1).

It is made of what `explicit.rewrite` gives: there sequences and items have undefined lengths and group
lengths are gone, so that leaving out the VRs changes no length that is written anywhere.
"""

import struct
from collections.abc import Iterable

from dicomweb_box.dicom.pieces import Encoded, Piece
from dicomweb_box.dicom.vr_lookup import LONG_VRS
from dicomweb_box.errors import UnreadableInstance

_DELIMITERS = 0xFFFE
_UNDEFINED = 0xFFFFFFFF


def without_vrs(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces of an Explicit VR Little Endian data set, as `explicit.rewrite` gives them, without VRs.

    Raises UnreadableInstance where they do not follow one another as elements, TypeError where frames are
    encapsulated: Implicit VR has no way to hold them.
    """
    found: list[Piece] = []
    left = 0  # bytes of a value that are still to come
    for piece in pieces:
        if isinstance(piece, Encoded):
            raise TypeError(type(piece))
        if not isinstance(piece, bytes):
            left -= piece.length
            found.append(piece)
        else:
            text, left = _text(piece, left)
            found.append(text)
        if left < 0:
            raise UnreadableInstance("a value is longer than its element says")
    if left:
        raise UnreadableInstance("the last value is shorter than its element says")
    return found


def _text(text: bytes, left: int) -> tuple[bytes, int]:
    """A piece of text without VRs, and how many bytes of its last value follow in the next pieces."""
    at = min(left, len(text))
    out = bytearray(text[:at])
    left -= at
    while at < len(text):
        group, number, vr, size = struct.unpack_from("<HH2sH", text, at)
        if group == _DELIMITERS:
            out += text[at : at + 8]  # items and delimiters have no VR; they are of undefined length
            at += 8
            continue
        at += 8
        if vr in LONG_VRS:
            (size,) = struct.unpack_from("<I", text, at)
            at += 4
        out += struct.pack("<HHI", group, number, size)
        if size == _UNDEFINED:
            continue
        value = text[at : at + size]
        out += value
        at += len(value)
        left = size - len(value)
    return bytes(out), left
