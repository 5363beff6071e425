"""Frames made pictures that browsers show (PS3.18 10.4.1.1.3)."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import xxhash

from dicomweb_box import __version__
from dicomweb_box.archive import metadata
from dicomweb_box.archive.body import Body, Made, Piece
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.frame_body import native_frame
from dicomweb_box.archive.renderings import Renderings
from dicomweb_box.archive.representation import Picture
from dicomweb_box.archive.retrieve import Instance, Recent
from dicomweb_box.box import Box
from dicomweb_box.dicom import explicit, icons, picture, raster
from dicomweb_box.dicom.display import Display, display_of
from dicomweb_box.dicom.explicit import EXPLICIT_BIG
from dicomweb_box.dicom.header import locate
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.view import View
from dicomweb_box.dicom.vr_lookup import SWAP_UNIT
from dicomweb_box.errors import NotFound

if TYPE_CHECKING:
    from dicomweb_box.dicom.picture import Image

T = TypeVar("T")

_LARGE = 1 << 20
"""Pixels from which a picture is kept on disk: reading it is cheaper than making it again."""


def name_of(shown: Picture, view: View, media_type: str) -> str:
    """What tells this picture from every other; equal names mean equal bytes."""
    facts = (__version__, shown.instance.sha256, shown.number, view, media_type)
    return xxhash.xxh3_128_hexdigest(repr(facts).encode())


async def rendered(box: Box, shown: Picture, view: View, media_type: str, *, keep: bool = False) -> bytes:
    """The picture as a file; made once for all who ask at the same time, and kept (on disk: `keep`).

    Raises NotFound without such a frame, Damaged where it cannot be decoded, NotAcceptable where there is no
    codec for it, OutOfResources where too many wait.
    """
    instance = shown.instance
    costly = keep or instance.transfer_syntax_uid not in NATIVE
    costly = costly or (instance.rows or 0) * (instance.columns or 0) > _LARGE
    render = partial(_render, box, shown, view, media_type)
    name = name_of(shown, view, media_type)
    return await box.resource(Renderings, Renderings).get(name, render, costly=costly)


async def icon(box: Box, word: str, view: View, media_type: str) -> bytes:
    """A picture that stands for what has none."""
    return await in_decoders(box, _icon, word, view, media_type)


async def representative(box: Box, instance: Instance, count: int, *, otherwise: int) -> int:
    """The frame that stands for all by Representative Frame Number (0028,6010); without it `otherwise`."""
    if count == 1:
        return 1
    said = (await display(box, instance)).representative
    return said if said is not None and 1 <= said <= count else otherwise


async def display(box: Box, instance: Instance) -> Display:
    """How the instance's frames are shown; raises NotFound where it has none."""
    displays = box.resource(_Displays, _Displays)
    found: Display | None = displays.get(instance.blob_key)
    if found is None:
        json = await metadata.of_row(box, instance.id)
        source = (await inflated(box, instance))[0] if deflated(instance) else None
        bulk = partial(_bulk, box, instance, source)
        found = await in_decoders(box, display_of, json, instance.transfer_syntax_uid, bulk)
        displays.put(instance.blob_key, found, 1 + len(found.greys))
    return found


async def in_decoders(box: Box, work: Callable[..., T], *arguments: object) -> T:
    """What `work` returns or raises, run in one of the box's decoder threads."""
    return await asyncio.get_running_loop().run_in_executor(box.decoders, work, *arguments)


class _Displays(Recent):
    """Descriptions by blob."""


async def _render(box: Box, shown: Picture, view: View, media_type: str) -> bytes:
    return await _drawn(box, shown, view, _encoded, media_type)


async def drawn(box: Box, shown: Picture, view: View) -> "Image":
    """The picture itself, of grey levels or RGB; raises as `rendered` does."""
    return await _drawn(box, shown, view, _itself)


async def _drawn(box: Box, shown: Picture, view: View, finish: Callable[..., T], *more: object) -> T:
    how = await display(box, shown.instance)
    source = await _one(await native_frame(box, shown.instance, shown.number))
    return await in_decoders(box, finish, box, how, shown.number, source, view, *more)


async def _one(body: list[Body]) -> bytes | Piece:
    """The frame itself where it had to be made, else where it lies."""
    (piece,) = body
    if isinstance(piece, Made):
        return bytes(await piece.make())
    if isinstance(piece, bytes | Piece):
        return piece
    raise TypeError(type(piece))


def _itself(box: Box, how: Display, number: int, source: bytes | Piece, view: View) -> "Image":
    native = source if isinstance(source, bytes) else _read(box, source.source, source.offset, source.length)
    return picture.picture(how, number, native, view)


def _encoded(
    box: Box, how: Display, number: int, source: bytes | Piece, view: View, media_type: str
) -> bytes:
    return raster.encoded(_itself(box, how, number, source, view), media_type, view.quality)


def _icon(word: str, view: View, media_type: str) -> bytes:
    size = (view.viewport.width, view.viewport.height) if view.viewport else (256, 256)
    return raster.encoded(icons.icon(word, *size), media_type, view.quality)


def _read(box: Box, source: str | Path, offset: int, length: int) -> bytes:
    if isinstance(source, str):
        with box.blobs.open(source) as blob:
            return blob.pread(offset, length)
    with source.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _bulk(box: Box, instance: Instance, inflated_at: Path | None, path: str) -> bytes:
    """The little endian bytes of a bulk value; b"" where there is none."""
    with box.blobs.open(instance.blob_key) as blob:
        try:
            found = locate(blob.buffer(), path)
        except NotFound:
            return b""
        data = (
            blob.pread(found.offset, found.length)
            if inflated_at is None
            else _read(box, inflated_at, found.offset, found.length)
        )
    swap = SWAP_UNIT.get(found.vr.encode(), 1) if instance.transfer_syntax_uid == EXPLICIT_BIG else 1
    return explicit.swapped(data, swap) if swap > 1 else data
