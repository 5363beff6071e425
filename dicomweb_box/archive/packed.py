"""Zip archives that somebody sends: what is in them, read with bounds, and why one cannot be read."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from dicomweb_box.archive.unlisted import has_unlisted

MOST_DIRECTORY = 32 << 20
"""Bytes of an archive's list of members: some 300,000 of them, which are held in memory."""
_END_WITHIN: Final = 65_536 + 22
_ZIP64_END: Final = 56
_BEGINS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED: Final = 0x41
"""General purpose bits 0 and 6 (APPNOTE 4.4.4)."""
_UNPACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
# Whatever the library raises of bytes it cannot make out: a ValueError for names that are no UTF-8.
_RAISED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


class Unreadable(Exception):
    """A file, archive or member that cannot be read; its text says why, without a name."""


def is_archive(begin: bytes) -> bool:
    """Whether a file that begins with these bytes, four or more, is a zip archive."""
    return begin[:4] in _BEGINS


def members(path: Path) -> tuple[list[zipfile.ZipInfo], bool]:
    """The files of an archive, and whether it has others that its list does not name.

    Blocks; raises Unreadable.
    """
    with told_why():
        if _directory_size(path) > MOST_DIRECTORY:
            raise Unreadable("the archive has too many members: send it in parts")
        with zipfile.ZipFile(path) as archive:
            return [info for info in archive.infolist() if not info.is_dir()], has_unlisted(archive)


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive, to be closed by the caller. Blocks; raises Unreadable."""
    with told_why():
        return zipfile.ZipFile(path)


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A member's bytes, to be closed by the caller. Blocks; raises Unreadable."""
    with told_why(member):
        return archive.open(member)


def read_member(file: IO[bytes], member: zipfile.ZipInfo, most: int) -> bytes:
    """The next bytes of an open member, none at its end. Blocks; raises Unreadable."""
    with told_why(member):
        return file.read(most)


@contextmanager
def told_why(member: zipfile.ZipInfo | None = None) -> Iterator[None]:
    """Raise Unreadable for whatever the library raises of the archive, or of this member."""
    try:
        yield
    except _RAISED as error:
        raise Unreadable(_why(error, member)) from error


def _why(error: Exception, member: zipfile.ZipInfo | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"the file cannot be read: {error.strerror}"
    if member is not None and member.flag_bits & _ENCRYPTED:
        return "the archive's member is encrypted"
    if member is not None and member.compress_type not in _UNPACKED:
        return "the archive's member is compressed in an unknown way"
    return "the archive is damaged"


def _directory_size(path: Path) -> int:
    """Bytes of the central directory, by the record at the archive's end; 0 where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END_WITHIN))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 16:
            return 0
        (told,) = struct.unpack_from("<I", tail, at + 12)
        if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
            return int(told)
        # Zip64: the locator before it says where the larger record lies, right before the locator as a rule.
        file.seek(max(0, size - len(tail) + at - 20 - _ZIP64_END))
        record = file.read(_ZIP64_END)
        return max(
            int(told) % 0xFFFFFFFF, struct.unpack_from("<Q", record, 40)[0] if len(record) >= 48 else 0
        )
