"""Instances put together from metadata and bulk data (PS3.18 10.5.1.2), before they go the one way in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import media_work
from dicomweb_box.archive.bulk_parts import BulkPart, BulkParts
from dicomweb_box.archive.joining import Joined, Places, study_to_join
from dicomweb_box.archive.media_work import Work
from dicomweb_box.archive.outcomes import Refused
from dicomweb_box.box import Box, in_decoder, in_thread
from dicomweb_box.dicom import json_encoder, original_attributes, pixel_payload
from dicomweb_box.dicom.json_encoder import PIXEL_DATA, BulkValue, named
from dicomweb_box.dicom.json_model import Dataset, Element, first_value
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.pieces import Piece
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, clean_uid
from dicomweb_box.errors import FailureReason, UnreadableInstance

_UTF8: Element = {"vr": "CS", "Value": ["ISO_IR 192"]}
# Defined terms under which printable ASCII means itself (PS3.3 C.12.1.1.2).
_ASCII_SETS = (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203)
_ASCII_TERMS = frozenset((None, "GB18030", "GBK", *[f"ISO_IR {number}" for number in _ASCII_SETS]))
_REQUIRED = ("00080016", "00080018", "0020000D", "0020000E")
# What a server says about an instance in searches and metadata, and what is no part of it (PS3.18 10.6.3.3).
_ABOUT = ("00080056", "00080061", "00081190", "00083002", "00201206", "00201208", "00201209")
_ASKED = "00083002"


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """One instance as the pieces of a Part 10 file, and what was done to it on the way."""

    pieces: list[Piece]
    coerced: tuple[str, ...] = ()
    discarded: tuple[str, ...] = ()


@dataclass(slots=True)
class Composer:
    """Puts the instances of one request together."""

    box: Box
    parts: BulkParts
    scope: Scope
    source: str
    """Who sent them, as Source of Previous Values says it."""
    study_uid: str | None = None
    """The study that the request addresses."""
    places: Places = field(init=False)
    _studies: dict[str, Joined] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = Places(self.box)

    async def compose(
        self, dataset: Any, medium: BulkPart | None = None, *, shared: frozenset[int] = frozenset()
    ) -> Composed | Refused:
        """The instance that metadata and the parts it names make; a sentence why not is an answer too.

        `medium`: the part it is about where it names none. `shared`: numbers of parts that more than one
        data set of the request names as its pixel data or document.
        """
        try:
            work = _begun(dataset)
            media_work.check_own(work.dataset, self.parts, shared)
            found = media_work.media_parts(work, self.parts, medium)
            if found:
                await in_decoder(self.box, media_work.take_media, work, self.parts, found)
                if not _complete(work.dataset):
                    await self._supply(work)
            return await in_thread(self.box, self._compose, work)
        except UnreadableInstance as error:
            return _refused(dataset, error)

    async def joined(self, study_uid: str) -> Joined:
        """The study that media join, asked for once a request."""
        if study_uid not in self._studies:
            self._studies[study_uid] = await study_to_join(self.box, study_uid, scope=self.scope)
        return self._studies[study_uid]

    async def _supply(self, work: Work) -> None:
        study_uid = _uid_or_none(work.dataset, "0020000D") or self.study_uid
        joined = await self.joined(study_uid) if study_uid else Joined()
        media_work.supply(work, self.places, study_uid, joined)

    def _compose(self, work: Work) -> Composed:
        if work.payload is None:
            _take_pixel_data(work, self.parts)
        _settle_character_set(work)
        self._record(work)
        meta = _file_meta(work)
        pieces = json_encoder.encode(work.dataset, _bulk(work, self.parts))
        return Composed(pieces=[meta, *pieces], coerced=tuple(work.coerced), discarded=tuple(work.discarded))

    def _record(self, work: Work) -> None:
        at, system = self.box.clock(), self.box.settings.ae_title
        charset = work.originals.pop(json_encoder.CHARACTER_SET, None)
        # Apart from text: within an item a character set would say how that item is written.
        for originals in (work.originals, {json_encoder.CHARACTER_SET: charset} if charset else {}):
            original_attributes.record(work.dataset, originals, at=at, system=system, source=self.source)


def own_parts(dataset: Any, parts: BulkParts) -> set[int]:
    """Numbers of the parts that a data set names as its pixel data or document: these belong to it alone."""
    uris = [media_work.uri_of(dataset, tag) for tag in (PIXEL_DATA, media_work.DOCUMENT)]
    return {part.number for uri in uris if uri is not None for part in parts.named(uri)}


def _begun(dataset: Any) -> Work:
    if not isinstance(dataset, dict) or not all(isinstance(one, dict) for one in dataset.values()):
        raise UnreadableInstance("the metadata is no JSON object of attributes")
    work = Work({tag.upper(): dict(element) for tag, element in dataset.items()})
    work.transfer_syntax_uid = pixel_payload.declared_syntax(work.dataset)
    for tag in _ABOUT:
        if work.dataset.pop(tag, None) is not None and tag != _ASKED:
            work.discarded.append(f"{named(tag)} is no attribute of an instance and was left out")
    return work


def _complete(dataset: Dataset) -> bool:
    return all(_uid_or_none(dataset, tag) for tag in _REQUIRED)


def _take_pixel_data(work: Work, parts: BulkParts) -> None:
    uri = media_work.uri_of(work.dataset, PIXEL_DATA)
    if uri is None:
        work.payload = pixel_payload.inline_payload(work.dataset, work.transfer_syntax_uid)
        if work.payload is not None:
            work.dataset[PIXEL_DATA] = {"vr": "OB", "BulkDataURI": ""}
        else:
            work.transfer_syntax_uid = EXPLICIT_LITTLE
        return
    found = media_work.pixel_parts(uri, parts)
    media = [pixel_payload.Media(part.media_type, part.stretch) for part in found]
    beginning = parts.view(found[0].stretch)
    work.payload = pixel_payload.payload(work.dataset, media, beginning, work.transfer_syntax_uid)
    work.transfer_syntax_uid = work.payload.transfer_syntax_uid


def _settle_character_set(work: Work) -> None:
    """JSON and XML are Unicode: text that is not ASCII is written as ISO_IR 192."""
    term = first_value(work.dataset, json_encoder.CHARACTER_SET)
    terms = work.dataset.get(json_encoder.CHARACTER_SET, {}).get("Value") or []
    if terms in ([], [term]) and term in _ASCII_TERMS and _is_ascii(work.dataset):
        return
    if terms and terms != _UTF8["Value"]:
        work.originals[json_encoder.CHARACTER_SET] = work.dataset[json_encoder.CHARACTER_SET]
        work.coerced.append(f"{named(json_encoder.CHARACTER_SET)} was replaced by ISO_IR 192")
    work.dataset[json_encoder.CHARACTER_SET] = _UTF8


def _is_ascii(dataset: Dataset) -> bool:
    try:
        return orjson.dumps(dataset).isascii()
    except orjson.JSONEncodeError:  # nested too deeply to tell
        return False


def _file_meta(work: Work) -> bytes:
    found = {tag: _uid(work.dataset, tag) for tag in _REQUIRED}
    return written_meta(
        sop_class_uid=found["00080016"],
        instance_uid=found["00080018"],
        transfer_syntax_uid=work.transfer_syntax_uid,
    )


def _uid(dataset: Dataset, tag: str) -> str:
    uid = _uid_or_none(dataset, tag)
    if uid is None:
        raise UnreadableInstance(f"{named(tag)} is missing or no UID", FailureReason.DATA_SET_DOES_NOT_MATCH)
    return uid


def _uid_or_none(dataset: Any, tag: str) -> str | None:
    value = first_value(dataset, tag)
    return clean_uid(value.encode("utf-8", "replace")) if isinstance(value, str) else None


def _bulk(work: Work, parts: BulkParts) -> Callable[[str, str, bool], BulkValue]:
    def find(tag: str, uri: str, top: bool) -> BulkValue:
        if top and tag == PIXEL_DATA and work.payload is not None:
            return BulkValue(work.payload.pieces, work.payload.encapsulated)
        return BulkValue(_whole(tag, parts.named(uri), parts))

    return find


def _whole(tag: str, found: Sequence[BulkPart], parts: BulkParts) -> list[Piece]:
    if not found:
        raise media_work.missing(tag)
    if len(found) > 1:
        raise UnreadableInstance(f"{named(tag)} names {len(found)} parts where one belongs")
    parts.used.add(found[0].number)
    return [found[0].stretch]


def _refused(dataset: Any, error: UnreadableInstance) -> Refused:
    return Refused(
        reason=error.reason,
        message=str(error),
        study_uid=_uid_or_none(dataset, "0020000D"),
        sop_class_uid=_uid_or_none(dataset, "00080016"),
        instance_uid=_uid_or_none(dataset, "00080018"),
    )
