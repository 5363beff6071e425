"""Search: a Query becomes rows of DICOM JSON, seen through an actor's scope."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import declared, visibility
from dicomweb_box.archive.search_plan import Plan, has_index, make_plan
from dicomweb_box.archive.search_rows import Assembler, Counts, Shape, shape_of
from dicomweb_box.archive.search_windows import DateWindow, Window, day_range, find_window
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom.matches import Exact, Range
from dicomweb_box.dicom.matching import Query
from dicomweb_box.errors import BadQuery

# An offset beyond which skipping rows costs more than looking into the histogram of days.
_DEEP = 500
_FIRST_WINDOW = 64
_MOST_TIMES_DEFAULT = 10
# A page of names that ends so early is looked for among the newest studies, of which up to so many are read.
_SMALL = 200
_MOST_NEWEST = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of an answer."""

    rows: list[bytes]
    """Each one DICOM JSON object, in tag order."""
    more: bool
    """Whether further rows match behind this page."""
    limit: int | None
    """How many rows the page could hold; None: any number."""
    warnings: tuple[str, ...] = ()
    """A sentence for each part of the query that was left out."""


async def search(box: Box, query: Query, *, scope: Scope, actor: Actor, base: str = "") -> Page:
    """The page of matching rows; `base` is what their Retrieve URLs begin with.

    Studies, and series and instances of the whole archive, come in pages of `query_limit` where the query
    names no limit. Raises BadQuery for a strict query that asks what cannot be matched or returned.
    """
    del actor  # The scope says what it may see; who asked matters to the audit alone.
    shape, warnings = shape_of(query, base)
    if query.strict and warnings:
        raise BadQuery(warnings[0])
    limit = _limit(box, query)
    found = await box.database.read(_Search(query, scope, shape, limit).run)
    if found.plan.scan or (shape.parsed and query.level == "instance"):
        rows, more = await in_thread(box, _read_json, found)
    else:
        assembler = Assembler(found.shape, found.counts)
        rows, more = [assembler.row(row) for row in found.rows], found.more
    return Page(rows=rows, more=more, limit=limit, warnings=(*warnings, *found.plan.ignored))


async def count(box: Box, query: Query, *, scope: Scope, actor: Actor) -> int:
    """How many rows match, whatever the query's limit and offset; raises as `search`."""
    del actor
    query = replace(query, offset=0, limit=None, include=(), include_all=False, order=())
    shape, _ = shape_of(query, "")
    asked = _Search(query, scope, shape, None)
    counted = await box.database.read(asked.count)
    if counted is not None:
        return counted
    found = await box.database.read(asked.run)
    if not found.plan.scan:
        return len(found.rows)
    return await in_thread(box, lambda: sum(1 for _ in _scanned(found, Assembler(found.shape))))


def _limit(box: Box, query: Query) -> int | None:
    if query.level != "study" and query.study_uid is not None:
        return query.limit
    default = box.settings.query_limit
    return default if query.limit is None else min(query.limit, default * _MOST_TIMES_DEFAULT)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the database gave: the page, or, where keys are scanned for, all rows that may match."""

    plan: Plan
    shape: Shape
    rows: Sequence[Row]
    more: bool
    counts: dict[int, Counts] | None
    limit: int | None


def _read_json(found: _Found) -> tuple[list[bytes], bool]:
    """The page's rows where that takes their metadata; runs in a thread."""
    assembler = Assembler(found.shape, found.counts)
    if not found.plan.scan:
        return [assembler.row(row) for row in found.rows], found.more
    matching = _scanned(found, assembler)
    offset, rows = found.plan.query.offset, list[bytes]()
    for number, row in enumerate(matching):
        if found.limit is not None and number >= offset + found.limit:
            return rows, True
        if number >= offset:
            rows.append(assembler.row(row))
    return rows, False


def _scanned(found: _Found, assembler: Assembler) -> Iterator[Row]:
    for row in found.rows:
        dataset = assembler.dataset(row)
        if all(key.accepts(dataset) for key in found.plan.scan):
            yield row


class _Search:
    """One search within one snapshot of the database."""

    def __init__(self, query: Query, scope: Scope, shape: Shape, limit: int | None) -> None:
        self._query = query
        self._scope = scope
        self._shape = shape
        self._limit = limit

    async def run(self, reader: Reader) -> _Found:
        """The rows of the page; where keys are scanned for, all rows that may match."""
        plan = await self._plan(reader)
        shape = replace(self._shape, scanned=bool(plan.scan))
        rows, more = await _rows(reader, plan, shape.columns, self._limit)
        counts = None
        if not self._scope.whole and (shape.level == "study" or shape.relational):
            counts = await _visible_counts(reader, self._scope, rows)
        return _Found(plan=plan, shape=shape, rows=rows, more=more, counts=counts, limit=self._limit)

    async def count(self, reader: Reader) -> int | None:
        """How many rows match; None where that takes looking at them."""
        plan = await self._plan(reader)
        if plan.scan or plan.verify:
            return None
        if _by_day_alone(plan):
            return int(await _sum_of_days(reader, plan))
        window = await find_window(plan, reader)
        hits = window.hits(None) if window else None
        counted = await reader.fetch_value(plan.select("count(*)", hits=hits), plan.bind.values)
        return int(counted)

    async def _plan(self, reader: Reader) -> Plan:
        keys = self._query.keys
        unknown = any(key.tests and not has_index(key.path, self._query.level) for key in keys)
        attributes = await declared.known(reader) if unknown else []
        return make_plan(self._query, self._scope, reader.dialect, attributes)


async def _rows(reader: Reader, plan: Plan, columns: str, limit: int | None) -> tuple[Sequence[Row], bool]:
    """The rows of the page and whether more follow; all rows that may match where keys are scanned for."""
    columns += "".join(f", {column} as verify_{number}" for number, (column, _) in enumerate(plan.verify))
    if plan.scan:
        rows = await reader.fetch_all(plan.select(columns) + plan.order_by(), plan.bind.values)
        return _verified(plan, rows), False
    offset = plan.query.offset
    more = ""
    if offset >= _DEEP and _by_day_alone(plan):
        place = await _place_of_offset(reader, plan)
        if place is None:
            return [], False
        day, offset = place
        more = f" and study.study_date <= {plan.bind(day)}"
    rows = await _windowed(reader, plan, columns, more, (offset, limit))
    if plan.verify:
        rows = rows[offset:]
    if limit is None:
        return rows, False
    return rows[:limit], len(rows) > limit


async def _windowed(
    reader: Reader, plan: Plan, columns: str, more: str, page: tuple[int, int | None]
) -> Sequence[Row]:
    """The page's rows and one more, from a window that is widened until it holds them."""
    window = await find_window(plan, reader)
    offset, limit = page
    if isinstance(window, DateWindow):
        if window.newest and limit is not None and offset + limit <= _SMALL and plan.default_order:
            return await _named(reader, plan, columns, (offset, limit), window)
        if not window.steps:
            window = None
    if window is None or limit is None or not plan.default_order:
        hits = window.hits(None) if window else None
        return await _fetch(reader, plan, columns, more, page, hits)
    wanted = offset + limit + 1
    for size in _sizes(window, wanted, plan):
        edge = None if size is None else await window.edge(reader, size)
        within = more if edge is None else f"{more} and study.study_date >= {plan.bind(edge)}"
        rows = await _fetch(reader, plan, columns, within, page, window.hits(edge))
        if edge is None or len(rows) >= (wanted if plan.verify else limit + 1):
            return rows
    raise AssertionError("the last window is the whole archive")


async def _named(
    reader: Reader, plan: Plan, columns: str, page: tuple[int, int], window: DateWindow
) -> Sequence[Row]:
    """A page of common names from the newest studies, of rare ones by the index on names' trigrams."""
    offset, limit = page
    behind = plan.order_by() + _part(plan, offset, limit)
    within, count = window.within_days(), window.newest
    while count <= _MOST_NEWEST:
        chosen = plan.among_newest(count, within) + behind
        rows = await reader.fetch_all(_by_id(plan, columns, chosen), plan.bind.values)
        if len(rows) > limit:
            return rows
        if not rows or count > window.newest:
            break
        # So many more should hold the page, and a half more than that to be sure.
        count = max(count + 1, count * (offset + limit + 1) * 3 // (2 * (offset + len(rows))))
    return await reader.fetch_all(_by_id(plan, columns, plan.among_all() + behind), plan.bind.values)


def _sizes(window: Window, wanted: int, plan: Plan) -> Iterator[int | None]:
    if isinstance(window, DateWindow):
        yield from (size for size in window.steps if size > wanted)
        yield None
    size = max(wanted, _FIRST_WINDOW) if plan.verify else wanted
    while True:
        yield size
        size *= 4


async def _fetch(
    reader: Reader, plan: Plan, columns: str, more: str, page: tuple[int, int | None], hits: str | None
) -> Sequence[Row]:
    order = plan.order_by()
    offset, limit = page
    if plan.verify:
        sql = plan.select(columns, more, hits=hits) + order
        return _verified(plan, await reader.fetch_all(sql, plan.bind.values))
    part = _part(plan, offset, limit)
    if plan.dialect == "postgresql" and plan.query.level == "study":
        # Chosen within an index first: PostgreSQL otherwise reads each row that it only sorts or skips.
        sql = _by_id(plan, columns, plan.select("study.id", more, hits=hits) + order + part)
    else:
        sql = plan.select(columns, more, hits=hits) + order + part
    return await reader.fetch_all(sql, plan.bind.values)


def _by_id(plan: Plan, columns: str, chosen: str) -> str:
    """The rows of the studies of these ids; as an array, they cost PostgreSQL a third of the planning."""
    return f"select {columns} from study where study.id = any(array({chosen})){plan.order_by()}"


def _part(plan: Plan, offset: int, limit: int | None) -> str:
    """The clause for the page and one row more."""
    if limit is not None:
        return f" limit {plan.bind(limit + 1)} offset {plan.bind(offset)}"
    # SQLite takes an offset with a limit alone.
    return f" limit {plan.bind(2**62)} offset {plan.bind(offset)}" if offset else ""


def _verified(plan: Plan, rows: Sequence[Row]) -> Sequence[Row]:
    for number, (_, key) in enumerate(plan.verify):
        name = f"verify_{number}"
        rows = [row for row in rows if key.accepts_values([row[name]] if row[name] else [])]
    return rows


def _by_day_alone(plan: Plan) -> bool:
    """Whether every study (of some days) is asked for in date order: the histogram counts those."""
    query = plan.query
    keys = [key for key in query.keys if key.tests]
    days_only = all(
        str(key.path) == "00080020" and len(key.tests) == 1 and isinstance(key.tests[0], Range | Exact)
        for key in keys
    )
    whole = query.level == "study" and plan.scope.whole and query.study_uid is None
    return whole and plan.default_order and days_only and not query.combined


def _days_where(plan: Plan) -> str:
    low, high = day_range(plan)
    where = [f"realm = {plan.bind(plan.scope.realm)}"]
    if low or high:
        where.append("study_date <> ''")
    if low:
        where.append(f"study_date >= {plan.bind(low)}")
    if high:
        where.append(f"study_date <= {plan.bind(high)}")
    return " and ".join(where)


async def _sum_of_days(reader: Reader, plan: Plan) -> int:
    sql = f"select coalesce(sum(study_count), 0) from study_day where {_days_where(plan)}"
    return int(await reader.fetch_value(sql, plan.bind.values))


async def _place_of_offset(reader: Reader, plan: Plan) -> tuple[str, int] | None:
    """The day that the offset falls in, and how many of its studies come before; None behind the end."""
    where, params = _days_where(plan), plan.bind.values
    left = plan.query.offset
    if reader.dialect == "postgresql":
        return await _place_by_years(reader, where, params, left)
    last = await reader.fetch_value(f"select max(study_date) from study_day where {where}", params)
    # Year by year, then day by day: sums within the index cost far less than rows.
    while last is not None:
        bounds = f"{where} and study_date <= :last and study_date >= :year"
        of_year = {**params, "last": last, "year": last[:4]}
        held = await reader.fetch_value(f"select sum(study_count) from study_day where {bounds}", of_year)
        if held > left:
            days = await reader.fetch_all(
                f"select study_date, study_count from study_day where {bounds} order by study_date desc",
                of_year,
            )
            return _place_within(days, left)
        left -= int(held)
        before = f"select max(study_date) from study_day where {where} and study_date < :year"
        last = await reader.fetch_value(before, of_year) if last else None
    return None


async def _place_by_years(
    reader: Reader, where: str, params: dict[str, Any], left: int
) -> tuple[str, int] | None:
    """The same with all years at once: on PostgreSQL a round trip costs more than their sums."""
    years = await reader.fetch_all(
        "select left(study_date, 4) as year, cast(sum(study_count) as bigint) as held from study_day"
        f" where {where} group by 1 order by 1 desc",
        params,
    )
    for year, held in years:
        if held > left:
            days = await reader.fetch_all(
                f"select study_date, study_count from study_day where {where} and study_date >= :year"
                " and study_date <= :end order by study_date desc",
                {**params, "year": year, "end": f"{year}9999" if year else ""},
            )
            return _place_within(days, left)
        left -= held
    return None


def _place_within(days: Sequence[Row], left: int) -> tuple[str, int]:
    for row in days:
        if row["study_count"] > left:
            return row["study_date"], left
        left -= row["study_count"]
    raise AssertionError("the histogram changed within one snapshot")


async def _visible_counts(reader: Reader, scope: Scope, rows: Sequence[Row]) -> dict[int, Counts]:
    """What a partial scope sees of each row's study: counters would tell of the rest."""
    names, params = in_list("study", sorted({row["study_id"] for row in rows}))
    condition, more = visibility.series_condition(scope)
    series = await reader.fetch_all(
        "select series.study_id, series.modality, series.instance_count from series"
        f" join study on study.id = series.study_id where series.study_id in {names} and {condition}",
        {**params, **more},
    )
    of_study: dict[int, list[Row]] = {}
    for row in series:
        of_study.setdefault(row["study_id"], []).append(row)
    return {
        study_id: Counts(
            modalities=sorted({row["modality"] for row in held if row["modality"]}),
            series=len(held),
            instances=sum(row["instance_count"] for row in held),
        )
        for study_id, held in of_study.items()
    }
