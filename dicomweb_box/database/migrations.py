"""Numbered plain SQL files, each applied once, in its own transaction, and recorded with its digest.

`NNNN_name.sql` serves both databases; where they differ there are twins, `NNNN_name.sqlite.sql` and
`NNNN_name.pg.sql`, or one of them where the other database has nothing to do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dicomweb_box.database.statements import Dialect, Reader, Row, Writer
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.database.database import Database

FOLDER = Path(__file__).parent.parent / "migrations"

_SUFFIX = {"sqlite": ".sqlite.sql", "postgresql": ".pg.sql"}

_TABLE = """
    create table if not exists schema_migration (
        name text primary key,
        digest text not null,
        applied_at text not null
    )
"""
_TABLE_EXISTS = {
    "sqlite": "select count(*) from sqlite_schema where name = 'schema_migration'",
    "postgresql": "select to_regclass('schema_migration') is not null",
}
_NOW = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
    "postgresql": "to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    name: str
    script: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()


def migrations(dialect: Dialect, folder: Path = FOLDER) -> list[Migration]:
    """Every migration of this dialect in the order of its number."""
    found = {}
    for path in folder.glob("*.sql"):
        name = path.name.removesuffix(".sql")
        name, _, twin = name.partition(".")
        if not twin or path.name.endswith(_SUFFIX[dialect]):
            found[name] = Migration(name=name, script=path.read_text(encoding="utf-8"))
    return [found[name] for name in sorted(found)]


async def migrate(database: "Database", folder: Path = FOLDER) -> list[str]:
    """Names of the migrations applied now.

    Raises BadSetting where an applied migration has changed since, or the database has one unknown here.
    """
    known = migrations(database.dialect, folder)
    # Every process asks at its start: where nothing is to be done, nothing is written and nobody waited for.
    waiting = await database.read(partial(_waiting, known))
    return [step.name for step in waiting if await database.write(partial(_apply, step))]


async def _waiting(known: list[Migration], read: Reader) -> list[Migration]:
    if not await read.fetch_value(_TABLE_EXISTS[read.dialect]):
        return known
    applied = await read.fetch_all("select name, digest from schema_migration order by name")
    _check(known, applied)
    done = {name for name, _ in applied}
    return [step for step in known if step.name not in done]


def _check(known: list[Migration], applied: Sequence[Row]) -> None:
    digests = {step.name: step.digest for step in known}
    for name, digest in applied:
        if name not in digests:
            raise BadSetting(f"the database has migration {name}, which this program is too old to know")
        if digests[name] != digest:
            raise BadSetting(f"migration {name} is not the one that was applied to this database")


async def _apply(step: Migration, write: Writer) -> bool:
    await write.execute(_TABLE)
    # Another process may have been first.
    if await write.fetch_one("select name from schema_migration where name = :name", {"name": step.name}):
        return False
    await write.run_script(step.script)
    await write.execute(
        "insert into schema_migration (name, digest, applied_at) "
        f"values (:name, :digest, {_NOW[write.dialect]})",
        {"name": step.name, "digest": step.digest},
    )
    return True
