"""The index rebuilt from the blobs alone.

Blobs are taken in the order in which they arrived, and each goes the way of a new arrival; where a former
index still says which version was served and where it came from, that is kept. An interrupted run is resumed
by running it again.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import xxhash

from dicomweb_box.archive import index, rules, searchable
from dicomweb_box.archive.arrival import Blob, Origin, arrival_of
from dicomweb_box.archive.blob_keys import is_cached, moment_of, tag_of
from dicomweb_box.archive.outcomes import Refused
from dicomweb_box.archive.realms import LASTING
from dicomweb_box.archive.series_dictionary import Dictionaries
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.dicom.header import Header, read_header
from dicomweb_box.errors import BoxError

log = logging.getLogger(__name__)

_PIECE = 1 << 20
_AT_ONCE = 32


@dataclass(slots=True)
class Rebuilt:
    """How many blobs a rebuilding indexed, and the keys of those it could not."""

    indexed: int = 0
    unreadable: list[str] = field(default_factory=list)


async def reindex(box: Box, *, progress: Callable[[int], None] = lambda done: None) -> Rebuilt:
    """Empty the index and fill it from the blobs; searches answer as before when it is done.

    Until then they answer what is indexed so far. Blobs noted for removal are left out.
    """
    await box.database.write(_empty)
    done = Rebuilt()
    keys = await in_thread(box, _sorted_keys, box)
    keys = await without_cached(box, keys)
    for start in range(0, len(keys), _AT_ONCE):
        # Versions of one instance must be decided in the order in which they arrived.
        for key, indexed in await _index_some(box, keys[start : start + _AT_ONCE]):
            if indexed:
                done.indexed += 1
            else:
                done.unreadable.append(key)
        progress(start + _AT_ONCE)
    await box.database.write(_forget_provenance)
    # What they saw meanwhile was not whole.
    await box.database.write(lambda w: rules.all_again(w, box.clock().isoformat(timespec="microseconds")))
    return done


def _sorted_keys(box: Box) -> list[str]:
    blobs = box.blobs.keys()
    return sorted(key for key, _ in blobs)


async def _index_some(box: Box, keys: list[str]) -> list[tuple[str, bool]]:
    keys = await unnamed(box, keys)
    arrivals = await asyncio.gather(*(_arrival(box, key) for key in keys))
    outcomes: list[tuple[str, asyncio.Task[bool] | None]] = []
    waiting: dict[str, list[asyncio.Task[bool]]] = {}
    for key, arrival in zip(keys, arrivals, strict=True):
        if arrival is None:
            outcomes.append((key, None))
            continue
        before = waiting.setdefault(arrival.instance_uid, [])
        if before:
            await before[-1]
        before.append(asyncio.create_task(_finish(box, arrival)))
        outcomes.append((key, before[-1]))
    return [(key, await task if task is not None else False) for key, task in outcomes]


async def index_blob(box: Box, key: str) -> bool:
    """Make one blob that no row names searchable; False where it cannot be read."""
    arrival = await _arrival(box, key)
    return arrival is not None and await _finish(box, arrival)


async def _finish(box: Box, arrival: index.Arrival) -> bool:
    try:
        outcome = await searchable.make_searchable(box, arrival)
    except Exception as error:  # noqa: BLE001 - one blob must not keep the others out of the index
        log.error("indexing %s failed: %s", arrival.columns["blob_key"], type(error).__name__)  # noqa: TRY400
        return False
    return not isinstance(outcome, Refused) or outcome.held


async def _arrival(box: Box, key: str) -> index.Arrival | None:
    former = await box.database.fetch_one(
        "select state, source, stored_at from provenance where blob_key = :key", {"key": key}
    )
    dictionaries = box.resource(Dictionaries, Dictionaries)
    try:
        return await in_thread(box, _read, box, dictionaries, key, former)
    except (BoxError, OSError):
        return None


def _read(box: Box, dictionaries: Dictionaries, key: str, former: Row | None) -> index.Arrival:
    with box.blobs.open(key) as stored:
        header = read_header(stored.buffer(), bulk_threshold=box.settings.bulk_threshold)
        sha256, dataset = hashlib.sha256(), xxhash.xxh3_128()
        for offset in range(0, stored.size, _PIECE):
            piece = stored.pread(offset, min(_PIECE, stored.size - offset))
            sha256.update(piece)
            dataset.update(memoryview(piece)[max(0, header.dataset_offset - offset) :])
        blob = Blob(key=key, size=stored.size, sha256=sha256.digest(), dataset_digest=dataset.digest())
    return _as_arrival(box, dictionaries, header, blob, former)


def _as_arrival(
    box: Box, dictionaries: Dictionaries, header: Header, blob: Blob, former: Row | None
) -> index.Arrival:
    source = former["source"] if former is not None else f"blob:{tag_of(blob.key)}"
    return arrival_of(
        header,
        blob,
        dictionaries,
        Origin(source=source, actor="reindex"),
        at=moment_of(blob.key) or box.clock(),
        policy=box.settings.duplicates,
        decided=former["state"] if former is not None else None,
    )


async def unnamed(box: Box, keys: list[str]) -> list[str]:
    """Those of these blob keys that neither a row nor a noted removal names."""
    if not keys:
        return []
    names, params = in_list("key", keys)
    rows = await box.database.fetch_all(
        f"select blob_key from instance where blob_key in {names}"
        f" union all select blob_key from blob_removal where blob_key in {names}",
        params,
    )
    named = {row["blob_key"] for row in rows}
    return [key for key in keys if key not in named]


async def without_cached(box: Box, keys: list[str]) -> list[str]:
    """The keys without those of caches; these are noted for removal: no row names them any more."""
    cached = [key for key in keys if is_cached(key)]
    if cached:
        at = box.clock().isoformat(timespec="microseconds")
        await box.database.write(
            lambda w: w.execute_many(
                "insert into blob_removal (blob_key, at) values (:key, :at)"
                " on conflict (blob_key) do nothing",
                [{"key": key, "at": at} for key in cached],
            )
        )
    return [key for key in keys if not is_cached(key)]


async def _empty(w: Writer) -> None:
    await w.execute(
        "insert into provenance (blob_key, state, source, stored_at)"
        f" select blob_key, state, source, stored_at from instance where {LASTING} on conflict (blob_key)"
        " do nothing"
    )
    for table in (
        "attribute_value",
        "instance",
        "series_request",
        "series_source",
        "series_vote",
        "study_vote",
        "series",
        "study_modality",
        "study",
        "study_day",
        "proxied_study",
    ):
        await w.execute(f"delete from {table}")


async def _forget_provenance(w: Writer) -> None:
    await w.execute("delete from provenance")
