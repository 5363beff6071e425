"""Database: the one door to SQLite and PostgreSQL; their differences end here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dicomweb_box.database import migrations
from dicomweb_box.database.sqlite import PREFIX, SQLite
from dicomweb_box.database.statements import NOTHING, Dialect, Parameters, Reader, Row, Writer
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.database.postgresql import PostgreSQL

T = TypeVar("T")


class Database:
    """One open database; reads run side by side, writes one after another."""

    dialect: Dialect

    def __init__(self, engine: "SQLite | PostgreSQL") -> None:
        self._engine = engine
        self.dialect = engine.dialect

    @classmethod
    async def open(cls, url: str, *, readers: int = 4) -> Self:
        """The database at `sqlite:///path` or `postgresql://…`, not migrated.

        Raises BadSetting where there is none, or the url is of another kind.
        """
        engine = _engine(url, readers)
        await engine.open()
        return cls(engine)

    async def close(self) -> None:
        """Ends what runs and closes each connection."""
        await self._engine.close()

    async def migrate(self) -> list[str]:
        """Names of the migrations applied now; several processes may call it at once.

        Raises BadSetting where the database's own migrations are not those of this program.
        """
        return await migrations.migrate(self)

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        """What the work returns, its questions answered from one snapshot."""
        return await self._engine.read(work)

    async def write(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """What the work returns, once it is durable; nothing of it stays if it raises.

        The work awaits only its Writer's methods, and may be run again where the database asks for it. Raises
        UniqueViolation, or OutOfResources when the disk is full.
        """
        return await self._engine.write(work)

    def write_now(self, work: Callable[[Writer], Awaitable[T]]) -> tuple[T] | None:
        """As `write`, here in the calling thread; None, and nothing done, where that cannot be at once.

        Blocking. It spares the turns to the event loop and to the writer's thread, and back.
        """
        return self._engine.write_now(work)

    def moment(self) -> int | None:
        """A number that every commit of any process changes, told without waiting; None where there is none.

        What was read after one moment still holds while the moment is the same.
        """
        return self._engine.moment()

    async def fetch_all(self, sql: str, params: Parameters = NOTHING) -> Sequence[Row]:
        """The rows of one question."""
        return await self._engine.fetch_all(sql, params)

    async def fetch_one(self, sql: str, params: Parameters = NOTHING) -> Row | None:
        """The first row of one question; None without one."""
        return await self._engine.fetch_one(sql, params)

    async def fetch_value(self, sql: str, params: Parameters = NOTHING) -> Any:
        """The first column of the first row; None without one."""
        return await self._engine.fetch_value(sql, params)


def _engine(url: str, readers: int) -> "SQLite | PostgreSQL":
    if url.startswith(PREFIX):
        return SQLite(url, readers=readers)
    if url.startswith(("postgresql://", "postgres://")):
        # Imported only where it is used: 5 MiB that most boxes never need.
        from dicomweb_box.database.postgresql import PostgreSQL

        return PostgreSQL(url, readers=readers)
    raise BadSetting("a database url begins with sqlite:/// or postgresql://")
