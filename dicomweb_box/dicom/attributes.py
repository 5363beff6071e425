"""Which attributes are searched and returned at which level, and how their values are kept in the index.

Levels follow PS3.4 Tables C.6-1 and C.6-2 (patient attributes count as study attributes, CP-2583) and the
modules of PS3.3; what an answer always holds follows PS3.18 Tables 10.6.3-3 to 10.6.3-5.
"""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import orjson

from dicomweb_box.dicom import person_name

Level = Literal["study", "series", "instance"]
LEVELS: tuple[Level, ...] = ("study", "series", "instance")
Kind = Literal["text", "name", "date", "time", "datetime", "uid", "number", "decimal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One attribute that has a column of its own in the index."""

    tag: str
    keyword: str
    vr: str
    level: Level
    column: str
    kind: Kind
    required: bool = False
    """A required matching key of PS3.18 Table 10.6.1-5."""


_KINDS: Mapping[str, Kind] = {
    "PN": "name",
    "DA": "date",
    "TM": "time",
    "DT": "datetime",
    "UI": "uid",
    "IS": "number",
    "US": "number",
    "SS": "number",
    "UL": "number",
    "SL": "number",
    "UV": "number",
    "SV": "number",
    "DS": "decimal",
    "FL": "decimal",
    "FD": "decimal",
}


def kind_of(vr: str) -> Kind:
    """How values of this VR are matched."""
    return _KINDS.get(vr, "text")


def _attribute(
    level: Level, tag: str, keyword: str, vr: str, column: str, *, required: bool = False
) -> Attribute:
    return Attribute(
        tag=tag, keyword=keyword, vr=vr, level=level, column=column, kind=kind_of(vr), required=required
    )


STUDY: tuple[Attribute, ...] = (
    _attribute("study", "00080020", "StudyDate", "DA", "study_date", required=True),
    _attribute("study", "00080030", "StudyTime", "TM", "study_time", required=True),
    _attribute("study", "00080050", "AccessionNumber", "SH", "accession_number", required=True),
    _attribute(
        "study", "00080090", "ReferringPhysicianName", "PN", "referring_physician_name", required=True
    ),
    _attribute("study", "00081030", "StudyDescription", "LO", "study_description"),
    _attribute("study", "00100010", "PatientName", "PN", "patient_name", required=True),
    _attribute("study", "00100020", "PatientID", "LO", "patient_id", required=True),
    _attribute("study", "00100021", "IssuerOfPatientID", "LO", "issuer_of_patient_id"),
    _attribute("study", "00100030", "PatientBirthDate", "DA", "patient_birth_date"),
    _attribute("study", "00100040", "PatientSex", "CS", "patient_sex"),
    _attribute("study", "0020000D", "StudyInstanceUID", "UI", "study_uid", required=True),
    _attribute("study", "00200010", "StudyID", "SH", "study_id", required=True),
)
SERIES: tuple[Attribute, ...] = (
    _attribute("series", "00080060", "Modality", "CS", "modality", required=True),
    _attribute("series", "00080070", "Manufacturer", "LO", "manufacturer"),
    _attribute("series", "00081010", "StationName", "SH", "station_name"),
    _attribute("series", "0008103E", "SeriesDescription", "LO", "series_description"),
    _attribute("series", "00180015", "BodyPartExamined", "CS", "body_part_examined"),
    _attribute("series", "0020000E", "SeriesInstanceUID", "UI", "series_uid", required=True),
    _attribute("series", "00200011", "SeriesNumber", "IS", "series_number", required=True),
    _attribute(
        "series", "00400244", "PerformedProcedureStepStartDate", "DA", "pps_start_date", required=True
    ),
    _attribute(
        "series", "00400245", "PerformedProcedureStepStartTime", "TM", "pps_start_time", required=True
    ),
)
INSTANCE: tuple[Attribute, ...] = (
    _attribute("instance", "00080016", "SOPClassUID", "UI", "sop_class_uid", required=True),
    _attribute("instance", "00080018", "SOPInstanceUID", "UI", "instance_uid", required=True),
    _attribute("instance", "00083002", "AvailableTransferSyntaxUID", "UI", "transfer_syntax_uid"),
    _attribute("instance", "00200013", "InstanceNumber", "IS", "instance_number", required=True),
    _attribute("instance", "00280008", "NumberOfFrames", "IS", "number_of_frames"),
    _attribute("instance", "00280010", "Rows", "US", "rows"),
    _attribute("instance", "00280011", "Columns", "US", "columns"),
    _attribute("instance", "00280100", "BitsAllocated", "US", "bits_allocated"),
)
BY_TAG: Mapping[str, Attribute] = {attribute.tag: attribute for attribute in (*STUDY, *SERIES, *INSTANCE)}
BY_LEVEL: Mapping[Level, tuple[Attribute, ...]] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}

# What is counted or made up for an answer, never stored with it: tag -> (keyword, VR, level).
DERIVED: Mapping[str, tuple[str, str, Level]] = {
    "00080056": ("InstanceAvailability", "CS", "study"),
    "00080061": ("ModalitiesInStudy", "CS", "study"),
    "00081190": ("RetrieveURL", "UR", "study"),
    "00201206": ("NumberOfStudyRelatedSeries", "IS", "study"),
    "00201208": ("NumberOfStudyRelatedInstances", "IS", "study"),
    "00201209": ("NumberOfSeriesRelatedInstances", "IS", "series"),
}

# Each module's attributes, as group: elements. Sequences are kept whole.
_STUDY_GROUPS = {
    "0008": "0020 0030 0050 0051 0090 0096 009C 009D 0201 1030 1032 1048 1049 1060 1062 1080 1084 1110",
    "0010": (
        "0010 0020 0021 0022 0024 0026 0027 0030 0032 0033 0034 0035 0040 0041 0042 0043 0044 0045 0046"
        " 0047 0050 0101 0102 0200 0212 0213 0214 0215 0216 0217 0218 0219 0221 0222 0223 0229 1000 1001"
        " 1002 1005 1010 1020 1021 1022 1023 1024 1030 1040 1050 1060 1080 1081 1090 1100 2000 2110"
        " 2150 2152 2154 2155 2160 2161 2162 2180 21A0 21B0 21C0 21D0 21F0 2201 2202 2203 2292 2293 2294"
        " 2295 2296 2297 2298 2299 4000"
    ),
    "0012": (
        "0010 0020 0021 0022 0023 0030 0031 0032 0040 0041 0042 0043 0050 0051 0052 0053 0054 0055 0062"
        " 0063 0064 0081 0082 0083"
    ),
    "0020": "000D 0010",
    "0032": "1033 1034 1060 1064 1066 1067",
    "0038": "0010 0011 0014 0060 0061 0062 0064 0500",
    "0040": "1012",
}  # fmt: skip
_SERIES_GROUPS = {
    "0008": (
        "0021 0031 0060 0068 0070 0080 0081 0082 0201 1010 103E 103F 1040 1041 1050 1052 1070 1072 1090"
        " 1111 1250"
    ),
    "0010": "2210",
    "0012": "0060 0071 0072 0073",
    "0018": "0015 1000 1002 1003 1004 1005 1008 100A 100B 1020 1030 1050 1200 1201 1202 5100",
    "0020": "000E 0011 0052 0060 1040",
    "0028": "0108 0109",
    "0040": "0241 0242 0243 0244 0245 0250 0251 0253 0254 0260 0275 0280",
    "0054": "1000 1001",
}


def _tags(modules: Mapping[str, str]) -> Set[str]:
    tags = sorted(group + element for group, elements in modules.items() for element in elements.split())
    # A set that is walked in tag order.
    return dict.fromkeys(tags).keys()


STUDY_LEVEL_TAGS: Set[str] = _tags(_STUDY_GROUPS)
"""Everything kept in `study.attributes`: patient, patient study, general study and clinical trial modules."""
SERIES_LEVEL_TAGS: Set[str] = _tags(_SERIES_GROUPS)
"""Everything kept in `series.attributes`: general series, equipment, frame of reference, requests, trial."""

SEARCHED_WORDS = ("patient_name", "patient_id", "accession_number", "study_description")
"""The columns of a study that a search for words looks into."""

# In tag order. Specific Character Set is always UTF-8 here (PS3.18 8.8); study lists show Study Description.
STUDY_ANSWER: tuple[str, ...] = (
    "00080005", "00080020", "00080030", "00080050", "00080090", "00080201", "00081030", "00100010",
    "00100020", "00100030", "00100040", "0020000D", "00200010",
)  # fmt: skip
SERIES_ANSWER: tuple[str, ...] = (
    "00080005", "00080060", "00080201", "0008103E", "0020000E", "00200011", "00400244", "00400245",
    "00400275",
)  # fmt: skip
INSTANCE_ANSWER: tuple[str, ...] = (
    "00080005", "00080016", "00080018", "00080201", "00083002", "00200013", "00280008", "00280010",
    "00280011", "00280100",
)  # fmt: skip

_UTF8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
# Returned only when present: an empty offset or sequence tells a client nothing.
_ONLY_WHEN_PRESENT = frozenset({"00080201", "00400275"})
_ANSWER_VRS = {tag: BY_TAG[tag].vr for tag in (*STUDY_ANSWER, *SERIES_ANSWER) if tag in BY_TAG}

Element = Callable[[str], Mapping[str, Any] | None]


def answer(level: Literal["study", "series"], element: Element) -> str:
    """The DICOM JSON object that every search answers for this study or series, but for what is counted.

    Attributes are in tag order (PS3.18 F.2.2); one without a value has only its VR.
    """
    found: dict[str, Any] = {}
    for tag in STUDY_ANSWER if level == "study" else SERIES_ANSWER:
        value = _UTF8 if tag == "00080005" else element(tag)
        if tag in _ONLY_WHEN_PRESENT:
            if value and value.get("Value"):
                found[tag] = value
            continue
        # The first search must not fail because a modality wrote another VR.
        found[tag] = value or {"vr": _ANSWER_VRS[tag]}
    return orjson.dumps(found).decode()


def index_columns(level: Level, element: Element) -> dict[str, Any]:
    """Column name → value for the row of a study, series or instance, but for the UIDs.

    `element` gives the DICOM JSON element of a tag such as "00100010". Person names come folded, dates as
    YYYYMMDD, times as HHMMSS.FFFFFF, numbers as int or None; text that is not what its VR says comes as ''.
    """
    columns = {
        attribute.column: column_value(attribute.kind, element(attribute.tag))
        for attribute in BY_LEVEL[level]
        if attribute.kind != "uid"
    }
    if level == "study":
        for name in ("patient_name", "referring_physician_name"):
            columns[f"{name}_sounds"] = person_name.sounds(columns[name])
        # Each character is to begin a trigram: short words are found by those.
        columns["words"] = person_name.words(*(columns[name] for name in SEARCHED_WORDS)) + "\n\n"
    return columns


def column_value(kind: Kind, element: Mapping[str, Any] | None) -> Any:
    """The first value of a DICOM JSON element as a column of this kind holds it."""
    values = element.get("Value") if element else None
    return indexed_value(kind, values[0] if values else None)


LONGEST = 500
"""Characters of a value that the index compares; PostgreSQL refuses longer index entries, and NUL."""


def indexed_value(kind: Kind, value: Any) -> Any:
    """One DICOM JSON value as the index compares it; '' (number: None) where it is absent or malformed."""
    if kind == "number":
        return integer(value)
    if value is None:
        return ""
    if kind == "name":
        return person_name.fold(value).replace("\0", "")[:LONGEST]
    if kind == "date":
        return date(str(value))
    if kind == "time":
        return time(str(value))
    if kind == "datetime":
        moments = moment_range(kind, str(value))
        return moments[0] if moments else ""
    if kind == "decimal":
        return decimal(value)
    return str(value).replace("\0", "").strip()[:LONGEST]


_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date(text: str) -> str:
    """YYYYMMDD, or '' where the text is not a date; ACR-NEMA's YYYY.MM.DD is understood."""
    found = _DATE.fullmatch(text.strip(" \0"))
    if not found:
        return ""
    year, month, day = found.groups()
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= _DAYS[int(month) - 1]:
        return ""
    return year + month + day


def time(text: str) -> str:
    """HHMMSS.FFFFFF, missing parts as zeros, or '' where the text is not a time; HH:MM:SS is understood."""
    found = _TIME.fullmatch(text.strip(" \0"))
    if not found:
        return ""
    hours, minutes, seconds, fraction = found.groups()
    return f"{hours}{minutes or '00'}{seconds or '00'}.{(fraction or '').ljust(6, '0')}"


_DATETIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.(\d{1,6}))?(?:[+-]\d{4})?")
_TIME_LOW, _TIME_HIGH = "000000.000000", "235959.999999"


def moment_range(kind: Kind, text: str) -> tuple[str, str] | None:
    """First and last moment, as the index keeps them, that a date, time or date-time stands for.

    None where the text is none. An offset from UTC is passed over: moments are compared as they are written.
    """
    if kind == "date":
        day = date(text)
        return (day, day) if day else None
    if kind == "time":
        start = time(text)
        given = len(re.sub(r"[:\s]", "", text))
        return (start, start[:given] + _TIME_HIGH[given:]) if start else None
    found = _DATETIME.fullmatch(text.strip(" \0"))
    if not found:
        return None
    parts = [part or "" for part in found.groups()]
    whole = "".join(parts[:6])
    if found[7]:
        whole += "." + found[7]
    low, high = whole + "00000101000000.000000"[len(whole) :], whole + "99991231235959.999999"[len(whole) :]
    if len(whole) < 8 and len(whole) > 4:
        high = high[:6] + f"{_DAYS[int(high[4:6]) - 1]:02}" + high[8:] if "01" <= high[4:6] <= "12" else high
    valid = date(low[:8]) and date(high[:8]) and time(low[8:]) and time(high[8:])
    return (low, high) if valid else None


def decimal(value: Any) -> float | None:
    """The value as a finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def integer(value: Any) -> int | None:
    """The value as a whole number that a database column can hold, or None."""
    try:
        number = int(value) if isinstance(value, int | str) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -(2**31) <= number < 2**31 else None
