"""What a compressed frame has lost, as far as its codestream says so: read from its first bytes."""

import struct
from typing import Final

from dicomweb_box.dicom import codestream

HEAD: Final = 1 << 16
"""As many bytes of a frame are looked at."""
_STANDALONE: Final = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
_MOST_MARKERS: Final = 1000


def method(syntax: str, head: bytes) -> bytes:
    """Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of a frame that begins so.

    Empty where nothing says that it has lost: a codestream that is reversible may have been cut short
    by its encoder all the same.
    """
    if syntax in codestream.JPEG:
        return b"ISO_10918_1"
    try:
        if syntax in codestream.JPEG_LS or syntax in codestream.JPEG_LOSSLESS:
            near = b"ISO_14495_1" if syntax in codestream.JPEG_LS else b"ISO_10918_1"
            return near if _is_near(head, syntax in codestream.JPEG_LS) else b""
        if syntax in codestream.JPEG_2000 or syntax in codestream.HTJ2K:
            plain = b"ISO_15444_1" if syntax in codestream.JPEG_2000 else b"ISO_15444_15"
            return plain if _is_irreversible(head) else b""
    except (struct.error, IndexError):
        pass  # whoever decodes it says so
    return b""


def _is_near(head: bytes, jpeg_ls: bool) -> bool:
    """ISO/IEC 14495-1 C.2.3: NEAR; ISO/IEC 10918-1 B.2.3: the point transform, which drops low bits."""
    at = 2
    for _ in range(_MOST_MARKERS):
        while head[at] == 0xFF and head[at + 1] == 0xFF:
            at += 1
        marker = head[at + 1]
        if head[at] != 0xFF:
            break
        at += 2
        if marker in _STANDALONE:
            continue
        (size,) = struct.unpack_from(">H", head, at)
        if marker == 0xDA:
            near, _, transform = head[at + size - 3 : at + size]
            return bool((jpeg_ls and near) or transform & 0x0F)
        at += size
    return False


def _is_irreversible(head: bytes) -> bool:
    """ISO/IEC 15444-1 A.6.1, A.6.2: COD and COC with the irreversible transformation."""
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return False
    components = struct.unpack_from(">H", head, at + 40)[0]
    at += 2
    for _ in range(_MOST_MARKERS):
        marker, size = struct.unpack_from(">HH", head, at)
        if marker == 0xFF90:
            break
        style = {0xFF52: 13, 0xFF53: 10 + (components > 256)}.get(marker)
        if style and head[at + style] == 0:
            return True
        at += 2 + size
    return False
