"""Studies and series as sums over their current instances: values, counts, sizes, modalities, kept at every
change.

A `Touched` gathers what one transaction adds to and takes from studies and series, and then writes each of
them once. Studies before series, both in UID order: processes on PostgreSQL so lock rows in one order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomweb_box.archive import levels, overlays, series_dictionary
from dicomweb_box.archive.decide import Owner, decide
from dicomweb_box.archive.levels import Chosen, Level
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.dicom.overlay import read as read_overlay

_REVISED = ", revision = revision + 1"


@dataclass(slots=True)
class StudyRow(Owner):
    """A study's row while a transaction changes it."""

    study_uid: str = ""
    study_date: str = ""
    overlay: str | None = None
    """Corrections in force (dicom.overlay); `attributes` are those without."""
    recorrected: bool = False
    """They are not those that the row was written with."""
    series_added: int = 0
    modalities_changed: bool = False


@dataclass(slots=True)
class SeriesRow(Owner):
    """A series' row while a transaction changes it."""

    series_uid: str = ""
    modality: str = ""
    dictionary: bytes | None = None
    dictionary_digest: bytes | None = None
    sources: dict[str, int] = field(default_factory=dict)


class Touched:
    """The studies and series that one transaction changes."""

    def __init__(self, realm: str) -> None:
        self.realm = realm
        self.studies: dict[str, StudyRow] = {}
        self.series: dict[tuple[str, str], SeriesRow] = {}

    @classmethod
    async def load(cls, w: Writer, realm: str, pairs: list[tuple[str, str]]) -> "Touched":
        """What the index says now of these (study, series) UIDs; rows that do not exist yet are prepared."""
        touched = cls(realm)
        await touched._load(w, pairs)
        return touched

    async def _load(self, w: Writer, pairs: list[tuple[str, str]]) -> None:
        missing = sorted({study for study, _ in pairs} - self.studies.keys())
        if missing:
            await self._load_studies(w, missing)
        wanted = sorted(set(pairs) - self.series.keys())
        if wanted:
            await self._load_series(w, wanted)

    async def _load_studies(self, w: Writer, uids: list[str]) -> None:
        names, params = in_list("uid", uids)
        rows = await w.fetch_all(
            "select id, study_uid, coalesce(uncorrected, attributes) as attributes, disagreement, study_date,"
            " instance_count, size, overlay from study"
            f" where realm = :realm and study_uid in {names} order by study_uid" + _locked(w),
            {**params, "realm": self.realm},
        )
        for row in rows:
            self.studies[row["study_uid"]] = StudyRow(
                **_owner(row, "study"),
                study_uid=row["study_uid"],
                study_date=row["study_date"],
                overlay=row["overlay"],
            )
        new = [uid for uid in uids if uid not in self.studies]
        # Corrections outlive their study's row, which a rejection or a rebuilt index takes away.
        corrected = await overlays.in_force(w, self.realm, new) if new else {}
        for uid in new:
            self.studies[uid] = StudyRow(
                level="study", id=0, is_new=True, study_uid=uid, overlay=corrected.get(uid)
            )

    async def _load_series(self, w: Writer, pairs: list[tuple[str, str]]) -> None:
        ids = {self.studies[study].id: study for study, _ in pairs if not self.studies[study].is_new}
        rows: Sequence[Row] = []
        if ids:
            studies, params = in_list("study", sorted(ids))
            series, more = in_list("uid", sorted({series for _, series in pairs}))
            rows = await w.fetch_all(
                "select id, study_id, series_uid, attributes, disagreement, modality,"
                " instance_count, size, dictionary,"
                f" dictionary_digest from series where study_id in {studies} and series_uid in {series}"
                " order by study_id, series_uid" + _locked(w),
                {**params, **more},
            )
        for row in rows:
            pair = (ids[row["study_id"]], row["series_uid"])
            if pair not in self.series:
                self.series[pair] = SeriesRow(
                    **_owner(row, "series"),
                    series_uid=row["series_uid"],
                    modality=row["modality"],
                    dictionary=row["dictionary"],
                    dictionary_digest=row["dictionary_digest"],
                )
        for pair in pairs:
            if pair not in self.series:
                self.series[pair] = SeriesRow(level="series", id=0, is_new=True, series_uid=pair[1])

    def stale_dictionary(
        self, study_uid: str, series_uid: str, digest: bytes | None
    ) -> tuple[bytes | None] | None:
        """The series' dictionary in a tuple, where metadata compressed with `digest` could not be
        read back.
        """
        if digest is None or self.series[study_uid, series_uid].dictionary_digest == digest:
            return None
        return (self.series[study_uid, series_uid].dictionary,)

    def add(self, arrival: Any) -> None:
        """Count one more current instance (an `index.Arrival`)."""
        study = self.studies[arrival.study_uid]
        series = self.series[arrival.study_uid, arrival.series_uid]
        study.add(arrival.study_values, arrival.instance_uid, arrival.columns["size"])
        series.add(arrival.series_values, arrival.instance_uid, arrival.columns["size"])
        series.sources[arrival.source] = series.sources.get(arrival.source, 0) + 1
        if series.dictionary is None:
            series.dictionary, series.dictionary_digest = series_dictionary.store(arrival.json)

    async def take_out(self, w: Writer, instance_ids: list[int]) -> None:
        """Stop counting these current instances; the caller then changes or deletes their rows, before
        `settle`.
        """
        names, params = in_list("id", instance_ids)
        rows = await w.fetch_all(
            "select i.size, i.source, study.study_uid,"
            " series.series_uid from instance i join study on study.id = i.study_id"
            f" join series on series.id = i.series_id where i.id in {names}",
            params,
        )
        await self._load(w, [(row["study_uid"], row["series_uid"]) for row in rows])
        for row in rows:
            study = self.studies[row["study_uid"]]
            series = self.series[row["study_uid"], row["series_uid"]]
            study.take(row["size"])
            series.take(row["size"])
            series.sources[row["source"]] = series.sources.get(row["source"], 0) - 1

    async def correct(self, w: Writer, study_uids: list[str]) -> None:
        """Give these studies, where they are there, the corrections that are in force for them now."""
        if missing := sorted(set(study_uids) - self.studies.keys()):
            await self._load_studies(w, missing)
        corrected = await overlays.in_force(w, self.realm, study_uids)
        for uid in study_uids:
            study = self.studies[uid]
            found = corrected.get(uid)
            study.recorrected |= study.overlay != found
            study.overlay = found

    async def settle(self, w: Writer, *, at: str) -> None:
        """Write every touched study and series: values, counters, modalities; empty ones are deleted."""
        days: dict[str, int] = {}
        # Prepared, but nothing came of it: a new one that stays empty has no row.
        studies = [self.studies[uid] for uid in sorted(self.studies) if not self.studies[uid].is_stillborn]
        for study in studies:
            await self._settle_study(w, study, at, days)
        for pair in sorted(self.series):
            if not self.series[pair].is_stillborn:
                await self._settle_series(w, self.studies[pair[0]], self.series[pair], at)
        for study in studies:
            await self._finish_study(w, study, at, days)
        for day, count in sorted(days.items()):
            if count:
                await w.execute(
                    "insert into study_day (realm, study_date, study_count) values (:realm, :day, :count)"
                    " on conflict (realm, study_date) do update set study_count ="
                    " study_day.study_count + excluded.study_count",
                    {"realm": self.realm, "day": day, "count": count},
                )

    async def _settle_study(self, w: Writer, study: StudyRow, at: str, days: dict[str, int]) -> None:
        if (study.as_before and not study.recorrected) or study.is_empty:
            return
        decision = await decide(w, study)
        chosen = decision.chosen
        described = _described_study(chosen, study.overlay)
        day = described["study_date"]
        if study.is_new:
            owner = {"realm": self.realm, "study_uid": study.study_uid, "stored_at": at, "changed_at": at}
            study.id = await _insert(w, "study", {**owner, **described})
            await levels.record(w, "study", study.id, decision.votes)
        elif study.recorrected or (chosen.attributes, chosen.disagreement) != (
            study.attributes,
            study.disagreement,
        ):
            await _update(w, "study", study.id, described)
            # The date and time stand beside each modality.
            study.modalities_changed = True
        if study.is_new or day != study.study_date:
            if not study.is_new:
                days[study.study_date] = days.get(study.study_date, 0) - 1
            days[day] = days.get(day, 0) + 1
            study.study_date = day
            study.modalities_changed = True

    async def _settle_series(self, w: Writer, study: StudyRow, series: SeriesRow, at: str) -> None:
        if series.is_empty:
            await w.execute("delete from series where id = :id", {"id": series.id})
            study.series_added -= 1
            study.modalities_changed = True
            return
        counters: dict[str, Any] = {
            "instance_count": series.instance_count + series.added,
            "size": series.size + series.added_size,
            "changed_at": at,
        }
        if series.as_before:
            await _update(w, "series", series.id, counters, _REVISED)
        else:
            await self._decide_series(w, study, series, counters)
        await _count_sources(w, series)

    async def _decide_series(
        self, w: Writer, study: StudyRow, series: SeriesRow, counters: dict[str, Any]
    ) -> None:
        decision = await decide(w, series)
        chosen = decision.chosen
        if series.is_new:
            owner = {"realm": self.realm, "study_id": study.id, "series_uid": series.series_uid}
            dictionary = {"dictionary": series.dictionary, "dictionary_digest": series.dictionary_digest}
            made = {"stored_at": counters["changed_at"], "revision": 1}
            series.id = await _insert(
                w, "series", {**owner, **dictionary, **counters, **made, **_described(chosen)}
            )
            await levels.record(w, "series", series.id, decision.votes)
            study.series_added += 1
        elif (chosen.attributes, chosen.disagreement) != (series.attributes, series.disagreement):
            await _update(w, "series", series.id, {**counters, **_described(chosen)}, _REVISED)
        else:
            await _update(w, "series", series.id, counters, _REVISED)
            return
        study.modalities_changed |= series.is_new or chosen.columns["modality"] != series.modality
        if not series.is_new:
            await w.execute("delete from series_request where series_id = :id", {"id": series.id})
        await _write_requests(w, series.id, chosen)

    async def _finish_study(self, w: Writer, study: StudyRow, at: str, days: dict[str, int]) -> None:
        if study.is_empty:
            await w.execute("delete from study where id = :id", {"id": study.id})
            days[study.study_date] = days.get(study.study_date, 0) - 1
            return
        columns: dict[str, Any] = {
            "instance_count": study.instance_count + study.added,
            "size": study.size + study.added_size,
            "changed_at": at,
        }
        if study.modalities_changed:
            columns["modalities"] = await _write_modalities(w, study)
        series = f", series_count = series_count + {study.series_added:d}" if study.series_added else ""
        await _update(w, "study", study.id, columns, _REVISED + series)


def _locked(w: Writer) -> str:
    """SQLite's write transaction is alone anyway."""
    return " for update" if w.dialect == "postgresql" else ""


def _owner(row: Row, level: Level) -> dict[str, Any]:
    return {
        "level": level,
        "id": row["id"],
        "is_new": False,
        "attributes": row["attributes"],
        "disagreement": row["disagreement"],
        "instance_count": row["instance_count"],
        "size": row["size"],
    }


def _described(chosen: Chosen) -> dict[str, Any]:
    return {
        **chosen.columns,
        "attributes": chosen.attributes,
        "answer": chosen.answer,
        "disagreement": chosen.disagreement,
    }


def _described_study(chosen: Chosen, overlay: str | None) -> dict[str, Any]:
    """A study row's columns: with the corrections in force, and what it would say without."""
    if not overlay:
        return {**_described(chosen), "overlay": None, "uncorrected": None}
    disputed = filter(None, chosen.disagreement.split(","))
    corrected = levels.describe("study", read_overlay(overlay).over(chosen.elements), disputed)
    return {**_described(corrected), "overlay": overlay, "uncorrected": chosen.attributes}


async def _insert(w: Writer, table: str, columns: dict[str, Any]) -> int:
    names = ", ".join(columns)
    values = ", ".join(f":{name}" for name in columns)
    inserted: int = await w.fetch_value(
        f"insert into {table} ({names}) values ({values}) returning id", columns
    )
    return inserted


async def _update(w: Writer, table: str, row_id: int, columns: dict[str, Any], more: str = "") -> None:
    setters = ", ".join(f"{name} = :{name}" for name in columns)
    await w.execute(f"update {table} set {setters}{more} where id = :id", {**columns, "id": row_id})


async def _write_requests(w: Writer, series_id: int, chosen: Chosen) -> None:
    """Rows for Request Attributes Sequence (0040,0275): Scheduled Procedure Step ID and Requested Procedure
    ID.
    """
    pairs = set()
    for item in chosen.elements.get("00400275", {}).get("Value", []):
        step, procedure = _first(item, "00400009"), _first(item, "00401001")
        if step or procedure:
            pairs.add((step, procedure))
    await w.execute_many(
        "insert into series_request (series_id, scheduled_procedure_step_id, requested_procedure_id)"
        " values (:series, :step, :procedure)",
        [{"series": series_id, "step": step, "procedure": procedure} for step, procedure in sorted(pairs)],
    )


def _first(item: dict[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


async def _count_sources(w: Writer, series: SeriesRow) -> None:
    for source, count in sorted(series.sources.items()):
        if count:
            await w.execute(
                "insert into series_source (series_id, source, instance_count) values (:series,"
                " :source, :count)"
                " on conflict (series_id, source) do update"
                " set instance_count = series_source.instance_count + excluded.instance_count",
                {"series": series.id, "source": source, "count": count},
            )
    if any(count < 0 for count in series.sources.values()):
        await w.execute(
            "delete from series_source where series_id = :series and instance_count <= 0",
            {"series": series.id},
        )


async def _write_modalities(w: Writer, study: StudyRow) -> str:
    await w.execute("delete from study_modality where study_id = :study", {"study": study.id})
    rows = await w.fetch_all(
        "select modality, count(*) as series_count from series where study_id = :study and modality <> ''"
        " group by modality order by modality",
        {"study": study.id},
    )
    await w.execute_many(
        "insert into study_modality"
        " (study_id, modality, realm, study_date, study_time, study_uid, series_count)"
        " select id, :modality, realm, study_date, study_time, study_uid, :count"
        " from study where id = :study",
        [{"study": study.id, "modality": row["modality"], "count": row["series_count"]} for row in rows],
    )
    return "\\".join(row["modality"] for row in rows)
