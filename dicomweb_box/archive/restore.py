"""Restoring: rejected instances go the way of new arrivals, from the blobs they always were."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import index, rejected
from dicomweb_box.archive.arrival import Blob, Origin, arrival_of
from dicomweb_box.archive.remove import note_changes
from dicomweb_box.archive.series_dictionary import Dictionaries
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.dicom.header import read_header
from dicomweb_box.errors import BoxError, Damaged

log = logging.getLogger(__name__)

_AT_ONCE = 200
"""Instances that one transaction brings back."""


async def restore(box: Box, rejection_id: str, *, scope: Scope, actor: Actor) -> int:
    """Give out again, as before, what was rejected; how many instances.

    Raises NotFound where this actor sees no such rejection, Damaged where the bytes of some are lost: those
    stay rejected.
    """
    await rejected.one(box, rejection_id, scope=scope, actor=actor)
    restored, after, damaged = 0, "", 0
    while rows := await _some(box, rejection_id, after):
        arrivals = await in_thread(box, _arrivals, box, scope.realm, rows)
        restored += await _bring_back(box, rejection_id, arrivals, actor)
        after, damaged = rows[-1]["instance_uid"], damaged + len(rows) - len(arrivals)
    if damaged:
        raise Damaged(f"the bytes of {damaged} instances cannot be read: they stay rejected")
    await box.database.write(lambda w: rejected.forget_act(w, rejection_id))
    return restored


async def _some(box: Box, rejection_id: str, after: str) -> Sequence[Row]:
    return await box.database.fetch_all(
        "select rejected.instance_uid, instance.blob_key, instance.size, instance.sha256,"
        " instance.dataset_digest, instance.source, instance.stored_at from rejected_instance rejected"
        " left join instance on instance.realm = rejected.realm"
        " and instance.instance_uid = rejected.instance_uid and instance.state = 'rejected'"
        " where rejected.rejection_id = :id and rejected.instance_uid > :after"
        " order by rejected.instance_uid limit :most",
        {"id": rejection_id, "after": after, "most": _AT_ONCE},
    )


def _arrivals(box: Box, realm: str, rows: Sequence[Row]) -> list[index.Arrival]:
    """Those of the rows whose bytes can be read, as arrivals; in a thread."""
    found = []
    for row in rows:
        try:
            if row["blob_key"] is not None:
                found.append(_arrival(box, realm, row))
        except (BoxError, OSError) as error:
            log.error("restoring %s failed: %s", row["instance_uid"], type(error).__name__)  # noqa: TRY400
    return found


def _arrival(box: Box, realm: str, row: Row) -> index.Arrival:
    with box.blobs.open(row["blob_key"]) as stored:
        header = read_header(stored.buffer(), bulk_threshold=box.settings.bulk_threshold)
    blob = Blob(
        key=row["blob_key"], size=row["size"], sha256=row["sha256"], dataset_digest=row["dataset_digest"]
    )
    arrival = arrival_of(
        header,
        blob,
        Dictionaries(),  # none is known: the row writer names the one that holds
        Origin(realm=realm, source=row["source"], actor="restore"),
        at=datetime.fromisoformat(row["stored_at"]),
        policy=box.settings.duplicates,
        decided="current",
    )
    return replace(arrival, different=True)  # it is known to be wanted, whatever lies beside it


async def _bring_back(box: Box, rejection_id: str, arrivals: list[index.Arrival], actor: Actor) -> int:
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> int:
        rows = await _still_rejected(w, rejection_id, arrivals)
        waiting = {row["instance_uid"]: row for row in rows}
        served = await _served(w, list(waiting), arrivals[0].realm)
        # Another version that is served meanwhile stays so.
        due = [
            replace(one, decided="earlier") if one.instance_uid in served else one
            for one in arrivals
            if one.instance_uid in waiting
        ]
        if not due:
            return 0
        keys, params = in_list("key", [one.columns["blob_key"] for one in due])
        await w.execute(f"delete from instance where blob_key in {keys}", params)
        await index.apply(w, due)
        await note_changes(w, "restored", rows, arrivals[0].realm, actor, at)
        about = {"rejection": rejection_id}
        await audit.record(w, box, *audit.of_studies(actor, Action.RESTORE, rows, about))
        await rejected.forget(w, arrivals[0].realm, list(waiting))
        return len(due)

    count: int = await box.database.write(work) if arrivals else 0
    return count


async def _still_rejected(w: Writer, rejection_id: str, arrivals: list[index.Arrival]) -> Sequence[Row]:
    names, params = in_list("uid", [one.instance_uid for one in arrivals])
    return await w.fetch_all(
        "select instance_uid, study_uid, series_uid, source from rejected_instance"
        f" where rejection_id = :id and instance_uid in {names} order by instance_uid",
        {**params, "id": rejection_id},
    )


async def _served(w: Writer, uids: list[str], realm: str) -> set[str]:
    names, params = in_list("uid", uids)
    rows = await w.fetch_all(
        f"select instance_uid from instance where realm = :realm and instance_uid in {names}"
        " and state = 'current'",
        {**params, "realm": realm},
    )
    return {row["instance_uid"] for row in rows}
