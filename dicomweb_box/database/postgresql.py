"""PostgreSQL behind `databases`: its pool, and the plain asyncpg connections in it.

Compiling a text through `databases` costs 150 µs of CPU, more than the question itself.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import asyncpg
import databases
from asyncpg.exceptions import InterfaceError, PostgresError

from dicomweb_box.database.parameters import numbered
from dicomweb_box.database.statements import (
    NOTHING,
    Dialect,
    Parameters,
    Reader,
    Row,
    UniqueViolation,
    Writer,
)
from dicomweb_box.errors import BadSetting, OutOfResources

T = TypeVar("T")

# One writer at a time for all processes and machines, as on SQLite: what a transaction read is still so
# when it writes, and no two of ours can wait for each other. The transaction's end lets go of the lock.
# (The number spells DICOMweb.)
_LOCK = "select pg_advisory_xact_lock(4920538075760125282)"
# Within a transaction each question is planned with its values: a plan made without them walks the whole
# archive for a rare pattern. A question asked alone is one that a single index serves, and keeps its plan.
_PLAN_ANEW = "set local plan_cache_mode = force_custom_plan; set local enable_seqscan = on"
_BEGIN_WRITE = f"begin isolation level read committed; {_PLAN_ANEW}; {_LOCK}"
_BEGIN_READ = f"begin isolation level repeatable read, read only; {_PLAN_ANEW}"

_SESSION = {
    "application_name": "dicomweb_box",
    "synchronous_commit": "on",
    # Compiling a plan takes longer than any question asked here.
    "jit": "off",
    # So does starting a second process.
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",
    # Kept plans outlive the small tables they were made on.
    "enable_seqscan": "off",
}
_SERVER = "select current_setting('server_encoding'), cast(current_setting('server_version_num') as integer)"
_OLDEST = 130000
_ATTEMPTS = 8
# Fetching a connection from the pool and giving it back costs 0.1 ms of CPU, as much as a short question.
_KEPT = 2
_TRY_AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # A newer program migrated a table under a prepared statement of ours.
    asyncpg.InvalidCachedStatementError,
)


class PostgreSQL:
    """The engine behind Database where the url says postgresql."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: str, *, readers: int) -> None:
        self._kept: list[databases.core.Connection] = []
        self._database = databases.Database(
            url,
            dsn=url,  # asyncpg reads sslmode and the like from it, which `databases` leaves out
            min_size=1,
            max_size=readers + 2,
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            server_settings=_SESSION,
            init=_same_values_as_sqlite,
            reset=_leave_as_it_is,
        )

    async def open(self) -> None:
        try:
            await self._database.connect()
        except (OSError, PostgresError) as error:
            raise BadSetting(f"the database cannot be opened: {error}") from error
        encoding, version = await self.fetch_one(_SERVER, NOTHING) or ("", 0)
        if encoding != "UTF8" or version < _OLDEST:
            await self.close()
            raise BadSetting("the database must be PostgreSQL 13 or newer, with encoding UTF8")

    async def close(self) -> None:
        while self._kept:
            await self._kept.pop().__aexit__()
        await self._database.disconnect()

    def moment(self) -> int | None:
        return None  # only a round trip could tell

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            try:
                await connection.execute(_BEGIN_READ)
                return await work(PostgreSQLReader(connection))
            finally:
                await _roll_back(connection)

    async def write(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._write(work)
            except _TRY_AGAIN:
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads the attempts
        return await self._write(work)

    def write_now(self, work: Callable[[Writer], Awaitable[T]]) -> tuple[T] | None:
        return None  # its connections belong to the event loop

    async def fetch_all(self, sql: str, params: Parameters) -> Sequence[Row]:
        async with self._connection() as connection:
            return await _fetch_all(connection, sql, params)

    async def fetch_one(self, sql: str, params: Parameters) -> Row | None:
        async with self._connection() as connection:
            return await _fetch_one(connection, sql, params)

    async def fetch_value(self, sql: str, params: Parameters) -> Any:
        async with self._connection() as connection:
            return await _fetch_value(connection, sql, params)

    async def _write(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            try:
                await connection.execute(_BEGIN_WRITE)
                writer = PostgreSQLWriter(connection)
                result = await work(writer)
                await connection.execute("commit")
            except BaseException:
                await _roll_back(connection)
                raise
        for told in writer.committed:
            await asyncio.to_thread(told)
        return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of one's own; what fails on it goes back to the pool, to be looked after there."""
        # `databases` gives one task one connection, so that each is fetched in a task of its own.
        held = await self._kept_one()
        if held is None:
            held = await asyncio.create_task(self._fetch_connection())
        well = False
        try:
            yield held.raw_connection
            well = True
        except PostgresError as error:
            if (ours := _ours(error)) is error:
                raise
            raise ours from None
        finally:
            if well and len(self._kept) < _KEPT:
                self._kept.append(held)
            else:
                await held.__aexit__()

    async def _kept_one(self) -> databases.core.Connection | None:
        while self._kept:
            held = self._kept.pop()
            if not _is_lost(held.raw_connection):
                return held
            await held.__aexit__()
        return None

    async def _fetch_connection(self) -> databases.core.Connection:
        return await self._database.connection().__aenter__()


class PostgreSQLReader:
    """Questions within one transaction."""

    dialect: Dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, params: Parameters = NOTHING) -> Sequence[Row]:
        return await _fetch_all(self._connection, sql, params)

    async def fetch_one(self, sql: str, params: Parameters = NOTHING) -> Row | None:
        return await _fetch_one(self._connection, sql, params)

    async def fetch_value(self, sql: str, params: Parameters = NOTHING) -> Any:
        return await _fetch_value(self._connection, sql, params)


class PostgreSQLWriter(PostgreSQLReader):
    """The same within a write transaction."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.committed: list[Callable[[], None]] = []

    def after_commit(self, work: Callable[[], None]) -> None:
        self.committed.append(work)

    async def execute(self, sql: str, params: Parameters = NOTHING) -> None:
        statement, names = numbered(sql)
        await self._connection.fetch(statement, *[params[name] for name in names])

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> None:
        statement, names = numbered(sql)
        await self._connection.executemany(statement, [[row[name] for name in names] for row in params])

    async def run_script(self, script: str) -> None:
        """All statements of a migration."""
        await self._connection.execute(script)


async def _fetch_all(connection: Any, sql: str, params: Parameters) -> Sequence[Row]:
    statement, names = numbered(sql)
    return cast(Sequence[Row], await connection.fetch(statement, *[params[name] for name in names]))


async def _fetch_one(connection: Any, sql: str, params: Parameters) -> Row | None:
    statement, names = numbered(sql)
    return cast(Row | None, await connection.fetchrow(statement, *[params[name] for name in names]))


async def _fetch_value(connection: Any, sql: str, params: Parameters) -> Any:
    statement, names = numbered(sql)
    return await connection.fetchval(statement, *[params[name] for name in names])


async def _same_values_as_sqlite(connection: Any) -> None:
    """A sum of bigint is an int and not a Decimal, a comparison 1 or 0."""
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text"
    )
    await connection.set_type_codec(
        "bool", schema="pg_catalog", encoder=lambda value: "t" if value else "f", decoder=_flag, format="text"
    )


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _flag(text: str) -> int:
    return 1 if text == "t" else 0


async def _roll_back(connection: Any) -> None:
    # A lost connection has nothing left to roll back, and its own error is the one to hear.
    if not _is_lost(connection):
        await connection.execute("rollback")


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except InterfaceError:
        return True  # the pool has taken it back


async def _leave_as_it_is(connection: Any) -> None:
    """What a connection needs between uses: nothing; asyncpg's own reset costs a round trip each time."""


def _ours(error: PostgresError) -> Exception:
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return OutOfResources("the database has no disk, memory or connection left")
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(f"unique constraint failed: {getattr(error, 'constraint_name', '')}")
    # The detail quotes the failing row.
    error.__dict__["detail"] = None
    return error
