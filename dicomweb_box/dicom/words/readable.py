"""Values of the DICOM JSON Model as a person reads them: names, dates, codes, numbers with units."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.words.document import clean, joined

_DATE_TIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d(?:\.\d+)?))?)?)?)?)?([+-]\d{4})?"
)
_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d(?:\.\d+)?))?)?")


def values(dataset: Dataset, tag: str) -> list[Any]:
    """The values of an attribute that are not empty."""
    found = dataset.get(tag, {}).get("Value", ())
    return [value for value in found if value not in (None, "", {})]


def items(dataset: Dataset, tag: str) -> list[Dataset]:
    """The items of a sequence, the empty ones too: they count; [] where it is absent."""
    return [item if isinstance(item, dict) else {} for item in dataset.get(tag, {}).get("Value", ())]


def words(dataset: Dataset, tag: str) -> str:
    """All values of an attribute in words by its VR, "" where it has none."""
    element = dataset.get(tag, {})
    if "BulkDataURI" in element:
        return f"(a large value: {element['BulkDataURI']})"
    vr = str(element.get("vr", "UN"))
    return ", ".join(one(value, vr) for value in values(dataset, tag))


def one(value: Any, vr: str) -> str:
    """One value in words."""
    shape = {"PN": person, "DA": date, "TM": time, "DT": date_time}.get(vr)
    return shape(value) if shape is not None else clean(str(value))


def person(value: Any) -> str:
    """A person name (PS3.5 6.2.1.1): "Doe, Jane Mary, Dr."; the other groups in brackets."""
    groups = value if isinstance(value, Mapping) else {"Alphabetic": str(value)}
    shown = [_person_group(str(groups[name])) for name in _GROUPS if groups.get(name)]
    shown = [group for group in shown if group]
    return shown[0] + "".join(f" ({group})" for group in shown[1:]) if shown else ""


_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def _person_group(group: str) -> str:
    family, given, middle, prefix, suffix, *more = (*clean(group).split("^"), "", "", "", "", "")
    called = joined((part.strip() for part in (prefix, given, middle)), " ")
    return joined((family.strip(), called, suffix.strip(), *(part.strip() for part in more)))


def date(value: Any) -> str:
    """A DA value as 2024-01-02; as it is where it is none."""
    text = clean(str(value))
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def time(value: Any) -> str:
    """A TM value as 10:11:12.5; as it is where it is none."""
    text = clean(str(value))
    found = _TIME.fullmatch(text)
    return ":".join(part for part in found.groups() if part) if found else text


def date_time(value: Any) -> str:
    """A DT value as 2024-01-02 10:11:12 +0100; as it is where it is none."""
    text = clean(str(value))
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return text
    year, month, day, *clock, zone = found.groups()
    return joined(
        (joined((year, month or "", day or ""), "-"), ":".join(part for part in clock if part), zone or ""),
        " ",
    )


def code(dataset: Dataset, tag: str) -> str:
    """The coded concepts of a Code Sequence by their meanings; "" where there are none."""
    return joined(meaning(item) for item in items(dataset, tag))


def meaning(item: Dataset) -> str:
    """What a coded concept means; its code where nobody says (PS3.3 8.3)."""
    return words(item, "00080104") or _value(item)


def full_code(item: Dataset) -> str:
    """A coded concept with its code: "Lung (39607008, SCT)"."""
    said, value = words(item, "00080104"), _value(item)
    known_by = joined((value, words(item, "00080102"), words(item, "00080103")))
    return f"{said} ({known_by})" if said and known_by else said or known_by


def _value(item: Dataset) -> str:
    return words(item, "00080100") or words(item, "00080119") or words(item, "00080120")


def unit(item: Dataset) -> str:
    """A unit as it is written behind its number: UCUM's own symbol, or what it means; "" for pure numbers."""
    value = _value(item)
    if words(item, "00080102") != "UCUM" or not value:
        return meaning(item)
    if value == "1":
        return ""
    # Annotations in braces and arbitrary units in brackets (UCUM 6, 24) are read by what they mean.
    return words(item, "00080104") or value if value[0] in "{[" else value


@lru_cache(maxsize=1024)
def sop_class(uid: str) -> str:
    """The name of a SOP class, or its UID."""
    from pydicom.uid import UID

    return str(UID(uid).name)


@lru_cache(maxsize=4096)
def attribute(tag: str) -> str:
    """The name of a standard attribute; its tag where it is private or unknown."""
    from pydicom.datadict import dictionary_description

    try:
        return dictionary_description(int(tag, 16))
    except (KeyError, ValueError):
        return f"({tag[:4]},{tag[4:]})"
