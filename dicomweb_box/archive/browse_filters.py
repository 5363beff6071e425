"""What lists are narrowed by beyond QIDO-RS's keys, and what there is to choose from.

Each filter is a condition on a study (or, in a list of series, on the series), and knows which studies it
names where those are few.
"""

from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import scope_labels, visibility
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.box import Box
from dicomweb_box.database import Reader
from dicomweb_box.dicom.matches import Exact

MOST_CHOICES = 100
_NEWEST, _MOST_LOOKED_AT = 200, 3000
"""Studies whose values a partial scope chooses from: the newest ones; all that have its labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What is asked for; "" and None: anything."""

    source: str = ""
    """Where instances of it came from."""
    body_part: str = ""
    """Body Part Examined of a series of it."""
    patient: tuple[str, str] | None = None
    """Issuer of Patient ID, and Patient ID."""

    @property
    def given(self) -> list[str]:
        """The names of those that are asked for."""
        return [name for name in ("source", "body_part", "patient") if getattr(self, name)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What there is to choose from, each in order."""

    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    sources: tuple[str, ...]


def add(plan: Plan, filters: Filters) -> None:
    """The filters as conditions of the plan."""
    bind = plan.bind
    if filters.patient:
        issuer, patient = filters.patient
        plan.conditions.append(f"study.patient_id = {bind(patient)}")
        plan.conditions.append(f"study.issuer_of_patient_id = {bind(issuer)}")
    if filters.body_part:
        plan.conditions.append(_of_series(plan, f"body_part_examined = {bind(filters.body_part)}"))
    if filters.source:
        plan.conditions.append(_from_source(plan, bind(filters.source)))


async def candidates(reader: Reader, plan: Plan, filters: Filters, most: int) -> list[int] | None:
    """The ids of the studies that one of the filters leaves; None where each leaves more than `most`."""
    if filters.patient:
        return None  # an index of studies leads to them
    selects: list[tuple[str, Parameters]] = []
    if filters.body_part:
        bind = Parameters()
        where = f"realm = {bind(plan.scope.realm)} and body_part_examined = {bind(filters.body_part)}"
        selects.append(
            (f"select distinct study_id from series where {where} and body_part_examined <> ''", bind)
        )
    if filters.source:
        bind = Parameters()
        selects.append(
            (
                "select distinct series.study_id from series_source"
                " join series on series.id = series_source.series_id"
                f" where series_source.source = {bind(filters.source)}",
                bind,
            )
        )
    if modalities := _modalities(plan):
        bind = Parameters()
        names = ", ".join(bind(name) for name in modalities)
        where = f"realm = {bind(plan.scope.realm)} and modality in ({names})"
        selects.append((f"select study_id from study_modality where {where}", bind))
    for select, bind in selects:
        rows = await reader.fetch_all(f"{select} limit {most + 1}", bind.values)
        if len(rows) <= most:
            return sorted({row[0] for row in rows})
    return None


async def choices(box: Box, *, scope: Scope, actor: Actor) -> Choices:
    """What the whole archive has to choose from; for a partial scope what that sees."""
    del actor

    async def work(r: Reader) -> Choices:
        if not scope.whole:
            return await _visible_choices(r, scope)
        realm = {"realm": scope.realm}
        return Choices(
            modalities=await _distinct(r, "study_modality", "modality", "realm = :realm and ", realm),
            body_parts=await _distinct(
                r, "series", "body_part_examined", "body_part_examined <> '' and realm = :realm and ", realm
            ),
            sources=await _distinct(r, "series_source", "source", "", {}),
        )

    return await box.database.read(work)


async def _distinct(
    r: Reader, table: str, column: str, where: str, params: dict[str, Any]
) -> tuple[str, ...]:
    """The values of an indexed column, each found behind the one before: as many steps as values."""
    least = f"select min({column}) from {table} where {where}{column} >"
    sql = (
        f"with recursive found (value) as (select ({least} '')"
        f" union all select ({least} found.value) from found where found.value is not null)"
        f" select value from found where value is not null limit {MOST_CHOICES}"
    )
    return tuple(row[0] for row in await r.fetch_all(sql, params))


async def _visible_choices(r: Reader, scope: Scope) -> Choices:
    """What the newest of the studies that a partial scope sees have; of all of them, where they are few."""
    bind = Parameters()
    source = f" from ({await _studies(r, scope, bind)}) as hit cross join study cross join series"
    condition, params = visibility.series_condition(scope)
    bind.values.update(params)
    where = f" where study.id = hit.id and series.study_id = study.id and {condition}"
    columns = "series.modality, series.body_part_examined"
    rows = await r.fetch_all(f"select distinct {columns}{source}{where}", bind.values)
    sources = await r.fetch_all(
        f"select distinct came.source{source} cross join series_source as came{where}"
        " and came.series_id = series.id",
        bind.values,
    )
    return Choices(
        modalities=tuple(sorted({row[0] for row in rows if row[0]})),
        body_parts=tuple(sorted({row[1] for row in rows if row[1]}))[:MOST_CHOICES],
        sources=tuple(sorted(row[0] for row in sources))[:MOST_CHOICES],
    )


async def _studies(r: Reader, scope: Scope, bind: Parameters) -> str:
    """A select of the ids of studies that may hold what a partial scope sees."""
    realm = bind(scope.realm)
    if scope.studies is not None:
        names = ", ".join(bind(uid) for uid in sorted(scope.studies)) or "null"
        return f"select id from study where realm = {realm} and study_uid in ({names})"
    start = await scope_labels.start(r, scope, bind) if scope.labels else None
    if start is None:
        start, params = scope_labels.newest_seen(scope, _NEWEST)
        bind.values.update(params)
        return start
    return f"{start} limit {_MOST_LOOKED_AT}"


def _of_series(plan: Plan, condition: str) -> str:
    if plan.query.level == "series":
        return f"series.{condition}"
    seen = _seen(plan)
    return f"exists (select 1 from series as part where part.study_id = study.id and part.{condition}{seen})"


def _from_source(plan: Plan, source: str) -> str:
    if plan.query.level == "series":
        return (
            "exists (select 1 from series_source as came where came.series_id = series.id"
            f" and came.source = {source})"
        )
    return (
        # Crossed: SQLite would otherwise begin with all that came from there.
        "exists (select 1 from series as part cross join series_source as came"
        " where part.study_id = study.id and came.series_id = part.id"
        f" and came.source = {source}{_seen(plan)})"
    )


def _seen(plan: Plan) -> str:
    """The further condition that the series `part` is in a partial scope."""
    if plan.scope.whole:
        return ""
    condition, params = visibility.series_condition(plan.scope, series="part")
    plan.bind.values.update(params)
    return f" and {condition}"


def _modalities(plan: Plan) -> list[str]:
    """The modalities asked for, where they are simply named."""
    key = plan.columns.get("study_modality.modality") or plan.columns.get("series.modality")
    tests = key.tests if key else ()
    named = [str(test.value) for test in tests if isinstance(test, Exact)]
    return named if len(named) == len(tests) else []
