"""Lists of studies and series as people look through them: words, filters, orders, a page at a time.

What few studies can match is listed and sorted; what many match is walked along the order's index until the
page is full. Either way a page costs as much as it shows, and not as much as there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import browse_words, labelled, scope_labels, visibility
from dicomweb_box.archive.browse_filters import Filters, add, candidates
from dicomweb_box.archive.browse_order import NEWEST, Sort, sort_of
from dicomweb_box.archive.search_days import by_day_alone, sum_of_days
from dicomweb_box.archive.search_plan import Plan, make_plan
from dicomweb_box.archive.unidentified import BY_UID, permitted, refusal
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.dicom.unidentifying import kept

FEW = 1000
"""So many studies are listed and sorted; and counted, where a count is told."""
_MOST_ROUNDS = 12
_LEAST_FETCHED = 64
_STUDY = (
    "study.id, study.study_uid, study.answer, study.modalities, study.series_count, study.instance_count,"
    " study.size, study.stored_at, study.changed_at, study.disagreement, study.patient_id,"
    " study.issuer_of_patient_id"
)
_SERIES = (
    "series.id as series_id, series.series_uid, series.answer as series_answer, series.body_part_examined,"
    " series.instance_count as series_instance_count, series.size as series_size,"
    " series.stored_at as series_stored_at, series.changed_at as series_changed_at,"
    " series.disagreement as series_disagreement"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """Which list, and which page of it."""

    level: Literal["study", "series"]
    keys: tuple[tuple[str, str], ...] = ()
    """Matching keys in QIDO-RS's words."""
    words: tuple[str, ...] = ()
    """See `browse_words.words_of`."""
    filters: Filters = field(default_factory=Filters)
    order: str = ""
    """See `browse_order.sort_of`; "": the newest first, or by UID where dates may not be told."""
    limit: int = 25
    place: tuple[Any, ...] | None = None
    """The values of the row that the page begins behind, or ends before; None: the first page."""
    backwards: bool = False
    """Whether the page is the one before the place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row of a list: a study, or a series with its study."""

    study_uid: str
    study: dict[str, Any]
    """The study's attributes in the DICOM JSON Model."""
    patient: tuple[str, str]
    """Issuer of Patient ID, and Patient ID."""
    series_uid: str | None = None
    series: dict[str, Any] | None = None
    modalities: tuple[str, ...] = ()
    body_part: str = ""
    series_count: int
    instance_count: int
    size: int
    stored_at: str
    changed_at: str
    disagreement: bool
    place: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """How many rows match in all."""

    count: int
    more: bool = False
    """Whether they are more than that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One page of a list."""

    entries: tuple[Entry, ...]
    before: bool
    """Whether rows come before it."""
    behind: bool
    """Whether rows come behind it."""
    total: Total | None
    """None where counting would cost more than the page did."""


async def listed(box: Box, ask: Ask, *, scope: Scope, actor: Actor) -> Listed:
    """The page; raises BadQuery for what cannot be meant.

    Raises Forbidden for what would tell a scope without identities who patients are.
    """
    del actor  # reading is not recorded; the scope says what may be seen
    if not scope.identities:
        _permit(ask)
    usual = NEWEST if scope.identities else BY_UID
    sort = sort_of(ask.level, ask.order or usual, scope)
    query, _ = from_parameters(ask.level, ask.keys)
    query = permitted(query, scope)

    async def work(r: Reader) -> Listed:
        labels = await labelled.find(r, query, scope)
        plan = make_plan(query, scope, r.dialect, (), labels)
        return await _List(r, ask, plan, sort).page()

    return await box.database.read(work)


_OPEN_ORDERS = (BY_UID, "size")


def _permit(ask: Ask) -> None:
    if ask.words:
        raise refusal("The search for words")
    if ask.filters.patient is not None:
        raise refusal("PatientID")
    if ask.order and ask.order.lstrip("-") not in _OPEN_ORDERS:
        raise refusal(ask.order.lstrip("-"))


class _List:
    """One page while it is looked for, within one snapshot."""

    def __init__(self, reader: Reader, ask: Ask, plan: Plan, sort: Sort) -> None:
        self._reader = reader
        self._ask = ask
        self._plan = plan
        self._sort = sort.backwards() if ask.backwards else sort
        self._hits: str | None = None

    async def page(self) -> Listed:
        ask, plan = self._ask, self._plan
        everything = by_day_alone(plan) and ask.words == () and ask.filters == Filters()
        common = await self._narrow()
        plan.conditions += browse_words.condition(ask.words, plan.bind, plan.dialect)
        add(plan, ask.filters)
        rows = await self._rows()
        more = len(rows) > ask.limit
        rows = rows[: ask.limit]
        total = await self._total(len(rows), more, everything, common)
        entries = await self._entries(rows)
        if ask.backwards:
            return Listed(entries=entries[::-1], before=more, behind=True, total=total)
        return Listed(entries=entries, before=ask.place is not None, behind=more, total=total)

    async def _narrow(self) -> bool:
        """Begin with what few studies match; whether the one thing asked for is matched by many."""
        plan, ask = self._plan, self._ask
        if plan.hits or plan.start != "study":
            return False
        implied = browse_words.implied(plan)
        found: list[int] | None = None
        words = tuple(dict.fromkeys((*ask.words, *implied)))
        if words:
            found = await browse_words.holding(self._reader, words, plan.scope.realm, FEW)
        if found is None:
            found = await candidates(self._reader, plan, ask.filters, FEW)
        if found is not None:
            self._hits = _ids(plan, found)
            return False
        if plan.scope.labels and not plan.in_scope:
            self._hits = await scope_labels.start(self._reader, plan.scope, plan.bind)
            if self._hits is not None:
                return False
        asked = len(plan.columns) + len(plan.query.combined) + len(ask.filters.given) + bool(ask.words)
        modality = "study_modality.modality" in plan.columns
        looked_for = bool(ask.words) or ask.filters.given or modality
        return asked == 1 and bool(looked_for) and ask.level == "study" and plan.scope.whole

    async def _rows(self) -> list[Row]:
        """The rows of the page in the order they are walked in, and one more where there is one."""
        wanted, place = self._ask.limit + 1, self._ask.place
        size = max(wanted, _LEAST_FETCHED) if self._plan.verify else wanted
        rows: list[Row] = []
        for _ in range(_MOST_ROUNDS):
            got = await self._fetch(size, place)
            rows += _verified(self._plan, got)
            if len(got) < size or len(rows) >= wanted:
                break
            place, size = tuple(self._sort.values(got[-1])), size * 4
        return rows

    async def _fetch(self, size: int, place: Sequence[Any] | None) -> list[Row]:
        if place is None:
            return list(await self._select("", size))
        rows: list[Row] = []
        for beyond in self._sort.beyond(place, self._plan.bind):
            if len(rows) < size:
                rows += await self._select(f" and {beyond}", size - len(rows))
        return rows

    async def _select(self, more: str, size: int) -> Sequence[Row]:
        plan = self._plan
        columns = _STUDY if self._ask.level == "study" else f"{_STUDY}, {_SERIES}"
        columns += ", " + self._sort.columns
        columns += "".join(f", {column} as verify_{number}" for number, (column, _) in enumerate(plan.verify))
        sql = f"{plan.select(columns, more, hits=self._hits)} order by {self._sort.sql} limit {size}"
        return await self._reader.fetch_all(sql, plan.bind.values)

    async def _total(self, shown: int, more: bool, everything: bool, common: bool) -> Total | None:
        plan, ask = self._plan, self._ask
        if not more and ask.place is None:
            return Total(count=shown)
        if everything:
            return Total(count=await sum_of_days(self._reader, plan))
        named = ask.filters.patient is not None or browse_words.is_named(plan)
        if (self._hits or named) and not plan.verify:
            sql = f"select count(*) from ({plan.select('1', hits=self._hits)} limit {10 * FEW + 1}) as few"
            count = await self._reader.fetch_value(sql, plan.bind.values)
            return Total(count=min(count, 10 * FEW), more=count > 10 * FEW)
        # More were found than are listed, and nothing else is asked for.
        return Total(count=FEW, more=True) if common else None

    async def _entries(self, rows: Sequence[Row]) -> tuple[Entry, ...]:
        seen = {} if self._plan.scope.whole or not rows else await self._visible(rows)
        if self._ask.level == "study":
            entries = tuple(_study(row, self._sort, seen.get(row["id"])) for row in rows)
        else:
            entries = tuple(_series(row, self._sort) for row in rows)
        return entries if self._plan.scope.identities else tuple(map(_unidentified, entries))

    async def _visible(self, rows: Sequence[Row]) -> dict[int, "_Seen"]:
        """What a partial scope sees of each row's study: counters would tell of the rest."""
        names, params = in_list("study", sorted({row["id"] for row in rows}))
        condition, more = visibility.series_condition(self._plan.scope)
        found = await self._reader.fetch_all(
            "select series.study_id, series.modality, series.instance_count, series.size, series.stored_at,"
            " series.changed_at from series"
            f" join study on study.id = series.study_id where series.study_id in {names} and {condition}",
            {**params, **more},
        )
        of_study: dict[int, list[Row]] = {}
        for row in found:
            of_study.setdefault(row["study_id"], []).append(row)
        whole = {row["id"]: row for row in rows}
        return {study: _seen(whole[study], held) for study, held in of_study.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What is told of a study."""

    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    size: int
    stored_at: str
    changed_at: str
    disagreement: bool


def _seen(row: Row, held: Sequence[Row]) -> _Seen:
    """Of a study, by those of its series that are visible."""
    return _Seen(
        modalities=tuple(sorted({one["modality"] for one in held if one["modality"]})),
        series_count=len(held),
        instance_count=sum(one["instance_count"] for one in held),
        size=sum(one["size"] for one in held),
        stored_at=min(one["stored_at"] for one in held),
        changed_at=max(one["changed_at"] for one in held),
        disagreement=bool(row["disagreement"]) and len(held) == row["series_count"],
    )


def _study(row: Row, sort: Sort, seen: _Seen | None) -> Entry:
    told = seen or _Seen(
        modalities=tuple(name for name in row["modalities"].split("\\") if name),
        series_count=row["series_count"],
        instance_count=row["instance_count"],
        size=row["size"],
        stored_at=row["stored_at"],
        changed_at=row["changed_at"],
        disagreement=bool(row["disagreement"]),
    )
    return Entry(
        study_uid=row["study_uid"],
        study=orjson.loads(row["answer"]),
        patient=(row["issuer_of_patient_id"], row["patient_id"]),
        modalities=told.modalities,
        series_count=told.series_count,
        instance_count=told.instance_count,
        size=told.size,
        stored_at=told.stored_at,
        changed_at=told.changed_at,
        disagreement=told.disagreement,
        place=tuple(sort.values(row)),
    )


def _series(row: Row, sort: Sort) -> Entry:
    series = orjson.loads(row["series_answer"])
    modality = (series.get("00080060") or {}).get("Value") or ()
    return Entry(
        study_uid=row["study_uid"],
        study=orjson.loads(row["answer"]),
        patient=(row["issuer_of_patient_id"], row["patient_id"]),
        series_uid=row["series_uid"],
        series=series,
        modalities=tuple(str(one) for one in modality[:1] if one),
        body_part=row["body_part_examined"],
        series_count=1,
        instance_count=row["series_instance_count"],
        size=row["series_size"],
        stored_at=row["series_stored_at"],
        changed_at=row["series_changed_at"],
        disagreement=bool(row["series_disagreement"]),
        place=tuple(sort.values(row)),
    )


def _unidentified(entry: Entry) -> Entry:
    """The entry without what tells who the patient is; when it came tells when it was made."""
    series = None if entry.series is None else kept(entry.series)
    return replace(
        entry, study=kept(entry.study), series=series, patient=("", ""), stored_at="", changed_at=""
    )


def _ids(plan: Plan, ids: Sequence[int]) -> str:
    text = plan.bind(orjson.dumps(ids).decode())
    if plan.dialect == "sqlite":
        return f"select value as id from json_each({text})"
    return f"select cast(value as bigint) as id from json_array_elements_text(cast({text} as json))"


def _verified(plan: Plan, rows: Sequence[Row]) -> list[Row]:
    kept = list(rows)
    for number, (_, key) in enumerate(plan.verify):
        name = f"verify_{number}"
        kept = [row for row in kept if key.accepts_values([row[name]] if row[name] else [])]
    return kept
