"""The bounded cache of what was fetched from peers: what of it is here, and what has to go.

Least recently used studies go first, and none that was asked for within `IN_USE`. Whoever reads a study for
longer says so again (`used`).
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive.aggregates import Touched
from dicomweb_box.archive.realms import CACHED
from dicomweb_box.archive.remove import MOST_AT_ONCE, current_below, delete_versions
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer, chunks
from dicomweb_box.errors import OutOfResources

IN_USE: Final = timedelta(minutes=5)
OLDEST: Final = timedelta(days=1)
"""What came longer ago is fetched again: it may have been corrected, or rejected, where it came from."""
TOLD_EVERY: Final = 60.0
"""Seconds; within them a process says once that a study is in use."""
_BATCH: Final = 100


class _Told(Recent):
    """When this process last said that a study is in use, by realm and UID."""


async def used(box: Box, realm: str, study_uid: str) -> None:
    """Say that a study is being read, or fetched."""
    told, key, now = box.resource(_Told, _Told), (realm, study_uid), time.monotonic()
    last: float | None = told.get(key)
    if last is not None and now - last < TOLD_EVERY:
        return
    told.put(key, now)
    await box.database.write(lambda w: _use(w, realm, study_uid, _text(box.clock())))


async def _use(w: Writer, realm: str, study_uid: str, at: str) -> None:
    await w.execute(
        "insert into proxied_study (realm, study_uid, fetched_at, used_at) values (:realm, :study, :at, :at)"
        " on conflict (realm, study_uid) do update set used_at = excluded.used_at",
        {"realm": realm, "study": study_uid, "at": at},
    )


async def size(box: Box) -> int:
    """Bytes that all caches hold together."""
    held = await box.database.fetch_value(f"select coalesce(sum(size), 0) from study where {CACHED}")
    return int(held)


async def check_room(box: Box) -> None:
    """Raises OutOfResources where caches hold twice what they may: all of it is being read."""
    if await size(box) > 2 * box.settings.proxy_cache:
        raise OutOfResources("the proxies' cache is full of what is being read; ask again later")


async def make_room(box: Box) -> int:
    """Let studies go that came too long ago, and those used longest ago while there is too much; how many.

    The worker calls this until it answers 0.
    """
    now, gone = box.clock(), 0
    held = await size(box)
    if held:
        await box.database.write(lambda w: _know_all(w, _text(now)))
    over = held - box.settings.proxy_cache
    for row in await _idle(box, now, over=over > 0):
        if over <= 0 and row["size"] and row["fetched_at"] >= _text(now - OLDEST):
            break
        if await _forget(box, row, _text(now - IN_USE)):
            over -= row["size"]
            gone += 1
    return gone


async def _know_all(w: Writer, at: str) -> None:
    """Of what came before somebody who died could say so: it is used now."""
    await w.execute(
        "insert into proxied_study (realm, study_uid, fetched_at, used_at)"
        f" select realm, study_uid, :at, :at from study where {CACHED} and not exists (select 1 from"
        " proxied_study p where p.realm = study.realm and p.study_uid = study.study_uid)"
        " on conflict (realm, study_uid) do nothing",
        {"at": at},
    )


async def _idle(box: Box, now: datetime, *, over: bool) -> Sequence[Row]:
    """Studies that nobody uses and that may have to go, the first those used longest ago."""
    return await box.database.fetch_all(
        "select p.realm, p.study_uid, p.fetched_at, coalesce(s.size, 0) as size from proxied_study p"
        " left join study s on s.realm = p.realm and s.study_uid = p.study_uid"
        " where p.used_at < :idle and (:over = 1 or p.fetched_at < :oldest or coalesce(s.size, 0) = 0)"
        " order by case when p.fetched_at < :oldest or coalesce(s.size, 0) = 0 then 0 else 1 end, p.used_at"
        " limit :most",
        {
            "idle": _text(now - IN_USE),
            "oldest": _text(now - OLDEST),
            "over": int(over),
            "most": _BATCH,
        },
    )


async def _forget(box: Box, row: Row, idle: str) -> bool:
    """Whether it went: somebody may have asked for it meanwhile."""
    at, realm, study_uid = _text(box.clock()), row["realm"], row["study_uid"]

    async def work(w: Writer) -> bool:
        gone = await w.fetch_value(
            "delete from proxied_study where realm = :realm and study_uid = :study and used_at < :idle"
            " returning study_uid",
            {"realm": realm, "study": study_uid, "idle": idle},
        )
        if gone is None:
            return False
        rows = await current_below(w, Scope(realm=realm), study_uid, None, None)
        touched = await Touched.load(w, realm, [])
        for some in chunks(rows, MOST_AT_ONCE):
            await touched.take_out(w, [one["id"] for one in some])
            await delete_versions(w, realm, [one["instance_uid"] for one in some], "current", at)
        await touched.settle(w, at=at)
        return True

    done: bool = await box.database.write(work)
    return done


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
