"""Every row of a search, page by page: what C-FIND answers, which has no limit and no offset.

Pages are found by where the last one ended, so that what arrives meanwhile moves nothing, and the last page
costs no more than the first.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.query import search
from dicomweb_box.box import Box
from dicomweb_box.dicom import attributes
from dicomweb_box.dicom.attribute_path import standard
from dicomweb_box.dicom.matches import Empty, Exact, Match, Range
from dicomweb_box.dicom.matching import Query

Row = dict[str, Any]
"""A DICOM JSON object."""

_FIRST, _MOST = 100, 1000
_DATE = "00080020"
_UIDS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """One page."""

    rows: Sequence[Row]
    warnings: tuple[str, ...]
    """A sentence for each part of the query that was left out."""


async def every_row(box: Box, query: Query, *, scope: Scope, actor: Actor) -> AsyncGenerator[Rows]:
    """The matching rows in pages of up to a thousand; limit, offset and order of the query are not looked at.

    Raises as `archive.query.search`.
    """
    query = replace(query, limit=None, offset=0, order=())
    # One study is searched as a whole; without identities, rows come by UID and may not be asked for by date.
    by_date = scope.identities and (query.level == "study" or query.study_uid is None)
    walk = _by_date if by_date else _by_offset
    async for rows in walk(box, query, scope, actor):
        yield rows


async def _by_offset(box: Box, query: Query, scope: Scope, actor: Actor) -> AsyncGenerator[Rows]:
    offset, limit = 0, _FIRST
    while True:
        page = await search(box, replace(query, offset=offset, limit=limit), scope=scope, actor=actor)
        yield Rows(rows=[orjson.loads(row) for row in page.rows], warnings=page.warnings)
        if not page.more or not page.rows:
            return
        offset, limit = offset + len(page.rows), _MOST


async def _by_date(box: Box, query: Query, scope: Scope, actor: Actor) -> AsyncGenerator[Rows]:
    """In the order that rows have anyway: newest day first, what has no date last."""
    edge: str | None = None
    place, seen = 0, set[str]()
    """How far the edge's day was read, and what was given of it."""
    limit = _FIRST
    while True:
        asked = replace(_up_to(query, edge), offset=place, limit=limit)
        page = await search(box, asked, scope=scope, actor=actor)
        parsed = [orjson.loads(row) for row in page.rows]
        # What arrived on that day meanwhile has moved the others behind it.
        rows = [row for row in parsed if _uid(row, query) not in seen]
        if rows or edge is None:
            yield Rows(rows=rows, warnings=page.warnings)
        if not page.more or not page.rows:
            # A range of days never holds what has no date.
            if not edge or _is_dated(query):
                return
            edge, place, seen = "", 0, set()
            continue
        limit = _MOST
        days = [_day(row) for row in parsed]
        if days[-1] != edge:
            edge, place, seen = days[-1], 0, set()
        place += days.count(edge)
        seen.update(_uid(row, query) for row in rows if _day(row) == edge)


def _day(row: Row) -> str:
    return str(attributes.column_value("date", row.get(_DATE)))


def _uid(row: Row, query: Query) -> str:
    return str((row.get(_UIDS[query.level]) or {}).get("Value", [""])[0])


def _is_dated(query: Query) -> bool:
    """Whether something without a date cannot match."""
    dates = [key for key in query.keys if str(key.path) == _DATE and key.tests]
    empty = any(isinstance(test, Empty) for key in dates for test in key.tests)
    return bool(dates and not empty) or any(key.date.path.head == _DATE for key in query.combined)


def _up_to(query: Query, edge: str | None) -> Query:
    """The query of what has the edge's day or an earlier one; of an empty edge, of what has none."""
    if edge is None:
        return query
    asked = [key for key in query.keys if str(key.path) == _DATE and key.tests]
    test: Empty | Range = Range(None, edge) if edge else Empty()
    if len(asked) == 1 and len(asked[0].tests) == 1:
        only = asked[0].tests[0]
        if isinstance(only, Exact | Empty):
            return query
        if isinstance(only, Range) and edge:
            # One key, since a search by days alone takes its range from that.
            test = Range(only.low, edge)
            query = replace(query, keys=tuple(key for key in query.keys if key is not asked[0]))
    return replace(query, keys=(*query.keys, Match(standard(_DATE), (test,), "StudyDate")))
