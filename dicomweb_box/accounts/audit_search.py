"""The audit searched: by time, actor, action, outcome, study and address; the latest first."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from dicomweb_box.accounts.audit_words import OUTCOMES, Action
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row
from dicomweb_box.errors import BadQuery

PAGE = 100
_BATCH = 1000
FILTERS = {
    "actor": "actor",
    "action": "action",
    "outcome": "outcome",
    "study": "study_uid",
    "address": "address",
}
"""What may be asked for, and the column that has it."""
_FEW = 20_000
"""Rows of one filter that are counted to find the one that leaves fewest."""
COLUMNS = "id, moment, chain, sequence, actor, kind, address, action, outcome, study_uid, about, count"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is searched for; empty: whatever it is."""

    since: str = ""
    until: str = ""
    """Moments as the table has them; up to this one, without it."""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    study: str = ""
    address: str = ""

    @property
    def filters(self) -> dict[str, str]:
        """Column and value of each that is asked for."""
        return {column: value for name, column in FILTERS.items() if (value := getattr(self, name))}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One row, as people and programs see it."""

    moment: str
    actor: str
    kind: str
    address: str
    action: str
    outcome: str
    study_uid: str
    about: dict[str, Any]
    count: int
    chain: str
    sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows, and what to ask the older ones with ("": there are none)."""

    rows: tuple[Told, ...]
    older: str


def moment_of(text: str, *, end: bool = False) -> str:
    """A day or a moment (ISO 8601, UTC unless it says otherwise) as the table has it; as an end, a day's end.

    Raises BadQuery for what is neither.
    """
    text = text.strip()
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery("A time is a day as 2026-11-27, or a moment as 2026-11-27T14:30.") from None
    if end and len(text) <= len("2026-11-27"):
        moment += timedelta(days=1)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")


def checked(asked: Asked) -> Asked:
    """The same; raises BadQuery for an action or an outcome that there is not."""
    if asked.action and asked.action not in Action._value2member_map_:
        raise BadQuery(f"There is no such action; there are {', '.join(Action)}.")
    if asked.outcome and asked.outcome not in OUTCOMES:
        raise BadQuery(f"There is no such outcome; there are {', '.join(OUTCOMES)}.")
    return asked


async def search(box: Box, asked: Asked, *, before: str = "", limit: int = PAGE) -> Page:
    """The latest rows that fit, behind the one that `before` names; raises BadQuery where it names none."""
    checked(asked)

    async def work(read: Reader) -> Sequence[Row]:
        return await _rows(read, asked, await _place(read, before), limit + 1)

    rows = await box.database.read(work)
    found = tuple(told(row) for row in rows[:limit])
    more = f"{found[-1].chain}.{found[-1].sequence}" if len(rows) > limit else ""
    return Page(rows=found, older=more)


async def every(box: Box, asked: Asked) -> AsyncIterator[Sequence[Told]]:
    """All that fit, some at a time, each time from a short question of its own."""
    before = ""
    while True:
        page = await search(box, asked, before=before, limit=_BATCH)
        if page.rows:
            yield page.rows
        if not (before := page.older):
            return


async def actors(box: Box, *, most: int = 200) -> list[str]:
    """Names of those who did something, by jumping through an index; for those who type one."""
    found: list[str] = []

    async def work(read: Reader) -> None:
        last: str | None = ""
        while len(found) < most:
            last = await read.fetch_value("select min(actor) from audit where actor > :last", {"last": last})
            if last is None:
                return
            found.append(last)

    await box.database.read(work)
    return found


async def _place(read: Reader, before: str) -> tuple[str, int] | None:
    if not before:
        return None
    chain, _, sequence = before.rpartition(".")
    if not sequence.isdecimal() or len(sequence) > 15:
        raise BadQuery("`before` names no row of the audit.")
    row = await read.fetch_one(
        "select moment, id from audit where chain = :chain and sequence = :sequence",
        {"chain": chain, "sequence": int(sequence)},
    )
    if row is None:
        raise BadQuery("`before` names no row of the audit.")
    return row["moment"], row["id"]


async def _rows(read: Reader, asked: Asked, place: tuple[str, int] | None, limit: int) -> Sequence[Row]:
    conditions, params = _time(asked)
    if place is not None:
        conditions.append("(moment, id) < (:at, :last)")
        params |= {"at": place[0], "last": place[1]}
    filters = asked.filters
    # PostgreSQL knows how frequent values are; SQLite is told which index leaves fewest rows.
    knows = read.dialect == "postgresql"
    chosen = None if knows else await _fewest(read, filters, conditions, params)
    for column, value in filters.items():
        name = column if knows or column == chosen else f"({column} || '')"
        conditions.append(f"{name} = :{column}{_partial(column, chosen)}")
        params[column] = value
    where = f" where {' and '.join(conditions)}" if conditions else ""
    # Which they are is told by the index alone; only they are looked at.
    order = "order by moment desc, id desc"
    return await read.fetch_all(
        f"select {COLUMNS} from audit where id in (select id from audit{where} {order} limit :limit) {order}",
        {**params, "limit": limit},
    )


def _time(asked: Asked) -> tuple[list[str], dict[str, Any]]:
    conditions, params = list[str](), dict[str, Any]()
    if asked.since:
        conditions, params = [*conditions, "moment >= :since"], params | {"since": asked.since}
    if asked.until:
        conditions, params = [*conditions, "moment < :until"], params | {"until": asked.until}
    return conditions, params


async def _fewest(
    read: Reader, filters: dict[str, str], time: Sequence[str], params: dict[str, Any]
) -> str | None:
    """The column whose index leaves fewest rows; None where it is better to walk through time."""
    counted: dict[str, int] = {}
    for column, value in filters.items():
        if column == "outcome" and value == "success":
            continue  # nearly all are: it has no index
        where = " and ".join([f"{column} = :value{_partial(column, column)}", *time])
        counted[column] = await read.fetch_value(
            f"select count(*) from (select 1 from audit where {where} limit {_FEW}) as few",
            {**params, "value": value},
        )
    return min(counted, key=lambda column: counted[column]) if counted else None


def _partial(column: str, chosen: str | None) -> str:
    """What says that a partial index holds all that is asked for."""
    if column != chosen:
        return ""
    return {"outcome": " and outcome <> 'success'", "study_uid": " and study_uid <> ''"}.get(column, "")


def told(row: Row) -> Told:
    """A row of the table as it is told."""
    names = (name for name in Told.__dataclass_fields__ if name != "about")
    return Told(
        **{name: row[name] for name in names}, about=orjson.loads(row["about"]) if row["about"] else {}
    )
