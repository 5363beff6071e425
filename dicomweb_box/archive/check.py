"""Does the index tell the truth about the blobs, and are the blobs what they were?"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dicomweb_box.accounts import audit, audit_check
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import inventory, reindex
from dicomweb_box.archive.blob_keys import moment_of
from dicomweb_box.archive.realms import LASTING
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BoxError, NotFound

_PIECE = 1 << 20
_BATCH = 500
# A blob is durable a moment before its row is: younger ones may belong to a store under way.
_UNDER_WAY = timedelta(minutes=2)


@dataclass(slots=True)
class Report:
    """What `check` found; each entry is a blob key, but in `miscounted` (studies) and `audit`."""

    instances: int = 0
    missing: list[str] = field(default_factory=list)
    """Rows whose blob is not there."""
    damaged: list[str] = field(default_factory=list)
    """Blobs whose size or SHA-256 is not what was stored."""
    orphaned: list[str] = field(default_factory=list)
    """Blobs that no row names: left by a crash between the blob and its row, so never acknowledged."""
    miscounted: list[str] = field(default_factory=list)
    """Studies whose counters are not what their rows add up to."""
    audit: list[str] = field(default_factory=list)
    """What is not as it was written in the audit: a sentence for each chain."""
    repaired: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not (self.missing or self.damaged or self.orphaned or self.miscounted or self.audit)


async def check(
    box: Box, *, repair: bool = False, progress: Callable[[int], None] = lambda done: None
) -> Report:
    """Compare every row with its blob, digests included, and every blob with the rows.

    `repair` makes orphans searchable again and counts anew. What is missing or damaged cannot be made from
    nothing: its row stays, so that the loss stays visible until a backup brings the blob back.
    """
    report = Report()
    await _check_rows(box, report, progress)
    await _check_blobs(box, report)
    report.miscounted = await _miscounted(box)
    report.audit = await audit_check.verify(box)
    if report.audit:
        await audit.recorded(box, audit.Entry(actor=SYSTEM, action=Action.ALERT, count=len(report.audit)))
    if repair:
        await _repair(box, report)
    await inventory.note(box, inventory.CHECKED, _said(box, report))
    return report


def _said(box: Box, report: Report) -> dict[str, Any]:
    """What the page of the archive's state says of it."""
    numbers = {
        name: len(getattr(report, name)) for name in ("missing", "damaged", "orphaned", "miscounted", "audit")
    }
    at = box.clock().isoformat(timespec="seconds")
    return {
        "at": at,
        "instances": report.instances,
        "sound": report.sound,
        **numbers,
        "repaired": report.repaired,
    }


async def _check_rows(box: Box, report: Report, progress: Callable[[int], None]) -> None:
    last = 0
    while True:
        rows = await box.database.fetch_all(
            "select id, blob_key, size, sha256 from instance"
            f" where id > :last and {LASTING} order by id limit :most",
            {"last": last, "most": _BATCH},
        )
        if not rows:
            return
        for row, state in zip(rows, await in_thread(box, _states, box, rows), strict=True):
            if state == "missing":
                report.missing.append(row["blob_key"])
            elif state == "damaged":
                report.damaged.append(row["blob_key"])
        report.instances += len(rows)
        last = rows[-1]["id"]
        progress(report.instances)


def _states(box: Box, rows: list[Row]) -> list[str]:
    return [stored_state(box, row) for row in rows]


def stored_state(box: Box, row: Row) -> str:
    """`sound` where the bytes of a row are those that came, else `missing` or `damaged`; blocks."""
    try:
        with box.blobs.open(row["blob_key"]) as blob:
            if blob.size != row["size"]:
                return "damaged"
            digest = hashlib.sha256()
            for offset in range(0, row["size"], _PIECE):
                digest.update(blob.pread(offset, min(_PIECE, row["size"] - offset)))
    except NotFound:
        return "missing"
    except (OSError, BoxError):
        return "damaged"
    return "sound" if digest.digest() == row["sha256"] else "damaged"


async def _check_blobs(box: Box, report: Report) -> None:
    keys = box.blobs.keys()
    while True:
        batch = await in_thread(box, _take, keys)
        if not batch:
            return
        unnamed = await reindex.unnamed(box, [key for key in batch if not _is_young(box, key)])
        report.orphaned += await reindex.without_cached(box, unnamed)


def _take(keys: Iterator[tuple[str, int]]) -> list[str]:
    return [key for _, (key, _) in zip(range(_BATCH), keys, strict=False)]


def _is_young(box: Box, key: str) -> bool:
    moment = moment_of(key)
    return moment is not None and box.clock() - moment < _UNDER_WAY


_COUNTED = (
    "select study.id, study.study_uid from study where study.instance_count <> (select count(*) from instance"
    " where instance.study_id = study.id and instance.state = 'current') or study.series_count <>"
    " (select count(*) from series where series.study_id = study.id) or exists (select 1 from series where"
    " series.study_id = study.id and series.instance_count <> (select count(*) from instance"
    " where instance.series_id = series.id and instance.state = 'current')) order by study.study_uid"
)


async def _miscounted(box: Box) -> list[str]:
    return [row["study_uid"] for row in await box.database.fetch_all(_COUNTED)]


async def _repair(box: Box, report: Report) -> None:
    for key in report.orphaned:
        if await reindex.index_blob(box, key):
            report.repaired += 1
    if report.miscounted:
        report.repaired += len(report.miscounted)
        await box.database.write(_recount)


async def _recount(w: Writer) -> Any:
    current = "instance.state = 'current'"
    await w.execute(
        "update series set instance_count = (select count(*) from instance where instance.series_id"
        " = series.id and"
        f" {current}), size = (select coalesce(sum(size), 0) from instance where instance.series_id ="
        " series.id and"
        f" {current})"
    )
    await w.execute(
        "update study set instance_count = (select count(*) from instance where instance.study_id ="
        " study.id and"
        f" {current}), size = (select coalesce(sum(instance.size), 0) from instance where"
        " instance.study_id = study.id"
        f" and {current}), series_count = (select count(*) from series where series.study_id = study.id)"
    )
