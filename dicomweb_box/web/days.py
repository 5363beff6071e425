"""Days that an address names as its reader does: `StudyDate=last-7-days` means others tomorrow."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

Range = tuple[date, date]

PRESETS: Mapping[str, tuple[str, Callable[[date], Range]]] = {
    "today": ("Today", lambda day: (day, day)),
    "yesterday": ("Yesterday", lambda day: (_before(day, 1), _before(day, 1))),
    "last-7-days": ("Last 7 days", lambda day: (_before(day, 6), day)),
    "last-30-days": ("Last 30 days", lambda day: (_before(day, 29), day)),
    "this-month": ("This month", lambda day: (day.replace(day=1), day)),
    "last-month": ("Last month", lambda day: _month_before(day)),
    "this-year": ("This year", lambda day: (day.replace(month=1, day=1), day)),
    "last-365-days": ("Last 365 days", lambda day: (_before(day, 364), day)),
}
"""By the name that stands in an address: what people read, and the first and last day as seen from a day."""


def resolved(value: str, today: date) -> str:
    """A StudyDate in QIDO-RS's words; what is no name of days stays as it is."""
    if value not in PRESETS:
        return value
    first, last = PRESETS[value][1](today)
    return f"{first:%Y%m%d}-{last:%Y%m%d}"


def between(first: str, last: str) -> str:
    """Two dates from date fields (YYYY-MM-DD, or empty) as one range of QIDO-RS."""
    low, high = first.replace("-", ""), last.replace("-", "")
    return low if low == high else f"{low}-{high}"


def ends(value: str) -> tuple[str, str]:
    """A range of QIDO-RS as the values of two date fields; empty where it is none."""
    low, hyphen, high = value.partition("-")
    if not hyphen:
        high = low
    return _field(low), _field(high)


def _field(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else ""


def _before(day: date, count: int) -> date:
    return day - timedelta(days=count)


def _month_before(day: date) -> Range:
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last
