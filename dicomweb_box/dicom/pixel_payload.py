"""Pixel Data that comes apart from its metadata: which transfer syntax it is, and how it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicomweb_box.dicom.encapsulation import encapsulated
from dicomweb_box.dicom.encoded_values import BadValue, inline
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.json_encoder import PIXEL_DATA, named
from dicomweb_box.dicom.json_model import Dataset, first_value
from dicomweb_box.dicom.media_types import DEFAULT_TRANSFER_SYNTAX, LEGACY_NAMES, MediaType
from dicomweb_box.dicom.pieces import Piece, Stretch, length
from dicomweb_box.dicom.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, VIDEO, clean_uid
from dicomweb_box.errors import FailureReason, UnreadableInstance

OCTETS: Final = "application/octet-stream"
_ITEM: Final = b"\xfe\xff\x00\xe0"
_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_NAMING: Final = ("00083002", "00020010")
# PS3.18 Table 8.7.3-6; which level of MPEG-4 it is only the stream can tell.
_VIDEO_DEFAULT: Final = {"video/mp4": "1.2.840.10008.1.2.4.102", "video/mpeg": "1.2.840.10008.1.2.4.100"}


@dataclass(frozen=True, slots=True)
class Media:
    """One part that brings pixel data."""

    media_type: MediaType
    stretch: Stretch


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """Pixel Data as it is to be written."""

    transfer_syntax_uid: str
    pieces: Sequence[Piece]
    encapsulated: bool


def declared_syntax(dataset: Dataset) -> str:
    """The transfer syntax that metadata names in (0008,3002) or (0002,0010), or Explicit VR Little Endian."""
    for tag in _NAMING:
        value = first_value(dataset, tag)
        uid = clean_uid(value.encode("utf-8", "replace")) if isinstance(value, str) else None
        if uid:
            return uid
    return EXPLICIT_LITTLE


def inline_payload(dataset: Dataset, declared: str) -> Payload | None:
    """Encapsulated pixel data given inline as they stand in a file; None for native ones, or none."""
    text = dataset.get(PIXEL_DATA, {}).get("InlineBinary")
    if declared in NATIVE or text is None:
        return None
    try:
        value = inline("OB", text)
    except BadValue as error:
        raise UnreadableInstance(f"{named(PIXEL_DATA)} {error}") from None
    if value[:4] != _ITEM:
        return None
    tail = b"" if value[-8:] == _DELIMITER else _DELIMITER
    return Payload(transfer_syntax_uid=declared, pieces=[value, tail], encapsulated=True)


def payload(dataset: Dataset, media: Sequence[Media], beginning: memoryview, declared: str) -> Payload:
    """Pixel Data from its parts; `beginning`: the first part's bytes.

    Raises UnreadableInstance where they cannot be the pixel data of this data set.
    """
    syntax = _syntax(media, declared)
    if syntax == EXPLICIT_BIG:
        raise UnreadableInstance("uncompressed bulk data must be little endian (PS3.18 10.5.1)")
    stretches = [one.stretch for one in media]
    if syntax in NATIVE:
        _check_native(dataset, length(list(stretches)))
        return Payload(transfer_syntax_uid=EXPLICIT_LITTLE, pieces=stretches, encapsulated=False)
    if len(media) == 1 and bytes(beginning[:4]) == _ITEM:
        # The value as it stands in a file: items, and perhaps their delimiter.
        tail = b"" if bytes(beginning[-8:]) == _DELIMITER else _DELIMITER
        return Payload(transfer_syntax_uid=syntax, pieces=[stretches[0], tail], encapsulated=True)
    if syntax not in VIDEO and len(media) != frame_count(dataset):
        raise UnreadableInstance(
            f"{named('00280008')} is {frame_count(dataset)}, but {len(media)} parts came, one for each frame",
            FailureReason.DATA_SET_DOES_NOT_MATCH,
        )
    return Payload(transfer_syntax_uid=syntax, pieces=encapsulated(stretches), encapsulated=True)


def frame_count(dataset: Dataset) -> int:
    """Number of Frames; 1 where it is absent or no number."""
    return max(1, number(dataset, "00280008") or 1)


def number(dataset: Dataset, tag: str) -> int | None:
    """The attribute's first value as a whole number; None where it is none."""
    try:
        return int(first_value(dataset, tag))
    except (TypeError, ValueError, OverflowError):
        return None


def _syntax(media: Sequence[Media], declared: str) -> str:
    names = {LEGACY_NAMES.get(one.media_type.name, one.media_type.name) for one in media}
    given = {one.media_type.parameters.get("transfer-syntax", "") for one in media}
    if len(names) > 1 or len(given) > 1:
        raise UnreadableInstance("the parts of one pixel data have several media types or transfer syntaxes")
    name, parameter = names.pop(), given.pop()
    if parameter and parameter != "*":
        return _known(parameter)
    if name == OCTETS:
        return declared
    default = DEFAULT_TRANSFER_SYNTAX.get(name) or _VIDEO_DEFAULT.get(name)
    if default is None:
        raise UnreadableInstance(
            "the media type of its pixel data has no transfer syntax",
            FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED,
        )
    return default if declared in NATIVE else declared


def _known(parameter: str) -> str:
    uid = clean_uid(parameter.encode("latin-1", "replace"))
    if uid is None:
        raise UnreadableInstance(
            "the transfer-syntax of a part is no UID", FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED
        )
    return uid


def _check_native(dataset: Dataset, size: int) -> None:
    """Native pixel data have the length that is described (PS3.5 8.1.1): else they are another instance's."""
    rows, columns = number(dataset, "00280010"), number(dataset, "00280011")
    samples, bits = number(dataset, "00280002"), number(dataset, "00280100")
    if None in (rows, columns, samples, bits) or not rows or not columns or not samples or not bits:
        return
    wanted = (rows * columns * samples * bits * frame_count(dataset) + 7) // 8
    if dataset.get("00280004", {}).get("Value") == ["YBR_FULL_422"]:
        wanted = wanted * 2 // 3
    if size not in (wanted, wanted + wanted % 2):
        raise UnreadableInstance(
            f"{named(PIXEL_DATA)} has {size} bytes where {wanted} are described",
            FailureReason.DATA_SET_DOES_NOT_MATCH,
        )
