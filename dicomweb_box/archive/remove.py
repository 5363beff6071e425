"""Removal: rows go in one transaction, which also notes the blobs; the worker deletes those afterwards.

A crash in between leaves a noted blob, never a row without its blob.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import labels, visibility
from dicomweb_box.archive.aggregates import Touched
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.errors import NotFound

_CHUNK = 2000


async def remove(
    box: Box,
    study_uid: str,
    series_uid: str | None = None,
    instance_uid: str | None = None,
    *,
    scope: Scope,
    actor: Actor,
) -> int:
    """How many current instances were removed for good, their earlier versions with them.

    Held versions stay: they wait for a person. Raises NotFound where this actor sees nothing to remove.
    """
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> int:
        rows = await _targets(w, scope, study_uid, series_uid, instance_uid)
        if not rows:
            raise NotFound("there is nothing here to remove")
        touched = await Touched.load(w, scope.realm, [])
        for chunk in _chunks(rows):
            await touched.take_out(w, [row["id"] for row in chunk])
            await _delete(w, scope.realm, chunk, at)
        await touched.settle(w, at=at)
        gone = {(row["study_uid"], row["series_uid"]) for row in rows}
        await labels.forget_gone(w, scope.realm, gone)
        await w.execute_many(_CHANGE, [_change(row, scope.realm, actor, at) for row in rows])
        return len(rows)

    removed: int = await box.database.write(work)
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


async def _targets(
    w: Writer, scope: Scope, study_uid: str, series_uid: str | None, instance_uid: str | None
) -> Sequence[Row]:
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
        "select instance.id, instance.instance_uid, instance.source, study.study_uid,"
        " series.series_uid from study"
        " join series on series.study_id = study.id join instance on instance.series_id = series.id"
        f" where {' and '.join(conditions)} order by instance.instance_uid" + locked,
        params,
    )


async def _delete(w: Writer, realm: str, rows: Sequence[Row], at: str) -> None:
    """Delete these current rows and the earlier versions of the same instances; note their blobs."""
    names, params = in_list("uid", [row["instance_uid"] for row in rows])
    condition = f"realm = :realm and instance_uid in {names} and state in ('current', 'earlier')"
    params = {**params, "realm": realm}
    await w.execute(
        f"insert into blob_removal (blob_key, at) select blob_key, :at from instance where {condition}"
        " on conflict (blob_key) do nothing",
        {**params, "at": at},
    )
    await w.execute(f"delete from instance where {condition}", params)


_CHANGE = (
    "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
    " values (:at, 'removed', :realm, :study_uid, :series_uid, :instance_uid, :source, :actor)"
)


def _change(row: Row, realm: str, actor: Actor, at: str) -> dict[str, Any]:
    return {
        "at": at,
        "realm": realm,
        "study_uid": row["study_uid"],
        "series_uid": row["series_uid"],
        "instance_uid": row["instance_uid"],
        "source": row["source"],
        "actor": actor.name,
    }


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]
