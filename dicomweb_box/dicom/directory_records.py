"""The kinds of directory records and their keys (PS3.3 F.4, F.5)."""

from collections.abc import Mapping
from typing import Final

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_EXACT: Final[Mapping[str, str]] = {
    "4.2": "SPECTROSCOPY",
    "11.131": "PRESENTATION",
    "66": "RAW DATA",
    "66.1": "REGISTRATION",
    "66.2": "FIDUCIAL",
    "66.3": "REGISTRATION",
    "66.5": "SURFACE",
    "66.6": "TRACT",
    "67": "VALUE MAP",
    "77.1.5.3": "STEREOMETRIC",
    "80.1": "MEASUREMENT",
    "88.59": "KEY OBJECT DOC",
    "90.1": "ASSESSMENT",
    "131": "PRESENTATION",
    "481.1": "IMAGE",
    "481.2": "RT DOSE",
    "481.3": "RT STRUCTURE SET",
    "481.4": "RT TREAT RECORD",
    "481.5": "RT PLAN",
    "481.6": "RT TREAT RECORD",
    "481.7": "RT TREAT RECORD",
    "481.8": "RT PLAN",
    "481.9": "RT TREAT RECORD",
}
_FAMILIES: Final[Mapping[str, str]] = {
    "9": "WAVEFORM",
    "11": "PRESENTATION",
    "68": "SURFACE SCAN",
    "78": "MEASUREMENT",
    "88": "SR DOCUMENT",
    "104": "ENCAP DOC",
    "481": "RADIOTHERAPY",
}

SERIES_NUMBER: Final = "00200011"
INSTANCE_NUMBER: Final = "00200013"
_CONTENT_TIME: Final = ("00080023", "00080033")
_CONTENT: Final = (*_CONTENT_TIME, "00700080", "00700081", "00700084")

# The keys that a record always has, by tag; what the instances do not say stays empty.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "PATIENT": ("00100010", "00100020"),
    "STUDY": ("00080020", "00080030", "00080050", "00081030", "0020000D", "00200010"),
    "SERIES": ("00080060", "0020000E", SERIES_NUMBER),
    "RT DOSE": ("3004000A",),
    "RT STRUCTURE SET": ("30060002", "30060008", "30060009"),
    "RT PLAN": ("300A0002", "300A0006", "300A0007"),
    "RT TREAT RECORD": ("30080250", "30080251"),
    "PRESENTATION": ("00700080", "00700081", "00700082", "00700083", "00700084"),
    "WAVEFORM": _CONTENT_TIME,
    "SR DOCUMENT": (*_CONTENT_TIME, "0040A043", "0040A491", "0040A493"),
    "KEY OBJECT DOC": (*_CONTENT_TIME, "0040A043"),
    "SPECTROSCOPY": (
        *("00080008", *_CONTENT_TIME),
        *("00280008", "00280010", "00280011", "00289001", "00289002"),
    ),
    "RAW DATA": _CONTENT_TIME,
    "REGISTRATION": _CONTENT,
    "FIDUCIAL": _CONTENT,
    "ENCAP DOC": (*_CONTENT_TIME, "00420010", "0040A043", "00420012"),
    "VALUE MAP": _CONTENT,
    "MEASUREMENT": _CONTENT,
    "SURFACE": _CONTENT,
    "SURFACE SCAN": _CONTENT_TIME,
    "TRACT": _CONTENT,
    "ASSESSMENT": ("00080012", "00080013"),
    "RADIOTHERAPY": ("00700081", "00700084"),
}
# Keys that a record has where the instance has them.
FURTHER: Final[Mapping[str, tuple[str, ...]]] = {
    "PRESENTATION": ("00081115",),
    "SR DOCUMENT": ("0040A030",),
    "ENCAP DOC": ("0040E001",),
    "IMAGE": ("00080008", "00280008", "00280010", "00280011"),
}


def record_type(sop_class_uid: str) -> str:
    """Directory Record Type (0004,1430) of an instance; IMAGE where no other is meant for its class."""
    if not sop_class_uid.startswith(_STORAGE):
        return "IMAGE"
    rest = sop_class_uid.removeprefix(_STORAGE)
    return _EXACT.get(rest) or _FAMILIES.get(rest.partition(".")[0], "IMAGE")
