"""Instances put together from metadata and bulk data (PS3.18 10.5.1.2), before they go the one way in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from dicomweb_box.archive.bulk_parts import BulkPart, BulkParts
from dicomweb_box.archive.outcomes import Refused
from dicomweb_box.box import in_thread
from dicomweb_box.dicom import json_encoder, pixel_payload
from dicomweb_box.dicom.explicit import Piece
from dicomweb_box.dicom.json_encoder import PIXEL_DATA, BulkValue, named
from dicomweb_box.dicom.json_model import Dataset, Element, first_value
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.pixel_payload import EXPLICIT_LITTLE, Payload
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import FailureReason, UnreadableInstance

_UTF8: Element = {"vr": "CS", "Value": ["ISO_IR 192"]}
# Defined terms under which printable ASCII means itself (PS3.3 C.12.1.1.2).
_ASCII_SETS = (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203)
_ASCII_TERMS = frozenset((None, "GB18030", "GBK", *[f"ISO_IR {number}" for number in _ASCII_SETS]))
_REQUIRED = ("00080016", "00080018", "0020000D", "0020000E")
# What a server says about an instance in searches and metadata, and what is no part of it (PS3.18 10.6.3.3).
_ABOUT = ("00080056", "00080061", "00081190", "00083002", "00201206", "00201208", "00201209")
_ASKED = "00083002"


@dataclass(kw_only=True, slots=True)
class Composed:
    """One instance as the pieces of a Part 10 file, and what was done to it on the way."""

    pieces: list[Piece]
    coerced: tuple[str, ...] = ()
    discarded: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """A data set while it is made into an instance."""

    dataset: Dataset
    transfer_syntax_uid: str = EXPLICIT_LITTLE
    payload: Payload | None = None
    coerced: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)


async def compose(
    dataset: Any, parts: BulkParts, *, shared: frozenset[str] = frozenset()
) -> "Composed | Refused":
    """The instance that metadata and the parts it names make; a sentence why not is an answer too.

    `shared`: pixel data URIs that more than one data set of the request names.
    """
    return await in_thread(parts.box, _compose, dataset, parts, shared)


def _compose(dataset: Any, parts: BulkParts, shared: frozenset[str]) -> Composed | Refused:
    try:
        work = _begun(dataset)
        _take_pixel_data(work, parts, shared)
        _settle_character_set(work)
        meta = _file_meta(work)
        pieces = json_encoder.encode(work.dataset, _bulk(work, parts))
    except UnreadableInstance as error:
        return _refused(dataset, error)
    return Composed(pieces=[meta, *pieces], coerced=tuple(work.coerced), discarded=tuple(work.discarded))


def pixel_uri(dataset: Any) -> str | None:
    """The URI of the data set's pixel data, where it names one."""
    element = dataset.get(PIXEL_DATA) if isinstance(dataset, dict) else None
    uri = element.get("BulkDataURI") if isinstance(element, dict) else None
    return uri if isinstance(uri, str) else None


def _begun(dataset: Any) -> _Work:
    if not isinstance(dataset, dict) or not all(isinstance(one, dict) for one in dataset.values()):
        raise UnreadableInstance("the metadata is no JSON object of attributes")
    work = _Work({tag.upper(): dict(element) for tag, element in dataset.items()})
    work.transfer_syntax_uid = pixel_payload.declared_syntax(work.dataset)
    for tag in _ABOUT:
        if work.dataset.pop(tag, None) is not None and tag != _ASKED:
            work.discarded.append(f"{named(tag)} is no attribute of an instance and was left out")
    return work


def _take_pixel_data(work: _Work, parts: BulkParts, shared: frozenset[str]) -> None:
    uri = pixel_uri(work.dataset)
    if uri is None:
        work.payload = pixel_payload.inline_payload(work.dataset, work.transfer_syntax_uid)
        if work.payload is not None:
            work.dataset[PIXEL_DATA] = {"vr": "OB", "BulkDataURI": ""}
        else:
            work.transfer_syntax_uid = EXPLICIT_LITTLE
        return
    found = parts.named(uri)
    if not found:
        raise _missing(PIXEL_DATA)
    if uri in shared:
        # Two instances with one image: more likely two images under one name, and one is another patient's.
        raise UnreadableInstance(
            f"{named(PIXEL_DATA)} names bulk data that another instance of the request names too",
            FailureReason.DATA_SET_DOES_NOT_MATCH,
        )
    parts.used.update(part.number for part in found)
    media = [pixel_payload.Media(part.media_type, part.stretch) for part in found]
    with parts.view(found[0].stretch) as beginning:
        work.payload = pixel_payload.payload(work.dataset, media, beginning, work.transfer_syntax_uid)
    work.transfer_syntax_uid = work.payload.transfer_syntax_uid


def _settle_character_set(work: _Work) -> None:
    """JSON and XML are Unicode: text that is not ASCII is written as ISO_IR 192."""
    term = first_value(work.dataset, json_encoder.CHARACTER_SET)
    terms = work.dataset.get(json_encoder.CHARACTER_SET, {}).get("Value") or []
    if terms in ([], [term]) and term in _ASCII_TERMS and _is_ascii(work.dataset):
        return
    if terms and terms != _UTF8["Value"]:
        work.coerced.append(f"{named(json_encoder.CHARACTER_SET)} was replaced by ISO_IR 192")
    work.dataset[json_encoder.CHARACTER_SET] = _UTF8


def _is_ascii(dataset: Dataset) -> bool:
    try:
        return orjson.dumps(dataset).isascii()
    except orjson.JSONEncodeError:  # nested too deeply to tell
        return False


def _file_meta(work: _Work) -> bytes:
    found = {tag: _uid(work.dataset, tag) for tag in _REQUIRED}
    return written_meta(
        sop_class_uid=found["00080016"],
        instance_uid=found["00080018"],
        transfer_syntax_uid=work.transfer_syntax_uid,
    )


def _uid(dataset: Dataset, tag: str) -> str:
    value = first_value(dataset, tag)
    uid = clean_uid(value.encode("utf-8", "replace")) if isinstance(value, str) else None
    if uid is None:
        raise UnreadableInstance(f"{named(tag)} is missing or no UID", FailureReason.DATA_SET_DOES_NOT_MATCH)
    return uid


def _bulk(work: _Work, parts: BulkParts) -> Callable[[str, str, bool], BulkValue]:
    def find(tag: str, uri: str, top: bool) -> BulkValue:
        if top and tag == PIXEL_DATA and work.payload is not None:
            return BulkValue(work.payload.pieces, work.payload.encapsulated)
        return BulkValue(_whole(tag, parts.named(uri), parts))

    return find


def _whole(tag: str, found: Sequence[BulkPart], parts: BulkParts) -> list[Piece]:
    if not found:
        raise _missing(tag)
    if len(found) > 1:
        raise UnreadableInstance(f"{named(tag)} names {len(found)} parts where one belongs")
    parts.used.add(found[0].number)
    return [found[0].stretch]


def _missing(tag: str) -> UnreadableInstance:
    return UnreadableInstance(
        f"{named(tag)} names bulk data that no part of the request brought", FailureReason.BULK_DATA_MISSING
    )


def _refused(dataset: Any, error: UnreadableInstance) -> Refused:
    def uid(tag: str) -> str | None:
        try:
            return _uid(dataset, tag)
        except UnreadableInstance:
            return None

    return Refused(
        reason=error.reason,
        message=str(error),
        study_uid=uid("0020000D"),
        sop_class_uid=uid("00080016"),
        instance_uid=uid("00080018"),
    )
