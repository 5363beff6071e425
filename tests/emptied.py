"""Makes a used PostgreSQL database as good as a fresh copy of the template, much faster than copying it.

A copy is some 300 files; a test touches a few of them. What deleting rows cannot put back (another schema,
statistics of the planner, much dead space) shows, and such a database is to be dropped instead.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import asyncpg

_FINGERPRINT = r"""
    select (select string_agg(concat_ws(' ', oid, relname, relkind, relnatts, reloptions), ',' order by oid)
            from pg_class where relnamespace = 'public'::regnamespace),
        (select string_agg(oid::text, ',' order by oid) from pg_constraint
            where connamespace = 'public'::regnamespace),
        (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
        (select count(*) from pg_namespace where nspname not like 'pg\_%temp\_%'),
        (select count(*) from pg_statistic where starelid >= 16384),
        (select count(*) from pg_trigger),
        (select datconnlimit from pg_database where datname = current_database())"""
_OTHERS = """select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""
_MOST_GROWTH = 2 << 20
"""Bytes of dead space with which a database is still as quick as a fresh one."""


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What a database holds that was just copied from the template."""

    fingerprint: tuple[Any, ...]
    tables: tuple[str, ...]
    rows: dict[str, bytes]
    """By table, in PostgreSQL's binary format; tables without rows are left out."""
    sequences: dict[str, int | None]
    size: int


async def look_at(url: str) -> Fresh:
    """What is in a fresh database."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        tables = tuple(str(row[0]) for row in found)
        rows = {}
        for table in tables:
            if await connection.fetchval(f'select exists (select from "{table}")'):
                copied = BytesIO()
                await connection.copy_from_table(table, output=copied, format="binary")
                rows[table] = copied.getvalue()
        sequences = await connection.fetch(
            "select sequencename, last_value from pg_sequences where schemaname = 'public'"
        )
        return Fresh(
            fingerprint=await _fingerprint(connection),
            tables=tables,
            rows=rows,
            sequences=dict(map(tuple, sequences)),
            size=await _size(connection),
        )
    finally:
        await connection.close()


async def empty(url: str, fresh: Fresh) -> bool:
    """Make the database as it was when fresh; False where it cannot be."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_OTHERS)
        if await _fingerprint(connection) != fresh.fingerprint:
            return False
        async with connection.transaction():
            # No foreign key is looked at meanwhile.
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(";".join(f'delete from "{table}"' for table in fresh.tables))
            for table, rows in fresh.rows.items():
                await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
            for name, value in fresh.sequences.items():
                await connection.execute(
                    "select setval($1::text::regclass, $2, $3)", name, value or 1, value is not None
                )
        return await _size(connection) <= fresh.size + _MOST_GROWTH
    finally:
        await connection.close()


async def _fingerprint(connection: asyncpg.Connection) -> tuple[Any, ...]:
    return tuple(await connection.fetchrow(_FINGERPRINT))


async def _size(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("select pg_database_size(current_database())"))
