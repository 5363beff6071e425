"""The change feed, read in order by those who keep up with it, each from a cursor of its own.

Identities commit out of order on PostgreSQL: rows are read by transaction number, and only those below the
oldest transaction that still runs, behind which none can come any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.database import Reader, Row, Writer

_COLUMNS = "id, kind, realm, study_uid, series_uid, instance_uid, source"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Behind which row the feed is read on."""

    txid: int
    change_id: int


async def cursor(read: Reader, reader: str) -> Cursor:
    """How far a reader has come; the beginning, for one that is not known."""
    row = await read.fetch_one(
        "select transaction_id, change_id from change_cursor where reader = :reader", {"reader": reader}
    )
    return Cursor(txid=0, change_id=0) if row is None else _cursor(row)


def _cursor(row: Row) -> Cursor:
    return Cursor(txid=row["transaction_id"], change_id=row["change_id"])


async def after(read: Reader, at: Cursor, most: int) -> tuple[Sequence[Row], Cursor]:
    """The next rows, at most so many, and the cursor behind them."""
    if read.dialect == "sqlite":
        rows = await read.fetch_all(
            f"select {_COLUMNS}, 0 as txid from change where id > :id order by id limit :most",
            {"id": at.change_id, "most": most},
        )
    else:
        rows = await read.fetch_all(
            f"select {_COLUMNS}, cast(cast(txid as text) as bigint) as txid from change"
            " where (txid, id) > (cast(cast(:txid as text) as xid8), cast(:id as bigint))"
            " and txid < pg_snapshot_xmin(pg_current_snapshot())"
            " order by change.txid, change.id limit :most",
            {"txid": str(at.txid), "id": at.change_id, "most": most},
        )
    return rows, Cursor(txid=rows[-1]["txid"], change_id=rows[-1]["id"]) if rows else at


async def advance(w: Writer, reader: str, before: Cursor, behind: Cursor) -> bool:
    """Move a reader's cursor; False where it was no longer where it was thought to be."""
    if await cursor(w, reader) != before:
        return False
    moved = await w.fetch_value(
        "insert into change_cursor (reader, transaction_id, change_id) values (:reader, :txid, :id)"
        " on conflict (reader) do update set transaction_id = excluded.transaction_id,"
        " change_id = excluded.change_id"
        " where change_cursor.transaction_id = :old_txid and change_cursor.change_id = :old_id"
        " returning reader",
        {
            "reader": reader,
            "txid": behind.txid,
            "id": behind.change_id,
            "old_txid": before.txid,
            "old_id": before.change_id,
        },
    )
    return moved is not None


async def skip_to_end(w: Writer, reader: str) -> None:
    """Let a reader begin with what is committed after this transaction began, or while it runs."""
    if w.dialect == "sqlite":
        end = Cursor(txid=0, change_id=await w.fetch_value("select coalesce(max(id), 0) from change"))
    else:
        # A transaction that runs now may have taken its number before this one, and ends after it.
        oldest = await w.fetch_value(
            "select cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)"
        )
        end = Cursor(txid=oldest - 1, change_id=2**62)
    await w.execute(
        "insert into change_cursor (reader, transaction_id, change_id) values (:reader, :txid, :id)"
        " on conflict (reader) do update set transaction_id = excluded.transaction_id,"
        " change_id = excluded.change_id",
        {"reader": reader, "txid": end.txid, "id": end.change_id},
    )
