"""Frames and instances in transfer syntaxes they are not stored in (PS3.18 8.7.3): encoded frame by frame."""

import mmap
import struct
from functools import partial
from pathlib import Path

from dicomweb_box.archive import decoding, metadata
from dicomweb_box.archive.body import Body, Later, Piece
from dicomweb_box.archive.derived import Derived
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.explicit_body import body_of, changes_of, meta_of
from dicomweb_box.archive.frame_body import image_of, native_bytes
from dicomweb_box.archive.retrieve import Instance, frame_table
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import explicit, json_model, pieces, transcode
from dicomweb_box.dicom.changed_elements import Changes
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.image import NATIVE, Image
from dicomweb_box.dicom.pieces import Encoded, Stretch
from dicomweb_box.dicom.rewritten_pixels import Encapsulation
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.errors import Damaged, NotFound


async def targets(box: Box, instance: Instance) -> tuple[str, ...]:
    """The further transfer syntaxes in which this instance and its frames can be given; best first."""
    try:
        table = await frame_table(box, instance)
        image = await image_of(box, instance)
    except NotFound:
        return ()
    return () if table.kind == "video" else transcode.targets(image)


async def transcoded_frame(box: Box, instance: Instance, number: int, target: str) -> list[Body]:
    """The frame in the transfer syntax `target`, one of `targets`; made now.

    Raises NotFound without such a frame, Damaged where it cannot be read, OutOfResources where too many wait.
    """
    found = await _frame(box, instance, await image_of(box, instance), number, target)
    return [Piece(found.path, 0, found.size)]


async def transcoded_body(box: Box, instance: Instance, target: str) -> list[Body]:
    """The instance in the transfer syntax `target`, one of `targets`; its first frame is encoded now.

    Raises UnreadableInstance or Damaged where its bytes cannot be followed.
    """
    image, table = await image_of(box, instance), await frame_table(box, instance)
    if table.count != max(1, instance.number_of_frames or 1):
        raise Damaged(f"{table.count} frames are stored where {instance.number_of_frames} are described")
    first = await _frame(box, instance, image, 1, target)
    dataset = json_model.top_level(await metadata.of_row(box, instance.id))
    changes = transcode.changes(image, target, dataset, image.frame_length / max(1, first.size))
    how = Encapsulation(frames=table.count, changes=changes)
    source = await _source(box, instance)
    corrected = await changes_of(box, instance)
    rewritten = await in_thread(box, _rewritten, box, instance, source, table, how, corrected)
    body: list[Body] = [await in_thread(box, meta_of, box, instance, target)]
    for piece in rewritten:
        if isinstance(piece, Stretch) and isinstance(source.source, Path):
            body.append(Piece(source.source, piece.offset, piece.length))
        elif not isinstance(piece, Encoded):
            body += body_of(box, instance, piece)
        elif piece.number == 1 and table.count == 1:
            body += _item(first)
        else:
            body.append(Later(partial(_later, box, instance, image, piece.number, target)))
    return body


def transcoded_later(box: Box, instance: Instance, target: str) -> list[Body]:
    """As `transcoded_body`, begun only when its turn comes: for bodies of many instances."""
    return [Later(partial(transcoded_body, box, instance, target))]


async def _frame(box: Box, instance: Instance, image: Image, number: int, target: str) -> Derived:
    table = await frame_table(box, instance)
    fragments = table.fragments(number)
    if instance.transfer_syntax_uid not in NATIVE:
        return await decoding.transcoded(box, instance, image, fragments, target, None)
    native = partial(native_bytes, box, instance, number)
    return await decoding.transcoded(box, instance, image, fragments, target, native)


async def _later(box: Box, instance: Instance, image: Image, number: int, target: str) -> list[Body]:
    return _item(await _frame(box, instance, image, number, target))


def _item(frame: Derived) -> list[Body]:
    """An item of one fragment with even length (PS3.5 A.4)."""
    padding = frame.size % 2
    head = struct.pack("<HHI", 0xFFFE, 0xE000, frame.size + padding)
    return [head, Piece(frame.path, 0, frame.size), b"\0" * padding]


async def _source(box: Box, instance: Instance) -> Piece:
    """Where the data set lies."""
    if deflated(instance):
        path, size = await inflated(box, instance)
        return Piece(path, 0, size)
    return Piece(instance.blob_key, instance.dataset_offset, instance.size - instance.dataset_offset)


def _rewritten(
    box: Box,
    instance: Instance,
    source: Piece,
    table: FrameTable,
    how: Encapsulation,
    corrected: Changes | None,
) -> list[pieces.Piece]:
    frames = table.fragments if instance.transfer_syntax_uid not in NATIVE else None
    if isinstance(source.source, str):
        with box.blobs.open(source.source) as blob, memoryview(blob.buffer()) as data:
            syntax = instance.transfer_syntax_uid
            return explicit.rewrite(data, source.offset, syntax, frames, encapsulation=how, changes=corrected)
    with (
        source.source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        return explicit.rewrite(data, 0, EXPLICIT_LITTLE, encapsulation=how, changes=corrected)
