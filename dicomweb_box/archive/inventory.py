"""What the archive holds, counted by the worker now and then, so that nobody waits for a count.

Kept as one `mark`: totals, objects by modality and month, and how many instances arrived in each minute
of the last hours.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Writer

MARK = "inventory"
CHECKED = "checked"
SAMPLES = 180
"""Minutes of arrivals that are remembered."""
_SHARE = 50
"""Counting may take one part in so many of the time, where it takes longer than `_QUICK` seconds."""
_QUICK = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Instances of one modality whose study was made in one month (YYYYMM; "" where that is not known)."""

    modality: str
    month: str
    instances: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What there is, as counted at a moment."""

    counted_at: str = ""
    """Empty where nothing was counted yet."""
    took: float = 0.0
    studies: int = 0
    series: int = 0
    instances: int = 0
    size: int = 0
    not_served: int = 0
    """Versions that are held or were replaced, and what is rejected."""
    not_served_size: int = 0
    held: Sequence[Held] = ()
    arrived: Sequence[tuple[str, int]] = ()
    """Moments about a minute apart, each with the instances that arrived since the one before."""
    last_change: int = 0


async def latest(box: Box) -> Inventory:
    """What was counted last."""
    text = await box.database.fetch_value("select value from mark where name = :name", {"name": MARK})
    return _from(text)


@dataclass(slots=True)
class Counting:
    """When the worker counts next, by how long it took; one for each box."""

    next_at: float = 0.0
    counted: int = -1
    """The change that the last count knew."""
    held: list[dict[str, Any]] = field(default_factory=list)

    async def close(self) -> None:
        """Nothing is held open."""


async def count(box: Box) -> None:
    """Note the arrivals of this minute; count all there is where something changed and it is time."""
    counting = box.resource(Counting, lambda box: Counting())
    before = await latest(box)
    began = time.monotonic()
    now = box.clock().isoformat(timespec="seconds")
    last, arrived = await _arrivals(box, before)
    found: dict[str, Any] = {"last_change": last, "arrived": [*before.arrived, (now, arrived)][-SAMPLES:]}
    if last != counting.counted and began >= counting.next_at:
        found |= await box.database.read(_totals)
        took = time.monotonic() - began
        found |= {"counted_at": now, "took": round(took, 3)}
        counting.counted = last
        counting.next_at = time.monotonic() + (took * _SHARE if took > _QUICK else 0)
    await note(box, MARK, _plain(before) | found)


async def note(box: Box, name: str, value: Any) -> None:
    """Keep a fact about this database, in place of what was kept under its name."""
    text = orjson.dumps(value).decode()

    async def work(w: Writer) -> None:
        await w.execute(
            "insert into mark (name, value) values (:name, :value)"
            " on conflict (name) do update set value = excluded.value",
            {"name": name, "value": text},
        )

    await box.database.write(work)


async def checked(box: Box) -> dict[str, Any] | None:
    """What `check` said last, and when; None where it never ran."""
    text = await box.database.fetch_value("select value from mark where name = :name", {"name": CHECKED})
    found: dict[str, Any] | None = orjson.loads(text) if text else None
    return found


async def _arrivals(box: Box, before: Inventory) -> tuple[int, int]:
    row = await box.database.fetch_one(
        "select coalesce(max(id), 0) as last, coalesce(sum(case when id > :before and kind in ('stored',"
        " 'replaced') then 1 else 0 end), 0) as arrived from change where id >= :before",
        {"before": before.last_change},
    )
    assert row is not None  # noqa: S101  (a select of sums gives one row)
    last = max(int(row["last"]), before.last_change)
    # The first count must not take the whole history for one minute's work.
    return last, int(row["arrived"]) if before.arrived else 0


async def _totals(reader: Reader) -> dict[str, Any]:
    rows = await reader.fetch_all(
        "select series.modality, substr(study.study_date, 1, 6) as month, count(*) as series,"
        " sum(series.instance_count) as instances, sum(series.size) as size"
        " from series join study on study.id = series.study_id where study.realm = 'main' group by 1, 2"
    )
    studies = await reader.fetch_value(
        "select coalesce(sum(study_count), 0) from study_day where realm = 'main'"
    )
    rest = await reader.fetch_one(
        "select count(*) as count, coalesce(sum(size), 0) as size from instance"
        " where state <> 'current' and realm = 'main'"
    )
    assert rest is not None  # noqa: S101  (a select of sums gives one row)
    held = [
        {
            "modality": row["modality"],
            "month": row["month"],
            "instances": int(row["instances"]),
            "size": int(row["size"]),
        }
        for row in rows
    ]
    return {
        "studies": int(studies),
        "series": sum(int(row["series"]) for row in rows),
        "instances": sum(one["instances"] for one in held),
        "size": sum(one["size"] for one in held),
        "not_served": int(rest["count"]),
        "not_served_size": int(rest["size"]),
        "held": held,
    }


def _from(text: str | None) -> Inventory:
    if not text:
        return Inventory()
    found = orjson.loads(text)
    found["held"] = [Held(**one) for one in found["held"]]
    found["arrived"] = [(moment, number) for moment, number in found["arrived"]]
    return Inventory(**found)


def _plain(inventory: Inventory) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(inventory))
    return found
