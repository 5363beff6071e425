"""A Scheduled Procedure Step as it is told by people and programs, and as worklists have it (PS3.4 K.6.1)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from dicomweb_box.dicom import attributes, person_name
from dicomweb_box.dicom.ae_title import WORDS, ae_title_of
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import BadRequest

Status = Literal["SCHEDULED", "STARTED", "COMPLETED", "DISCONTINUED"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
OPEN: Final[tuple[Status, ...]] = ("SCHEDULED", "STARTED")
"""What modalities are told of."""
STEPS: Final = "00400100"
"""Scheduled Procedure Step Sequence."""


class BadStep(BadRequest):
    """Something told of a step that cannot be so; `field` names which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What is told of one step; dates as YYYYMMDD, times as HHMM or HHMMSS."""

    patient_name: str
    patient_id: str
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_uid: str = ""
    procedure_id: str = ""
    procedure: str = ""
    referring_physician: str = ""
    step_id: str = ""
    description: str = ""
    modality: str
    ae_title: str
    station: str = ""
    performing_physician: str = ""
    start_date: str
    start_time: str


# Field → tag, VR, and whether it is of the item of the sequence.
_ATTRIBUTES: Final = {
    "accession_number": ("00080050", "SH", False),
    "referring_physician": ("00080090", "PN", False),
    "patient_name": ("00100010", "PN", False),
    "patient_id": ("00100020", "LO", False),
    "issuer": ("00100021", "LO", False),
    "birth_date": ("00100030", "DA", False),
    "sex": ("00100040", "CS", False),
    "study_uid": ("0020000D", "UI", False),
    "procedure": ("00321060", "LO", False),
    "procedure_id": ("00401001", "SH", False),
    "modality": ("00080060", "CS", True),
    "ae_title": ("00400001", "AE", True),
    "start_date": ("00400002", "DA", True),
    "start_time": ("00400003", "TM", True),
    "performing_physician": ("00400006", "PN", True),
    "description": ("00400007", "LO", True),
    "step_id": ("00400009", "SH", True),
    "station": ("00400010", "SH", True),
}
_STATUS: Final = "00400020"
MATCHED: Final = frozenset(
    (*(f"{STEPS}.{tag}" if inner else tag for tag, _, inner in _ATTRIBUTES.values()), f"{STEPS}.{_STATUS}")
)
"""The paths that can be matched."""
_LONGEST: Final = {"SH": 16, "LO": 64, "PN": 64, "CS": 16, "UI": 64, "AE": 16, "DA": 10, "TM": 14}
_CODE: Final = re.compile(r"[A-Z0-9 _]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_NEEDED: Final = {
    "patient_name": "The patient needs a name.",
    "patient_id": "The patient needs an ID.",
    "modality": "Say which modality, as CT.",
    "start_date": "Say on which day.",
    "start_time": "Say at what time.",
}


def checked(step: Step, *, study_uid: str, number: str) -> Step:
    """The step as it is kept, with these as its study's UID and ID where none are told; raises BadStep."""
    told = {one.name: _checked(one.name, getattr(step, one.name).strip()) for one in fields(Step)}
    # Modalities need all three (PS3.4 Table K.6-1, type 1).
    told["study_uid"] = told["study_uid"] or study_uid
    told["step_id"] = told["step_id"] or number
    told["procedure_id"] = told["procedure_id"] or told["step_id"]
    return replace(step, **told)


def _checked(name: str, text: str) -> str:
    if not text and name in _NEEDED:
        raise BadStep(name, _NEEDED[name])
    vr = _ATTRIBUTES[name][1]
    # PS3.5 6.2: a name has up to three component groups, each as long as that.
    groups = text.split("=") if vr == "PN" else [text]
    if _CONTROL.search(text) or max(map(len, groups)) > _LONGEST[vr] or len(groups) > 3:
        raise BadStep(name, f"This is a text of up to {_LONGEST[vr]} characters without a backslash.")
    return _AS_KEPT.get(vr, _as_told)(name, text) if text or name == "ae_title" else text


def _as_told(name: str, text: str) -> str:
    del name
    return text


def _date(name: str, text: str) -> str:
    # As HTML's input of a day gives it, too.
    day = attributes.date(text.replace("-", ""))
    if not day:
        raise BadStep(name, "This is a day as 20260105 or 2026-01-05.")
    return day


def _time(name: str, text: str) -> str:
    if not attributes.time(text):
        raise BadStep(name, "This is a time as 0930 or 09:30.")
    return text.replace(":", "")


def _code(name: str, text: str) -> str:
    code = text.upper()
    if not _CODE.fullmatch(code):
        raise BadStep(name, "This is a code of capital letters, digits, spaces and _.")
    return code


def _uid(name: str, text: str) -> str:
    uid = clean_uid(text.encode("ascii", "replace"))
    if uid is None:
        raise BadStep(name, "This is a UID: digits and dots, up to 64 of them.")
    return uid


def _title(name: str, text: str) -> str:
    title = ae_title_of(text)
    if title is None:
        raise BadStep(name, f"An AE title is {WORDS}.")
    return title


_AS_KEPT: Final[dict[str, Callable[[str, str], str]]] = {
    "DA": _date,
    "TM": _time,
    "CS": _code,
    "UI": _uid,
    "AE": _title,
}


def dataset(step: Step, status: Status) -> dict[str, Any]:
    """The step as a DICOM JSON object, as Modality Worklist gives it (PS3.4 Table K.6-1)."""
    outer: dict[str, Any] = {}
    inner: dict[str, Any] = {_STATUS: {"vr": "CS", "Value": [status]}}
    for name, (tag, vr, of_item) in _ATTRIBUTES.items():
        text = getattr(step, name)
        value: Any = _name(text) if vr == "PN" else text
        (inner if of_item else outer)[tag] = {"vr": vr, "Value": [value]} if text else {"vr": vr}
    outer[STEPS] = {"vr": "SQ", "Value": [dict(sorted(inner.items()))]}
    return outer


def _name(text: str) -> dict[str, str]:
    groups = zip(person_name.GROUPS, text.split("="), strict=False)
    return {group: part for group, part in groups if part}
