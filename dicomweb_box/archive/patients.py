"""Patients: views over the studies that share a Patient ID and its issuer; nothing of them is kept apart.

Studies without a Patient ID belong to nobody that could be told from others, and are in no patient's list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import browse_words, opaque, visibility
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.errors import NotFound

FEW = 1000
"""Of so many matching studies a search lists the patients."""
_PURPOSE = "patient"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """One patient, as the newest study says."""

    key: str
    """For addresses; tells nothing."""
    id: str
    issuer: str
    study: dict[str, Any]
    """The newest study's attributes in the DICOM JSON Model."""
    study_count: int
    instance_count: int
    size: int
    first_date: str
    last_date: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Patients in the order of their IDs."""

    patients: tuple[Patient, ...]
    more: bool
    cut: bool = False
    """Whether more studies match than were looked at."""


async def page(
    box: Box, *, words: tuple[str, ...] = (), after: str = "", limit: int = 25, scope: Scope, actor: Actor
) -> Page:
    """The patients behind an ID, of all studies or of those that hold some words."""
    del actor  # reading is not recorded; the scope says what may be seen

    async def work(r: Reader) -> tuple[Sequence[Row], bool, bool]:
        ids, cut = await _ids(r, scope, words, after, limit + 1)
        return await _rows(r, scope, ids[:limit]), len(ids) > limit, cut

    rows, more, cut = await box.database.read(work)
    return Page(patients=await _patients(box, rows), more=more, cut=cut)


async def named(box: Box, key: str, *, scope: Scope, actor: Actor) -> Patient:
    """The patient of a key; raises NotFound where this scope sees no study."""
    issuer, patient_id = await identity(box, key)
    del actor

    async def work(r: Reader) -> Sequence[Row]:
        return await _rows(r, scope, [patient_id])

    rows = [row for row in await box.database.read(work) if row["issuer_of_patient_id"] == issuer]
    if not rows:
        raise NotFound("there is no such patient")
    (found,) = await _patients(box, rows)
    return found


async def identity(box: Box, key: str) -> tuple[str, str]:
    """Issuer and Patient ID of a key; raises NotFound for what is none."""
    issuer, _, patient_id = (await opaque.unseal(box, _PURPOSE, key)).partition("\n")
    return issuer, patient_id


async def key_of(box: Box, issuer: str, patient_id: str) -> str:
    """The key that stands for a patient in addresses."""
    return await opaque.seal(box, _PURPOSE, f"{issuer}\n{patient_id}")


async def _ids(
    r: Reader, scope: Scope, words: tuple[str, ...], after: str, most: int
) -> tuple[list[str], bool]:
    if words:
        return await _ids_with_words(r, scope, words, after, most)
    bind = Parameters()
    seen = f"realm = {bind(scope.realm)}{_seen(scope, bind)}"
    # Each ID is found behind the one before, however many studies share it.
    sql = (
        "with recursive found (value) as ("
        f"select (select min(patient_id) from study where {seen} and patient_id > {bind(after)})"
        f" union all select (select min(patient_id) from study where {seen} and patient_id > found.value)"
        " from found where found.value is not null)"
        f" select value from found where value is not null limit {most}"
    )
    return [row[0] for row in await r.fetch_all(sql, bind.values)], False


async def _ids_with_words(
    r: Reader, scope: Scope, words: tuple[str, ...], after: str, most: int
) -> tuple[list[str], bool]:
    held = await browse_words.some_holding(r, words, scope.realm, FEW + 1)
    bind = Parameters()
    where = [f"realm = {bind(scope.realm)}", *browse_words.condition(words, bind, r.dialect)]
    few = f" order by study_date desc, study_time desc, study_uid limit {FEW}"
    if held is not None:
        # Neither ordered nor by realm: for either SQLite would walk an index of all studies.
        names, params = in_list("id", held)
        bind.values.update(params)
        where, few = [f"id in {names}", *where[1:]], ""
    sql = f"select patient_id, realm from study where {' and '.join(where)}{_seen(scope, bind)}{few}"
    rows = await r.fetch_all(sql, bind.values)
    # An empty ID is nobody's.
    found = sorted({row[0] for row in rows if row[0] > after and row[1] == scope.realm})
    return found[:most], len(held) > FEW if held is not None else len(rows) == FEW


async def _rows(r: Reader, scope: Scope, ids: Sequence[str]) -> list[Row]:
    """A row for each patient of these IDs, with the answer of the newest study."""
    if not ids:
        return []
    names, params = in_list("patient", ids)
    bind = Parameters(params)
    where = f"realm = {bind(scope.realm)} and patient_id in {names}{_seen(scope, bind)}"
    ranked = (
        "row_number() over (partition by patient_id, issuer_of_patient_id"
        " order by study_date desc, study_time desc, study_uid) as place"
    )
    instances, size = (_sum(scope, bind, name) for name in ("instance_count", "size"))
    window = "over (partition by patient_id, issuer_of_patient_id)"
    return list(
        await r.fetch_all(
            "select * from (select patient_id, issuer_of_patient_id, answer,"
            f" {ranked}, count(*) {window} as studies, sum({instances}) {window} as instances,"
            f" sum({size}) {window} as bytes, min(nullif(study_date, '')) {window} as first_date,"
            f" max(study_date) {window} as last_date from study where {where}) as ranked"
            " where place = 1 order by patient_id, issuer_of_patient_id",
            bind.values,
        )
    )


def _sum(scope: Scope, bind: Parameters, column: str) -> str:
    """What of a study's column counts: all of it, or its visible series alone."""
    if not scope.by_series:
        return column
    condition, params = visibility.series_condition(scope, series="seen")
    bind.values.update(params)
    return f"(select sum(seen.{column}) from series as seen where seen.study_id = study.id and {condition})"


def _seen(scope: Scope, bind: Parameters) -> str:
    if scope.whole:
        return ""
    condition, params = visibility.series_condition(scope, series="seen")
    bind.values.update(params)
    return f" and exists (select 1 from series as seen where seen.study_id = study.id and {condition})"


async def _patients(box: Box, rows: Sequence[Row]) -> tuple[Patient, ...]:
    return tuple(
        [
            Patient(
                key=await key_of(box, row["issuer_of_patient_id"], row["patient_id"]),
                id=row["patient_id"],
                issuer=row["issuer_of_patient_id"],
                study=orjson.loads(row["answer"]),
                study_count=row["studies"],
                instance_count=int(row["instances"]),
                size=int(row["bytes"]),
                first_date=row["first_date"] or "",
                last_date=row["last_date"],
            )
            for row in rows
        ]
    )
