"""Whether this archive can be used now, and a few numbers about it that cost nothing to read."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import BoxError

PATIENCE = 5.0
"""Seconds after which a store that does not answer counts as unusable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """What `/metrics` tells of the database."""

    studies: int
    waiting: int
    """Instances that are not served: earlier versions, held and rejected ones."""
    removals: int
    """Blobs that no row names and the worker has not deleted yet."""
    changes: int
    """Number of the latest change."""


async def troubles(box: Box) -> dict[str, str]:
    """What is unusable now, each with a sentence; empty when the box is ready."""
    checks: dict[str, Callable[[], Awaitable[Any]]] = {
        "database": lambda: box.database.fetch_value(
            "select 1 from mark where name = :name", {"name": "ready"}
        ),
        "blobs": lambda: in_thread(box, box.blobs.probe),
    }
    found = await asyncio.gather(*(_trouble(check) for check in checks.values()))
    return {name: trouble for name, trouble in zip(checks, found, strict=True) if trouble is not None}


async def numbers(box: Box) -> Numbers:
    """The numbers of this moment; none of them needs a walk over instances."""
    row = await box.database.fetch_one(
        "select coalesce((select sum(study_count) from study_day where realm = 'main'), 0) as studies,"
        " (select count(*) from instance where state <> 'current' and realm = 'main') as waiting,"
        " (select count(*) from blob_removal) as removals,"
        " coalesce((select max(id) from change), 0) as changes"
    )
    assert row is not None  # noqa: S101  (a select without from gives one row)
    return Numbers(**{name: int(row[name]) for name in ("studies", "waiting", "removals", "changes")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """The disk that the data folder lies on, in bytes."""

    size: int
    free: int


async def disk(box: Box) -> Disk:
    """How full the data folder's disk is; in a bucket lie the blobs, here the index and what is derived."""
    usage = await in_thread(box, shutil.disk_usage, box.settings.data)
    return Disk(size=usage.total, free=usage.free)


async def database_version(box: Box) -> str:
    """Which database keeps the index, and its version."""
    if box.database.dialect == "sqlite":
        return f"SQLite {await box.database.fetch_value('select sqlite_version()')}"
    return f"PostgreSQL {await box.database.fetch_value('show server_version')}"


async def _trouble(check: Callable[[], Awaitable[Any]]) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE):
            await check()
    except TimeoutError:
        return "does not answer"
    except BoxError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  (whatever a driver raises, the answer is the same: not usable)
        return f"does not work ({type(error).__name__})"
    return None
