"""What a selection comes to: whose it is, how much, in which form, and what to know before acting on it."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom.unidentifying import kept
from dicomweb_box.errors import NotFound

MOST_SHOWN = 500
"""Studies that are named one by one."""
MOST_LOOKED_THROUGH = 50_000
"""Instances whose transfer syntaxes are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One study of a selection: as a whole, or some series of it."""

    study_uid: str
    study: dict[str, Any]
    """Its attributes in the DICOM JSON Model."""
    patient: tuple[str, str]
    """Issuer of Patient ID, and Patient ID."""
    whole: bool
    series: tuple[tuple[str, str, str], ...]
    """UID, modality and description of each series that is selected by itself."""
    series_count: int
    instance_count: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How many instances there are in one transfer syntax, and their bytes."""

    transfer_syntax_uid: str
    instances: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The whole of it; a series of a study that is there as a whole is counted once."""

    patients: int | None
    """None where it may not be seen which study is whose."""
    studies: int
    series: int
    instances: int
    size: int
    modalities: tuple[tuple[str, int], ...]
    """Each with its number of series, the most frequent first."""
    forms: tuple[Form, ...] | None
    """None where there are too many instances to look through."""
    disagreements: int
    """Studies whose instances do not agree about them or their series."""
    held: int
    """Held versions of selected instances, that wait for a decision."""
    without_pixels: int
    """Instances that are no images."""
    parts: tuple[Part, ...]
    """By patient, the first of them."""


async def summary(box: Box, key: str, *, scope: Scope, actor: Actor) -> Summary:
    """What a selection comes to in this scope; raises NotFound without such a selection."""
    del actor  # reading is not recorded; the scope says what may be seen
    return await box.database.read(_Summing(key, scope).run)


class _Summing:
    """One summary within one snapshot."""

    def __init__(self, key: str, scope: Scope) -> None:
        self._scope = scope
        seen, params = visibility.series_condition(scope)
        self._params = {**params, "id": key, "realm": scope.realm}
        # From the few that are selected downwards.
        self._source = (
            " from selection_member as member cross join study cross join series"
            " where member.selection_id = :id and study.realm = :realm and study.study_uid = member.study_uid"
            " and series.study_id = study.id"
            f" and (member.series_uid = '' or member.series_uid = series.series_uid) and {seen}"
        )

    async def run(self, r: Reader) -> Summary:
        one = "select 1 from selection where id = :id and realm = :realm"
        if await r.fetch_value(one, self._params) is None:
            raise NotFound("there is no such selection")
        rows = await r.fetch_all(
            "select distinct study.id as study_id, series.id, series.series_uid, series.modality,"
            " series.series_description, series.instance_count, series.size,"
            " case when series.disagreement = '' then 0 else 1 end as differs" + self._source,
            self._params,
        )
        whole = {
            row[0]
            for row in await r.fetch_all(
                f"select distinct study.id{self._source} and member.series_uid = ''", self._params
            )
        }
        of_study: dict[int, list[Row]] = {}
        for row in rows:
            of_study.setdefault(row["study_id"], []).append(row)
        instances = sum(row["instance_count"] for row in rows)
        few = instances <= MOST_LOOKED_THROUGH
        forms, without = await self._forms(r) if few else (None, 0)
        studies = await self._studies(r)
        parts = await _parts(r, studies[:MOST_SHOWN], of_study, whole)
        differing = {row["study_id"] for row in rows if row["differs"]}
        if not self._scope.by_series:  # else it may be series that are not seen that say something else
            differing |= {row["id"] for row in studies if row["disagreement"]}
        return Summary(
            patients=len({(row["issuer_of_patient_id"], row["patient_id"]) for row in studies})
            if self._scope.identities
            else None,
            studies=len(of_study),
            series=len(rows),
            instances=instances,
            size=sum(row["size"] for row in rows),
            modalities=_modalities(rows),
            forms=forms,
            disagreements=len(differing),
            held=await self._held(r) if few else 0,
            without_pixels=without,
            parts=parts if self._scope.identities else tuple(map(_unidentified, parts)),
        )

    async def _studies(self, r: Reader) -> list[Row]:
        """Every study, those of a patient together, the newest first."""
        found = await r.fetch_all(
            "select distinct study.id, study.study_uid, study.patient_name, study.patient_id,"
            " study.issuer_of_patient_id, study.study_date, study.study_time, study.disagreement"
            + self._source,
            self._params,
        )
        if not self._scope.identities:
            return sorted(found, key=lambda row: str(row["study_uid"]))
        newest = sorted(found, key=lambda row: (row["study_date"], row["study_time"]), reverse=True)
        return sorted(
            newest, key=lambda row: (row["patient_name"], row["patient_id"], row["issuer_of_patient_id"])
        )

    async def _forms(self, r: Reader) -> tuple[tuple[Form, ...], int]:
        rows = await r.fetch_all(
            "select transfer_syntax_uid, count(*) as instances, cast(sum(size) as bigint) as bytes,"
            ' cast(sum(case when "rows" is null then 1 else 0 end) as bigint) as others from instance'
            f" where state = 'current' and series_id in (select series.id{self._source})"
            " group by transfer_syntax_uid order by 2 desc, 1",
            self._params,
        )
        forms = tuple(
            Form(transfer_syntax_uid=row[0], instances=row["instances"], size=row["bytes"]) for row in rows
        )
        return forms, sum(row["others"] for row in rows)

    async def _held(self, r: Reader) -> int:
        return int(
            await r.fetch_value(
                "select count(*) from instance as waiting join instance as served"
                " on served.realm = waiting.realm and served.instance_uid = waiting.instance_uid"
                " and served.state = 'current' where waiting.realm = :realm and waiting.state = 'held'"
                f" and served.series_id in (select series.id{self._source})",
                self._params,
            )
        )


def _modalities(rows: list[Row] | Any) -> tuple[tuple[str, int], ...]:
    counted: dict[str, int] = {}
    for row in rows:
        counted[row["modality"]] = counted.get(row["modality"], 0) + 1
    return tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


async def _parts(
    r: Reader, studies: list[Row], of_study: dict[int, list[Row]], whole: set[int]
) -> tuple[Part, ...]:
    names, params = in_list("study", [row["id"] for row in studies])
    answers = await r.fetch_all(f"select id, answer from study where id in {names}", params)
    answer_of = {row["id"]: row["answer"] for row in answers}
    return tuple(_part(row, answer_of[row["id"]], of_study[row["id"]], row["id"] in whole) for row in studies)


def _part(study: Row, answer: str, series: list[Row], whole: bool) -> Part:
    named = (
        ()
        if whole
        else tuple((row["series_uid"], row["modality"], row["series_description"]) for row in series)
    )
    return Part(
        study_uid=study["study_uid"],
        study=orjson.loads(answer),
        patient=(study["issuer_of_patient_id"], study["patient_id"]),
        whole=whole,
        series=named,
        series_count=len(series),
        instance_count=sum(row["instance_count"] for row in series),
        size=sum(row["size"] for row in series),
    )


def _unidentified(part: Part) -> Part:
    series = tuple((uid, modality, "") for uid, modality, _ in part.series)
    return replace(part, study=kept(part.study), patient=("", ""), series=series)
