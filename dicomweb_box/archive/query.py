"""Search: a Query becomes rows of DICOM JSON, seen through an actor's scope."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import declared, labelled, visibility
from dicomweb_box.archive.search_brief import NameWindow
from dicomweb_box.archive.search_days import by_day_alone, is_deep, place_of_offset, sum_of_days
from dicomweb_box.archive.search_once import by_id, once, part_of_page
from dicomweb_box.archive.search_plan import Plan, has_index, make_plan
from dicomweb_box.archive.search_rows import Assembler, Counts, Shape, shape_of
from dicomweb_box.archive.search_windows import DateWindow, Window, find_window
from dicomweb_box.archive.unidentified import permitted
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom.matching import Query
from dicomweb_box.errors import BadQuery

_FIRST_WINDOW = 64
_MOST_TIMES_DEFAULT = 10


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
    names no limit. Raises BadQuery for a strict query that asks what cannot be matched or returned,
    Forbidden for one that would tell a scope without identities who patients are.
    """
    del actor  # The scope says what it may see; who asked matters to the audit alone.
    query = permitted(query, scope)
    shape, warnings = shape_of(query, base, box.settings.ae_title, identities=scope.identities)
    if query.strict and warnings:
        raise BadQuery(warnings[0])
    limit = _limit(box, query)
    asked = _Search(query, scope, shape, limit)
    found = await asked.at_once(box.database)
    if found is None:
        found = await box.database.read(asked.run)
    if found.plan.scan or (shape.parsed and query.level == "instance"):
        rows, more = await in_thread(box, _read_json, found)
    else:
        assembler = Assembler(found.shape, found.counts, found.labels)
        rows, more = [assembler.row(row) for row in found.rows], found.more
    return Page(rows=rows, more=more, limit=limit, warnings=(*warnings, *found.plan.ignored))


async def count(box: Box, query: Query, *, scope: Scope, actor: Actor) -> int:
    """How many rows match, whatever the query's limit and offset; raises as `search`."""
    del actor
    query = permitted(query, scope)
    query = replace(query, offset=0, limit=None, include=(), include_all=False, order=())
    shape, _ = shape_of(query, "", box.settings.ae_title)
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
    labels: dict[labelled.Place, list[str]] | None = None


def _read_json(found: _Found) -> tuple[list[bytes], bool]:
    """The page's rows where that takes their metadata; runs in a thread."""
    assembler = Assembler(found.shape, found.counts, found.labels)
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
        self._made: Plan | None = None
        """The plan, where it was made before the transaction."""

    async def run(self, reader: Reader) -> _Found:
        """The rows of the page; where keys are scanned for, all rows that may match."""
        plan = await self._plan(reader)
        shape = replace(self._shape, scanned=bool(plan.scan))
        rows, more = await _rows(reader, plan, shape.columns, self._limit)
        counts = None
        if not self._scope.whole and (shape.level == "study" or shape.relational):
            counts = await _visible_counts(reader, self._scope, rows)
        labels = None
        if shape.labels or shape.everything:
            labels = await labelled.of_rows(reader, self._scope, shape.level, rows)
        return _Found(
            plan=plan, shape=shape, rows=rows, more=more, counts=counts, limit=self._limit, labels=labels
        )

    async def at_once(self, reader: Reader) -> _Found | None:
        """The same by one statement, which needs no transaction; None where it takes more than one."""
        if self._limit is None or self._unknown or not self._scope.whole:
            return None
        if self._shape.labels or self._shape.everything:
            return None
        plan = make_plan(self._query, self._scope, reader.dialect, ())
        sql = once(plan, self._shape.columns, self._limit)
        if sql is None:
            self._made = plan
            return None
        rows = await reader.fetch_all(sql, plan.bind.values)
        more = len(rows) > self._limit
        return _Found(
            plan=plan, shape=self._shape, rows=rows[: self._limit], more=more, counts=None, limit=self._limit
        )

    async def count(self, reader: Reader) -> int | None:
        """How many rows match; None where that takes looking at them."""
        plan = await self._plan(reader)
        if plan.scan or plan.verify:
            return None
        if by_day_alone(plan):
            return int(await sum_of_days(reader, plan))
        window = await find_window(plan, reader)
        hits = window.hits(None) if window else None
        counted = await reader.fetch_value(plan.select("count(*)", hits=hits), plan.bind.values)
        return int(counted)

    async def _plan(self, reader: Reader) -> Plan:
        if self._made is not None:
            return self._made
        attributes = await declared.known(reader) if self._unknown else []
        labels = await labelled.find(reader, self._query, self._scope)
        return make_plan(self._query, self._scope, reader.dialect, attributes, labels)

    @property
    def _unknown(self) -> bool:
        """Whether a key may be of an attribute that was declared for search."""
        keys = self._query.keys
        return any(key.tests and not has_index(key.path, self._query.level) for key in keys)


async def _rows(reader: Reader, plan: Plan, columns: str, limit: int | None) -> tuple[Sequence[Row], bool]:
    """The rows of the page and whether more follow; all rows that may match where keys are scanned for."""
    columns += "".join(f", {column} as verify_{number}" for number, (column, _) in enumerate(plan.verify))
    if plan.scan:
        rows = await reader.fetch_all(plan.select(columns) + plan.order_by(), plan.bind.values)
        return _verified(plan, rows), False
    offset = plan.query.offset
    more = ""
    if is_deep(plan):
        place = await place_of_offset(reader, plan)
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
    if isinstance(window, DateWindow) and not window.steps:
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


def _sizes(window: Window, wanted: int, plan: Plan) -> Iterator[int | None]:
    if isinstance(window, DateWindow):
        yield from (size for size in window.steps if size > wanted)
        yield None
    size = max(wanted, _FIRST_WINDOW) if plan.verify else wanted
    if isinstance(window, NameWindow) and len(plan.columns) > 1:
        # Other keys leave out some; a second round would cost PostgreSQL more.
        size *= 4
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
    part = part_of_page(plan, offset, limit)
    if plan.dialect == "postgresql" and plan.query.level == "study":
        # Chosen within an index first: PostgreSQL otherwise reads each row that it only sorts or skips.
        sql = by_id(plan, columns, plan.select("study.id", more, hits=hits) + order + part)
    else:
        sql = plan.select(columns, more, hits=hits) + order + part
    return await reader.fetch_all(sql, plan.bind.values)


def _verified(plan: Plan, rows: Sequence[Row]) -> Sequence[Row]:
    for number, (_, key) in enumerate(plan.verify):
        name = f"verify_{number}"
        rows = [row for row in rows if key.accepts_values([row[name]] if row[name] else [])]
    return rows


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
