"""File Meta Information of stored objects, made to name another transfer syntax (PS3.10 7.1)."""

import struct

from dicomweb_box.dicom.vr_lookup import LONG_VRS


def file_meta(source: memoryview | bytes, dataset_offset: int, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and File Meta Information of a Part 10 object, naming another transfer syntax."""
    elements: dict[int, bytes] = {}
    at = 132
    while at + 8 <= dataset_offset:
        group, number, vr, size = struct.unpack_from("<HH2sH", source, at)
        start = at
        at += 8 + size
        if vr in LONG_VRS:
            at = start + 12 + int(struct.unpack_from("<I", source, start + 8)[0])
        if group != 2 or at > dataset_offset:
            break
        elements[number] = bytes(source[start:at])
    uid = transfer_syntax_uid.encode("ascii")
    uid += b"\0" * (len(uid) % 2)
    elements.pop(0, None)
    elements.setdefault(1, struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1")
    elements[0x10] = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    body = b"".join(elements[number] for number in sorted(elements))
    return bytes(source[:128]) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body
