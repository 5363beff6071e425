"""Values of the DICOM JSON Model as people read them."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

NOTHING = "–"


def parsed(row: bytes) -> dict[str, Any]:
    """One row of a search as an object of the DICOM JSON Model."""
    found: dict[str, Any] = orjson.loads(row)
    return found


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute; empty where it has none."""
    element = dataset.get(tag)
    return [value for value in element.get("Value", ()) if value is not None] if element else []


def first(dataset: Mapping[str, Any], tag: str) -> Any:
    """The first value of an attribute; None where it has none."""
    found = values(dataset, tag)
    return found[0] if found else None


def person(value: Any) -> str:
    """A person name: family name first, components apart (PS3.5 6.2.1.1); the other groups in brackets."""
    if not isinstance(value, Mapping):
        return str(value) if value else NOTHING
    shown = [_components(str(value[group])) for group in _GROUPS if value.get(group)]
    shown = [group for group in shown if group]
    return shown[0] + "".join(f" ({group})" for group in shown[1:]) if shown else NOTHING


_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def day(value: Any) -> str:
    """A DA value as year-month-day; as it is where it is not a date."""
    text = str(value) if value else NOTHING
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def clock(value: Any) -> str:
    """A TM value as hours and minutes; as it is where it is not a time."""
    text = str(value) if value else ""
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isdecimal() else text


def listed(found: Iterable[Any]) -> str:
    """Several values, one after another."""
    return ", ".join(str(value) for value in found) or NOTHING


def number(value: Any) -> str:
    """A number with thin groups of three digits."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value or NOTHING)


def moment(value: Any) -> str:
    """A time of the box's own, in UTC, to the minute."""
    text = str(value or "")
    return f"{text[:10]} {text[11:16]} UTC" if len(text) >= 16 else text or NOTHING


def size(value: Any) -> str:
    """A number of bytes in the unit that suits it (powers of 1,000, as disks are sold)."""
    amount = float(value or 0)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@functools.lru_cache(maxsize=512)
def keyword(tag: str) -> str:
    """The attribute's name, or the tag itself for a private or unknown one."""
    from pydicom.datadict import dictionary_description  # loaded only when a page has to name an attribute

    try:
        return dictionary_description(int(tag, 16))
    except (KeyError, ValueError):
        return f"({tag[:4]},{tag[4:]})"


def _components(group: str) -> str:
    family, *others = [component.strip() for component in group.split("^")]
    rest = " ".join(component for component in others if component)
    return ", ".join(part for part in (family, rest) if part)
