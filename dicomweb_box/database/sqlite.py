"""SQLite behind `databases`: held plain connections, one writer, a lock file between processes.

`databases` opens an aiosqlite connection and thread for every call (0.7 ms) and begins its transactions
deferred, which fails under concurrent writers. This backend is registered with it under its own scheme and
does both itself.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import databases
from databases.interfaces import DatabaseBackend

from dicomweb_box.database.lanes import Lane, drive
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

PREFIX = "sqlite:///"
SCHEME = "sqlite+held"

_OLDEST = (3, 35)

# `synchronous = full` syncs the log at each commit: what was acknowledged survives a power cut.
# LIKE regards case as PostgreSQL's does, and can then use an ordinary index for a prefix.
_PRAGMAS = """
    pragma busy_timeout = 20000;
    pragma synchronous = full;
    pragma foreign_keys = on;
    pragma case_sensitive_like = on;
    pragma temp_store = memory;
"""
_READER_PRAGMAS = """
    pragma cache_size = -4096;
    pragma query_only = on;
"""
# The checkpointer moves the log into the database beside the writer; past 64 MiB the writer does it itself,
# so that the log cannot grow for ever under a load that never pauses.
_WRITER_PRAGMAS = """
    pragma cache_size = -16384;
    pragma wal_autocheckpoint = 16384;
    pragma journal_size_limit = 67108864;
"""
_CHECKPOINT_PAUSE = 1.0

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_UNIQUE = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}


class HeldBackend(DatabaseBackend):
    """Opens and closes the connections; `databases` calls it by its scheme."""

    def __init__(self, url: databases.DatabaseURL, *, path: Path, readers: int) -> None:
        self.path = path
        self.readers = readers

    async def connect(self) -> None:
        """Raises sqlite3.Error where the file is no database, OSError where it cannot be made."""
        _make(self.path)
        self.lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _locked(self.lock):
                writer = _connect(self.path, _WRITER_PRAGMAS)
            reading = [_connect(self.path, _READER_PRAGMAS) for _ in range(self.readers)]
        except sqlite3.Error:
            os.close(self.lock)
            raise
        self.connections = [writer, *reading]
        # Whoever holds it may use the writer's connection: its own thread, or one that writes at once.
        self.writing = threading.Lock()
        self.read_lane = Lane(reading, "database-read")
        self.write_lane = Lane([writer], "database-write")
        self.checkpointer = Checkpointer(self.path)
        self.watch = _connect(self.path, _READER_PRAGMAS)

    async def disconnect(self) -> None:
        self.write_lane.close()
        self.read_lane.close()
        self.checkpointer.close()
        self.watch.close()
        for connection in self.connections:
            connection.close()
        os.close(self.lock)


databases.Database.SUPPORTED_BACKENDS[SCHEME] = f"{__name__}:HeldBackend"


class SQLite:
    """The engine behind Database where the url says sqlite."""

    dialect: Dialect = "sqlite"

    def __init__(self, url: str, *, readers: int) -> None:
        # The path is taken as it stands: in a url, `#`, `?` and `%` would not be themselves.
        path = Path(url.removeprefix(PREFIX))
        self._database = databases.Database(f"{SCHEME}:///", path=path, readers=readers)
        self._backend = cast(HeldBackend, self._database._backend)

    async def open(self) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise BadSetting(f"SQLite {sqlite3.sqlite_version} is too old: trigrams need 3.35")
        try:
            await self._database.connect()
        except (OSError, sqlite3.Error) as error:
            raise BadSetting(f"the database cannot be opened: {error}") from error

    async def close(self) -> None:
        await self._database.disconnect()

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        result: T = await self._backend.read_lane.run(_read, work)
        return result

    async def write(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        result: T = await self._backend.write_lane.run(_write_in_turn, self._backend, work)
        self._backend.checkpointer.wake()
        return result

    def write_now(self, work: Callable[[Writer], Awaitable[T]]) -> tuple[T] | None:
        backend = self._backend
        if not backend.writing.acquire(blocking=False):
            return None
        try:
            result = _write(backend.connections[0], backend.lock, work)
        finally:
            backend.writing.release()
        backend.checkpointer.wake()
        return (result,)

    def moment(self) -> int | None:
        # Answered from the log's index in shared memory: 3 µs, without a hop to a thread.
        try:
            return _fetch_value(self._backend.watch, "pragma data_version", NOTHING)  # type: ignore[no-any-return]
        except sqlite3.Error:
            return None

    # One statement is one snapshot by itself: no transaction around it.

    async def fetch_all(self, sql: str, params: Parameters) -> Sequence[Row]:
        return await self._backend.read_lane.run(_fetch_all, sql, params)

    async def fetch_one(self, sql: str, params: Parameters) -> Row | None:
        return await self._backend.read_lane.run(_fetch_one, sql, params)

    async def fetch_value(self, sql: str, params: Parameters) -> Any:
        return await self._backend.read_lane.run(_fetch_value, sql, params)


class SQLiteReader:
    """Plain blocking calls in the thread of the connection: its methods never suspend."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, params: Parameters = NOTHING) -> Sequence[Row]:
        return _fetch_all(self._connection, sql, params)

    async def fetch_one(self, sql: str, params: Parameters = NOTHING) -> Row | None:
        return _fetch_one(self._connection, sql, params)

    async def fetch_value(self, sql: str, params: Parameters = NOTHING) -> Any:
        return _fetch_value(self._connection, sql, params)


class SQLiteWriter(SQLiteReader):
    """The same within a write transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.committed: list[Callable[[], None]] = []

    def after_commit(self, work: Callable[[], None]) -> None:
        self.committed.append(work)

    async def execute(self, sql: str, params: Parameters = NOTHING) -> None:
        self._connection.execute(sql, params)

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> None:
        self._connection.executemany(sql, params)

    async def run_script(self, script: str) -> None:
        """Each statement of a migration; a trigger's own semicolons do not end it."""
        statement = ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._connection.execute(statement)
                statement = ""
        if statement.strip():
            self._connection.execute(statement)


class Checkpointer:
    """Moves the log into the database after writes, in a thread and connection of its own.

    A passive checkpoint waits for nobody and nobody waits for it; left to the writer, each fourth MiB
    would cost one of its commits tens of milliseconds.
    """

    def __init__(self, path: Path) -> None:
        self._connection = _connect(path, "")
        self._written = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="database-checkpoint", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the log."""
        self._written.set()

    def close(self) -> None:
        self._closing.set()
        self._written.set()
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        while self._written.wait() and not self._closing.wait(_CHECKPOINT_PAUSE):
            self._written.clear()
            # A full disk or a busy file is met again by the next write, which has somebody to tell.
            with suppress(sqlite3.Error):
                self._connection.execute("pragma wal_checkpoint(passive)").fetchall()


def _make(path: Path) -> None:
    # The log and its index take over this mode: nobody else on the machine reads them.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # SQLite syncs what is in its file, but not that the file is in its folder.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path, pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=20, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.executescript("pragma journal_mode = wal;" + _PRAGMAS + pragmas)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _read(connection: sqlite3.Connection, work: Callable[[Reader], Awaitable[T]]) -> T:
    connection.execute("begin")
    try:
        return drive(work(SQLiteReader(connection)))
    finally:
        # Nothing was changed, so that a rollback ends it as well as a commit and cannot fail.
        connection.rollback()


def _write_in_turn(
    connection: sqlite3.Connection, backend: HeldBackend, work: Callable[[Writer], Awaitable[T]]
) -> T:
    with backend.writing:
        return _write(connection, backend.lock, work)


def _write(connection: sqlite3.Connection, lock: int, work: Callable[[Writer], Awaitable[T]]) -> T:
    try:
        with _locked(lock):
            connection.execute("begin immediate")
            writer = SQLiteWriter(connection)
            try:
                result = drive(work(writer))
                connection.execute("commit")
            except BaseException:
                connection.rollback()
                raise
    except sqlite3.Error as error:
        if (ours := _ours(error)) is error:
            raise
        raise ours from None
    for told in writer.committed:
        told()
    return result


@contextmanager
def _locked(lock: int) -> Iterator[None]:
    # Writers of several processes queue here: SQLite's own busy handler sleeps and is unfair.
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _fetch_all(connection: sqlite3.Connection, sql: str, params: Parameters) -> Sequence[Row]:
    return connection.execute(sql, params).fetchall()


def _fetch_one(connection: sqlite3.Connection, sql: str, params: Parameters) -> Row | None:
    return cast(Row | None, connection.execute(sql, params).fetchone())


def _fetch_value(connection: sqlite3.Connection, sql: str, params: Parameters) -> Any:
    row = connection.execute(sql, params).fetchone()
    return None if row is None else row[0]


def _ours(error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _FULL:
        return OutOfResources("the disk of the database is full")
    if code in _UNIQUE:
        return UniqueViolation(str(error))
    return error
