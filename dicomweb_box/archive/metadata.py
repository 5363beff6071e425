"""Metadata of instances, series and studies as DICOM JSON (PS3.18 10.4.1.1.2, F.2).

What rests in the index is each instance's JSON, its bulk data named relative to the series. Series and study
metadata are derived files, one for each revision and content coding: asking again costs no parsing and
no joining.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Literal

import xxhash
import zstandard

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.derived import Derived, DerivedFiles, Make
from dicomweb_box.box import Box
from dicomweb_box.database import Reader
from dicomweb_box.errors import NotFound

_AT_REST = b'"BulkDataURI":"instances/'
_GZIP_LEVEL = 4
_SHARDS = 64

Level = Literal["study", "series"]


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file that holds a JSON array, perhaps gzipped, and the strong validator of this representation."""

    file: Derived
    etag: str


async def of_instance(
    box: Box, study_uid: str, series_uid: str, instance_uid: str, *, scope: Scope, actor: Actor
) -> bytes:
    """A JSON array of the one instance's metadata, bulk data named relative to the instance; NotFound."""
    del actor
    where, params = visibility.series_condition(scope)
    row = await box.database.fetch_one(
        "select instance.metadata, case when instance.metadata_dictionary = 1 then series.dictionary end"
        " from instance join series on series.id = instance.series_id"
        " join study on study.id = instance.study_id where instance.realm = :realm"
        " and instance.instance_uid = :instance_uid and instance.state = 'current'"
        f" and series.series_uid = :series_uid and study.study_uid = :study_uid and {where}",
        params
        | {
            "realm": scope.realm,
            "study_uid": study_uid,
            "series_uid": series_uid,
            "instance_uid": instance_uid,
        },
    )
    if row is None:
        raise NotFound("there is no such instance")
    json = decompress(row[0], row[1])
    return b"[" + json.replace(_AT_REST + instance_uid.encode() + b"/", b'"BulkDataURI":"') + b"]"


async def of_row(box: Box, instance_id: int) -> bytes:
    """One instance's DICOM JSON object as it rests in the index, by its row; NotFound."""
    row = await box.database.fetch_one(
        "select instance.metadata, case when instance.metadata_dictionary = 1 then series.dictionary end"
        " from instance join series on series.id = instance.series_id where instance.id = :id",
        {"id": instance_id},
    )
    if row is None:
        raise NotFound("there is no such instance")
    return decompress(row[0], row[1])


async def of_series(
    box: Box, study_uid: str, series_uid: str, *, gzip: bool, scope: Scope, actor: Actor
) -> MetadataFile:
    """A JSON array of the metadata of a series' instances, bulk data relative to the series; NotFound."""
    del actor
    where, params = visibility.series_condition(scope)
    params |= {"realm": scope.realm, "study_uid": study_uid, "series_uid": series_uid}
    sql = (
        "select study.id, study.stored_at, series.id, series.revision, series.stored_at"
        " from study join series on series.study_id = study.id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.series_uid = :series_uid"
        f" and series.instance_count > 0 and {where}"
    )
    return await _of_rows(box, "series", sql, params, gzip=gzip, shared=True)


async def of_study(box: Box, study_uid: str, *, gzip: bool, scope: Scope, actor: Actor) -> MetadataFile:
    """A JSON array of the metadata of a study's visible instances, bulk data named relative to the study.

    Raises NotFound.
    """
    del actor
    where, params = visibility.series_condition(scope)
    sql = (
        "select study.id, study.stored_at, series.id, series.revision, series.stored_at"
        " from study join series on series.study_id = study.id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.instance_count > 0"
        f" and {where} order by series.series_number is null, series.series_number, series.series_uid"
    )
    params |= {"realm": scope.realm, "study_uid": study_uid}
    return await _of_rows(box, "study", sql, params, gzip=gzip, shared=scope.whole)


async def _of_rows(
    box: Box, level: Level, sql: str, params: dict[str, Any], *, gzip: bool, shared: bool
) -> MetadataFile:
    while True:
        rows = await box.database.fetch_all(sql, params)
        if not rows:
            raise NotFound(f"there is no such {level}")
        try:
            return await _file(box, level, [tuple(row) for row in rows], params, gzip=gzip, shared=shared)
        except _ChangedMeanwhile:
            continue  # each turn was overtaken by a change that is there now: it ends when the changes do


def decompress(metadata: bytes, dictionary: bytes | None) -> bytes:
    """Instance metadata as DICOM JSON; `dictionary` as the series' row holds it."""
    if dictionary is None:
        return zstandard.ZstdDecompressor().decompress(metadata)
    return zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary)).decompress(metadata)


@lru_cache(maxsize=256)
def _dictionary(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    # Known by its content: series come and go, and their row numbers with them.
    json = zstandard.ZstdDecompressor().decompress(dictionary)
    return zstandard.ZstdCompressionDict(json, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class _ChangedMeanwhile(Exception):
    """The index moved on between naming a file and reading its rows."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One series' instances as their rows hold them."""

    series_uid: str
    dictionary: bytes | None
    rows: Sequence[Any]


async def _file(
    box: Box,
    level: Level,
    rows: list[tuple[Any, ...]],
    params: dict[str, Any],
    *,
    gzip: bool,
    shared: bool,
) -> MetadataFile:
    files = box.resource(DerivedFiles, DerivedFiles)
    # The visible series and their revisions are the name: actors share a file only where they see the same.
    # UIDs and times are in it because a database gives the row numbers of deleted rows to new ones.
    state = f"{params['realm']} {params['study_uid']} {params.get('series_uid')} {rows}"
    digest = xxhash.xxh3_128_hexdigest(state.encode())
    identity = rows[0][0] if level == "study" else rows[0][2]
    family = f"{level}-{identity}-"
    stem = f"metadata-{identity % _SHARDS:02x}/{family}{digest}"
    coding, suffix = (".json.gz", "-gzip") if gzip else (".json", "")
    found = files.peek(stem + coding)
    if found is None:
        older = family if shared else None

        async def from_index() -> Make:
            parts = await _parts(box, rows)
            return lambda file: _write(file, parts, study_level=level == "study")

        found = plain = await files.get(f"{stem}.json", from_index, family=older)
        if gzip:

            async def from_plain() -> Make:
                return lambda file: _compress(plain, file)

            found = await files.get(stem + coding, from_plain, family=older)
    return MetadataFile(found, f'"{digest}{suffix}"')


async def _parts(box: Box, wanted: list[tuple[Any, ...]]) -> list[_Part]:
    async def work(reader: Reader) -> list[_Part]:
        parts = []
        for _, _, series_id, revision, stored_at in wanted:
            series = await reader.fetch_one(
                "select series_uid, dictionary, revision, stored_at from series where id = :id",
                {"id": series_id},
            )
            if series is None or (series[2], series[3]) != (revision, stored_at):
                raise _ChangedMeanwhile
            rows = await reader.fetch_all(
                "select metadata, metadata_dictionary from instance"
                " where series_id = :id and state = 'current'"
                " order by instance_number is null, instance_number, instance_uid",
                {"id": series_id},
            )
            parts.append(_Part(series[0], series[1], rows))
        return parts

    return await box.database.read(work)


def _write(file: BinaryIO, parts: list[_Part], *, study_level: bool) -> None:
    separator = b"["
    plain = zstandard.ZstdDecompressor()
    for part in parts:
        own = plain
        if part.dictionary is not None:
            own = zstandard.ZstdDecompressor(dict_data=_dictionary(part.dictionary))
        below = b'"BulkDataURI":"series/' + part.series_uid.encode() + b"/instances/"
        for metadata, with_dictionary in part.rows:
            json = (own if with_dictionary else plain).decompress(metadata)
            file.write(separator)
            file.write(json.replace(_AT_REST, below) if study_level else json)
            separator = b","
    file.write(b"[]" if separator == b"[" else b"]")


def _compress(plain: Derived, file: BinaryIO) -> None:
    """One gzip member: browsers read only the first of several."""
    engine = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with plain.path.open("rb") as source:
        while piece := source.read(1 << 20):
            file.write(engine.compress(piece))
    file.write(engine.flush())
