"""The headers of PNG and GIF files: their size is known and bounded before anything is decoded."""

import struct
from typing import Final

from dicomweb_box.dicom.media.medium import bounded, unusable

_PNG: Final = b"\x89PNG\r\n\x1a\n"


def check_png(data: memoryview) -> None:
    """Raises UnreadableInstance where this is no whole PNG, or too large a one."""
    if bytes(data[:8]) != _PNG or bytes(data[12:16]) != b"IHDR" or len(data) < 33:
        raise unusable("is no PNG")
    if not _png_ends(data):
        raise unusable("is a PNG that is cut off")
    columns, rows = struct.unpack_from(">II", data, 16)
    bounded(rows, columns, data)


def check_gif(data: memoryview) -> None:
    """Raises UnreadableInstance where this is no GIF, or too large a one."""
    if bytes(data[:3]) != b"GIF" or len(data) < 10:
        raise unusable("is no GIF")
    columns, rows = struct.unpack_from("<HH", data, 6)
    bounded(rows, columns, data)


def _png_ends(data: memoryview) -> bool:
    """Whether its chunks reach the last one: decoders fill what is missing with black."""
    at = len(_PNG)
    while at + 12 <= len(data):
        if bytes(data[at + 4 : at + 8]) == b"IEND":
            return True
        at += 12 + int(struct.unpack_from(">I", data, at)[0])
    return False
