"""Two digests of an instance: SHA-256 of the whole blob (integrity), xxh3-128 of its data set (is it the same
again?).

The second one leaves out preamble and group 0002, which differ by the door an instance came through. It only
points at a likely twin: bytes are compared before two data sets are called the same.
"""

import hashlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from dicomweb_box.dicom.header import Header
from dicomweb_box.errors import NotFound

if TYPE_CHECKING:
    from dicomweb_box.archive.index import SameDigest
    from dicomweb_box.box import Box

_PIECE = 1 << 20


class Digests:
    """Both digests of bytes that pass by in pieces."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._dataset = xxhash.xxh3_128()
        self._offset: int | None = None
        self._seen = 0

    @staticmethod
    def of(data: bytes | bytearray | memoryview, header: Header) -> tuple[bytes, bytes]:
        """SHA-256 of the blob and xxh3-128 of the data set, of an object in memory."""
        sha256 = hashlib.sha256(header.part10_prefix)
        sha256.update(data)
        return sha256.digest(), xxhash.xxh3_128_digest(memoryview(data)[header.dataset_offset :])

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece; the first one must hold the file meta for the pass to be the only one."""
        self.sha256.update(piece)
        if self._offset is None:
            self._offset = _likely_dataset_offset(bytes(piece[:144]))
        skip = max(0, self._offset - self._seen)
        if skip < len(piece):
            self._dataset.update(memoryview(piece)[skip:])
        self._seen += len(piece)

    def of_spooled(self, path: Path, header: Header) -> tuple[bytes, bytes]:
        """Both digests of an object that went to a spool file; read again only where the header turned out
        otherwise.
        """
        sha256, dataset = self.sha256, self._dataset
        if header.part10_prefix:
            sha256 = hashlib.sha256(header.part10_prefix)
            _feed(path, 0, sha256)
        if header.dataset_offset != self._offset:
            dataset = xxhash.xxh3_128()
            _feed(path, header.dataset_offset, dataset)
        return sha256.digest(), dataset.digest()


def _feed(path: Path, offset: int, digest: "hashlib._Hash | xxhash.xxh3_128") -> None:
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(_PIECE):
            digest.update(piece)


def _likely_dataset_offset(start: bytes) -> int:
    """Where the data set begins by File Meta Information Group Length (PS3.10 7.1); 0 without a Part 10
    header.
    """
    if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00" or len(start) < 144:
        return 0
    (length,) = struct.unpack_from("<I", start, 140)
    return int(144 + length)


def dataset_equal(box: "Box", columns: dict[str, Any], twin: "SameDigest") -> bool:
    """Whether two blobs hold the same data set, byte for byte. Blocking; False where the twin's blob is
    unreadable.
    """
    size, offset = columns["size"], columns["dataset_offset"]
    if size - offset != twin.size - twin.dataset_offset:
        return False
    try:
        with box.blobs.open(str(columns["blob_key"])) as ours, box.blobs.open(twin.blob_key) as theirs:
            for at in range(0, size - offset, _PIECE):
                length = min(_PIECE, size - offset - at)
                if ours.pread(offset + at, length) != theirs.pread(twin.dataset_offset + at, length):
                    return False
    except (NotFound, OSError):
        return False
    return True
