"""The columns that lists of studies and series can have, and what each shows of a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dicomweb_box.archive.browse import Entry
from dicomweb_box.web import words

Kind = Literal["person", "text", "moment", "chips", "number", "size", "day", "stamp", "labels", "uid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: its name in the address, its heading, how a value is shown, and what it is."""

    name: str
    heading: str
    kind: Kind
    read: Callable[[Entry], Any]
    sort: str | None = None
    """The order that its heading leads to."""
    shown: bool = True
    """Whether it is there unasked."""

    @property
    def figure(self) -> bool:
        """Whether its values are numbers, set to the right."""
        return self.kind in ("number", "size")


def _study(tag: str) -> Callable[[Entry], Any]:
    return lambda entry: words.first(entry.study, tag)


def _series(tag: str) -> Callable[[Entry], Any]:
    return lambda entry: words.first(entry.series or {}, tag)


_NAME = Column(
    name="PatientName", heading="Patient", kind="person", read=_study("00100010"), sort="PatientName"
)
_ID = Column(name="PatientID", heading="Patient ID", kind="text", read=_study("00100020"), sort="PatientID")
_BORN = Column(name="PatientBirthDate", heading="Born", kind="day", read=_study("00100030"), shown=False)
_SEX = Column(name="PatientSex", heading="Sex", kind="text", read=_study("00100040"), shown=False)
_DATE = Column(
    name="StudyDate",
    heading="Date",
    kind="moment",
    read=lambda entry: (words.first(entry.study, "00080020"), words.first(entry.study, "00080030")),
    sort="StudyDate",
)
_DESCRIPTION = Column(name="StudyDescription", heading="Description", kind="text", read=_study("00081030"))
_ACCESSION = Column(name="AccessionNumber", heading="Accession", kind="text", read=_study("00080050"))
_INSTANCES = Column(
    name="instances", heading="Instances", kind="number", read=lambda entry: entry.instance_count
)
_LABELS = Column(name="Labels", heading="Labels", kind="labels", read=lambda entry: None)
_RECEIVED = Column(
    name="stored", heading="Received", kind="stamp", read=lambda entry: entry.stored_at, shown=False
)

STUDY: tuple[Column, ...] = (
    _NAME,
    _ID,
    _BORN,
    _SEX,
    _DATE,
    Column(name="ModalitiesInStudy", heading="Modality", kind="chips", read=lambda entry: entry.modalities),
    _DESCRIPTION,
    _ACCESSION,
    Column(name="StudyID", heading="Study ID", kind="text", read=_study("00200010"), shown=False),
    Column(
        name="ReferringPhysicianName",
        heading="Referring physician",
        kind="person",
        read=_study("00080090"),
        shown=False,
    ),
    _LABELS,
    Column(name="series", heading="Series", kind="number", read=lambda entry: entry.series_count),
    _INSTANCES,
    Column(name="size", heading="Size", kind="size", read=lambda entry: entry.size, sort="size"),
    _RECEIVED,
    Column(
        name="changed",
        heading="Changed",
        kind="stamp",
        read=lambda entry: entry.changed_at,
        sort="changed",
        shown=False,
    ),
)
SERIES: tuple[Column, ...] = (
    Column(name="SeriesDescription", heading="Series", kind="text", read=_series("0008103E")),
    Column(name="SeriesNumber", heading="Number", kind="number", read=_series("00200011")),
    Column(name="Modality", heading="Modality", kind="chips", read=lambda entry: entry.modalities),
    Column(name="BodyPartExamined", heading="Body part", kind="text", read=lambda entry: entry.body_part),
    _NAME,
    _ID,
    _BORN,
    _SEX,
    _DATE,
    Column(name="StudyDescription", heading="Study", kind="text", read=_study("00081030"), shown=False),
    _ACCESSION,
    _LABELS,
    _INSTANCES,
    Column(name="size", heading="Size", kind="size", read=lambda entry: entry.size),
    _RECEIVED,
)
OF_LEVEL = {"study": STUDY, "series": SERIES}
_STUDY_UID = Column(
    name="StudyInstanceUID",
    heading="Study",
    kind="uid",
    read=lambda entry: entry.study_uid,
    sort="StudyInstanceUID",
)
_SERIES_UID = Column(
    name="SeriesInstanceUID", heading="Series", kind="uid", read=lambda entry: entry.series_uid
)
_OPEN = frozenset(
    ("PatientSex", "ModalitiesInStudy", "Modality", "BodyPartExamined", "SeriesNumber", "Labels", "series")
) | {"instances", "size"}


def open_ones(level: Literal["study", "series"]) -> tuple[Column, ...]:
    """The columns that say nothing of who patients are, beginning with a UID to know a row by."""
    told = tuple(replace(column, shown=True) for column in OF_LEVEL[level] if column.name in _OPEN)
    return (_STUDY_UID, *told) if level == "study" else (_SERIES_UID, *told, _STUDY_UID)


def chosen(level: Literal["study", "series"], names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of these names, in our order, the first always; the usual ones where none is named."""
    every = OF_LEVEL[level]
    found = [column for column in every if column.name in names or column is every[0]]
    if not any(column.name in names for column in every):
        return usual(level)
    return tuple(found)


def usual(level: Literal["study", "series"]) -> tuple[Column, ...]:
    """The columns that are there unasked."""
    return tuple(column for column in OF_LEVEL[level] if column.shown)
