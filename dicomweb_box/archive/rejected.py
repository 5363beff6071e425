"""What is rejected now: listed, erased by a person, erased when its retention ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import SYSTEM, Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive.erased import forget_decisions
from dicomweb_box.archive.missing import rejected_condition
from dicomweb_box.archive.remove import delete_versions, note_changes
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.errors import NotFound

PAGE = 50
_AT_ONCE = 500
"""Instances that one transaction erases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One act of rejecting, and how much of it is still rejected."""

    id: str
    study_uid: str
    series_uid: str | None
    instance_uid: str | None
    reason: str
    note: str
    about: dict[str, Any]
    """DICOM JSON of what a person knows it by."""
    actor: str
    at: str
    until: str
    """When it is erased; "" where no end is set."""
    instances: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A page of rejections, and the key of the next page ("" where this is the last)."""

    rejections: tuple[Rejection, ...]
    older: str


async def listed(
    box: Box, *, study_uid: str | None = None, after: str = "", scope: Scope, actor: Actor
) -> Listed:
    """The rejections that are visible, latest first; of one study, and from a page's key on."""
    del actor
    more, params = "", {"realm": scope.realm, "most": PAGE + 1}
    if study_uid is not None:
        more, params = " and rejection.study_uid = :study_uid", {**params, "study_uid": study_uid}
    if after:
        at, _, last = after.partition("~")
        more += " and (rejection.at < :at or (rejection.at = :at and rejection.id > :last))"
        params |= {"at": at, "last": last}
    rows = await _rows(box, scope, more, params)
    found = tuple(_rejection(row) for row in rows[:PAGE])
    return Listed(rejections=found, older=f"{found[-1].at}~{found[-1].id}" if len(rows) > PAGE else "")


async def one(box: Box, rejection_id: str, *, scope: Scope, actor: Actor) -> Rejection:
    """One rejection; NotFound where this actor sees no such one."""
    del actor
    params = {"realm": scope.realm, "most": 1, "id": rejection_id}
    rows = await _rows(box, scope, " and rejection.id = :id", params)
    if not rows:
        raise NotFound("there is no such rejection: it was restored or erased meanwhile")
    return _rejection(rows[0])


async def erase(box: Box, rejection_id: str, *, scope: Scope, actor: Actor) -> int:
    """Erase now and for good what was rejected, earlier versions with it; how many instances. NotFound."""
    await one(box, rejection_id, scope=scope, actor=actor)
    erased = 0
    while count := await _erase_some(box, rejection_id, actor):
        erased += count
    return erased


async def erase_expired(box: Box) -> int:
    """Erase some of what is rejected past its retention; how many. The worker calls this until it is 0."""
    rejection_id = await box.database.fetch_value(
        "select id from rejection where until <> '' and until <= :now order by until limit 1",
        {"now": box.clock().isoformat(timespec="microseconds")},
    )
    if rejection_id is None:
        return 0
    # An act of which nothing is left counts too: others may wait behind it.
    return max(1, await _erase_some(box, rejection_id, SYSTEM))


async def _erase_some(box: Box, rejection_id: str, actor: Actor) -> int:
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> int:
        rows = await w.fetch_all(
            "select realm, study_uid, series_uid, instance_uid, source from rejected_instance"
            " where rejection_id = :id order by instance_uid limit :most",
            {"id": rejection_id, "most": _AT_ONCE},
        )
        if rows:
            realm, uids = rows[0]["realm"], [row["instance_uid"] for row in rows]
            await delete_versions(w, realm, uids, "rejected", at)
            await note_changes(w, "removed", rows, realm, actor, at)
            about = {"rejection": rejection_id}
            await audit.record(w, box, *audit.of_studies(actor, Action.ERASE, rows, about))
            await forget(w, realm, uids)
            await forget_decisions(w, realm, rows)
        await forget_act(w, rejection_id)
        return len(rows)

    count: int = await box.database.write(work)
    return count


async def forget(w: Writer, realm: str, uids: Sequence[str]) -> None:
    """These instances are rejected no more."""
    names, params = in_list("uid", uids)
    await w.execute(
        f"delete from rejected_instance where realm = :realm and instance_uid in {names}",
        {**params, "realm": realm},
    )


async def forget_act(w: Writer, rejection_id: str) -> None:
    """Forget a rejection of which nothing is rejected any more."""
    await w.execute(
        "delete from rejection where id = :id"
        " and not exists (select 1 from rejected_instance where rejection_id = :id)",
        {"id": rejection_id},
    )


async def _rows(box: Box, scope: Scope, more: str, params: dict[str, Any]) -> Sequence[Row]:
    visible, found = rejected_condition(scope)
    # An act is visible where all that it took out is.
    where = (
        f"not exists (select 1 from rejected_instance rejected where rejected.rejection_id = rejection.id"
        f" and not ({visible}))"
    )
    return await box.database.fetch_all(
        "select rejection.*, (select count(*) from rejected_instance one"
        " where one.rejection_id = rejection.id) as instances,"
        " (select coalesce(sum(one.size), 0) from rejected_instance one"
        " where one.rejection_id = rejection.id) as size"
        f" from rejection where rejection.realm = :realm and {where}{more}"
        " order by rejection.at desc, rejection.id limit :most",
        {**params, **found},
    )


def _rejection(row: Row) -> Rejection:
    given = {name: row[name] for name in Rejection.__dataclass_fields__ if name not in ("about", "size")}
    return Rejection(**given, about=orjson.loads(row["about"]), size=int(row["size"]))
