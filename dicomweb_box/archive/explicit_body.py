"""Instances as bodies: as stored, and in the uncompressed transfer syntaxes (PS3.18 8.7.3.2, PS3.5 10.1)."""

import mmap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dicomweb_box.archive import decoding, metadata
from dicomweb_box.archive.body import Body, Later, Made, Piece
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.retrieve import Instance, frame_table
from dicomweb_box.box import Box, in_decoder, in_thread
from dicomweb_box.dicom import explicit, overlay, pixels
from dicomweb_box.dicom.changed_elements import Changes
from dicomweb_box.dicom.file_meta import file_meta
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.implicit import without_vrs
from dicomweb_box.dicom.pieces import Decoded, Encoded, Stretch, swapped
from dicomweb_box.dicom.rewritten_pixels import FrameFragments
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.errors import NotFound

_PIECE = 1 << 20


def can_be_explicit(transfer_syntax_uid: str) -> bool:
    """Whether instances stored so can be given in Explicit VR Little Endian."""
    return transfer_syntax_uid in NATIVE or pixels.decodable(transfer_syntax_uid)


def arrived_body(instance: Instance) -> list[Body]:
    """The bytes that arrived."""
    return [Piece(instance.blob_key, 0, instance.size)]


async def stored_body(box: Box, instance: Instance) -> list[Body]:
    """The bytes that arrived; where its study is corrected, in `given_syntax` with the corrected values.

    Raises UnreadableInstance or Damaged where its bytes cannot be followed.
    """
    if instance.overlay is None:
        return arrived_body(instance)
    if instance.given_syntax != instance.transfer_syntax_uid:
        return await explicit_body(box, instance)
    return await in_thread(box, _rewritten, box, instance, None, await changes_of(box, instance), None)


def stored_later(box: Box, instance: Instance) -> list[Body]:
    """As `stored_body`; what is corrected is looked through only when its turn comes."""
    if instance.overlay is None:
        return arrived_body(instance)
    return [Later(partial(stored_body, box, instance))]


async def changes_of(box: Box, instance: Instance) -> Changes | None:
    """What the corrections of its study change in the instance's bytes; None where there are none."""
    if instance.overlay is None:
        return None
    json = await metadata.as_arrived(box, instance.id)
    return await in_thread(box, _changes, box, instance, instance.overlay, json)


def _changes(box: Box, instance: Instance, text: str, json: bytes) -> Changes:
    return overlay.changes(json, overlay.read(text), system=box.settings.ae_title, source=instance.source)


async def explicit_body(box: Box, instance: Instance) -> list[Body]:
    """The instance in Explicit VR Little Endian; its length is known, its frames are decoded when sent.

    Raises UnreadableInstance or Damaged where its bytes cannot be followed.
    """
    if instance.transfer_syntax_uid == EXPLICIT_LITTLE:
        return await stored_body(box, instance)
    return await _uncompressed(box, instance, EXPLICIT_LITTLE)


async def implicit_body(box: Box, instance: Instance) -> list[Body]:
    """As `explicit_body`, in Implicit VR Little Endian."""
    if instance.transfer_syntax_uid == IMPLICIT_LITTLE and instance.overlay is None:
        return arrived_body(instance)
    return await _uncompressed(box, instance, IMPLICIT_LITTLE)


async def _uncompressed(box: Box, instance: Instance, target: str) -> list[Body]:
    changes = await changes_of(box, instance)
    if deflated(instance):
        path, size = await inflated(box, instance)
        meta = await in_thread(box, meta_of, box, instance, target)
        if changes is None and target == EXPLICIT_LITTLE:
            return [meta, Piece(path, 0, size)]
        return [meta, *await in_thread(box, _rewritten_file, path, changes, target)]
    frames = None
    if instance.transfer_syntax_uid not in NATIVE:
        try:
            frames = (await frame_table(box, instance)).fragments
        except NotFound:
            frames = None
    return await in_thread(box, _rewritten, box, instance, frames, changes, target)


def explicit_later(box: Box, instance: Instance) -> list[Body]:
    """As `explicit_body`, found out only when its turn comes: for bodies of many instances."""
    return [Later(partial(explicit_body, box, instance))]


async def without_bytes(box: Box, instances: Sequence[Instance]) -> set[int]:
    """Ids of the instances whose blob is missing or has another size; looked up only where that is cheap."""
    return await in_thread(box, _without_bytes, box, instances)


def _without_bytes(box: Box, instances: Sequence[Instance]) -> set[int]:
    lost = set()
    for instance in instances:
        path = box.blobs.local_path(instance.blob_key)
        try:
            if path is not None and path.stat().st_size != instance.size:
                lost.add(instance.id)
        except OSError:
            lost.add(instance.id)
    return lost


def meta_of(box: Box, instance: Instance, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    """Preamble and File Meta Information of the instance in another transfer syntax; reads the blob."""
    with box.blobs.open(instance.blob_key) as blob:
        head = blob.pread(0, instance.dataset_offset)
    return file_meta(head, instance.dataset_offset, transfer_syntax_uid)


def _rewritten(
    box: Box,
    instance: Instance,
    frames: FrameFragments | None,
    changes: Changes | None,
    target: str | None,
) -> list[Body]:
    """In the uncompressed transfer syntax `target`; None: in that of the instance, its pixels as they are."""
    stored, at = instance.transfer_syntax_uid, instance.dataset_offset
    with box.blobs.open(instance.blob_key) as blob, memoryview(blob.buffer()) as source:
        meta = file_meta(source, at, target or stored)
        pieces = explicit.rewrite(source, at, stored, frames, changes=changes, keep=target is None)
    if target == IMPLICIT_LITTLE:
        pieces = without_vrs(pieces)
    body: list[Body] = [meta]
    for piece in pieces:
        if isinstance(piece, Encoded):
            raise TypeError(type(piece))
        body += body_of(box, instance, piece)
    return body


def _rewritten_file(path: Path, changes: Changes | None, target: str) -> list[Body]:
    """An inflated data set with changes, in an uncompressed transfer syntax."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as source,
    ):
        pieces = explicit.rewrite(source, 0, EXPLICIT_LITTLE, changes=changes)
    if target == IMPLICIT_LITTLE:
        pieces = without_vrs(pieces)
    body: list[Body] = []
    for piece in pieces:
        if isinstance(piece, Decoded | Encoded):
            raise TypeError(type(piece))
        body.append(piece if isinstance(piece, bytes) else Piece(path, piece.offset, piece.length))
    return body


def body_of(box: Box, instance: Instance, piece: bytes | Stretch | Decoded) -> list[Body]:
    """What a piece of a rewritten data set stands for."""
    if isinstance(piece, bytes):
        return [piece]
    if isinstance(piece, Stretch):
        return stretch_body(box, instance, piece)
    return [Made(piece.length, partial(_decoded, box, instance, piece))]


def stretch_body(box: Box, instance: Instance, stretch: Stretch) -> list[Body]:
    """A range of the blob with its byte order turned where that is asked."""
    if stretch.swap == 1:
        return [Piece(instance.blob_key, stretch.offset, stretch.length)]
    body: list[Body] = []
    for at in range(0, stretch.length, _PIECE):
        part = Stretch(stretch.offset + at, min(_PIECE, stretch.length - at), stretch.swap)
        body.append(Made(part.length, partial(in_thread, box, _turned, box, instance, part)))
    return body


def _turned(box: Box, instance: Instance, part: Stretch) -> bytes:
    with box.blobs.open(instance.blob_key) as blob:
        return swapped(blob.pread(part.offset, part.length), part.swap)


async def _decoded(box: Box, instance: Instance, piece: Decoded) -> bytes:
    if len(piece.frames) == 1:
        return await decoding.decoded(box, instance, piece.image, piece.frames[0])
    native = [await decoding.decoded(box, instance, piece.image, frame) for frame in piece.frames]
    return await in_decoder(box, pixels.joined, piece.image, native)
