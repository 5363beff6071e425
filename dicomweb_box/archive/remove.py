"""Removal: rows go in one transaction, which also notes the blobs; the worker deletes those afterwards.

A crash in between leaves a noted blob, never a row without its blob.
"""

from collections.abc import Sequence

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.archive.aggregates import Touched
from dicomweb_box.archive.erased import forget_decisions
from dicomweb_box.archive.missing import missing
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, chunks, in_list
from dicomweb_box.errors import Conflict

MOST_AT_ONCE = 2000
"""Rows that one statement names."""


async def remove(
    box: Box,
    study_uid: str,
    series_uid: str | None = None,
    instance_uid: str | None = None,
    *,
    scope: Scope,
    actor: Actor,
    most: int | None = None,
) -> int:
    """How many current instances were removed for good, their earlier versions with them.

    Held versions stay: they wait for a person. Raises NotFound where this actor sees nothing to remove, Gone
    where it is rejected, and Conflict, removing nothing, where there are more than `most`.
    """
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> int:
        rows = await current_below(w, scope, study_uid, series_uid, instance_uid)
        if not rows:
            return 0
        if most is not None and len(rows) > most:
            raise Conflict("more instances have come since this was confirmed; look again at what would go")
        touched = await Touched.load(w, scope.realm, [])
        for chunk in chunks(rows, MOST_AT_ONCE):
            await touched.take_out(w, [row["id"] for row in chunk])
            await delete_versions(w, scope.realm, [row["instance_uid"] for row in chunk], "current", at)
        await touched.settle(w, at=at)
        await note_changes(w, "removed", rows, scope.realm, actor, at)
        await audit.record(w, box, *audit.of_studies(actor, Action.ERASE, rows))
        await forget_decisions(w, scope.realm, rows)
        return len(rows)

    removed: int = await box.database.write(work)
    if not removed:
        sentence = "there is nothing here to remove"
        raise await missing(box, sentence, study_uid, series_uid, instance_uid, scope=scope)
    return removed


async def drain_removals(box: Box, *, most: int = 500) -> int:
    """Delete blobs that no row names any more; how many. The worker calls this until it answers 0."""
    rows = await box.database.fetch_all(
        "select blob_key from blob_removal order by blob_key limit :most", {"most": most}
    )
    keys = [row["blob_key"] for row in rows]
    if not keys:
        return 0
    await in_thread(box, _delete_blobs, box, keys)
    names, params = in_list("key", keys)

    async def forget(w: Writer) -> None:
        await w.execute(f"delete from blob_removal where blob_key in {names}", params)

    await box.database.write(forget)
    return len(keys)


def _delete_blobs(box: Box, keys: Sequence[str]) -> None:
    for key in keys:
        box.blobs.delete(key)


async def current_below(
    w: Writer, scope: Scope, study_uid: str, series_uid: str | None, instance_uid: str | None
) -> Sequence[Row]:
    """The current instances there that this scope sees, locked, in the order of their UIDs."""
    where, params = visibility.series_condition(scope)
    conditions = ["study.realm = :realm", "study.study_uid = :study_uid", "instance.state = 'current'", where]
    params = {**params, "realm": scope.realm, "study_uid": study_uid}
    if series_uid is not None:
        conditions.append("series.series_uid = :series_uid")
        params["series_uid"] = series_uid
    if instance_uid is not None:
        conditions.append("instance.instance_uid = :instance_uid")
        params["instance_uid"] = instance_uid
    locked = " for update of instance" if w.dialect == "postgresql" else ""
    return await w.fetch_all(
        "select instance.id, instance.instance_uid, instance.source, instance.size, study.study_uid,"
        " series.series_uid from study"
        " join series on series.study_id = study.id join instance on instance.series_id = series.id"
        f" where {' and '.join(conditions)} order by instance.instance_uid" + locked,
        params,
    )


async def delete_versions(w: Writer, realm: str, uids: Sequence[str], state: str, at: str) -> None:
    """Delete the rows in this state and the earlier versions of the same instances; note their blobs."""
    names, params = in_list("uid", uids)
    condition = f"realm = :realm and instance_uid in {names} and state in (:state, 'earlier')"
    params = {**params, "realm": realm, "state": state}
    await w.execute(
        f"insert into blob_removal (blob_key, at) select blob_key, :at from instance where {condition}"
        " on conflict (blob_key) do nothing",
        {**params, "at": at},
    )
    await w.execute(f"delete from instance where {condition}", params)


_CHANGE = (
    "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
    " values (:at, :kind, :realm, :study_uid, :series_uid, :instance_uid, :source, :actor)"
)


async def note_changes(w: Writer, kind: str, rows: Sequence[Row], realm: str, actor: Actor, at: str) -> None:
    """Tell the feed what became of these instances."""
    common = {"at": at, "kind": kind, "realm": realm, "actor": actor.name}
    names = ("study_uid", "series_uid", "instance_uid", "source")
    await w.execute_many(_CHANGE, [{**common, **{name: row[name] for name in names}} for row in rows])
