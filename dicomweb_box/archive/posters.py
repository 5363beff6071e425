"""Pictures out of stored videos, where PyAV is installed and the video lies in one piece on a local disk."""

from typing import TYPE_CHECKING

from dicomweb_box.archive.poster_process import picture_apart
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box
from dicomweb_box.dicom import uids
from dicomweb_box.dicom.display import raster, video
from dicomweb_box.errors import NotAcceptable

if TYPE_CHECKING:
    from dicomweb_box.dicom.display.picture import Image
    from dicomweb_box.dicom.display.view import View
    from dicomweb_box.dicom.frames import FrameTable


def has_poster(instance: Instance) -> bool:
    """Whether it is a video that can be looked into here."""
    return instance.transfer_syntax_uid in uids.VIDEO and video.can_decode()


def poster(box: Box, instance: Instance, table: "FrameTable", number: int, view: "View") -> "Image":
    """Picture `number` of the video as large as the view wants it; blocks. Raises Damaged, NotAcceptable."""
    fragments, path = table.fragments(1), box.blobs.local_path(instance.blob_key)
    if path is None or len(fragments) != 1:
        raise NotAcceptable("the video does not lie in one piece on a local disk", ())
    settings = box.settings
    png = picture_apart(
        path, fragments[0], number, seconds=settings.decode_timeout, most=settings.decode_memory
    )
    return raster.opened(png, (view.viewport.width, view.viewport.height) if view.viewport else None)
