"""The orders that lists come in, each along an index, and where a list goes on from a row of it.

An order is total. It is walked from its first row, or backwards, by the values of the row that was shown
last: what is stored or removed meanwhile moves nobody's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicomweb_box.accounts.access import EVERYTHING, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.errors import BadQuery


@dataclass(frozen=True, slots=True)
class Part:
    """One column, or expression, that an order compares."""

    sql: str
    descending: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """One order: its name, as `orderby` says it, and what it compares."""

    name: str
    parts: tuple[Part, ...]

    @property
    def sql(self) -> str:
        """Its `order by` list."""
        return ", ".join(part.sql + (" desc" if part.descending else "") for part in self.parts)

    @property
    def columns(self) -> str:
        """What a row must carry for the list to go on from it, as `sort_0` …"""
        return ", ".join(f"{part.sql} as sort_{number}" for number, part in enumerate(self.parts))

    def values(self, row: Any) -> list[Any]:
        """The row's place in this order."""
        return [row[f"sort_{number}"] for number in range(len(self.parts))]

    def backwards(self) -> "Sort":
        """The same rows from the last to the first."""
        turned = tuple(replace(part, descending=not part.descending) for part in self.parts)
        return replace(self, parts=turned)

    def beyond(self, values: Sequence[Any], bind: Parameters) -> list[str]:
        """Conditions on what follows a place: first with the same leading value, then behind it.

        Apart each is a range of the order's index; together the database would walk from the beginning.
        """
        lead, first = self.parts[0], bind(values[0])
        rest = _beyond(self.parts[1:], [bind(value) for value in values[1:]])
        return [f"{lead.sql} = {first} and {rest}", f"{lead.sql} {_after(lead)} {first}"]


def _beyond(parts: Sequence[Part], values: Sequence[str]) -> str:
    part, value = parts[0], values[0]
    behind = f"{part.sql} {_after(part)} {value}"
    if len(parts) == 1:
        return behind
    # Said first, although it follows: an index takes a range from it.
    return f"{part.sql} {_after(part)}= {value} and ({behind} or ({_beyond(parts[1:], values[1:])}))"


def _after(part: Part) -> str:
    return "<" if part.descending else ">"


_DATE = (Part("study.study_date", descending=True), Part("study.study_time", descending=True))
_UID = Part("study.study_uid")
_STUDY = {
    "StudyDate": (*_DATE, _UID),
    "PatientName": (Part("study.patient_name"), *_DATE, _UID),
    "PatientID": (Part("study.patient_id"), *_DATE, _UID),
    "changed": (Part("study.changed_at", descending=True), _UID),
    "size": (Part("study.size", descending=True), Part("study.study_uid", descending=True)),
    # Of nothing that is told about patients.
    "StudyInstanceUID": (_UID, Part("study.realm")),
}
# Within a study what has no number comes first.
_IN_STUDY = (Part("coalesce(series.series_number, -2147483649)"), Part("series.series_uid"))
_OF_SERIES = ("StudyDate", "PatientName", "PatientID", "StudyInstanceUID")
_ORDERS = {
    "study": _STUDY,
    "series": {name: (*_STUDY[name], *_IN_STUDY) for name in _OF_SERIES},
}
# Kept with the study for all of its series: a place in their order would tell of those that are not seen.
_COUNTED = {"changed": "max(counted.changed_at)", "size": "sum(counted.size)"}
NEWEST = "-StudyDate"


def sorts(level: Level) -> tuple[str, ...]:
    """The names of what a list of this level can be sorted by."""
    return tuple(_ORDERS[level])


def falls_first(name: str) -> bool:
    """Whether people look for the greatest value of this first."""
    return _STUDY[name][0].descending


def sort_of(level: Level, asked: str, scope: Scope = EVERYTHING) -> Sort:
    """The order that `orderby` names, `-` in front where its greatest value comes first; raises BadQuery.

    What is counted of a study is compared as this scope sees it.
    """
    name = asked.lstrip("-")
    parts = _ORDERS[level].get(name)
    if parts is not None and scope.by_series and name in _COUNTED:
        parts = (replace(parts[0], sql=_counted(name, scope)), *parts[1:])
    if parts is None:
        raise BadQuery(f"orderby is not one of {', '.join(sorts(level))}, alone or with - in front.")
    sort = Sort(name=name, parts=parts)
    return sort if asked.startswith("-") == parts[0].descending else sort.backwards()


def _counted(name: str, scope: Scope) -> str:
    condition, _ = visibility.series_condition(scope, series="counted")  # its parameters are bound
    return (
        f"(select {_COUNTED[name]} from series as counted where counted.study_id = study.id and {condition})"
    )
