"""Frames as bodies: as stored, and native in little endian (PS3.18 10.4.1.1.6, 8.7.3.3)."""

from functools import partial
from typing import Any

from dicomweb_box.archive import decoding, metadata, retrieve
from dicomweb_box.archive.body import Body, Made, Piece
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.explicit_body import stretch_body
from dicomweb_box.archive.retrieve import Instance, Recent, frame_table
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import json_model, pixels
from dicomweb_box.dicom.header import locate
from dicomweb_box.dicom.image import ENCAPSULATED_UNCOMPRESSED, NATIVE, Image, described, read
from dicomweb_box.dicom.pieces import Stretch, swapped
from dicomweb_box.dicom.uids import EXPLICIT_BIG
from dicomweb_box.errors import Damaged


async def stored_frame(box: Box, instance: Instance, number: int) -> list[Body]:
    """The frame's bit stream, without fragment delimiters (PS3.18 10.4.1.2.3); raises NotFound."""
    table = await frame_table(box, instance)
    return [Piece(instance.blob_key, offset, length) for offset, length in table.fragments(number)]


async def native_frame(box: Box, instance: Instance, number: int) -> list[Body]:
    """The frame's cells in little endian: its bytes where they lie so, decoded or turned otherwise.

    Raises NotFound without such a frame, Damaged where its bytes are not what the instance says.
    """
    table = await frame_table(box, instance)
    if instance.transfer_syntax_uid not in NATIVE:
        return await _decoded_frame(box, instance, table.fragments(number))
    ((offset, length),) = table.fragments(number)
    if length <= 0:
        raise Damaged("the pixel data end before this frame")
    first, count = table.bits(number)
    source: str | Any = instance.blob_key
    if deflated(instance):
        source, _ = await inflated(box, instance)
    if instance.transfer_syntax_uid == EXPLICIT_BIG and not _by_words(instance):
        return await _from_words(box, instance, offset, length, table.bits(number))
    if instance.transfer_syntax_uid == EXPLICIT_BIG:
        return stretch_body(box, instance, Stretch(offset, length, (instance.bits_allocated or 16) // 8))
    if first == 0 and count % 8 == 0:
        return [Piece(source, offset, length)]
    covering = Piece(source, offset, length)
    return [Made((count + 7) // 8, partial(in_thread, box, _aligned, box, covering, first, count))]


async def native_bytes(box: Box, instance: Instance, number: int) -> bytes:
    """The bytes that `native_frame` stands for; raises as it does."""
    found = []
    for piece in await native_frame(box, instance, number):
        if isinstance(piece, Made):
            found.append(bytes(await piece.make()))
        elif isinstance(piece, bytes):
            found.append(piece)
        elif isinstance(piece, Piece):
            found.append(await in_thread(box, _read, box, piece))
        else:
            raise TypeError(type(piece))
    return found[0] if len(found) == 1 else b"".join(found)


async def image_of(box: Box, instance: Instance) -> Image:
    """What the instance's Image Pixel module says; raises NotFound where it says too little."""
    images = box.resource(_Images, _Images)
    image: Image | None = images.get(instance.blob_key)
    if image is None:
        told = retrieve.told(box, instance)
        if told is not None and told.pixels is not None:
            image = read(told.pixels, instance.transfer_syntax_uid)
        else:
            elements = json_model.top_level(await metadata.of_frames(box, instance))
            image = described(elements, instance.transfer_syntax_uid)
        images.put(instance.blob_key, image)
    return image


class _Images(Recent):
    """Image descriptions by blob."""


async def _decoded_frame(box: Box, instance: Instance, fragments: tuple[tuple[int, int], ...]) -> list[Body]:
    image = await image_of(box, instance)
    if instance.transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED and len(fragments) == 1:
        offset, length = fragments[0]
        if length < image.frame_length:
            raise Damaged("a frame is shorter than its instance says")
        return [Piece(instance.blob_key, offset, image.frame_length)]
    kept = decoding.kept(box, instance, image, fragments)
    if isinstance(kept, bytes):
        return [kept]
    if kept is not None:
        return [Piece(kept.path, 0, kept.size)]
    return [Made(image.frame_length, partial(decoding.decoded, box, instance, image, fragments))]


def _aligned(box: Box, covering: Piece, first: int, count: int) -> bytes:
    return pixels.bits_from(_read(box, covering), first, count)


def _read(box: Box, piece: Piece) -> bytes:
    if isinstance(piece.source, str):
        with box.blobs.open(piece.source) as blob:
            return blob.pread(piece.offset, piece.length)
    with piece.source.open("rb") as file:
        file.seek(piece.offset)
        return file.read(piece.length)


def _by_words(instance: Instance) -> bool:
    return (instance.bits_allocated or 16) >= 16


async def _from_words(
    box: Box, instance: Instance, offset: int, length: int, bits: tuple[int, int]
) -> list[Body]:
    """Cells of up to eight bits in big endian: pairs of them change places where they are kept in words."""
    first, count = bits
    size = length if count % 8 == 0 and first == 0 else (count + 7) // 8
    return [Made(size, partial(in_thread, box, _unpaired, box, instance, offset, length, bits))]


def _unpaired(box: Box, instance: Instance, offset: int, length: int, bits: tuple[int, int]) -> bytes:
    with box.blobs.open(instance.blob_key) as blob:
        with memoryview(blob.buffer()) as source:
            found = locate(source, "7FE00010")
        before = (offset - found.offset) % 2 if found.vr == "OW" else 0
        end = min(offset + length + 1, found.offset + found.length)
        data = blob.pread(offset - before, end - offset + before)
    turned = swapped(data, 2) if found.vr == "OW" else data
    covering = turned[before : before + length]
    first, count = bits
    return covering if first == 0 and count % 8 == 0 else pixels.bits_from(covering, first, count)
