"""The worklist: procedure steps that are scheduled, until a modality says that they are done.

Whoever sees only a part of the archive sees none of it, since no part can tell whose patients those are; a
peer that does is told of what is scheduled for its own AE title.
"""

import json
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast
from uuid import uuid4

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Row, UniqueViolation, Writer
from dicomweb_box.dicom import scheduled_step
from dicomweb_box.dicom.scheduled_step import OPEN, Status, Step
from dicomweb_box.errors import Conflict, Forbidden, NotFound

SHOWN = 500
"""Steps of one page."""
_PAGE = 200
_COLUMNS = "id, step_id, ae_title, start_date, start_time, status, told, made_at, made_by, changed_at"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """One step of the worklist."""

    id: str
    """For addresses; tells nothing."""
    status: Status
    step: Step
    made_at: str
    made_by: str
    changed_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Steps in the order they begin."""

    steps: tuple[Scheduled, ...]
    more: bool


async def page(box: Box, *, day: str = "", scope: Scope, actor: Actor) -> Page:
    """The steps of a day (YYYYMMDD); without one, those that are open, whenever. Raises Forbidden."""
    del actor  # reading is not recorded
    require_whole(scope)
    where, params = ("start_date = :day", {"day": day}) if day else (_OPEN, {})
    rows = await box.database.fetch_all(
        f"select {_COLUMNS} from scheduled_step where {where} order by start_date, start_time, id"
        f" limit {SHOWN + 1}",
        params,
    )
    return Page(steps=tuple(map(_read, rows[:SHOWN])), more=len(rows) > SHOWN)


async def by_id(box: Box, key: str, *, scope: Scope, actor: Actor) -> Scheduled:
    """One step; raises NotFound, Forbidden."""
    del actor
    require_whole(scope)
    row = await box.database.fetch_one(f"select {_COLUMNS} from scheduled_step where id = :id", {"id": key})
    if row is None:
        raise NotFound("There is no such step on the worklist.")
    return _read(row)


async def add(box: Box, step: Step, *, scope: Scope, actor: Actor) -> Scheduled:
    """Put a step on the worklist; as it is kept. Raises BadStep, Forbidden, Conflict (a taken ID)."""
    require_whole(scope)
    told = _checked(step)
    key, now = secrets.token_urlsafe(9), _now(box)
    row = _row(told, now) | {"id": key, "status": OPEN[0], "made_at": now, "made_by": actor.name}

    async def work(w: Writer) -> None:
        await w.execute(
            f"insert into scheduled_step ({_COLUMNS}) values ({_values(_COLUMNS)})",
            row,
        )
        await audit.record(w, box, _told(actor, told, "made"))

    await _written(box, work)
    return await by_id(box, key, scope=scope, actor=actor)


async def change(box: Box, key: str, step: Step, status: Status, *, scope: Scope, actor: Actor) -> Scheduled:
    """Let a step be as it is told; as it is kept. Raises as `add`, and NotFound."""
    require_whole(scope)
    told = _checked(step)
    row = _row(told, _now(box)) | {"id": key, "status": status}

    async def work(w: Writer) -> None:
        found = await w.fetch_value(
            "update scheduled_step set step_id = :step_id, ae_title = :ae_title, start_date = :start_date,"
            " start_time = :start_time, status = :status, told = :told, changed_at = :changed_at"
            " where id = :id returning id",
            row,
        )
        if found is None:
            raise NotFound("There is no such step on the worklist.")
        await audit.record(w, box, _told(actor, told, "changed"))

    await _written(box, work)
    return await by_id(box, key, scope=scope, actor=actor)


async def remove(box: Box, key: str, *, scope: Scope, actor: Actor) -> None:
    """Take a step off the worklist; raises NotFound, Forbidden."""
    found = await by_id(box, key, scope=scope, actor=actor)

    async def work(w: Writer) -> None:
        gone = await w.fetch_value("delete from scheduled_step where id = :id returning id", {"id": key})
        if gone is None:
            raise NotFound("There is no such step on the worklist.")
        await audit.record(w, box, _told(actor, found.step, "removed"))

    await box.database.write(work)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Steps as Modality Worklist has them, one page."""

    rows: Sequence[dict[str, Any]]
    warnings: tuple[str, ...] = ()


async def matching(
    box: Box,
    accepts: Callable[[dict[str, Any]], bool],
    *,
    days: tuple[str | None, str | None] = (None, None),
    ae_title: str,
    scope: Scope,
    actor: Actor,
) -> AsyncGenerator[Rows]:
    """The open steps that are accepted, as DICOM JSON objects, page by page in the order they begin.

    `days` are the first and last day that can be, `ae_title` is the title of whoever asks.
    """
    del actor
    where = [_OPEN, "(start_date, start_time, id) > (:date, :time, :id)"]
    params: dict[str, Any] = {"date": "", "time": "", "id": ""}
    for name, sign, day in (("low", ">=", days[0]), ("high", "<=", days[1])):
        if day:
            where.append(f"start_date {sign} :{name}")
            params[name] = day
    if not scope.whole:
        where.append("ae_title = :title")
        params["title"] = ae_title
    sql = (
        f"select {_COLUMNS} from scheduled_step where {' and '.join(where)}"
        f" order by start_date, start_time, id limit {_PAGE}"
    )
    while True:
        rows = await box.database.fetch_all(sql, params)
        found = [scheduled_step.dataset(one.step, one.status) for one in map(_read, rows)]
        yield Rows(rows=[one for one in found if accepts(one)])
        if len(rows) < _PAGE:
            return
        params |= {"date": rows[-1]["start_date"], "time": rows[-1]["start_time"], "id": rows[-1]["id"]}


_OPEN = "status in ('SCHEDULED', 'STARTED')"


def require_whole(scope: Scope) -> None:
    """Raises Forbidden where nothing of the worklist may be seen."""
    if not scope.whole or not scope.identities:
        raise Forbidden("The worklist is for those who see the whole archive, and who its patients are.")


def _checked(step: Step) -> Step:
    number = f"S{secrets.token_hex(5).upper()}"
    # PS3.5 B.2: a UUID as a UID.
    return scheduled_step.checked(step, study_uid=f"2.25.{uuid4().int}", number=number)


async def _written(box: Box, work: Any) -> None:
    try:
        await box.database.write(work)
    except UniqueViolation:
        raise Conflict("There is a step of this ID already.") from None


def _row(step: Step, now: str) -> dict[str, Any]:
    return {
        "step_id": step.step_id,
        "ae_title": step.ae_title,
        "start_date": step.start_date,
        "start_time": step.start_time,
        "told": json.dumps(asdict(step)),
        "changed_at": now,
    }


def _read(row: Row) -> Scheduled:
    return Scheduled(
        id=row["id"],
        status=cast(Status, row["status"]),
        step=Step(**json.loads(row["told"])),
        made_at=row["made_at"],
        made_by=row["made_by"],
        changed_at=row["changed_at"],
    )


def _values(columns: str) -> str:
    return ", ".join(f":{name}" for name in columns.split(", "))


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="seconds")


def _told(actor: Actor, step: Step, what: str) -> audit.Entry:
    """For the audit, without who the patient is."""
    about: dict[str, audit.Value] = {"step": step.step_id, "AE title": step.ae_title, "what": what}
    return audit.Entry(actor=actor, action=Action.WORKLIST, about=about, study=step.study_uid)
