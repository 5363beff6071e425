"""Deflated data sets as they were before deflation (PS3.5 A.5), kept as derived files."""

import zlib
from pathlib import Path
from typing import BinaryIO

import xxhash

from dicomweb_box.archive.derived import DerivedFiles, Make
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import DEFLATED_LITTLE
from dicomweb_box.errors import Damaged

_PIECE = 1 << 20
_MOST = 64 << 30


async def inflated(box: Box, instance: Instance) -> tuple[Path, int]:
    """The file that holds the inflated data set, and its size; raises Damaged where it cannot be inflated."""

    async def prepare() -> Make:
        return lambda file: _inflate(box, instance, file)

    digest = xxhash.xxh3_128_hexdigest(instance.blob_key.encode())
    files = box.resource(DerivedFiles, DerivedFiles)
    found = await files.get(f"inflated-{digest[:2]}/{digest}.dataset", prepare)
    return found.path, found.size


def deflated(instance: Instance) -> bool:
    """Whether the data set is stored deflated."""
    return instance.transfer_syntax_uid == DEFLATED_LITTLE


def _inflate(box: Box, instance: Instance, file: BinaryIO) -> None:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    at = instance.dataset_offset
    with box.blobs.open(instance.blob_key) as blob:
        while not engine.eof:
            piece = engine.unconsumed_tail
            if not piece:
                piece = blob.pread(at, _PIECE)
                at += len(piece)
            if not piece or file.tell() > _MOST:
                raise Damaged("a deflated data set does not end")
            try:
                file.write(engine.decompress(piece, _PIECE))
            except zlib.error as error:
                raise Damaged("a deflated data set cannot be inflated") from error
