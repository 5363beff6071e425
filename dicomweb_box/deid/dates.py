"""Dates moved by whole days, as text of DA and DT (PS3.5 6.2); times of day stay."""

import re
from datetime import date, timedelta
from typing import Final

_DA: Final = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_DT: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?")
_TM: Final = re.compile(r"\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?")
_DA_RANGE: Final = re.compile(r"(\d{4}[.]?\d{2}[.]?\d{2})?-(\d{4}[.]?\d{2}[.]?\d{2})?")


def moved(text: str, vr: str, days: int) -> str | None:
    """The values of a DA, DT or TM, each moved; None where one is none, or would leave the calendar."""
    one = {"DA": _date, "DT": _date_time, "TM": _time}[vr]
    values = [one(value.strip(" "), days) if value.strip(" ") else "" for value in text.split("\\")]
    return None if None in values else "\\".join(value or "" for value in values)


def _date(value: str, days: int) -> str | None:
    found = _DA.fullmatch(value)
    if found:
        day = _day(int(found[1]), int(found[2]), int(found[3]), days)
        return day and day[:4] + day[4:6] + day[6:]
    found = _DA_RANGE.fullmatch(value)
    if not found or value == "-":
        return None
    ends = [_date(end, days) if end else "" for end in found.groups()]
    return None if None in ends else "-".join(end or "" for end in ends)


def _date_time(value: str, days: int) -> str | None:
    found = _DT.fullmatch(value)
    if not found:
        return None
    year, month, day, time, zone = found.groups()
    if (month is None or day is None) and time is not None:
        return None
    # Where the day or the month is not known, the middle stands for it; no more is told than before.
    whole = _day(int(year), int(month or 7), int(day or (15 if month else 1)), days)
    if whole is None or (time is not None and not _is_time(time)):
        return None
    known = 4 if month is None else 6 if day is None else 8
    return whole[:known] + (time or "") + (zone or "")


def _time(value: str, days: int) -> str | None:
    del days
    return value if _TM.fullmatch(value) and _is_time(value.replace(":", "")) else None


def _is_time(digits: str) -> bool:
    # A second of 60 is a leap second.
    return int(digits[:2]) < 24 and int(digits[2:4] or 0) < 60 and int(digits[4:6] or 0) <= 60


def _day(year: int, month: int, day: int, days: int) -> str | None:
    try:
        found = date(year, month, day) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{found.year:04}{found.month:02}{found.day:02}"
