"""What can be shown of an instance, by what it is: pictures, a text, a document, a video."""

from functools import partial

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import documents
from dicomweb_box.archive.body import Body
from dicomweb_box.archive.frame_body import stored_frame
from dicomweb_box.archive.representation import Picture, Representations
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box
from dicomweb_box.dicom import uids
from dicomweb_box.dicom.encapsulated import Enclosed
from dicomweb_box.dicom.view import View

_MPEG2 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in ("100", "100.1", "101", "101.1"))


async def representations(box: Box, instance: Instance, *, scope: Scope, actor: Actor) -> Representations:
    """What can be shown of it. What an image is, is known from the index alone."""
    del scope, actor
    if instance.transfer_syntax_uid in uids.VIDEO:
        kind = "video/mpeg" if instance.transfer_syntax_uid in _MPEG2 else "video/mp4"
        return Representations(whole_types=(kind,), whole=partial(_video, box, instance))
    if instance.rows and instance.columns:
        return _frames(instance)
    document = await documents.enclosed_in(box, instance)
    if document is not None:
        whole = partial(_document, box, instance, document)
        return Representations(whole_types=(document.media_type,), whole=whole)
    return Representations(whole_types=documents.TEXTS, whole=partial(_text, box, instance))


def _frames(instance: Instance) -> Representations:
    def picture(number: int) -> Picture:
        return Picture(instance=instance, number=number)

    return Representations(count=max(1, instance.number_of_frames or 1), picture=picture)


async def _video(box: Box, instance: Instance, media_type: str, view: View) -> list[Body]:
    del media_type, view
    return await stored_frame(box, instance, 1)


async def _document(
    box: Box, instance: Instance, document: Enclosed, media_type: str, view: View
) -> list[Body]:
    del media_type, view
    return await documents.document_body(box, instance, document)


async def _text(box: Box, instance: Instance, media_type: str, view: View) -> list[Body]:
    del view
    form: documents.Text = "text/html"
    if media_type in ("text/plain", "text/xml"):
        form = "text/plain" if media_type == "text/plain" else "text/xml"
    return [await documents.text_of(box, instance, form)]
