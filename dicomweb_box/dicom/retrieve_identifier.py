"""The identifiers of C-MOVE and C-GET: what a request names, what a response lists (PS3.4 C.4.2.1.4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.identifier_reader import elements
from dicomweb_box.errors import BadRequest

Root = Literal["patient", "study"]
Level = Literal["patient", "study", "series", "instance"]

_CHARACTER_SET: Final = 0x00080005
_LEVEL: Final = 0x00080052
_FAILED: Final = 0x00080058
_LEVELS: Final[dict[str, Level]] = {
    "PATIENT": "patient",
    "STUDY": "study",
    "SERIES": "series",
    "IMAGE": "instance",
}
_UNIQUE: Final[dict[Level, tuple[int, str]]] = {
    "patient": (0x00100020, "Patient ID"),
    "study": (0x0020000D, "Study Instance UID"),
    "series": (0x0020000E, "Series Instance UID"),
    "instance": (0x00080018, "SOP Instance UID"),
}
_LONGEST: Final = 65534
"""Bytes of a value of VR UI where VRs are explicit (PS3.5 7.1.2)."""


class WrongIdentifier(BadRequest):
    """An identifier that does not fit the SOP class (status A900); `tag` is the attribute at fault."""

    def __init__(self, message: str, tag: int) -> None:
        super().__init__(message)
        self.tag = tag


@dataclass(frozen=True, kw_only=True, slots=True)
class Identifier:
    """What is to be retrieved."""

    level: Level
    patient_id: str
    uids: dict[Level, tuple[str, ...]]
    """Of studies, series and instances."""


def read(data: bytes, transfer_syntax_uid: str, root: Root) -> Identifier:
    """What an identifier names. Raises WrongIdentifier where it names nothing of its level, and BadRequest.

    Unique keys above the level may be missing, whether that was negotiated (C.4.2.2.2) or not: UIDs are
    unique by themselves.
    """
    # Not by pydicom: megabytes of empty elements would take seconds, in which nobody is served.
    values = {int(one.tag, 16): one.value for one in elements(data, transfer_syntax_uid)}
    level = _LEVELS.get(_ascii(values, _LEVEL).upper())
    if level is None or (level == "patient" and root != "patient"):
        raise WrongIdentifier("Query/Retrieve Level is none of this information model", _LEVEL)
    found = Identifier(
        level=level,
        patient_id=charset(values.get(_CHARACTER_SET, b"")).decode(values.get(0x00100020, b"")).strip(" \0"),
        uids={one: _uids(values, tag) for one, (tag, _) in _UNIQUE.items() if one != "patient"},
    )
    tag, name = _UNIQUE[level]
    if not (found.patient_id if level == "patient" else found.uids[level]):
        raise WrongIdentifier(f"{name} is missing at its level", tag)
    return found


def failed_list(instance_uids: Iterable[str], transfer_syntax_uid: str) -> bytes:
    """An identifier with the Failed SOP Instance UID List (0008,0058), as far as one element holds it."""
    kept, length = list[str](), -1
    for uid in instance_uids:
        length += len(uid) + 1
        if length > _LONGEST:
            break
        kept.append(uid)
    dataset = Dataset()
    dataset.add_new(_FAILED, "UI", kept)
    syntax = UID(transfer_syntax_uid)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def _ascii(values: dict[int, bytes], tag: int) -> str:
    return values.get(tag, b"").decode("latin-1").strip(" \0")


def _uids(values: dict[int, bytes], tag: int) -> tuple[str, ...]:
    texts = (one.strip(" \0") for one in _ascii(values, tag).split("\\"))
    return tuple(dict.fromkeys(filter(None, texts)))
