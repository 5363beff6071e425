"""Items that say nothing, for sequences that need some (action D on a sequence replaces all it holds)."""

import struct
from typing import Final

from pydicom.datadict import keyword_for_tag

from dicomweb_box.deid.values import Writer, dummy

_CODE_TAGS: Final = (0x00080100, 0x00080102, 0x00080104)
_OPERATOR, _PERFORMED_STEP, _FLOW, _GRAPHICS = 0x00081072, 0x00081111, 0x00340001, 0x00700001
_OBSERVER, _WAVEFORM_NOTE = 0x0040A073, 0x0040B020
_PERFORMED_STEP_CLASS: Final = b"1.2.840.10008.3.1.2.3.3\0"


def code(writer: Writer, value: str, scheme: str, meaning: str) -> bytes:
    """The elements of a code (PS3.3 Table 8.8-1)."""
    return b"".join(
        writer.element(tag, vr, text.encode("ascii") + b" " * (len(text) % 2))
        for tag, vr, text in zip(_CODE_TAGS, ("SH", "SH", "LO"), (value, scheme, meaning), strict=True)
    )


def stand_in(tag: int, writer: Writer, uid: str) -> bytes:
    """One item for the sequence, delimiters included; `uid` is one that means nothing."""
    return writer.whole_item(_elements(tag, writer, uid))


def _elements(tag: int, writer: Writer, uid: str) -> bytes:
    removed = code(writer, "REMOVED", "99DWBOX", "Removed")
    if keyword_for_tag(tag).endswith("CodeSequence"):
        return removed
    if tag == _OPERATOR:
        institution = writer.element(0x00080080, "LO", dummy("LO"))
        return institution + writer.sequence(0x00401101, removed)
    if tag == _PERFORMED_STEP:
        return writer.element(0x00081150, "UI", _PERFORMED_STEP_CLASS) + writer.element(
            0x00081155, "UI", uid.encode("ascii") + b"\0" * (len(uid) % 2)
        )
    if tag == _OBSERVER:
        return b"".join(
            writer.element(one, vr, dummy(vr))
            for one, vr in ((0x0040A027, "LO"), (0x0040A030, "DT"), (0x0040A075, "PN"))
        )
    if tag == _WAVEFORM_NOTE:
        order = ">" if writer.item[:2] == b"\xff\xfe" else "<"
        channels = writer.element(0x0040A0B0, "US", struct.pack(order + "HH", 1, 1))
        return channels + writer.element(0x00700006, "ST", dummy("ST"))
    if tag == _FLOW:
        return writer.element(0x00340002, "OB", dummy("OB"))
    if tag == _GRAPHICS:
        return _graphics(writer)
    return b""


def _graphics(writer: Writer) -> bytes:
    """A point on a layer (PS3.3 C.10.5)."""
    order = ">" if writer.item[:2] == b"\xff\xfe" else "<"
    point = b"".join(
        (
            writer.element(0x00700005, "CS", b"DISPLAY "),
            writer.element(0x00700020, "US", struct.pack(order + "H", 2)),
            writer.element(0x00700021, "US", struct.pack(order + "H", 1)),
            writer.element(0x00700022, "FL", bytes(8)),
            writer.element(0x00700023, "CS", b"POINT "),
            writer.element(0x00700024, "CS", b"N "),
        )
    )
    return writer.element(0x00700002, "CS", dummy("CS")) + writer.sequence(0x00700009, point)
