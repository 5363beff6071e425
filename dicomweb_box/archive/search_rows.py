"""Found rows as DICOM JSON: stored answers with counters set between; parsed only where more is asked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from dicomweb_box.archive import labelled, overlays, series_dictionary
from dicomweb_box.archive.series_dictionary import metadata_json
from dicomweb_box.database import Row
from dicomweb_box.dicom import attributes, json_model, unidentifying
from dicomweb_box.dicom.attribute_path import LABELS, AttributePath, project
from dicomweb_box.dicom.attributes import DERIVED, SERIES_LEVEL_TAGS, STUDY_LEVEL_TAGS, Level
from dicomweb_box.dicom.matching import Query
from dicomweb_box.dicom.overlay import given_syntax
from dicomweb_box.dicom.unidentifying import is_open

_PLAIN = re.compile(r"[\w .-]*", re.ASCII)
_UNRESERVED = re.compile(r"[\w.-]*", re.ASCII)
_ONLINE = ',"00080056":{"vr":"CS","Value":["ONLINE"]}'
_UTF8 = '{"00080005":{"vr":"CS","Value":["ISO_IR 192"]}'
_BULK = b'"BulkDataURI":"instances/'
_DEFAULTS: Mapping[Level, frozenset[str]] = {
    "study": frozenset((*attributes.STUDY_ANSWER, *DERIVED)),
    "series": frozenset((*attributes.SERIES_ANSWER, *DERIVED, "0020000D")),
    "instance": frozenset((*attributes.INSTANCE_ANSWER, *DERIVED, "0020000D", "0020000E")),
}

STUDY_COLUMNS = (
    "study.id as study_id, study.study_uid, study.answer as study_answer, study.modalities,"
    " study.series_count, study.instance_count as study_instance_count"
)
SERIES_COLUMNS = (
    "study.id as study_id, study.study_uid, series.id as series_id, series.series_uid,"
    " series.answer as series_answer, series.instance_count as series_instance_count"
)
INSTANCE_COLUMNS = (
    "study.id as study_id, study.study_uid, series.id as series_id, series.series_uid,"
    " series.answer as series_answer, instance.instance_uid, instance.sop_class_uid,"
    " instance.transfer_syntax_uid, instance.instance_number,"
    ' instance."rows", instance."columns", instance.bits_allocated, instance.number_of_frames,'
    " study.overlay"
)
_METADATA = ", instance.source, instance.metadata, instance.metadata_dictionary, series.dictionary"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the rows of one query hold, and which columns that takes."""

    level: Level
    relational: bool
    """Not within one study: the study's (and series') own attributes come along (PS3.18 10.6.3.3)."""
    base: str
    """What Retrieve URLs begin with."""
    extra: tuple[AttributePath, ...]
    """Attributes beyond the default ones."""
    everything: bool
    labels: bool
    """Labels are asked for."""
    system: str
    """Who corrected what is corrected."""
    scanned: bool
    """Keys are matched in the rows' DICOM JSON."""
    identities: bool = True
    """What tells who patients are is returned as well."""

    @property
    def parsed(self) -> bool:
        """Whether rows are put together from more than their stored answers."""
        return bool(self.extra) or self.everything

    @property
    def columns(self) -> str:
        """The columns to select."""
        deep = self.parsed or self.scanned
        if self.level == "study":
            return STUDY_COLUMNS + (", study.attributes as study_attributes" if deep else "")
        parent = ", study.answer as study_answer, study.modalities, study.series_count,"
        parent += " study.instance_count as study_instance_count"
        if self.level == "series":
            own = ", series.attributes as series_attributes, study.attributes as study_attributes"
            return SERIES_COLUMNS + (parent if self.relational else "") + (own if deep else "")
        return INSTANCE_COLUMNS + (parent if self.relational else "") + (_METADATA if deep else "")


def shape_of(query: Query, base: str, system: str, *, identities: bool = True) -> tuple[Shape, list[str]]:
    """The shape of a query's rows, and a sentence for each asked attribute that they do not hold."""
    held = {"study": STUDY_LEVEL_TAGS, "series": STUDY_LEVEL_TAGS | SERIES_LEVEL_TAGS}.get(query.level)
    defaults = _DEFAULTS[query.level]
    asked, warnings = list[AttributePath](), list[str]()
    for path in query.include:
        held_here = held is None or path.head in held or path.head in defaults
        if (held_here and (identities or is_open(path))) or path == LABELS:
            asked.append(path)
        else:
            warnings.append(f"includefield={path} is not returned at this level.")
    wanted = (*asked, *(key.path for key in query.keys))
    extra = dict.fromkeys(path for path in wanted if _is_extra(path, query.level) and path != LABELS)
    shape = Shape(
        level=query.level,
        relational=query.level != "study" and query.study_uid is None,
        base=base,
        extra=tuple(extra),
        everything=query.include_all,
        labels=LABELS in wanted,
        system=system,
        scanned=False,
        identities=identities,
    )
    return shape, warnings


def _is_extra(path: AttributePath, level: Level) -> bool:
    if path.head in _DEFAULTS[level]:
        return False
    if level == "study":
        return path.head in STUDY_LEVEL_TAGS
    return level == "instance" or path.head in STUDY_LEVEL_TAGS or path.head in SERIES_LEVEL_TAGS


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What is counted of one study."""

    modalities: Sequence[str]
    series: int
    instances: int


class Assembler:
    """Makes rows into DICOM JSON; one for each page."""

    def __init__(
        self,
        shape: Shape,
        visible: Mapping[int, Counts] | None = None,
        labels: Mapping[tuple[str, str], Sequence[str]] | None = None,
    ) -> None:
        self._shape = shape
        self._visible = visible
        """What a partial scope sees of each study; None: everything."""
        self._labels = labels
        """Of each row (`labelled.place`); None: they are not returned."""
        self._modalities: dict[str, str] = {}
        self._zones: dict[int, str] = {}
        self._dictionaries: dict[int, series_dictionary.Dictionary] = {}

    def row(self, row: Row) -> bytes:
        """One row as a JSON object, attributes in tag order."""
        shape = self._shape
        make = {"study": self._study, "series": self._series, "instance": self._instance}[shape.level]
        text = make(row)
        if not shape.parsed and not shape.relational and not shape.labels and shape.identities:
            return text.encode()
        found: dict[str, Any] = {}
        if shape.relational:
            if shape.level == "instance":
                found.update(orjson.loads(self._series(row, url=False, counted=False)))
            found.update(orjson.loads(self._study(row)))
        if shape.parsed:
            source = self.dataset(row)
            found.update(_without_bulk(source) if shape.everything else project(source, shape.extra))
        found.update(orjson.loads(text))
        if not shape.identities:
            found = unidentifying.kept(found)
        if self._labels is not None:
            names = self._labels.get(labelled.place(row, shape.level), ())
            found.update(labelled.element(names) if names or shape.labels else {})
        return orjson.dumps(dict(sorted(found.items())))

    def dataset(self, row: Row) -> dict[str, Any]:
        """Everything known of a row, as a DICOM JSON object: of an instance, its metadata."""
        if self._shape.level == "study":
            return orjson.loads(row["study_attributes"])  # type: ignore[no-any-return]
        if self._shape.level == "series":
            return {**orjson.loads(row["study_attributes"]), **orjson.loads(row["series_attributes"])}
        json = metadata_json(row, self._dictionaries)
        json = overlays.laid_over(json, row["overlay"], row["source"], system=self._shape.system)
        return json_model.writable(json_model.top_level(self._with_bulk_urls(row, json)))

    def _with_bulk_urls(self, row: Row, json: bytes) -> bytes:
        if _BULK not in json:
            return json
        series = f"{self._shape.base}{_series_path(row)}/instances/"
        return json.replace(_BULK, f'"BulkDataURI":"{series}'.encode())

    def _counts(self, row: Row) -> tuple[str, int, int]:
        """Modalities in Study as JSON, and the numbers of series and instances."""
        if self._visible is not None:
            visible = self._visible[row["study_id"]]
            return _modalities(visible.modalities), visible.series, visible.instances
        modalities = row["modalities"]
        text = self._modalities.get(modalities)
        if text is None:
            # One page holds few different ones.
            text = self._modalities[modalities] = _modalities(modalities.split("\\") if modalities else ())
        return text, row["series_count"], row["study_instance_count"]

    def _study(self, row: Row) -> str:
        answer: str = row["study_answer"]
        modalities, series, instances = self._counts(row)
        # Within a JSON string a quotation mark is escaped: these can only be the attributes themselves.
        first = answer.index(',"00080090":')
        second = answer.index(',"00100010":', first)
        return (
            f"{answer[:first]}{_ONLINE}{modalities}{answer[first:second]}"
            f"{_retrieve_url(self._shape.base + _study_path(row))}{answer[second:-1]}"
            f',"00201206":{{"vr":"IS","Value":[{series}]}},"00201208":{{"vr":"IS","Value":[{instances}]}}}}'
        )

    def _series(self, row: Row, *, url: bool = True, counted: bool = True) -> str:
        answer: str = row["series_answer"]
        first = answer.index(',"00080060":')
        second = answer.index(',"0020000E":', first)
        third = answer.index(',"00400244":', second)
        place = _retrieve_url(self._shape.base + _series_path(row)) if url else ""
        count = ""
        if counted:
            count = f',"00201209":{{"vr":"IS","Value":[{row["series_instance_count"]}]}}'
        return (
            f"{answer[:first]}{_ONLINE}{answer[first:second]}{place}"
            f"{_text('0020000D', 'UI', row['study_uid'])}{answer[second:third]}{count}{answer[third:]}"
        )

    def _instance(self, row: Row) -> str:
        uid = row["instance_uid"]
        number = row["instance_number"]
        return "".join(
            (
                _UTF8,
                _text("00080016", "UI", row["sop_class_uid"]),
                _text("00080018", "UI", uid),
                _ONLINE,
                self._zone(row),
                _retrieve_url(f"{self._shape.base}{_series_path(row)}/instances/{_segment(uid)}"),
                _text("00083002", "UI", given_syntax(row["transfer_syntax_uid"], row["overlay"])),
                _text("0020000D", "UI", row["study_uid"]),
                _text("0020000E", "UI", row["series_uid"]),
                ',"00200013":{"vr":"IS"}' if number is None else _number("00200013", "IS", number),
                _number("00280008", "IS", row["number_of_frames"]),
                _number("00280010", "US", row["rows"]),
                _number("00280011", "US", row["columns"]),
                _number("00280100", "US", row["bits_allocated"]),
                "}",
            )
        )

    def _zone(self, row: Row) -> str:
        """Timezone Offset From UTC of the instance's series, with its tag, or nothing."""
        series_id = row["series_id"]
        if series_id not in self._zones:
            answer: str = row["series_answer"]
            start = answer.find(',"00080201":')
            end = answer.find(',"0008103E":', start)
            self._zones[series_id] = answer[start:end] if start >= 0 else ""
        return self._zones[series_id]


def _study_path(row: Row) -> str:
    return f"/studies/{_segment(row['study_uid'])}"


def _series_path(row: Row) -> str:
    return f"/studies/{_segment(row['study_uid'])}/series/{_segment(row['series_uid'])}"


def _segment(uid: str) -> str:
    return uid if _UNRESERVED.fullmatch(uid) else quote(uid, safe="")


def _retrieve_url(url: str) -> str:
    return f',"00081190":{{"vr":"UR","Value":["{url}"]}}'


def _text(tag: str, vr: str, value: str) -> str:
    return f',"{tag}":{{"vr":"{vr}","Value":[{_json(value)}]}}'


def _number(tag: str, vr: str, value: int | None) -> str:
    return "" if value is None else f',"{tag}":{{"vr":"{vr}","Value":[{value}]}}'


def _json(value: str) -> str:
    return f'"{value}"' if _PLAIN.fullmatch(value) else orjson.dumps(value).decode()


def _modalities(modalities: Iterable[str]) -> str:
    # OHIF loses its whole list over one study with this attribute and no value in it.
    values = ",".join(_json(modality) for modality in modalities)
    return f',"00080061":{{"vr":"CS","Value":[{values}]}}' if values else ""


def _without_bulk(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {tag: element for tag, element in dataset.items() if "BulkDataURI" not in element}
