"""The VR of an element that does not say it: Implicit VR data sets (PS3.5 6.2, PS3.6)."""

from collections.abc import Mapping
from functools import lru_cache

from pydicom.datadict import dictionary_VR, private_dictionary_VR

LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""VRs whose length field has 32 bits (PS3.5 Table 7.1-1)."""

SWAP_UNIT = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"SV", b"UV", b"OV"), 8),
}
"""Bytes that change places between byte orders (PS3.5 7.3)."""

_LUT_DESCRIPTOR = 0x00283002


def implicit_vr(tag: int, creator: str | None, integers: Mapping[int, int]) -> bytes:
    """The VR of a tag; b"" where it is US or SS and Pixel Representation decides.

    `creator` is the private creator of the tag's block; `integers` has LUT Descriptor's first value if seen.
    """
    vr = _vr(tag, creator)
    if vr == b"US or OW" or vr == b"US or SS or OW":
        # PS3.3 C.11.1.1.1: a table of one entry cannot be told from a number.
        return b"US" if integers.get(_LUT_DESCRIPTOR) == 1 else b"OW"
    return vr


@lru_cache(maxsize=65536)
def _vr(tag: int, creator: str | None) -> bytes:
    if tag & 0xFFFF == 0:
        return b"UL"
    if (tag >> 16) & 1:
        return _private_vr(tag, creator)
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return b"UN"
    # PS3.5 A.1: what may be OB or OW is OW in Implicit VR.
    return {"US or SS": b"", "OB or OW": b"OW", "NONE": b"UN"}.get(vr, vr.encode("ascii"))


def _private_vr(tag: int, creator: str | None) -> bytes:
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return b"LO"
    if not creator:
        return b"UN"
    try:
        vr = private_dictionary_VR(tag, creator)
    except KeyError:
        return b"UN"
    return {"US or SS": b"", "OB or OW": b"OW"}.get(vr, vr.encode("ascii"))
