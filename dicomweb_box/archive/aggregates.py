"""Studies and series as sums over their current instances: values, counts, sizes, modalities, kept at every
change.

A `Touched` gathers what one transaction adds to and takes from studies and series, and then writes each of
them once. Studies before series, both in UID order: processes on PostgreSQL so lock rows in one order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomweb_box.archive import levels, series_dictionary
from dicomweb_box.archive.levels import Chosen, Level, ValueSet
from dicomweb_box.database import Row, Writer, in_list


_OWNED = {"study": "series.study_id", "series": "series.id"}


@dataclass(slots=True)
class _Set:
    """A distinct set of values while a transaction counts on it."""

    id: int | None
    attributes: str
    count: int
    first: str
    first_gone: bool = False
    first_added: str | None = None
    dirty: bool = False


@dataclass(slots=True)
class _Values:
    """The sets of one study or series, by digest."""

    level: Level
    sets: dict[bytes, _Set] = field(default_factory=dict)
    rechoose: bool = False

    def add(self, values: str, instance_uid: str) -> None:
        key = levels.digest(values)
        held = self.sets.get(key)
        if held is None:
            self.sets[key] = _Set(None, values, 1, instance_uid, first_added=instance_uid, dirty=True)
            self.rechoose = True
            return
        held.count += 1
        held.dirty = True
        held.first = min(held.first, instance_uid)
        held.first_added = min(held.first_added or instance_uid, instance_uid)
        self.rechoose |= len(self.sets) > 1

    def take(self, set_id: int, instance_uid: str) -> None:
        for held in self.sets.values():
            if held.id == set_id:
                held.count -= 1
                held.dirty = True
                held.first_gone |= held.first == instance_uid
                self.rechoose |= len(self.sets) > 1
                return

    def id_of(self, values: str) -> int | None:
        return self.sets[levels.digest(values)].id

    def chosen(self) -> Chosen:
        return levels.choose(
            self.level,
            [
                ValueSet(attributes=one.attributes, instance_count=one.count, first_instance_uid=one.first)
                for one in self.sets.values()
            ],
        )

    async def settle(self, w: Writer, owner_id: int) -> None:
        table, owner = f"{self.level}_value", f"{self.level}_id"
        for key, one in sorted(self.sets.items()):
            if not one.dirty:
                continue
            if one.id is None:
                one.id = await w.fetch_value(
                    f"insert into {table} ({owner}, digest, attributes, instance_count, first_instance_uid)"
                    " values (:owner, :digest, :attributes, :count, :first) returning id",
                    {
                        "owner": owner_id,
                        "digest": key,
                        "attributes": one.attributes,
                        "count": one.count,
                        "first": one.first,
                    },
                )
            else:
                await w.execute(
                    f"update {table} set instance_count = :count, first_instance_uid = :first where id = :id",
                    {"id": one.id, "count": one.count, "first": one.first},
                )

    async def shrink(self, w: Writer, owner_id: int) -> None:
        """Drop sets that nobody carries any more, and find the lowest UID where it went."""
        table = f"{self.level}_value"
        for key, one in list(self.sets.items()):
            if one.count <= 0:
                del self.sets[key]
                if one.id is not None:
                    await w.execute(f"delete from {table} where id = :id", {"id": one.id})
            elif one.first_gone and one.id is not None:
                lowest = await w.fetch_value(
                    "select min(instance_uid) from instance join series on series.id = instance.series_id"
                    f" where {_OWNED[self.level]} = :owner and {table}_id = :id",
                    {"owner": owner_id, "id": one.id},
                )
                one.first = min(uid for uid in (lowest, one.first_added) if uid)


@dataclass(slots=True)
class _Owner:
    """A study or series row while a transaction changes it."""

    id: int
    values: _Values
    is_new: bool
    attributes: str = ""
    disagreement: str = ""
    instance_count: int = 0
    size: int = 0
    added: int = 0
    added_size: int = 0
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class StudyRow(_Owner):
    """A study's row while a transaction changes it."""

    study_uid: str = ""
    study_date: str = ""
    series_added: int = 0
    modalities_changed: bool = False


@dataclass(slots=True)
class SeriesRow(_Owner):
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
            "select id, study_uid, attributes, disagreement, study_date, instance_count, size from study"
            f" where realm = :realm and study_uid in {names} order by study_uid" + _locked(w),
            {**params, "realm": self.realm},
        )
        for row in rows:
            self.studies[row["study_uid"]] = StudyRow(
                **_owner(row, "study"), study_uid=row["study_uid"], study_date=row["study_date"]
            )
        await _load_sets(w, "study", [self.studies[row["study_uid"]] for row in rows])
        for uid in uids:
            if uid not in self.studies:
                self.studies[uid] = StudyRow(id=0, values=_Values("study"), is_new=True, study_uid=uid)

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
        loaded = []
        for row in rows:
            pair = (ids[row["study_id"]], row["series_uid"])
            if pair not in self.series:
                loaded.append(pair)
                self.series[pair] = SeriesRow(
                    **_owner(row, "series"),
                    series_uid=row["series_uid"],
                    modality=row["modality"],
                    dictionary=row["dictionary"],
                    dictionary_digest=row["dictionary_digest"],
                )
        await _load_sets(w, "series", [self.series[pair] for pair in loaded])
        for pair in pairs:
            if pair not in self.series:
                self.series[pair] = SeriesRow(id=0, values=_Values("series"), is_new=True, series_uid=pair[1])

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
        size = arrival.columns["size"]
        for owner, values in ((study, arrival.study_values), (series, arrival.series_values)):
            owner.values.add(values, arrival.instance_uid)
            owner.added += 1
            owner.added_size += size
        series.sources[arrival.source] = series.sources.get(arrival.source, 0) + 1
        if series.dictionary is None:
            series.dictionary, series.dictionary_digest = series_dictionary.store(arrival.json)

    async def take_out(self, w: Writer, instance_ids: list[int]) -> None:
        """Stop counting these current instances; the caller then changes or deletes their rows, before
        `settle`.
        """
        names, params = in_list("id", instance_ids)
        rows = await w.fetch_all(
            "select i.instance_uid, i.size, i.source, i.study_value_id, i.series_value_id, study.study_uid,"
            " series.series_uid from instance i join study on study.id = i.study_id"
            f" join series on series.id = i.series_id where i.id in {names}",
            params,
        )
        await self._load(w, [(row["study_uid"], row["series_uid"]) for row in rows])
        for row in rows:
            study = self.studies[row["study_uid"]]
            series = self.series[row["study_uid"], row["series_uid"]]
            study.values.take(row["study_value_id"], row["instance_uid"])
            series.values.take(row["series_value_id"], row["instance_uid"])
            for owner in (study, series):
                owner.added -= 1
                owner.added_size -= row["size"]
            series.sources[row["source"]] = series.sources.get(row["source"], 0) - 1

    async def settle(self, w: Writer, *, at: str) -> None:
        """Write every touched study and series: values, counters, modalities; empty ones are deleted."""
        days: dict[str, int] = {}
        for uid in sorted(self.studies):
            await self._settle_study(w, self.studies[uid], at, days)
        for pair in sorted(self.series):
            await self._settle_series(w, self.studies[pair[0]], self.series[pair], at)
        for uid in sorted(self.studies):
            await self._finish_study(w, self.studies[uid], at, days)
        for day, count in sorted(days.items()):
            if count:
                await w.execute(
                    "insert into study_day (realm, study_date, study_count) values (:realm, :day, :count)"
                    " on conflict (realm, study_date) do update set study_count ="
                    " study_day.study_count + excluded.study_count",
                    {"realm": self.realm, "day": day, "count": count},
                )

    async def _settle_study(self, w: Writer, study: StudyRow, at: str, days: dict[str, int]) -> None:
        await study.values.shrink(w, study.id)
        if study.is_new:
            chosen = study.values.chosen()
            study.study_date = chosen.columns["study_date"]
            study.columns = chosen.columns
            study.id = await _insert(
                w,
                "study",
                {
                    "realm": self.realm,
                    "study_uid": study.study_uid,
                    **_described(chosen),
                    "stored_at": at,
                    "changed_at": at,
                },
            )
            days[study.study_date] = days.get(study.study_date, 0) + 1
            study.modalities_changed = True
        elif study.values.rechoose and study.values.sets:
            await self._rechoose_study(w, study, days)
        await study.values.settle(w, study.id)

    async def _rechoose_study(self, w: Writer, study: StudyRow, days: dict[str, int]) -> None:
        chosen = study.values.chosen()
        if (chosen.attributes, chosen.disagreement) == (study.attributes, study.disagreement):
            return
        await _update(w, "study", study.id, _described(chosen))
        day = chosen.columns["study_date"]
        if day != study.study_date:
            days[study.study_date] = days.get(study.study_date, 0) - 1
            days[day] = days.get(day, 0) + 1
            study.study_date = day
            study.modalities_changed = True

    async def _settle_series(self, w: Writer, study: StudyRow, series: SeriesRow, at: str) -> None:
        await series.values.shrink(w, series.id)
        if series.instance_count + series.added <= 0:
            if not series.is_new:
                await w.execute("delete from series where id = :id", {"id": series.id})
                study.series_added -= 1
                study.modalities_changed = True
            return
        counters: dict[str, Any] = {
            "instance_count": series.instance_count + series.added,
            "size": series.size + series.added_size,
            "changed_at": at,
        }
        if series.is_new:
            chosen = series.values.chosen()
            dictionary = {"dictionary": series.dictionary, "dictionary_digest": series.dictionary_digest}
            owner = {
                "realm": self.realm,
                "study_id": study.id,
                "series_uid": series.series_uid,
                "stored_at": at,
            }
            row = {**owner, **dictionary, **counters, **_described(chosen), "revision": 1}
            series.id = await _insert(w, "series", row)
            study.series_added += 1
            study.modalities_changed = True
            await _write_requests(w, series.id, chosen)
        else:
            await self._update_series(w, study, series, counters)
        await series.values.settle(w, series.id)
        await _count_sources(w, series)

    async def _update_series(
        self, w: Writer, study: StudyRow, series: SeriesRow, counters: dict[str, Any]
    ) -> None:
        columns = counters
        if series.values.rechoose and series.values.sets:
            chosen = series.values.chosen()
            if (chosen.attributes, chosen.disagreement) != (series.attributes, series.disagreement):
                columns = {**counters, **_described(chosen)}
                study.modalities_changed |= chosen.columns["modality"] != series.modality
                await w.execute("delete from series_request where series_id = :id", {"id": series.id})
                await _write_requests(w, series.id, chosen)
        await _update(w, "series", series.id, columns, ", revision = revision + 1")

    async def _finish_study(self, w: Writer, study: StudyRow, at: str, days: dict[str, int]) -> None:
        if study.instance_count + study.added <= 0:
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
        await _update(w, "study", study.id, columns, ", revision = revision + 1" + series)


def _locked(w: Writer) -> str:
    """SQLite's write transaction is alone anyway."""
    return " for update" if w.dialect == "postgresql" else ""


def _owner(row: Row, level: Level) -> dict[str, Any]:
    return {
        "id": row["id"],
        "values": _Values(level),
        "is_new": False,
        "attributes": row["attributes"],
        "disagreement": row["disagreement"],
        "instance_count": row["instance_count"],
        "size": row["size"],
    }


async def _load_sets(w: Writer, level: Level, owners: list[Any]) -> None:
    if not owners:
        return
    by_id = {owner.id: owner for owner in owners}
    names, params = in_list("owner", sorted(by_id))
    rows = await w.fetch_all(
        f"select id, {level}_id, digest, attributes, instance_count, first_instance_uid from {level}_value"
        f" where {level}_id in {names}",
        params,
    )
    for row in rows:
        by_id[row[f"{level}_id"]].values.sets[row["digest"]] = _Set(
            row["id"], row["attributes"], row["instance_count"], row["first_instance_uid"]
        )


def _described(chosen: Chosen) -> dict[str, Any]:
    return {
        **chosen.columns,
        "attributes": chosen.attributes,
        "answer": chosen.answer,
        "disagreement": chosen.disagreement,
    }


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
        "insert into study_modality (study_id, modality, study_date, series_count)"
        " values (:study, :modality, :day, :count)",
        [
            {
                "study": study.id,
                "modality": row["modality"],
                "day": study.study_date,
                "count": row["series_count"],
            }
            for row in rows
        ],
    )
    return "\\".join(row["modality"] for row in rows)
