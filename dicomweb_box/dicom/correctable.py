"""The attributes of patient and study that may be corrected, and values as people type them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydicom.datadict import keyword_for_tag

from dicomweb_box.dicom.json_model import Element


class NoValue(ValueError):
    """Not a value of the attribute; the message says what one looks like, and holds nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correctable:
    """One attribute that may be corrected. Never a UID: it says what an object is."""

    tag: str
    keyword: str
    name: str
    vr: str
    level: Literal["patient", "study"]
    hint: str = ""
    several: bool = False
    """It may have several values, written with a backslash between."""


def _attribute(level: Literal["patient", "study"], tag: str, vr: str, name: str, **more: Any) -> Correctable:
    return Correctable(tag=tag, keyword=keyword_for_tag(int(tag, 16)), name=name, vr=vr, level=level, **more)


_DAY, _CLOCK = "YYYYMMDD", "HHMM or HHMMSS"
_NAME = "Family^Given^Middle^Prefix^Suffix, further groups after ="

ATTRIBUTES: Sequence[Correctable] = (
    _attribute("patient", "00100010", "PN", "Patient name", hint=_NAME),
    _attribute("patient", "00100020", "LO", "Patient ID"),
    _attribute("patient", "00100021", "LO", "Issuer of patient ID"),
    _attribute("patient", "00100030", "DA", "Birth date", hint=_DAY),
    _attribute("patient", "00100032", "TM", "Birth time", hint=_CLOCK),
    _attribute("patient", "00100040", "CS", "Sex", hint="M, F or O"),
    _attribute(
        "patient", "00101000", "LO", "Other patient IDs", several=True, hint="several with \\ between"
    ),
    _attribute("patient", "00104000", "LT", "Patient comments"),
    _attribute("study", "00080050", "SH", "Accession number"),
    _attribute("study", "00081030", "LO", "Study description"),
    _attribute("study", "00080020", "DA", "Study date", hint=_DAY),
    _attribute("study", "00080030", "TM", "Study time", hint=_CLOCK),
    _attribute("study", "00200010", "SH", "Study ID"),
    _attribute("study", "00080090", "PN", "Referring physician", hint=_NAME),
    _attribute("study", "00101010", "AS", "Patient's age", hint="as 045Y, 010M, 003W or 012D"),
    _attribute("study", "00101020", "DS", "Patient's size in m", hint="as 1.72"),
    _attribute("study", "00101030", "DS", "Patient's weight in kg", hint="as 71.5"),
)
BY_KEYWORD: Mapping[str, Correctable] = {one.keyword: one for one in ATTRIBUTES}
BY_TAG: Mapping[str, Correctable] = {one.tag: one for one in ATTRIBUTES}

_PN_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def typed(element: Mapping[str, Any] | None) -> str:
    """The element's value as a person would type it; "" where it has none."""
    values = (element or {}).get("Value") or ()
    return "\\".join(_typed(value) for value in values if value is not None)


def _typed(value: Any) -> str:
    if isinstance(value, Mapping):
        return "=".join(str(value.get(group, "")) for group in _PN_GROUPS).rstrip("=")
    return str(value)


def element_of(attribute: Correctable, text: str) -> Element:
    """The element that the text means, without Value where it is empty; raises NoValue."""
    text = text.strip()
    if not text:
        return {"vr": attribute.vr}
    several = attribute.several or attribute.vr == "LT"
    parts = text.split("\\") if attribute.several else [text]
    if not several and "\\" in text:
        raise NoValue("A backslash cannot be part of it.")
    if any(ord(character) < 32 and character not in _ALLOWED.get(attribute.vr, "") for character in text):
        raise NoValue("It holds characters that cannot be printed.")
    read = _SEX if attribute.keyword == "PatientSex" else _READ[attribute.vr]
    return {"vr": attribute.vr, "Value": [read(part.strip()) for part in parts]}


_NO_DATE = "It is not a date, written YYYYMMDD."
_ALLOWED = {"LT": "\t\n\f\r"}


def _within(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > most:
            raise NoValue(f"It is longer than {most} characters.")
        return text

    return read


def _matching(pattern: str, sentence: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def read(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise NoValue(sentence)
        return text

    return read


def _day(text: str) -> str:
    plain = text.replace("-", "") if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else text
    if re.fullmatch(r"\d{8}", plain, re.ASCII) is None:
        raise NoValue(_NO_DATE)
    try:
        date(int(plain[:4]), int(plain[4:6]), int(plain[6:]))
    except ValueError:
        raise NoValue(_NO_DATE) from None
    return plain


def _clock(text: str) -> str:
    plain = text.replace(":", "") if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text, re.ASCII) else text
    found = re.fullmatch(r"(\d\d)(\d\d)?(\d\d)?(?:\.\d{1,6})?", plain, re.ASCII)
    hour, minute, second = (int(part or 0) for part in found.groups()) if found else (99, 0, 0)
    # PS3.5 6.2: 60 is a leap second; a fraction only follows seconds.
    if hour > 23 or minute > 59 or second > 60 or ("." in plain and plain.index(".") != 6):
        raise NoValue("It is not a time, written HHMM or HHMMSS.")
    return plain


def _number(text: str) -> float | int:
    if len(text) > 16 or re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text, re.ASCII) is None:
        raise NoValue("It is not a number of at most 16 characters.")
    return float(text) if "." in text else int(text)


def _person(text: str) -> dict[str, str]:
    groups = text.split("=")
    if len(groups) > 3 or any(len(group) > 64 or group.count("^") > 4 for group in groups):
        raise NoValue("A name has up to three groups of up to five components and 64 characters (PS3.5 6.2).")
    return {name: group for name, group in zip(_PN_GROUPS, groups, strict=False) if group.strip("^ ")}


_SEX = _matching("[MFO]", "It is M, F or O.")
_READ: Mapping[str, Callable[[str], Any]] = {
    "AS": _matching(r"\d{3}[DWMY]", "It is three digits and D, W, M or Y."),
    "CS": _matching("[A-Z0-9 _]{1,16}", "It is up to 16 capital letters, digits, spaces and underscores."),
    "DA": _day,
    "DS": _number,
    "LO": _within(64),
    "LT": _within(10240),
    "PN": _person,
    "SH": _within(16),
    "TM": _clock,
}
