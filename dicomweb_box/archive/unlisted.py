"""Members that lie in a zip archive but stand not in its list, so that nobody who opens it sees them.

So it is with archives that were put one behind the other, or whose list was written anew without them.
"""

import struct
import zipfile
from typing import IO

_BEGINS = b"PK\x03\x04"
_HEADER = 30
_DESCRIPTOR = 24
"""The most bytes that may follow a member's data: CRC and sizes, with a signature."""


def has_unlisted(archive: zipfile.ZipFile) -> bool:
    """Whether there are such members: one begins where the one before it ends. Blocks."""
    file = archive.fp
    if file is None:
        return False
    place = 0
    for member in sorted(archive.infolist(), key=lambda one: one.header_offset):
        if _begins_between(file, place, member.header_offset):
            return True
        place = max(place, _end(file, member))
    return _begins_between(file, place, archive.start_dir)


def _begins_between(file: IO[bytes], place: int, end: int) -> bool:
    if end - place < _HEADER:
        return False
    file.seek(place)
    return _BEGINS in file.read(min(end - place, _DESCRIPTOR + len(_BEGINS)))


def _end(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a member's data end; the lengths that stand before them are not those of the list."""
    file.seek(member.header_offset)
    header = file.read(_HEADER)
    if len(header) < _HEADER:
        return member.header_offset
    name, extra = struct.unpack_from("<HH", header, 26)
    return int(member.header_offset + _HEADER + name + extra + member.compress_size)
