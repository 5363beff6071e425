"""Performed Procedure Steps: what modalities say that they do and did, shown on the worklist (PS3.4 F.7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import UniqueViolation, Writer, in_list
from dicomweb_box.dicom import json_model
from dicomweb_box.errors import BadRequest, Conflict, NotFound

Attributes = Mapping[str, Any]
"""A DICOM JSON object."""

IN_PROGRESS, COMPLETED, DISCONTINUED = "IN PROGRESS", "COMPLETED", "DISCONTINUED"
STATUS: Final = "00400252"
_STEPS, _STEP_ID = "00400270", "00400009"
_MOST_STEPS: Final = 100
_SHOWN: Final = {IN_PROGRESS: "STARTED", COMPLETED: "COMPLETED", DISCONTINUED: "DISCONTINUED"}


class StatusMissing(BadRequest):
    """A step that does not say its status."""


class BadStatus(BadRequest):
    """A status that a step cannot have, or cannot begin with."""


class StepEnded(Conflict):
    """A step that has ended is not changed any more."""


async def begin(
    box: Box, instance_uid: str, attributes: Attributes, *, source: str, scope: Scope, actor: Actor
) -> None:
    """Keep a step that begins, and show it on the worklist.

    Raises StatusMissing, BadStatus, and Conflict where there is one of this UID.
    """
    status = json_model.first_value(attributes, STATUS)
    if not status:
        raise StatusMissing("Performed Procedure Step Status is missing.")
    if status != IN_PROGRESS:
        raise BadStatus("A step begins with the status IN PROGRESS.")

    async def work(w: Writer) -> None:
        scheduled = await _scheduled(w, attributes, source, scope)
        now = box.clock().isoformat(timespec="seconds")
        await w.execute(
            "insert into performed_step (instance_uid, status, scheduled, attributes, source, made_at,"
            " changed_at) values (:uid, :status, :scheduled, :attributes, :source, :now, :now)",
            {
                "uid": instance_uid,
                "status": status,
                "scheduled": orjson.dumps(scheduled).decode(),
                "attributes": orjson.dumps(attributes).decode(),
                "source": source,
                "now": now,
            },
        )
        await _show(w, scheduled, status, now)
        await audit.record(w, box, _told(actor, instance_uid, status))

    try:
        await box.database.write(work)
    except UniqueViolation:
        raise Conflict("There is a performed step of this UID already.") from None


async def update(box: Box, instance_uid: str, attributes: Attributes, *, source: str, actor: Actor) -> None:
    """Change a step that is in progress, and end it where the attributes say so; only who began it can.

    Raises NotFound, StepEnded, BadStatus.
    """
    told = json_model.first_value(attributes, STATUS)
    if told is not None and told not in _SHOWN:
        raise BadStatus("Performed Procedure Step Status is none of the standard's.")

    async def work(w: Writer) -> None:
        row = await w.fetch_one(
            "select status, scheduled, attributes from performed_step"
            " where instance_uid = :uid and source = :source",
            {"uid": instance_uid, "source": source},
        )
        if row is None:
            raise NotFound("There is no such performed step.")
        if row["status"] != IN_PROGRESS:
            raise StepEnded("Performed Procedure Step Object may no longer be updated")
        status, now = told or IN_PROGRESS, box.clock().isoformat(timespec="seconds")
        merged = dict(sorted({**orjson.loads(row["attributes"]), **attributes}.items()))
        await w.execute(
            "update performed_step set status = :status, attributes = :attributes, changed_at = :now"
            " where instance_uid = :uid",
            {
                "uid": instance_uid,
                "status": status,
                "attributes": orjson.dumps(merged).decode(),
                "now": now,
            },
        )
        await _show(w, orjson.loads(row["scheduled"]), status, now)
        await audit.record(w, box, _told(actor, instance_uid, status))

    await box.database.write(work)


async def _scheduled(w: Writer, attributes: Attributes, source: str, scope: Scope) -> list[str]:
    """The ids of the steps on the worklist that a performed step says it is of."""
    named = json_model.values(dict(attributes), (_STEPS, _STEP_ID))
    names, params = in_list("step", sorted({str(one) for one in named[:_MOST_STEPS]}))
    sql = f"select id from scheduled_step where step_id in {names}"
    if not scope.whole:
        # Whoever sees a part is told of its own steps alone.
        sql += " and ae_title = :title"
        params = {**params, "title": source.removeprefix("dimse:")}
    return [row["id"] for row in await w.fetch_all(sql, params)]


async def _show(w: Writer, scheduled: Sequence[str], status: str, now: str) -> None:
    names, params = in_list("id", scheduled)
    await w.execute(
        f"update scheduled_step set status = :status, changed_at = :now where id in {names}",
        {**params, "status": _SHOWN[status], "now": now},
    )


def _told(actor: Actor, instance_uid: str, status: str) -> audit.Entry:
    about: dict[str, audit.Value] = {"performed step": instance_uid, "what": status}
    return audit.Entry(actor=actor, action=Action.WORKLIST, about=about)
