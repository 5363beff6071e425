"""Frames made pictures that browsers show (PS3.18 10.4.1.1.3)."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import xxhash

from dicomweb_box import __version__
from dicomweb_box.archive import decoding, metadata, posters, retrieve
from dicomweb_box.archive.body import Body, Made, Piece
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.frame_body import native_frame
from dicomweb_box.archive.renderings import Costly, Renderings
from dicomweb_box.archive.representation import Picture
from dicomweb_box.archive.retrieve import Instance, Recent
from dicomweb_box.box import Box, in_decoder
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.display import icons, raster
from dicomweb_box.dicom.display.annotation import words_of
from dicomweb_box.dicom.display.display import Display, display_of, is_known
from dicomweb_box.dicom.display.picture import Frame, picture
from dicomweb_box.dicom.display.picture import fitting as fitting_window
from dicomweb_box.dicom.display.presentation import presentation_of
from dicomweb_box.dicom.display.view import View
from dicomweb_box.dicom.display.voi import Window
from dicomweb_box.dicom.header import locate
from dicomweb_box.dicom.image import ENCAPSULATED_UNCOMPRESSED, NATIVE
from dicomweb_box.dicom.json_values import Bulk
from dicomweb_box.dicom.pieces import swapped
from dicomweb_box.dicom.uids import EXPLICIT_BIG
from dicomweb_box.dicom.vr_lookup import SWAP_UNIT
from dicomweb_box.errors import NotFound

if TYPE_CHECKING:
    from dicomweb_box.dicom.display.picture import Image, Shown

T = TypeVar("T")

_LARGE = 1 << 20
"""Pixels from which a picture is kept on disk: reading it is cheaper than making it again."""


def name_of(shown: Picture, view: View, media_type: str) -> str:
    """What tells this picture from every other; equal names mean equal bytes."""
    state = shown.state.sha256 if shown.state is not None else None
    # Words on the picture are about patient and study, which may be corrected; the picture itself is not.
    instance = shown.instance.version if view.annotation else shown.instance.sha256
    facts = (__version__, instance, shown.number, state, view, media_type)
    return xxhash.xxh3_128_hexdigest(repr(facts).encode())


async def rendered(box: Box, shown: Picture, view: View, media_type: str, *, keep: bool = False) -> bytes:
    """The picture as a file; made once for all who ask at the same time, and kept (on disk: `keep`).

    Raises NotFound without such a frame, Damaged where it cannot be decoded, NotAcceptable where there is no
    codec for it, OutOfResources where too many wait.
    """
    instance = shown.instance
    costly: Costly = "yes" if instance.transfer_syntax_uid not in NATIVE else "no"
    if keep or (instance.rows or 0) * (instance.columns or 0) > _LARGE:
        costly = "very"
    render = partial(_render, box, shown, view, media_type)
    name = name_of(shown, view, media_type)
    return await box.resource(Renderings, Renderings).get(name, render, costly=costly)


async def icon(box: Box, word: str, view: View, media_type: str) -> bytes:
    """A picture that stands for what has none."""
    return await in_decoder(box, _icon, word, view, media_type)


async def representative(box: Box, instance: Instance, count: int, *, otherwise: int) -> int:
    """The frame that stands for all by Representative Frame Number (0028,6010); without it `otherwise`."""
    if count == 1:
        return 1
    if posters.has_poster(instance):
        return 1  # each later picture costs the decoding of all before
    said = (await display(box, instance)).representative
    return said if said is not None and 1 <= said <= count else otherwise


async def display(box: Box, instance: Instance) -> Display:
    """How the instance's frames are shown; raises NotFound where it has none."""
    how, read = await _display(box, instance)
    return how or _known(box, instance, await in_decoder(box, read))


async def _display(box: Box, instance: Instance) -> tuple[Display | None, Callable[[], Display]]:
    """The description where it is known, else what reads it, in a thread."""
    found: Display | None = box.resource(_Displays, _Displays).get(_key(box, instance))
    if found is not None:
        await retrieve.frame_table(box, instance)
        return found, lambda: found
    json = await metadata.of_frames(box, instance)
    bulk = await bulk_values(box, instance)
    return None, partial(display_of, json, instance.transfer_syntax_uid, bulk)


def _known(box: Box, instance: Instance, how: Display) -> Display:
    box.resource(_Displays, _Displays).put(_key(box, instance), how, how.weight)
    return how


def _key(box: Box, instance: Instance) -> tuple[str, str]:
    """What the instance's description is known by: that of many where it is known to be the same."""
    told = retrieve.told(box, instance)
    shared = told.display_key if told is not None and is_known(told.display_key) else instance.blob_key
    return shared, instance.transfer_syntax_uid


class _Displays(Recent):
    """Descriptions by what they are shared by, or by blob, and transfer syntax."""


async def _render(box: Box, shown: Picture, view: View, media_type: str) -> bytes:
    def finish(made: "Shown", profile: bytes | None) -> bytes:
        return raster.encoded(made, media_type, view.quality, profile)

    return await _drawn(box, shown, view, finish)


async def drawn(box: Box, shown: Picture, view: View) -> "Image":
    """The picture itself, of grey levels or RGB; raises as `rendered` does."""
    return await _drawn(box, shown, view, lambda made, _: raster.image(made))


async def fitting(box: Box, shown: Picture) -> Window | None:
    """The window that fits the values of the frame; None of what is in colours. Raises as `rendered` does."""
    _, read = await _display(box, shown.instance)
    source = await _joined(await native_frame(box, shown.instance, shown.number))
    bulk = await bulk_values(box, shown.instance)

    def work() -> Window | None:
        native = source if isinstance(source, bytes) else _read(box, source)
        return fitting_window(Frame(display=read(), number=shown.number, native=native, bulk=bulk))

    return await in_decoder(box, work)


async def _drawn(box: Box, shown: Picture, view: View, finish: "Callable[[Shown, bytes | None], T]") -> T:
    if posters.has_poster(shown.instance):
        table = await retrieve.frame_table(box, shown.instance)
        made = await in_decoder(box, posters.poster, box, shown.instance, table, shown.number, view)
        return finish(made, None)
    known, read = await _display(box, shown.instance)
    bulk = await bulk_values(box, shown.instance)
    words = state = state_bulk = None
    if view.annotation:
        words = words_of(await metadata.of_row(box, shown.instance.id), view.annotation)
    if shown.state is not None:
        dataset = json_model.top_level(await metadata.of_row(box, shown.state.id))
        state_bulk = await bulk_values(box, shown.state)
        state = await in_decoder(
            box, presentation_of, dataset, shown.instance.instance_uid, shown.number, state_bulk
        )

    def work(how: Display, native: bytes | memoryview) -> T:
        frame = Frame(
            display=how,
            number=shown.number,
            native=native,
            bulk=bulk,
            state=state,
            state_bulk=state_bulk,
            words=words,
        )
        return finish(*picture(frame, view))

    how, finished = await _in_one_turn(box, shown, read, work)
    if known is None:
        _known(box, shown.instance, how)
    return finished


async def _in_one_turn(
    box: Box, shown: Picture, read: Callable[[], Display], work: Callable[[Display, bytes | memoryview], T]
) -> tuple[Display, T]:
    """What the work gives for the frame's native bytes, and its display: all in one turn of a thread.

    A turn costs as much as the look-up of a small frame.
    """
    instance = shown.instance
    if instance.transfer_syntax_uid in NATIVE or instance.transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
        source = await _joined(await native_frame(box, instance, shown.number))

        def turn() -> tuple[Display, T]:
            how = read()
            return how, work(how, source if isinstance(source, bytes) else _read(box, source))

        return await in_decoder(box, turn)
    described = cache(read)
    fragments = (await retrieve.frame_table(box, instance)).fragments(shown.number)
    return await decoding.used(
        box,
        instance,
        fragments,
        lambda: described().image,
        lambda native: (described(), work(described(), native)),
    )


async def _joined(body: list[Body]) -> bytes | Piece:
    """The frame itself where it had to be made, else where it lies."""
    if len(body) == 1 and isinstance(body[0], Piece):
        return body[0]
    made = [await one.make() if isinstance(one, Made) else one for one in body]
    return b"".join([bytes(one) for one in made if isinstance(one, bytes | bytearray | memoryview)])


def _icon(word: str, view: View, media_type: str) -> bytes:
    size = (view.viewport.width, view.viewport.height) if view.viewport else (256, 256)
    return raster.encoded(icons.icon(word, *size), media_type, view.quality)


def _read(box: Box, piece: Piece) -> bytes | memoryview:
    """The bytes; of a local blob where they lie, as a copy of them costs as much as turning them grey."""
    source = piece.source
    if isinstance(source, str):
        with box.blobs.open(source) as blob:
            if box.blobs.local_path(source) is None or piece.offset + piece.length > blob.size:
                return blob.pread(piece.offset, piece.length)
            return memoryview(blob.buffer())[piece.offset : piece.offset + piece.length]
    with source.open("rb") as file:
        file.seek(piece.offset)
        return file.read(piece.length)


async def bulk_values(box: Box, instance: Instance) -> Bulk:
    """What gives bulk values of an instance, in a thread; b"" for one that is not there."""
    inflated_at = (await inflated(box, instance))[0] if deflated(instance) else None
    return partial(_bulk, box, instance, inflated_at)


def _bulk(box: Box, instance: Instance, inflated_at: Path | None, path: str) -> bytes:
    try:
        with box.blobs.open(instance.blob_key) as blob:
            found = locate(blob.buffer(), path)
    except NotFound:
        return b""
    data = bytes(_read(box, Piece(inflated_at or instance.blob_key, found.offset, found.length)))
    swap = SWAP_UNIT.get(found.vr.encode(), 1) if instance.transfer_syntax_uid == EXPLICIT_BIG else 1
    return swapped(data, swap) if swap > 1 else data
