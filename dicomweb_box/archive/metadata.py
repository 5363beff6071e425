"""Metadata of instances, series and studies as DICOM JSON or XML (PS3.18 10.4.1.1.2, F.2; PS3.19 A.1).

What rests in the index is each instance's JSON, its bulk data named relative to the series. Series and study
metadata are derived files, one for each revision, form and content coding: asking again costs no parsing and
no joining.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, BinaryIO, Literal

import orjson
import xxhash
import zstandard

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import retrieve, visibility
from dicomweb_box.archive.derived import Derived, DerivedFiles, Make
from dicomweb_box.archive.missing import missing
from dicomweb_box.archive.overlays import laid_over
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom import json_model, uids
from dicomweb_box.dicom.multipart import closing, part_head
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.errors import NotFound

_AT_REST = b'"BulkDataURI":"instances/'
_AVAILABLE = "00083002"
_GZIP_LEVEL = 4
_SHARDS = 64
_WRITTEN = 3
"""Raised where the files' content changes: those of earlier versions are then not found."""

XML = "application/dicom+xml"

Level = Literal["study", "series"]
Form = Literal["json", "xml"]


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file that holds the metadata, perhaps gzipped, and the strong validator of this representation."""

    file: Derived
    etag: str
    boundary: str
    """What stands between the parts of the form "xml", a body of multipart/related."""


async def of_instance(
    box: Box, study_uid: str, series_uid: str, instance_uid: str, *, scope: Scope, actor: Actor
) -> bytes:
    """A JSON array of the one instance's metadata, bulk data named relative to the instance; NotFound."""
    del actor
    where, params = visibility.series_condition(scope)
    row = await box.database.fetch_one(
        "select instance.metadata, case when instance.metadata_dictionary = 1 then series.dictionary end,"
        " instance.transfer_syntax_uid, study.overlay, instance.source"
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
        raise await missing(
            box, "there is no such instance", study_uid, series_uid, instance_uid, scope=scope
        )
    json = _told(laid_over(decompress(row[0], row[1]), row[3], row[4], system=box.settings.ae_title), row[2])
    return b"[" + json.replace(_AT_REST + instance_uid.encode() + b"/", b'"BulkDataURI":"') + b"]"


async def of_row(box: Box, instance_id: int) -> bytes:
    """One instance's DICOM JSON object, bulk data named as in the index, by its row; NotFound."""
    row = await _row(box, instance_id)
    return laid_over(decompress(row[0], row[1]), row[3], row[4], system=box.settings.ae_title)


async def as_arrived(box: Box, instance_id: int) -> bytes:
    """The same without corrections."""
    row = await _row(box, instance_id)
    return decompress(row[0], row[1])


async def _row(box: Box, instance_id: int) -> Row:
    row = await box.database.fetch_one(f"{_ROW} where instance.id = :id", {"id": instance_id})
    if row is None:
        raise NotFound("there is no such instance")
    return row


_ROW = (
    "select instance.metadata, case when instance.metadata_dictionary = 1 then series.dictionary end,"
    " instance.frames, study.overlay, instance.source, instance.id"
    " from instance join series on series.id = instance.series_id"
    " join study on study.id = instance.study_id"
)


async def of_rows(box: Box, instance_ids: Sequence[int]) -> dict[int, bytes]:
    """The same of several instances at once, by their rows; what is gone is left out."""
    ids, params = in_list("instance", instance_ids)
    rows = await box.database.fetch_all(f"{_ROW} where instance.id in {ids}", params)
    return {
        row[5]: laid_over(decompress(row[0], row[1]), row[3], row[4], system=box.settings.ae_title)
        for row in rows
    }


async def of_frames(box: Box, instance: Instance) -> bytes:
    """As `of_row`, of an instance whose frames are asked for: where they lie is known after it. NotFound."""
    told = retrieve.told(box, instance)
    if told is None:
        row = await _row(box, instance.id)
        retrieve.known_frames(box, instance, row[2])
        return laid_over(decompress(row[0], row[1]), row[3], row[4], system=box.settings.ae_title)
    await retrieve.frame_table(box, instance)
    json = decompress(told.metadata, told.dictionary)
    return laid_over(json, instance.overlay, instance.source, system=box.settings.ae_title)


async def of_series(
    box: Box,
    study_uid: str,
    series_uid: str,
    *,
    form: Form = "json",
    gzip: bool,
    scope: Scope,
    actor: Actor,
) -> MetadataFile:
    """The metadata of a series' instances, bulk data named relative to the series; NotFound.

    A JSON array, or a body of multipart/related with a document for each instance (PS3.18 8.6.1.2.1).
    """
    del actor
    where, params = visibility.series_condition(scope)
    params |= {"realm": scope.realm, "study_uid": study_uid, "series_uid": series_uid}
    sql = (
        "select study.id, study.stored_at, series.id, series.revision, series.stored_at, study.overlay"
        " from study join series on series.study_id = study.id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.series_uid = :series_uid"
        f" and series.instance_count > 0 and {where}"
    )
    return await _of_rows(box, _Asked("series", form, gzip, shared=True), sql, params, scope)


async def of_study(
    box: Box, study_uid: str, *, form: Form = "json", gzip: bool, scope: Scope, actor: Actor
) -> MetadataFile:
    """The metadata of a study's visible instances as `of_series`, bulk data named relative to the study.

    Raises NotFound.
    """
    del actor
    where, params = visibility.series_condition(scope)
    sql = (
        "select study.id, study.stored_at, series.id, series.revision, series.stored_at, study.overlay"
        " from study join series on series.study_id = study.id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.instance_count > 0"
        f" and {where} order by series.series_number is null, series.series_number, series.series_uid"
    )
    params |= {"realm": scope.realm, "study_uid": study_uid}
    return await _of_rows(box, _Asked("study", form, gzip, shared=scope.whole), sql, params, scope)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What file is asked for; `shared`: earlier ones of it are of no more use to anybody."""

    level: Level
    form: Form
    gzip: bool
    shared: bool


async def _of_rows(box: Box, asked: _Asked, sql: str, params: dict[str, Any], scope: Scope) -> MetadataFile:
    while True:
        rows = await box.database.fetch_all(sql, params)
        if not rows:
            uids = (params["study_uid"], params.get("series_uid"))
            raise await missing(box, f"there is no such {asked.level}", *uids, scope=scope)
        try:
            return await _file(box, asked, [tuple(row) for row in rows], params)
        except _ChangedMeanwhile:
            continue  # each turn was overtaken by a change that is there now: it ends when the changes do


def _told(json: bytes, transfer_syntax_uid: str) -> bytes:
    """The JSON of an instance; of a video also with Available Transfer Syntax UID (0008,3002).

    A video has no frames that could be asked for one by one: a viewer must know that before it asks, and the
    data set itself does not say it.
    """
    if transfer_syntax_uid not in uids.VIDEO:
        return json
    dataset = orjson.loads(json)
    dataset[_AVAILABLE] = {"vr": "UI", "Value": [transfer_syntax_uid]}
    return orjson.dumps(dict(sorted(dataset.items())))  # PS3.18 F.2.2: in the order of tags


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
    overlay: str | None
    rows: Sequence[Any]


async def _file(box: Box, asked: _Asked, rows: list[tuple[Any, ...]], params: dict[str, Any]) -> MetadataFile:
    files = box.resource(DerivedFiles, DerivedFiles)
    # The visible series and their revisions are the name: actors share a file only where they see the same.
    # UIDs and times are in it because a database gives the row numbers of deleted rows to new ones.
    state = f"{_WRITTEN} {params['realm']} {params['study_uid']} {params.get('series_uid')} {rows}"
    state += box.settings.ae_title if any(row[-1] for row in rows) else ""  # said in what was corrected
    digest = xxhash.xxh3_128_hexdigest(state.encode())
    identity = rows[0][0] if asked.level == "study" else rows[0][2]
    family = f"{asked.level}-{identity}-"
    stem = f"metadata-{identity % _SHARDS:02x}/{family}{digest}"
    coding = f".{asked.form}.gz" if asked.gzip else f".{asked.form}"
    found = files.peek(stem + coding)
    if found is None:
        older = family if asked.shared else None

        async def from_index() -> Make:
            objects = _objects(box, await _parts(box, rows), study_level=asked.level == "study")
            if asked.form == "xml":
                return lambda file: _write_xml(file, objects, digest)
            return lambda file: _write_json(file, objects)

        found = plain = await files.get(f"{stem}.{asked.form}", from_index, family=older)
        if asked.gzip:

            async def from_plain() -> Make:
                return partial(_compress, plain)

            found = await files.get(stem + coding, from_plain, family=older)
    suffix = ("-xml" if asked.form == "xml" else "") + ("-gzip" if asked.gzip else "")
    return MetadataFile(found, f'"{digest}{suffix}"', digest)


async def _parts(box: Box, wanted: list[tuple[Any, ...]]) -> list[_Part]:
    async def work(reader: Reader) -> list[_Part]:
        parts = []
        for study_id, _, series_id, revision, stored_at, overlay in wanted:
            series = await reader.fetch_one(
                "select series_uid, dictionary, revision, stored_at from series where id = :id",
                {"id": series_id},
            )
            if series is None or (series[2], series[3]) != (revision, stored_at):
                raise _ChangedMeanwhile
            study = await reader.fetch_one("select overlay from study where id = :id", {"id": study_id})
            if study is None or study[0] != overlay:
                raise _ChangedMeanwhile
            rows = await reader.fetch_all(
                "select metadata, metadata_dictionary, transfer_syntax_uid, source from instance"
                " where series_id = :id and state = 'current'"
                # Pictures first: a viewer takes a series for what its first instance is, and some series
                # have a report or a presentation state among their pictures.
                ' order by "rows" is null, instance_number is null, instance_number, instance_uid',
                {"id": series_id},
            )
            parts.append(_Part(series[0], series[1], overlay, rows))
        return parts

    return await box.database.read(work)


def _objects(box: Box, parts: Sequence[_Part], *, study_level: bool) -> Iterator[bytes]:
    """The DICOM JSON of one instance after another."""
    plain = zstandard.ZstdDecompressor()
    for part in parts:
        own = plain
        if part.dictionary is not None:
            own = zstandard.ZstdDecompressor(dict_data=_dictionary(part.dictionary))
        below = b'"BulkDataURI":"series/' + part.series_uid.encode() + b"/instances/"
        for metadata, with_dictionary, syntax, source in part.rows:
            json = (own if with_dictionary else plain).decompress(metadata)
            json = _told(laid_over(json, part.overlay, source, system=box.settings.ae_title), syntax)
            yield json.replace(_AT_REST, below) if study_level else json


def _write_json(file: BinaryIO, objects: Iterable[bytes]) -> None:
    separator = b"["
    for json in objects:
        file.write(separator)
        file.write(json)
        separator = b","
    file.write(b"[]" if separator == b"[" else b"]")


def _write_xml(file: BinaryIO, objects: Iterable[bytes], boundary: str) -> None:
    for number, json in enumerate(objects):
        file.write(part_head(boundary, XML, first=number == 0))
        file.write(to_xml(json_model.whole(json)))
    file.write(closing(boundary))


def _compress(plain: Derived, file: BinaryIO) -> None:
    """One gzip member: browsers read only the first of several."""
    engine = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with plain.path.open("rb") as source:
        while piece := source.read(1 << 20):
            file.write(engine.compress(piece))
    file.write(engine.flush())
