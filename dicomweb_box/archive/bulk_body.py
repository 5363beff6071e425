"""Bulk data as bodies: one large value of a data set, named by its path (PS3.18 10.4.1.1.5)."""

import re
from dataclasses import dataclass

from dicomweb_box.archive import metadata
from dicomweb_box.archive.body import Body, Piece
from dicomweb_box.archive.derived_dataset import deflated, inflated
from dicomweb_box.archive.explicit_body import stretch_body
from dicomweb_box.archive.retrieve import Instance, Recent
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import encapsulated, json_model
from dicomweb_box.dicom.header import locate
from dicomweb_box.dicom.header_parts import Located
from dicomweb_box.dicom.pieces import Stretch
from dicomweb_box.dicom.uids import EXPLICIT_BIG
from dicomweb_box.dicom.vr_lookup import SWAP_UNIT
from dicomweb_box.errors import NotFound

PIXEL_DATA = "7FE00010"
_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[1-9][0-9]{0,8}/[0-9A-Fa-f]{8})*")


@dataclass(frozen=True, slots=True)
class Bulk:
    """One value: where it lies, and its own media type where the instance says it."""

    located: Located
    media_type: str | None
    pixels: bool


async def bulk(box: Box, instance: Instance, path: str) -> Bulk:
    """What lies at a path such as `00081140/1/00091001`; raises NotFound."""
    if _PATH.fullmatch(path) is None:
        raise NotFound("there is no such bulk data")
    path = path.upper()
    known = box.resource(_Bulks, _Bulks)
    found: Bulk | None = known.get((instance.blob_key, path))
    if found is None:
        located = await in_thread(box, _locate, box, instance, path)
        found = Bulk(located, await _media_type(box, instance, path), path == PIXEL_DATA)
        known.put((instance.blob_key, path), found)
    return found


async def bulk_body(box: Box, instance: Instance, found: Bulk) -> list[Body]:
    """The value in little endian."""
    where = found.located
    if deflated(instance):
        path, _ = await inflated(box, instance)
        return [Piece(path, where.offset, where.length)]
    swap = _swap_unit(instance, found) if instance.transfer_syntax_uid == EXPLICIT_BIG else 1
    return stretch_body(box, instance, Stretch(where.offset, where.length, swap))


def _swap_unit(instance: Instance, found: Bulk) -> int:
    bits = instance.bits_allocated or 0
    # As dicom.explicit: cells of more than 16 bits are turned as a whole.
    return bits // 8 if found.pixels and bits > 16 else SWAP_UNIT.get(found.located.vr.encode(), 1)


class _Bulks(Recent):
    """Places of bulk data by blob and path."""


def _locate(box: Box, instance: Instance, path: str) -> Located:
    with box.blobs.open(instance.blob_key) as blob:
        return locate(blob.buffer(), path)


async def _media_type(box: Box, instance: Instance, path: str) -> str | None:
    if path != encapsulated.DOCUMENT:
        return None
    json = await metadata.of_row(box, instance.id)
    elements = await in_thread(box, json_model.top_level, json)
    found = encapsulated.enclosed(elements, instance.sop_class_uid)
    return None if found is None or found.media_type == encapsulated.OCTETS else found.media_type
