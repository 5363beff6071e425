"""What an instance made of a consumer medium needs beyond what its sender said: each kind's own IOD.

A photo becomes a Secondary Capture Image, an animation a Multi-frame True Color Secondary Capture Image, a
film a Video Photographic Image, a PDF an Encapsulated PDF (PS3.3 A.8, A.32.5, A.45.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.media.medium import Kind, number, text

IDENTITY: Final = ("00080016", "00080018", "0020000D", "0020000E")
"""SOP Class, SOP Instance, Study and Series Instance UID: with all of these an instance is its sender's."""
_CLASSES: Final[dict[Kind, str]] = {
    "image": "1.2.840.10008.5.1.4.1.1.7",
    "frames": "1.2.840.10008.5.1.4.1.1.7.4",
    "video": "1.2.840.10008.5.1.4.1.1.77.1.4.1",
    "document": "1.2.840.10008.5.1.4.1.1.104.1",
}
_MODALITIES: Final[dict[Kind, str]] = {"image": "OT", "frames": "OT", "video": "XC", "document": "DOC"}
# Type 2 of the Patient and General Study modules: there, even if nothing is known.
_PATIENT_AND_STUDY: Final = {
    "00080050": "SH", "00080090": "PN", "00100010": "PN", "00100020": "LO", "00100030": "DA",
    "00100040": "CS", "00200010": "SH",
}  # fmt: skip
# A film must say what region it shows (PS3.3 C.8.12.1); of one that says nothing, only this is true.
_SOMEWHERE: Final = {
    "00080100": text("SH", "123037004"),
    "00080102": text("SH", "SCT"),
    "00080104": text("LO", "Body structure"),
}
_SEQUENCE: Final = {"vr": "SQ"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an instance goes that its sender gave no place of its own."""

    study_uid: str
    series_uid: str
    series_number: int
    instance_uid: str
    instance_number: int
    at: datetime
    """The present moment, in local time."""


def modality_of(kind: Kind) -> str:
    """The modality of a series made of such media."""
    return _MODALITIES[kind]


def supplied(kind: Kind, place: Place, known: Dataset) -> Dataset:
    """Every attribute that such an instance has, or that is `known` of its study; the sender's come first."""
    made = _everywhere(kind, place)
    made |= _KINDS[kind](place)
    return dict(sorted((made | known).items()))


def _everywhere(kind: Kind, place: Place) -> Dataset:
    date, time = f"{place.at:%Y%m%d}", f"{place.at:%H%M%S}"
    return {
        **{tag: {"vr": vr} for tag, vr in _PATIENT_AND_STUDY.items()},
        "00080016": text("UI", _CLASSES[kind]),
        "00080018": text("UI", place.instance_uid),
        "00080020": text("DA", date),
        "00080030": text("TM", time),
        "00080023": text("DA", date),
        "00080033": text("TM", time),
        "00080060": text("CS", _MODALITIES[kind]),
        "00080064": text("CS", "WSD"),
        "00080070": text("LO"),
        "0020000D": text("UI", place.study_uid),
        "0020000E": text("UI", place.series_uid),
        "00200011": number("IS", place.series_number),
        "00200013": number("IS", place.instance_number),
    }


def _image(place: Place) -> dict[str, Any]:
    return {"00200020": text("CS"), "00200060": text("CS")}


def _frames(place: Place) -> dict[str, Any]:
    # Whether names are burned in nobody looked: then "yes" is the safe answer (PS3.3 C.8.6.3).
    return _image(place) | {"00280301": text("CS", "YES")}


def _video(place: Place) -> dict[str, Any]:
    return _image(place) | {
        "00080008": text("CS", "ORIGINAL", "PRIMARY"),
        "00082218": {"vr": "SQ", "Value": [_SOMEWHERE]},
        "00400555": _SEQUENCE,
    }


def _document(place: Place) -> dict[str, Any]:
    return {
        "0008002A": text("DT"),
        "0040A043": _SEQUENCE,
        "00280301": text("CS", "YES"),
        "00420010": text("ST"),
    }


_KINDS: Final[dict[Kind, Callable[[Place], dict[str, Any]]]] = {
    "image": _image,
    "frames": _frames,
    "video": _video,
    "document": _document,
}
