"""Consumer media on their way into an instance: read, described, kept or decoded, completed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomweb_box.archive.bulk_parts import BulkPart, BulkParts
from dicomweb_box.archive.joining import Joined, Places
from dicomweb_box.archive.media_process import decode_apart
from dicomweb_box.dicom.encapsulation import encapsulated
from dicomweb_box.dicom.json_encoder import PIXEL_DATA, named
from dicomweb_box.dicom.json_model import Dataset, Element, first_value
from dicomweb_box.dicom.media import consumer_media, made_instance
from dicomweb_box.dicom.media.medium import Kind, Medium, number
from dicomweb_box.dicom.pieces import Stretch, length
from dicomweb_box.dicom.pixel_payload import Payload, frame_count
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.errors import FailureReason, UnreadableInstance

DOCUMENT = "00420011"
_MOST_BYTES = 0xFFFFFFFE
_PATIENT = ("00100020", "00100021")
# Of kept pixels the metadata may know more than the stream says (which colour space an unmarked JPEG has),
# but not another size.
_SIZES = ("00280002", "00280008", "00280010", "00280011", "00280100")
_UNLESS_SAID = ("00180040", "00181063", "00282112", "00282114", "00082111")


@dataclass(frozen=True, slots=True)
class _Read:
    """One medium, and where the bytes lie that are stored of it."""

    medium: Medium
    place: Stretch


@dataclass(slots=True)
class Work:
    """A data set while it is made into an instance."""

    dataset: Dataset
    transfer_syntax_uid: str = EXPLICIT_LITTLE
    payload: Payload | None = None
    kind: Kind | None = None
    coerced: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    originals: dict[str, Element] = field(default_factory=dict)
    """Elements as they were before they were replaced."""


def uri_of(dataset: Any, tag: str) -> str | None:
    """The attribute's BulkDataURI, where it has one."""
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    uri = element.get("BulkDataURI") if isinstance(element, dict) else None
    return uri if isinstance(uri, str) else None


def media_parts(work: Work, parts: BulkParts, medium: BulkPart | None) -> list[BulkPart]:
    """The parts to derive the instance's pixels or document from; [] where it is said what they are."""
    pixels, document = uri_of(work.dataset, PIXEL_DATA), uri_of(work.dataset, DOCUMENT)
    if pixels is None and document is None:
        return _alone(work, parts, medium)
    if pixels is None:
        found = parts.named(document or "")
        return found if len(found) == 1 and _is_medium(found, frozenset(("application/pdf",))) else []
    found = pixel_parts(pixels, parts)
    return found if _is_medium(found, consumer_media.PICTURES) else []


def check_own(dataset: Dataset, parts: BulkParts, shared: frozenset[int]) -> None:
    """Raise UnreadableInstance where the pixel data or the document is another instance's, too."""
    for tag in (PIXEL_DATA, DOCUMENT):
        if shared.intersection(part.number for part in parts.named(uri_of(dataset, tag) or "")):
            # More likely two images under one name, one of them another patient's, than one image twice.
            raise UnreadableInstance(
                f"{named(tag)} names bulk data that another instance of the request names too",
                FailureReason.DATA_SET_DOES_NOT_MATCH,
            )


def pixel_parts(uri: str, parts: BulkParts) -> list[BulkPart]:
    """The parts that bring pixel data; raises UnreadableInstance where there are none."""
    found = parts.named(uri)
    if not found:
        raise missing(PIXEL_DATA)
    parts.used.update(part.number for part in found)
    return found


def missing(tag: str) -> UnreadableInstance:
    """That an attribute's bulk data did not come."""
    return UnreadableInstance(
        f"{named(tag)} names bulk data that no part of the request brought", FailureReason.BULK_DATA_MISSING
    )


def _alone(work: Work, parts: BulkParts, medium: BulkPart | None) -> list[BulkPart]:
    if medium is None or medium.media_type.name not in consumer_media.MEDIA_TYPES:
        return []
    parts.used.add(medium.number)
    tag = DOCUMENT if medium.media_type.name not in consumer_media.PICTURES else PIXEL_DATA
    work.dataset[tag] = {"vr": "OB", "BulkDataURI": parts.name(medium)}
    return [medium]


def _is_medium(found: Sequence[BulkPart], known: frozenset[str]) -> bool:
    """Whether all are consumer media: a transfer syntax says that a program knows what it sends."""
    return bool(found) and all(
        part.media_type.name in known and "transfer-syntax" not in part.media_type.parameters
        for part in found
    )


def take_media(work: Work, parts: BulkParts, found: Sequence[BulkPart]) -> None:
    """Derive what the parts are, and put it into the data set. Decodes: run it in a decoder's thread.

    Raises UnreadableInstance where no instance can be made of them.
    """
    media = [_read(parts, part) for part in found]
    first = media[0].medium
    if any(_shape(one.medium) != _shape(first) for one in media) or (
        len(media) > 1 and first.kind != "image"
    ):
        raise UnreadableInstance("the parts of its pixel data are no frames of one size and kind")
    work.kind = first.kind
    if first.kind == "document":
        _describe(work, first, 1)
        return
    _describe(work, first, len(media))
    work.transfer_syntax_uid = first.transfer_syntax_uid
    if first.kept is None:
        _take_native(work, [one.place for one in media])
    else:
        _take_kept(work, first, [one.place for one in media])


def _read(parts: BulkParts, part: BulkPart) -> _Read:
    """The medium that a part brings: kept where it lies, or decoded apart and put behind all parts."""
    kind, settings = part.media_type.name, parts.box.settings
    medium = consumer_media.kept(kind, parts.view(part.stretch))
    if medium is not None:
        offset, size = medium.kept or (0, part.stretch.length)
        return _Read(medium, Stretch(part.stretch.offset + offset, size))
    with parts.beside() as (source, frames):
        medium = decode_apart(
            source,
            (part.stretch.offset, part.stretch.length),
            kind,
            frames.path,
            seconds=settings.decode_timeout,
            most=settings.decode_memory,
        )
        return _Read(medium, parts.append(_pieces(frames.path)))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def _shape(medium: Medium) -> tuple[Any, ...]:
    macro = [medium.attributes.get(tag) for tag in (*_SIZES, "00280004", "00280101")]
    return medium.kind, medium.transfer_syntax_uid, macro


def _describe(work: Work, medium: Medium, count: int) -> None:
    derived = dict(medium.attributes)
    if count > 1:
        derived["00280008"] = number("IS", count)
    decoded = medium.kept is None
    for tag, element in derived.items():
        before = work.dataset.get(tag, {})
        said = first_value(work.dataset, tag) is not None
        if said and (tag in _UNLESS_SAID or not (decoded or tag in _SIZES or tag == "00282110")):
            continue
        if said and _same(before, element):
            continue
        if said:
            work.originals[tag] = before
            work.coerced.append(f"{named(tag)} was replaced by what the medium says")
        work.dataset[tag] = element


def _same(before: Element, after: Element) -> bool:
    return [str(value) for value in before.get("Value", [])] == [str(value) for value in after["Value"]]


def _take_native(work: Work, places: list[Stretch]) -> None:
    if length(list(places)) > _MOST_BYTES:
        raise UnreadableInstance("its decoded pixel data are longer than an element can be")
    vr = "OW" if first_value(work.dataset, "00280100") == 16 else "OB"
    work.dataset[PIXEL_DATA] = {"vr": vr, "BulkDataURI": ""}
    work.payload = Payload(transfer_syntax_uid=EXPLICIT_LITTLE, pieces=places, encapsulated=False)


def _take_kept(work: Work, medium: Medium, places: list[Stretch]) -> None:
    if medium.kind != "video" and frame_count(work.dataset) != len(places):
        raise UnreadableInstance(
            f"{named('00280008')} is not the number of parts that came, one for each frame",
            FailureReason.DATA_SET_DOES_NOT_MATCH,
        )
    work.payload = Payload(
        transfer_syntax_uid=medium.transfer_syntax_uid, pieces=encapsulated(places), encapsulated=True
    )


def supply(work: Work, places: Places, study_uid: str | None, joined: Joined) -> None:
    """Give the instance what it lacks: identity, a place in a study, that study's patient.

    Raises UnreadableInstance where it says that it is another patient's.
    """
    kind = work.kind or "image"
    for tag in _PATIENT if joined.exists else ():
        said, there = first_value(work.dataset, tag), first_value(joined.attributes, tag)
        if said is not None and said != there and (there is not None or tag == _PATIENT[0]):
            raise UnreadableInstance(
                f"{named(tag)} is not that of the study it is to join", FailureReason.DATA_SET_DOES_NOT_MATCH
            )
    modality = first_value(work.dataset, "00080060") or made_instance.modality_of(kind)
    series_uid = first_value(work.dataset, "0020000E")
    place = places.next(study_uid, str(modality), series_uid if isinstance(series_uid, str) else None, joined)
    more = made_instance.supplied(kind, place, joined.attributes)
    supplied = {tag: element for tag, element in more.items() if _is_empty(work.dataset.get(tag))}
    names = [named(tag) for tag, element in supplied.items() if len(element) > 1]
    if names:
        work.coerced.append("supplied: " + ", ".join(names))
    work.dataset |= supplied


def _is_empty(element: Element | None) -> bool:
    return element is None or not any(element.get(key) for key in ("Value", "InlineBinary", "BulkDataURI"))
