"""The beginning of an instance: preamble, File Meta Information, transfer syntax (PS3.10 7.1), or none."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.dicom import uids
from dicomweb_box.dicom.header_tables import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    KINDS,
    LONG_LENGTH,
    Encoding,
)
from dicomweb_box.errors import FailureReason, NotDicom, UnreadableInstance

IMPLEMENTATION_CLASS_UID: Final = "2.25.164523895473069154170128375964105713381"
IMPLEMENTATION_VERSION: Final = "DICOMWEB_BOX"
_LONG: Final = frozenset(vr.encode() for vr in LONG_LENGTH)
_KNOWN: Final = frozenset(vr.encode() for vr in KINDS)
_PREAMBLE: Final = bytes(128) + b"DICM"
_GE_PRIVATE: Final = "1.2.840.113619.5.2"  # implicit little endian, Pixel Data big endian
_INFLATED_KEPT: Final = 64 << 20
_INFLATED_FREELY: Final = 256 << 20
_INFLATED_MOST: Final = 2 << 30
_RATIO_MOST: Final = 200  # beyond _INFLATED_FREELY: images do not deflate so well, bombs do
_HIGHEST_FIRST_GROUP: Final = 0x0018  # no instance begins beyond: its UIDs are in groups 0008 and 0020


@dataclass(frozen=True, kw_only=True, slots=True)
class Part10:
    """What stands before the data set, and how the data set is written."""

    transfer_syntax_uid: str
    guessed: bool  # no File Meta Information named the transfer syntax
    encoding: Encoding
    has_preamble: bool
    has_meta: bool
    dataset_offset: int
    sop_class_uid: str | None
    data: Any  # what the data set is read from: the source, or what a deflated one inflates to
    start: int  # where the data set begins in `data`
    size: int  # where it ends: beyond `data`, where that holds only the beginning of what was deflated


def open_part10(data: Any, size: int) -> Part10:
    """Finds the data set. Raises UnreadableInstance where nothing here looks like DICOM."""
    if not size:
        raise UnreadableInstance("the object is empty: not a single byte")
    has_preamble = data[128:132] == b"DICM"
    start = 132 if has_preamble else 0
    meta, offset = _file_meta(data, start, size)
    if not has_preamble and not meta:
        offset = 0
    syntax = (uids.clean_uid(meta.get(0x0010, b"")) or "") if meta else ""
    guessed = not syntax
    inflated, first, whole = data, offset, size
    if syntax in uids.DEFLATED:
        inflated, whole = _inflate(data, offset, size)
        first = 0
    encoding = _encoding(inflated, first, syntax, known=has_preamble or bool(meta), room=whole - first)
    if guessed:
        syntax = {IMPLICIT_LITTLE: uids.IMPLICIT_LITTLE, EXPLICIT_BIG: uids.EXPLICIT_BIG}.get(
            encoding, uids.EXPLICIT_LITTLE
        )
    return Part10(
        transfer_syntax_uid=syntax,
        guessed=guessed,
        encoding=encoding,
        has_preamble=has_preamble,
        has_meta=bool(meta),
        dataset_offset=offset,
        sop_class_uid=uids.clean_uid(meta.get(0x0002, b"")),
        data=inflated,
        start=first,
        size=whole,
    )


def _file_meta(data: Any, start: int, size: int) -> tuple[dict[int, bytes], int]:
    """Elements of group 0002 by element number, and where they end."""
    found: dict[int, bytes] = {}
    at, end = start, size
    while at + 8 <= end and data[at : at + 2] == b"\x02\0":
        element, vr, length = struct.unpack_from("<H2sH", data, at + 2)
        head = 8
        if vr in _LONG:
            if at + 12 > size:
                break
            length, head = struct.unpack_from("<I", data, at + 8)[0], 12
        elif vr not in _KNOWN:  # written in implicit VR, against PS3.10 7.1
            length = struct.unpack_from("<I", data, at + 4)[0]
        if at + head + length > size:
            raise UnreadableInstance("the object is cut off inside its File Meta Information")
        found[element] = value = data[at + head : at + head + min(length, 256)]
        at += head + length
        if element == 0 and length == 4:
            told = at + struct.unpack("<I", value)[0]
            # A group length too small or too large is common; it is only needed where deflated bytes follow,
            # which may look like one more element.
            end = told if told <= size and _deflated_at(data, at, told) else size
    return found, at


def _deflated_at(data: Any, start: int, end: int) -> bool:
    return any(uid.encode() in data[start : min(end, start + 65536)] for uid in uids.DEFLATED)


def _encoding(data: Any, start: int, syntax: str, *, known: bool, room: int) -> Encoding:
    """The encoding of the data set by its transfer syntax, or by its first bytes where they say otherwise."""
    if room < 8:
        raise (UnreadableInstance if known else NotDicom)(
            "there is no data set: the object ends before its first attribute"
        )
    if syntax in {uids.IMPLICIT_LITTLE, _GE_PRIVATE}:
        declared = IMPLICIT_LITTLE
    else:
        declared = EXPLICIT_BIG if syntax == uids.EXPLICIT_BIG else EXPLICIT_LITTLE
    group, element, vr = struct.unpack_from("<HH2s", data, start)
    looks_explicit = vr.isalpha() and vr.isupper()
    if syntax and looks_explicit == declared.explicit:
        return declared
    # Big endian 0008 read as little endian is 0800.
    if looks_explicit and vr in _KNOWN:
        return EXPLICIT_BIG if group >= 0x0400 and not group & 0xFF else EXPLICIT_LITTLE
    length = struct.unpack_from("<I", data, start + 4)[0]
    if (
        group <= _HIGHEST_FIRST_GROUP
        and (length <= room or length == 0xFFFFFFFF)
        and (known or group + element)
    ):
        return IMPLICIT_LITTLE
    if known and syntax:
        return declared
    raise NotDicom("not DICOM: there is no Part 10 header, and no data set begins at its first byte")


def _inflate(data: Any, start: int, size: int) -> tuple[bytes, int]:
    """The first 64 MiB of the inflated data set, and its whole length.

    Raises UnreadableInstance where it is no deflate stream, is cut off, or inflates to an absurd size.
    """
    most = min(_INFLATED_MOST, max(_INFLATED_FREELY, _RATIO_MOST * (size - start)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    kept = bytearray()
    length, at = 0, start
    try:
        while not inflater.eof:
            piece = inflater.unconsumed_tail
            if not piece:
                piece = bytes(data[at : at + 65536])
                at += len(piece)
                if not piece:
                    raise UnreadableInstance("the object is cut off: its deflated data set does not end")
            out = inflater.decompress(piece, 1 << 20)
            length += len(out)
            if len(kept) < _INFLATED_KEPT:
                kept += out
            if length > most:
                raise UnreadableInstance(
                    f"the deflated data set inflates to more than {most >> 20} MiB",
                    FailureReason.CANNOT_UNDERSTAND,
                )
    except zlib.error:
        raise UnreadableInstance(
            "the data set is not a deflate stream, as its transfer syntax says"
        ) from None
    return bytes(kept), length


def prefix(part10: Part10, *, sop_class_uid: str, instance_uid: str) -> bytes:
    """The bytes to put before the source so that it is a Part 10 file (PS3.10 7.1); none where it is one."""
    if part10.has_preamble:
        return b""
    if part10.has_meta:
        return _PREAMBLE
    return written_meta(
        sop_class_uid=sop_class_uid,
        instance_uid=instance_uid,
        transfer_syntax_uid=part10.transfer_syntax_uid,
    )


def written_meta(
    *,
    sop_class_uid: str,
    instance_uid: str,
    transfer_syntax_uid: str,
    sent_by: str | None = None,
    received_by: str | None = None,
) -> bytes:
    """Preamble, prefix and File Meta Information of an object that this program writes (PS3.10 7.1).

    `sent_by` and `received_by` are the AE titles of both sides, where it came over a network.
    """
    titles = ((0x0016, sent_by), (0x0017, sent_by), (0x0018, received_by))
    meta = b"".join(
        [
            struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1",
            _meta_element(0x0002, b"UI", sop_class_uid, b"\0"),
            _meta_element(0x0003, b"UI", instance_uid, b"\0"),
            _meta_element(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION, b" "),
            *(_meta_element(element, b"AE", title, b" ") for element, title in titles if title),
        ]
    )
    return _PREAMBLE + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta


def _meta_element(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")  # an AE title may hold anything
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
