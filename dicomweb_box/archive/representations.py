"""What can be shown of an instance, by what it is: pictures, a text, a document, a video."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import documents, films, metadata, render, retrieve
from dicomweb_box.archive.body import Body, Piece
from dicomweb_box.archive.frame_body import stored_frame
from dicomweb_box.archive.representation import Picture, Representations
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import json_model, uids
from dicomweb_box.dicom.display import video
from dicomweb_box.dicom.display.presentation import STATES, references_of
from dicomweb_box.dicom.display.view import View
from dicomweb_box.dicom.encapsulated import Enclosed
from dicomweb_box.errors import Damaged, NotAcceptable, NotFound

if TYPE_CHECKING:
    from dicomweb_box.dicom.display.picture import Image

_MPEG2 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in ("100", "100.1", "101", "101.1"))


_MOST_REFERENCES = 10_000
MOST_PICTURES = 100_000
"""Pictures of one instance: an answer holds a little of each in memory."""


async def representations(box: Box, instance: Instance, *, scope: Scope, actor: Actor) -> Representations:
    """What can be shown of it. What an image is, is known from the index alone."""
    if instance.transfer_syntax_uid in uids.VIDEO:
        kind = await _container(box, instance)
        return Representations(whole_types=(kind,), whole=partial(_video, box, instance))
    if instance.rows and instance.columns:
        return await _frames(box, instance)
    if instance.sop_class_uid in STATES:
        return await _state(box, instance, scope, actor)
    document = await documents.enclosed_in(box, instance)
    if document is not None:
        return _enclosed(box, instance, document)
    return Representations(
        whole_types=documents.TEXTS, written=documents.TEXTS, whole=partial(_text, box, instance)
    )


async def _frames(box: Box, instance: Instance) -> Representations:
    def picture(number: int) -> Picture:
        return Picture(instance=instance, number=number)

    count, missing = await _counted(box, instance)
    if count + missing == 1:
        return Representations(count=1, picture=picture)
    # Of as many as are said: a film that ended too soon would look whole.
    whole = partial(_film, box, instance, count, missing, picture)
    return Representations(
        count=count,
        picture=picture,
        whole_types=films.media_types(),
        whole=whole,
        missing=missing,
        what_is_missing="frames",
    )


async def _counted(box: Box, instance: Instance) -> tuple[int, int]:
    """How many frames there are, at least 1 to be tried; and how many more the instance says to have."""
    said = max(1, instance.number_of_frames or 1)
    if said == 1:
        return 1, 0
    try:
        there = (await retrieve.frame_table(box, instance)).count
    except NotFound:
        there = 1
    # Whoever stored it may say anything: no work is done for frames that are not there.
    count = max(1, min(said, there))
    return count, said - count


async def _film(
    box: Box,
    instance: Instance,
    count: int,
    missing: int,
    picture: Callable[[int], Picture],
    media_type: str,
    view: View,
) -> list[Body]:
    if missing:
        raise NotAcceptable(f"not every frame can be shown: {missing} are not there", ())
    if count > films.MOST_FRAMES:
        raise NotAcceptable(f"a film of more than {films.MOST_FRAMES} frames is not made", ())

    async def drawn(number: int) -> "Image":
        return await render.drawn(box, picture(number), view)

    name = render.name_of(picture(0), view, media_type)  # 0: all of them
    try:
        found = await films.film(
            box, instance, count, media_type, name=name, quality=view.quality, pictures=drawn
        )
    except (Damaged, NotFound) as error:
        # Never without it: nobody would see that something is missing.
        raise NotAcceptable(f"not every frame can be shown: {error}", ()) from error
    return [Piece(found.path, 0, found.size)]


def _enclosed(box: Box, instance: Instance, document: Enclosed) -> Representations:
    """The document, and a listing of the attributes for those who read texts alone."""
    written = tuple(kind for kind in documents.TEXTS if kind != document.media_type)
    return Representations(
        whole_types=(document.media_type, *written),
        written=written,
        whole=partial(_document, box, instance, document),
    )


async def _state(box: Box, instance: Instance, scope: Scope, actor: Actor) -> Representations:
    """Each frame that a presentation state refers to, as it wants it (PS3.18 10.4.1.1.3).

    Raises NotFound where none of them is here, NotAcceptable where they or the state are too large.
    """
    dataset = json_model.all_or_none(await metadata.of_row(box, instance.id))
    if dataset is None:
        # In part it would show the image without what somebody wrote on it.
        raise NotAcceptable("the presentation state is too large or too deep to be applied", ())
    pictures: list[Picture] = []
    missing = 0
    for reference in references_of(dataset)[:_MOST_REFERENCES]:
        try:
            image = await retrieve.one(
                box, instance.study_uid, None, reference.instance_uid, scope=scope, actor=actor
            )
        except NotFound:
            missing += 1
            continue
        numbers = reference.frames or range(1, (await _counted(box, image))[0] + 1)
        if len(pictures) + len(numbers) > MOST_PICTURES:
            raise NotAcceptable(f"a presentation state of more than {MOST_PICTURES} frames is not shown", ())
        pictures += [Picture(instance=image, number=number, state=instance) for number in numbers]
    if not pictures:
        raise NotFound("the images that this presentation state refers to are not here")
    return Representations(count=len(pictures), picture=lambda number: pictures[number - 1], missing=missing)


async def _container(box: Box, instance: Instance) -> str:
    """The media type of a stored video: MPEG-4 AVC and HEVC come in MP4 files or in transport streams."""
    if instance.transfer_syntax_uid in _MPEG2:
        return "video/mpeg"
    offset, length = (await retrieve.frame_table(box, instance)).fragments(1)[0]

    def head() -> bytes:
        with box.blobs.open(instance.blob_key) as blob:
            return blob.pread(offset, min(length, video.HEAD))

    return video.container(await in_thread(box, head))


async def _video(box: Box, instance: Instance, media_type: str, view: View) -> list[Body]:
    del media_type, view
    return await stored_frame(box, instance, 1)


async def _document(
    box: Box, instance: Instance, document: Enclosed, media_type: str, view: View
) -> list[Body]:
    if media_type != document.media_type:
        return await _text(box, instance, media_type, view)
    return await documents.document_body(box, instance, document)


async def _text(box: Box, instance: Instance, media_type: str, view: View) -> list[Body]:
    del view
    form: documents.Text = "text/html"
    if media_type in ("text/plain", "text/xml"):
        form = "text/plain" if media_type == "text/plain" else "text/xml"
    return [await documents.text_of(box, instance, form)]
