"""From a file that has arrived to its outcome; and what became of files that never did."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from dicomweb_box.accounts.access import ANONYMOUS, Actor, Scope
from dicomweb_box.archive import partial_files, upload_results
from dicomweb_box.archive.brought import Brought
from dicomweb_box.archive.importing import candidates, import_all
from dicomweb_box.archive.partial_files import Busy, PartialFile
from dicomweb_box.archive.uploads import FILE_COLUMNS, File, file_of, scope_of, source_of, stamp
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BoxError, NotFound, OutOfResources

log = logging.getLogger(__name__)

KEPT = timedelta(days=7)
"""How long an unfinished file waits for its rest."""
TOLD_EVERY = 2.0
_RETRY = timedelta(minutes=1)
_FULL = "the storage is full: tried again every minute"
_AT_ONCE = 500


async def settle(box: Box, file: File, *, scope: Scope, actor: Actor) -> File:
    """Store what arrived in chunks, one instance or those of an archive; the partial file is deleted then.

    Whoever calls it holds the partial file's lock. Raises OutOfResources where the storage is full: the
    file stays where it is.
    """
    brought = Brought(path=file.path)
    path = partial_files.place(box.settings.data, file.session_id, file.id)
    chosen = await in_thread(box, candidates, [path], brought)
    brought.is_archive = brought.skipped > 0 or any(one.member is not None for one in chosen)
    telling = asyncio.create_task(_tell(box, file, brought))
    try:
        await import_all(box, chosen, brought, source=source_of(actor), actor=actor, scope=scope)
    finally:
        telling.cancel()
        await asyncio.wait({telling})
    if brought.full:
        raise OutOfResources("the storage is full")
    settled = await upload_results.write(box, brought.result(file, at=stamp(box.clock())))
    await in_thread(box, partial_files.remove, box.settings.data, file.session_id, file.id)
    return settled


async def _tell(box: Box, file: File, brought: Brought) -> None:
    """Write the counts of a long archive now and then."""
    with suppress(BoxError):
        while True:
            await asyncio.sleep(TOLD_EVERY)
            if brought.is_archive:
                await upload_results.write(box, brought.result(file, at=stamp(box.clock()), done=False))


async def settle_arrived(box: Box) -> int:
    """How many files were settled now: archives, and what a process that ended left; one after another."""
    rows = await box.database.fetch_all(
        f"select {_with_actor()} where upload_file.state = 'arrived' and (message = '' or"
        " upload_file.changed_at < :tried) order by upload_file.changed_at limit 20",
        {"tried": stamp(box.clock() - _RETRY)},
    )
    done = 0
    for row in rows:
        scope = scope_of(row["scope"], row["realm"])
        done += await _settle_held(box, file_of(row), scope, _actor(row))
    return done


def _with_actor() -> str:
    columns = ", ".join(f"upload_file.{name}" for name in FILE_COLUMNS.split(", "))
    joined = "upload_file join upload_session on upload_session.id = session_id"
    return f"{columns}, actor, scope, realm from {joined}"


def _actor(row: Row) -> Actor:
    return ANONYMOUS if row["actor"] == ANONYMOUS.name else Actor(name=row["actor"], kind="user")


async def _settle_held(box: Box, file: File, scope: Scope, actor: Actor) -> int:
    path = partial_files.place(box.settings.data, file.session_id, file.id)
    try:
        held = await in_thread(box, PartialFile.open, path)
    except (Busy, FileNotFoundError):
        return 0  # somebody is at it, or it lies on another machine
    try:
        await settle(box, file, scope=scope, actor=actor)
    except NotFound:
        await in_thread(box, partial_files.remove, box.settings.data, file.session_id, file.id)
    except OutOfResources:
        await box.database.write(lambda w: _postpone(w, file, stamp(box.clock())))
        log.warning("an uploaded file cannot be stored: the storage is full")
        return 0
    finally:
        await in_thread(box, held.close)
    return 1


async def _postpone(w: Writer, file: File, now: str) -> None:
    await w.execute(
        "update upload_file set message = :message, changed_at = :now where id = :id and state = 'arrived'",
        {"id": file.id, "message": _FULL, "now": now},
    )


async def expire(box: Box) -> int:
    """How many files were given up: not complete, and nothing of them came for a week."""
    now = box.clock()
    rows = await box.database.write(lambda w: _expire(w, stamp(now - KEPT), stamp(now)))
    for row in rows:
        await in_thread(box, partial_files.remove, box.settings.data, row["session_id"], row["id"])
    if not rows:
        await _remove_unknown(box)
    return len(rows)


async def _expire(w: Writer, before: str, now: str) -> list[Row]:
    rows = await w.fetch_all(
        "select id, session_id, received from upload_file where state = 'waiting' and changed_at < :before"
        " order by changed_at limit :most",
        {"before": before, "most": _AT_ONCE},
    )
    expired = []
    for row in sorted(rows, key=lambda row: str(row["session_id"])):
        await w.execute(
            "update upload_session set settled = settled + 1, refused = refused + 1, received_size ="
            " received_size - :received, changed_at = :now where id = :session",
            {"received": row["received"], "now": now, "session": row["session_id"]},
        )
        await w.execute(
            "update upload_file set state = 'expired', refused = 1, received = 0, changed_at = :now,"
            " message = 'its rest did not come within 7 days; what had come was deleted' where id = :id",
            {"id": row["id"], "now": now},
        )
        expired.append(row)
    return expired


async def _remove_unknown(box: Box) -> None:
    """Delete old partial files that no row waits for."""
    old = await in_thread(
        box, lambda: list(partial_files.left_behind(box.settings.data, KEPT.total_seconds()))
    )
    for session_id, file_id in old:
        known = await box.database.fetch_value(
            "select 1 from upload_file where id = :id and session_id = :session"
            " and state in ('waiting', 'arrived')",
            {"id": file_id, "session": session_id},
        )
        if known is None:
            await in_thread(box, partial_files.remove, box.settings.data, session_id, file_id)
