"""Selections: studies and series that somebody ticked, on many pages, to do one thing with all of them.

A selection holds UIDs and no rows, so that it outlives a rebuilt index; what is not there (any more), or
outside of the asking scope, is left out whenever it is read.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Writer, chunks, in_list
from dicomweb_box.errors import Conflict, NotFound

MOST_MEMBERS = 5000
KEPT_FOR = timedelta(days=30)
_AT_ONCE = 500
_NO_SELECTION = "there is no such selection"


@dataclass(frozen=True, kw_only=True, slots=True)
class Members:
    """Studies by UID, and series by the UIDs of their study and themselves; each once."""

    studies: tuple[str, ...] = ()
    series: tuple[tuple[str, str], ...] = ()

    @property
    def count(self) -> int:
        """How many studies and series."""
        return len(self.studies) + len(self.series)


NONE = Members()


async def make(box: Box, members: Members, *, scope: Scope, actor: Actor) -> str:
    """The id of a new selection of these; NotFound where one of them is not there, Conflict for too many."""
    key = secrets.token_urlsafe(9)

    async def work(w: Writer) -> None:
        await w.execute(
            "insert into selection (id, realm, actor, used_at) values (:id, :realm, :actor, :at)",
            {"id": key, "realm": scope.realm, "actor": actor.name, "at": _now(box)},
        )
        await _add(w, key, members, scope)

    await box.database.write(work)
    return key


async def change(
    box: Box, key: str, *, add: Members = NONE, take_out: Members = NONE, scope: Scope, actor: Actor
) -> None:
    """Add and take out members; NotFound without such a selection or member to add, Conflict for too many."""
    del actor

    async def work(w: Writer) -> None:
        used = "update selection set used_at = :at where id = :id and realm = :realm returning id"
        if await w.fetch_value(used, {"id": key, "realm": scope.realm, "at": _now(box)}) is None:
            raise NotFound(_NO_SELECTION)
        if take_out.count:
            await w.execute_many(
                "delete from selection_member"
                " where selection_id = :id and study_uid = :study and series_uid = :series",
                _rows(key, take_out),
            )
        await _add(w, key, add, scope)

    await box.database.write(work)


async def forget(box: Box, key: str, *, scope: Scope, actor: Actor) -> None:
    """Delete a selection, not what it holds; NotFound where there is none."""
    del actor

    async def work(w: Writer) -> None:
        gone = "delete from selection where id = :id and realm = :realm returning id"
        if await w.fetch_value(gone, {"id": key, "realm": scope.realm}) is None:
            raise NotFound(_NO_SELECTION)

    await box.database.write(work)


async def members(box: Box, key: str, *, scope: Scope, actor: Actor) -> Members:
    """What a selection holds and this scope sees, by UID; NotFound without such a selection."""
    del actor

    async def work(r: Reader) -> Members:
        one = "select 1 from selection where id = :id and realm = :realm"
        params = {"id": key, "realm": scope.realm}
        if await r.fetch_value(one, params) is None:
            raise NotFound(_NO_SELECTION)
        seen, more = visibility.series_condition(scope)
        rows = await r.fetch_all(
            "select member.study_uid, member.series_uid from selection_member as member"
            " join study on study.realm = :realm and study.study_uid = member.study_uid"
            " where member.selection_id = :id and exists"
            " (select 1 from series where series.study_id = study.id"
            f" and (member.series_uid = '' or series.series_uid = member.series_uid) and {seen})"
            " order by member.study_uid, member.series_uid",
            {**params, **more},
        )
        return Members(
            studies=tuple(study for study, series in rows if not series),
            series=tuple((study, series) for study, series in rows if series),
        )

    return await box.database.read(work)


async def require(box: Box, asked: Members, *, scope: Scope, actor: Actor) -> None:
    """Nothing where this scope sees each of these; raises NotFound otherwise."""
    del actor

    async def work(r: Reader) -> None:
        await _require(r, asked, scope)

    await box.database.read(work)


async def sweep(box: Box) -> int:
    """Delete what nobody used for long; how many selections."""
    before = (box.clock() - KEPT_FOR).isoformat(timespec="microseconds")

    async def work(w: Writer) -> int:
        gone = await w.fetch_all(
            "delete from selection where used_at < :before returning id", {"before": before}
        )
        return len(gone)

    return await box.database.write(work)


async def _add(w: Writer, key: str, new: Members, scope: Scope) -> None:
    if not new.count:
        return
    await _require(w, new, scope)
    await w.execute_many(
        "insert into selection_member (selection_id, study_uid, series_uid) values (:id, :study, :series)"
        " on conflict (selection_id, study_uid, series_uid) do nothing",
        _rows(key, new),
    )
    held = await w.fetch_value("select count(*) from selection_member where selection_id = :id", {"id": key})
    if held > MOST_MEMBERS:
        raise Conflict(f"A selection holds at most {MOST_MEMBERS} studies and series.")


async def _require(r: Reader, asked: Members, scope: Scope) -> None:
    condition, params = visibility.series_condition(scope)
    where = f" where study.realm = :realm and {condition} and "
    params["realm"] = scope.realm
    source = " from study join series on series.study_id = study.id"
    for some in chunks(asked.studies, _AT_ONCE):
        names, more = in_list("uid", some)
        select = f"select count(distinct study.id){source}{where}study.study_uid in {names}"
        if await r.fetch_value(select, {**params, **more}) < len(set(some)):
            raise NotFound("there is no such study, or not all of them are there any more")
    for pairs in chunks(asked.series, _AT_ONCE):
        names, more = in_list("uid", {study for study, _ in pairs})
        others, still_more = in_list("series_uid", {series for _, series in pairs})
        select = (
            f"select study.study_uid, series.series_uid{source}{where}"
            f"study.study_uid in {names} and series.series_uid in {others}"
        )
        rows = await r.fetch_all(select, {**params, **more, **still_more})
        if not set(pairs) <= {(row[0], row[1]) for row in rows}:
            raise NotFound("there is no such series, or not all of them are there any more")


def _rows(key: str, members: Members) -> list[dict[str, Any]]:
    pairs: list[tuple[str, str]] = [*((study, "") for study in members.studies), *members.series]
    return [{"id": key, "study": study, "series": series} for study, series in pairs]


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="microseconds")
