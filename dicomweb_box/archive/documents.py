"""What can be read of instances that are no images: reports in words, encapsulated documents as they lie."""

from functools import partial
from typing import Literal

import orjson

from dicomweb_box import __version__
from dicomweb_box.archive import metadata
from dicomweb_box.archive.body import Body, Piece
from dicomweb_box.archive.bulk_body import bulk, bulk_body
from dicomweb_box.archive.renderings import Renderings
from dicomweb_box.archive.retrieve import Instance, Recent
from dicomweb_box.box import Box, in_decoder, in_thread
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.encapsulated import DOCUMENT, Enclosed, enclosed
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.errors import NotAcceptable

TEXTS = ("text/html", "text/plain", "text/xml")
"""The rendered media types of text (PS3.18 Table 8.7.4-1), the default first."""

_MOST = 4 << 20
"""Bytes of metadata that are made a document; a report of half a million items has fewer."""

Text = Literal["text/html", "text/plain", "text/xml"]


async def text_of(box: Box, instance: Instance, form: Text) -> bytes:
    """The instance in words, in UTF-8: a report by its content, anything else by its attributes.

    As text/xml it is the Native DICOM Model (PS3.19 A.1). Raises NotAcceptable for what is too large or
    nested too deeply for that, OutOfResources where too many wait.
    """
    # Among the pictures: a long report takes seconds, in which searches must not wait for a thread.
    name = f"text {__version__} {instance.blob_key} {instance.version.hex()} {form}"
    making = partial(_text, box, instance, form)
    return await box.resource(Renderings, Renderings).get(name, making, costly="no")


async def _text(box: Box, instance: Instance, form: Text) -> bytes:
    json = await metadata.of_row(box, instance.id)
    return await in_decoder(box, _write, json, form)


async def enclosed_in(box: Box, instance: Instance) -> Enclosed | None:
    """What the instance says of a document within it; None where there is none."""
    known = box.resource(_Enclosed, _Enclosed)
    found: tuple[Enclosed | None] | None = known.get(instance.blob_key)
    if found is None:
        json = await metadata.of_row(box, instance.id)
        elements = await in_thread(box, json_model.top_level, json)
        found = (enclosed(elements, instance.sop_class_uid),)
        known.put(instance.blob_key, found)
    return found[0]


async def document_body(box: Box, instance: Instance, document: Enclosed) -> list[Body]:
    """The document as it lies in the instance, without the byte that makes its length even."""
    body = await bulk_body(box, instance, await bulk(box, instance, DOCUMENT))
    last = body[-1] if body else b""
    if document.length is None or not isinstance(last, Piece) or last.length - document.length != 1:
        return body
    return [Piece(last.source, last.offset, document.length)]


class _Enclosed(Recent):
    """What instances say of documents within them, by blob."""


def _write(json: bytes, form: Text) -> bytes:
    # Loaded at the first ask: the dictionary of attribute names is large.
    from dicomweb_box.dicom import xml_model
    from dicomweb_box.dicom.words import document, document_html, listing, report

    dataset = _whole(json)
    if form == "text/xml":
        return xml_model.to_xml(dataset)
    made = report.report(dataset) if report.is_report(dataset) else listing.listing(dataset)
    return document_html.html(made) if form == "text/html" else document.plain(made)


def _whole(json: bytes) -> Dataset:
    """All of it: a report of which a part is missing must not be shown as if it were whole."""
    if len(json) > _MOST:
        raise NotAcceptable("the instance is too large to be written as a text", ())
    try:
        parsed: Dataset = orjson.loads(json)
    except orjson.JSONDecodeError as error:
        raise NotAcceptable("the instance is nested too deeply to be written as a text", ()) from error
    return parsed
