"""Makes a transfer: of items that are named, or of all that its asker sees of studies and series.

It is made in the transaction of whoever asks, so that what is asked for is durable with what asked for it.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.database import Writer, chunks, in_list
from dicomweb_box.errors import Conflict, NotFound
from dicomweb_box.outbound.transfers import Item, Kind, kept_scope, stamp

MOST_ITEMS = 1_000_000
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A transfer to be."""

    kind: Kind
    peer: str
    actor: Actor
    scope: Scope
    priority: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    """UIDs and keys of our own; never an attribute of a patient."""


async def enqueue(w: Writer, box: Box, wanted: Wanted, items: Iterable[Item]) -> str:
    """The id of a new transfer of these items, durable with the caller's transaction.

    Raises Conflict for none or too many.
    """
    key = await _begin(w, box, wanted)
    count, studies = 0, Counter[str]()
    for some in chunks(items, _AT_ONCE):
        await w.execute_many(_ADD, [_row(key, item, stamp(box.clock())) for item in some])
        count += len(some)
        studies.update(item.study_uid for item in some)
    await _complete(w, box, wanted, key, count, studies)
    return key


async def enqueue_studies(
    w: Writer,
    box: Box,
    wanted: Wanted,
    study_uids: Sequence[str] = (),
    series_uids: Sequence[tuple[str, str]] = (),
) -> str:
    """The id of a new transfer of each instance of these studies and series that its asker sees now.

    Raises NotFound where there is none of them, Conflict for too many.
    """
    key, now = await _begin(w, box, wanted), stamp(box.clock())
    seen, params = visibility.series_condition(wanted.scope)
    params |= {"id": key, "at": now, "realm": wanted.scope.realm}
    for some in chunks(dict.fromkeys(study_uids), _AT_ONCE):
        names, more = in_list("uid", some)
        await w.execute(_ADD_INSTANCES.format(where=f"study.study_uid in {names} and {seen}"), params | more)
    for pairs in chunks(dict.fromkeys(series_uids), _AT_ONCE):
        names, more = in_list("uid", [series for _, series in pairs])
        of, others = in_list("of", [study for study, _ in pairs])
        where = f"series.series_uid in {names} and study.study_uid in {of} and {seen}"
        await w.execute(_ADD_INSTANCES.format(where=where), params | more | others)
    counted = await w.fetch_all(_STUDIES, {"id": key})
    studies = Counter({row["study_uid"]: row["count"] for row in counted})
    if not studies:
        raise NotFound("there is no such study or series, or nothing in it")
    await _complete(w, box, wanted, key, studies.total(), studies)
    return key


_ADD = (
    "insert into transfer_item (transfer_id, number, what, study_uid, series_uid, instance_uid, due_at,"
    " changed_at, expected) values (:id, :number, :what, :study, :series, :instance, :at, :at, :expected)"
)
_ADD_INSTANCES = (
    "insert into transfer_item (transfer_id, number, what, study_uid, series_uid, instance_uid, due_at,"
    " changed_at, expected) select :id, {base} + row_number() over (order by study.study_uid,"
    " series.series_uid, instance.instance_number, instance.instance_uid), 'instance', study.study_uid,"
    " series.series_uid, instance.instance_uid, :at, :at, 1"
    " from study join series on series.study_id = study.id join instance on instance.series_id = series.id"
    " where study.realm = :realm and instance.state = 'current' and {{where}}"
    " and not exists (select 1 from transfer_item as known where known.transfer_id = :id"
    " and known.instance_uid = instance.instance_uid)"
).format(base="(select coalesce(max(number), 0) from transfer_item where transfer_id = :id)")
_STUDIES = (
    "select study_uid, count(*) as count from transfer_item where transfer_id = :id"
    " group by study_uid order by study_uid"
)


async def _begin(w: Writer, box: Box, wanted: Wanted) -> str:
    key, now = secrets.token_urlsafe(9), stamp(box.clock())
    await w.execute(
        "insert into transfer (id, realm, kind, peer, owner, actor, actor_kind, scope, about, priority,"
        " due_at, created_at, changed_at) values (:id, :realm, :kind, :peer, :owner, :actor, :actor_kind,"
        " :scope, :about, :priority, :at, :at, :at)",
        {
            "id": key,
            "realm": wanted.scope.realm,
            "kind": wanted.kind,
            "peer": wanted.peer,
            "owner": wanted.actor.own_name,
            "actor": wanted.actor.name,
            "actor_kind": wanted.actor.kind,
            "scope": kept_scope(wanted.scope),
            "about": json.dumps(wanted.about),
            "priority": wanted.priority,
            "at": now,
        },
    )
    return key


async def _complete(
    w: Writer, box: Box, wanted: Wanted, key: str, count: int, studies: Mapping[str, int]
) -> None:
    if not count:
        raise Conflict("A transfer needs something to transfer.")
    if count > MOST_ITEMS:
        raise Conflict(f"A transfer has at most {MOST_ITEMS} items.")
    await w.execute("update transfer set queued = :count where id = :id", {"id": key, "count": count})
    about = {"kind": wanted.kind, "peer": wanted.peer, "transfer": key}
    await audit.record(
        w,
        box,
        *(
            audit.Entry(actor=wanted.actor, action=Action.TRANSFER, study=study, about=about, count=number)
            for study, number in studies.items()
        ),
    )


def _row(key: str, item: Item, at: str) -> dict[str, Any]:
    return {
        "id": key,
        "number": item.number,
        "what": item.what,
        "study": item.study_uid,
        "series": item.series_uid,
        "instance": item.instance_uid,
        "at": at,
        "expected": item.expected,
    }
