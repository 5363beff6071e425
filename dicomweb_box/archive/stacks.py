"""What a viewer asks: the series of a study, and the instances of one with what can be seen of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.metadata import decompress
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Row
from dicomweb_box.dicom.display.sight import Facts, Sight, sight_of
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.errors import NotFound

_Rows = tuple[Sequence[Row], bytes | None]
"""Rows of instances, and the dictionary of their headers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One series of a study, as a list of them tells it."""

    series_uid: str
    number: int | None
    modality: str
    description: str
    instance_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A study and those of its series that the asker may see, in the order of their numbers."""

    study_uid: str
    attributes: Dataset
    series: Sequence[Series]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One instance of a stack."""

    instance_uid: str
    sop_class_uid: str
    number: int | None
    rows: int | None
    columns: int | None
    sight: Sight


async def study(box: Box, study_uid: str, *, scope: Scope, actor: Actor) -> Study:
    """A study and its series; raises NotFound where this actor sees none."""
    del actor
    where, params = visibility.series_condition(scope)

    async def work(reader: Reader) -> tuple[Row | None, Sequence[Row]]:
        one = {"realm": scope.realm, "study_uid": study_uid}
        found = await reader.fetch_one(
            "select attributes from study where realm = :realm and study_uid = :study_uid", one
        )
        rows = await reader.fetch_all(
            "select series.series_uid, series.series_number, series.modality, series.series_description,"
            " series.attributes, series.instance_count"
            " from series join study on study.id = series.study_id"
            " where study.realm = :realm and study.study_uid = :study_uid and series.instance_count > 0"
            f" and {where} order by series.series_number is null, series.series_number, series.series_uid",
            params | one,
        )
        return found, rows

    found, rows = await box.database.read(work)
    if found is None or not rows:
        raise NotFound("there is no such study")
    series = [
        Series(
            series_uid=row[0],
            number=row[1],
            modality=row[2],
            # The column is for searching; what is served is as it was written.
            description=_written(row[4], "0008103E") or row[3],
            instance_count=row[5],
        )
        for row in rows
    ]
    return Study(study_uid=study_uid, attributes=orjson.loads(found[0]), series=series)


async def stack(box: Box, study_uid: str, series_uid: str, *, scope: Scope, actor: Actor) -> Sequence[Layer]:
    """Every current instance of a series, in the order of their numbers; raises NotFound.

    Reading it takes one question for the series and one for its instances, their headers once in a process
    for each state of the series.
    """
    del actor
    where, params = visibility.series_condition(scope)
    kept = box.resource(_Stacks, _Stacks)

    async def work(reader: Reader) -> tuple[tuple[object, ...], Sequence[Layer] | None, _Rows]:
        series = await reader.fetch_one(
            "select series.id, series.revision, series.stored_at, series.dictionary"
            " from series join study on study.id = series.study_id"
            " where study.realm = :realm and study.study_uid = :study_uid"
            f" and series.series_uid = :series_uid and series.instance_count > 0 and {where}",
            params | {"realm": scope.realm, "study_uid": study_uid, "series_uid": series_uid},
        )
        if series is None:
            raise NotFound("there is no such series")
        key = (scope.realm, study_uid, series_uid, *tuple(series)[:3])
        known: Sequence[Layer] | None = kept.get(key)
        if known is not None:
            return key, known, ((), None)
        rows = await reader.fetch_all(
            "select instance_uid, sop_class_uid, transfer_syntax_uid, instance_number,"
            ' "rows", "columns", number_of_frames, metadata, metadata_dictionary from instance'
            " where series_id = :id and state = 'current'"
            " order by instance_number is null, instance_number, instance_uid",
            {"id": series[0]},
        )
        return key, None, (rows, series[3])

    key, known, rows = await box.database.read(work)
    if known is not None:
        return known
    layers = await in_thread(box, _layers, *rows)
    kept.put(key, layers, len(layers) + sum(len(one.sight.places) for one in layers) // 8)
    return layers


class _Stacks(Recent):
    """Stacks by the state of their series."""

    most = 20_000


def _layers(rows: Sequence[Row], dictionary: bytes | None) -> list[Layer]:
    return [_layer(row, dictionary) for row in rows]


def _layer(row: Row, dictionary: bytes | None) -> Layer:
    facts = Facts(
        sop_class_uid=row[1],
        transfer_syntax_uid=row[2],
        rows=row[4],
        columns=row[5],
        number_of_frames=row[6],
    )
    return Layer(
        instance_uid=row[0],
        sop_class_uid=row[1],
        number=row[3],
        rows=row[4],
        columns=row[5],
        sight=sight_of(decompress(row[7], dictionary if row[8] else None), facts),
    )


def _written(attributes: str, tag: str) -> str:
    values = orjson.loads(attributes).get(tag, {}).get("Value") or [""]
    return str(values[0])
