"""What a retrieve needs to know of instances: where their bytes lie, and where each frame's."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import xxhash

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.missing import missing
from dicomweb_box.box import Box
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.overlay import given_syntax
from dicomweb_box.errors import NotFound

COLUMNS = (
    "instance.id, study.study_uid, series.series_uid, instance.instance_uid, instance.sop_class_uid,"
    " instance.transfer_syntax_uid, instance.blob_key, instance.size, instance.sha256,"
    " instance.dataset_offset,"
    ' instance."rows", instance."columns", instance.bits_allocated, instance.number_of_frames,'
    " instance.source, study.overlay"
)
_DESCRIBING = (
    ", instance.frames, instance.metadata,"
    " case when instance.metadata_dictionary = 1 then series.dictionary end,"
    " instance.pixels, instance.display_key"
)
_FROM = (
    " from instance join series on series.id = instance.series_id join study on study.id = instance.study_id"
)
ORDER = (
    " order by series.series_number is null, series.series_number, series.series_uid,"
    " instance.instance_number is null, instance.instance_number, instance.instance_uid"
)


_COUNT = COLUMNS.count(",") + 1


@dataclass(frozen=True, slots=True)
class Instance:
    """A current instance: its names, and where its bytes lie."""

    id: int
    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob_key: str
    size: int
    sha256: bytes
    dataset_offset: int
    rows: int | None
    columns: int | None
    bits_allocated: int | None
    number_of_frames: int | None
    source: str = ""
    overlay: str | None = None
    """The corrections in force for its study (dicom.overlay)."""

    @property
    def version(self) -> bytes:
        """What tells all that is given of it, corrected attributes included, from every other state."""
        return self.sha256 + xxhash.xxh3_128_digest(self.overlay.encode()) if self.overlay else self.sha256

    @property
    def given_syntax(self) -> str:
        """Its transfer syntax where nobody asks for another."""
        return given_syntax(self.transfer_syntax_uid, self.overlay)


async def instances(
    box: Box,
    study_uid: str,
    series_uid: str | None = None,
    instance_uid: str | None = None,
    *,
    scope: Scope,
    actor: Actor,
) -> list[Instance]:
    """The current instances below a study, series or instance, in the order of their numbers and UIDs.

    Raises NotFound where this actor sees none.
    """
    del actor  # reading is not recorded; the scope says what may be seen
    where, params = visibility.series_condition(scope)
    where = (
        f"study.realm = :realm and study.study_uid = :study_uid and instance.state = 'current' and {where}"
    )
    params |= {"realm": scope.realm, "study_uid": study_uid}
    if series_uid is not None:
        where += " and series.series_uid = :series_uid"
        params["series_uid"] = series_uid
    if instance_uid is not None:
        where += " and instance.instance_uid = :instance_uid"
        params["instance_uid"] = instance_uid
    # From the study downwards, so that the order of joins is the indexes' own.
    source = (
        " from study join series on series.study_id = study.id"
        " join instance on instance.series_id = series.id"
    )
    rows = await box.database.fetch_all(f"select {COLUMNS}{source} where {where}{ORDER}", params)
    if not rows:
        raise await missing(
            box,
            "there is no such study, series or instance",
            study_uid,
            series_uid,
            instance_uid,
            scope=scope,
        )
    return [Instance(*row) for row in rows]


async def series_numbers(box: Box, study_uid: str, *, scope: Scope) -> dict[str, int | None]:
    """The Series Number of each visible series of a study, by its UID."""
    where, params = visibility.series_condition(scope)
    rows = await box.database.fetch_all(
        "select series.series_uid, series.series_number from study"
        " join series on series.study_id = study.id"
        f" where study.realm = :realm and study.study_uid = :study_uid and {where}",
        params | {"realm": scope.realm, "study_uid": study_uid},
    )
    return {row[0]: row[1] for row in rows}


async def one(
    box: Box,
    study_uid: str,
    series_uid: str | None,
    instance_uid: str,
    *,
    scope: Scope,
    actor: Actor,
) -> Instance:
    """One current instance, by one indexed question; raises NotFound. Without a series, by study
    and instance.
    """
    del actor
    return await _one(box, study_uid, series_uid, instance_uid, scope, "")


async def one_with_frames(
    box: Box,
    study_uid: str,
    series_uid: str | None,
    instance_uid: str,
    *,
    scope: Scope,
    actor: Actor,
) -> Instance:
    """As `one`, for whoever asks next where its frames lie and how they are described.

    The same question brings that along: each question more costs two turns between threads.
    """
    del actor
    return await _one(box, study_uid, series_uid, instance_uid, scope, _DESCRIBING)


async def _one(
    box: Box, study_uid: str, series_uid: str | None, instance_uid: str, scope: Scope, more: str
) -> Instance:
    # A viewer asks for frame after frame: where nothing was committed meanwhile, what was read still holds.
    moment = box.database.moment() if scope.whole else None
    lately, key = box.resource(_Lately, _Lately), (scope.realm, study_uid, series_uid, instance_uid)
    found: tuple[int | None, Instance] | None = lately.get(key)
    if found is not None and found[0] is not None and found[0] == moment:
        return found[1]
    if found is not None:
        more = ""  # known from the time before, and large where there are many frames
    where, params = (_WHERE_ONE, {}) if scope.whole else _scoped(scope)
    params |= {"realm": scope.realm, "study_uid": study_uid, "instance_uid": instance_uid}
    if series_uid is not None:
        where += " and series.series_uid = :series_uid"
        params["series_uid"] = series_uid
    row = await box.database.fetch_one(f"select {COLUMNS}{more}{_FROM}{where}", params)
    if row is None:
        raise await missing(
            box, "there is no such instance", study_uid, series_uid, instance_uid, scope=scope
        )
    instance = Instance(*row[:_COUNT])
    if more:
        _keep_described(box, instance, row[_COUNT], Told(*row[_COUNT + 1 :]))
    lately.put(key, (moment, instance), 1)
    return instance


_WHERE_ONE = (
    " where instance.realm = :realm and instance.instance_uid = :instance_uid and instance.state = 'current'"
    " and study.study_uid = :study_uid"
)


def _scoped(scope: Scope) -> tuple[str, dict[str, Any]]:
    condition, params = visibility.series_condition(scope)
    return f"{_WHERE_ONE} and {condition}", params


async def representative(
    box: Box, study_uid: str, series_uid: str | None = None, *, scope: Scope, actor: Actor
) -> Instance:
    """The instance that stands for a study or series: the middle one of its first series of images.

    Without images the first there is; raises NotFound where this actor sees none.
    """
    del actor
    where, params = visibility.series_condition(scope)
    where = f"study.realm = :realm and study.study_uid = :study_uid and {where}"
    params |= {"realm": scope.realm, "study_uid": study_uid}
    if series_uid is not None:
        where += " and series.series_uid = :series_uid"
        params["series_uid"] = series_uid
    counted = (
        "(select count(*) from instance where instance.series_id = series.id and instance.state = 'current'"
        ' and instance."rows" is not null)'
    )
    # What is made of other images comes after them, what has no pixels last.
    row = await box.database.fetch_one(
        f"select series.id, {counted} as images from series join study on study.id = series.study_id"
        f" where {where} and series.instance_count > 0"
        f" order by case when {counted} = 0 then 2"
        " when series.modality in ('SEG', 'RTDOSE') then 1 else 0 end,"
        " series.series_number is null, series.series_number, series.series_uid limit 1",
        params,
    )
    if row is None:
        raise await missing(box, "there is no such study or series", study_uid, series_uid, scope=scope)
    found = await box.database.fetch_one(
        f"select {COLUMNS}{_FROM} where instance.series_id = :series_id and instance.state = 'current'"
        f' order by instance."rows" is null, {ORDER.partition("series.series_uid,")[2]}'
        " limit 1 offset :middle",
        {"series_id": row[0], "middle": int(row[1]) // 2},
    )
    if found is None:
        raise NotFound("there is no such study or series")
    return Instance(*found)


async def frame_table(box: Box, instance: Instance) -> FrameTable:
    """Where the instance's frames lie; raises NotFound where it has none."""
    table: FrameTable | None = box.resource(_Tables, _Tables).get(instance.blob_key)
    if table is None:
        packed = await box.database.fetch_value(
            "select frames from instance where blob_key = :key", {"key": instance.blob_key}
        )
        table = known_frames(box, instance, packed)
    return table


def known_frames(box: Box, instance: Instance, packed: bytes | None) -> FrameTable:
    """The frame table that a row holds, kept for `frame_table`; raises NotFound where it holds none."""
    if packed is None:
        raise NotFound("the instance has no pixel data")
    table = FrameTable.unpack(packed)
    box.resource(_Tables, _Tables).put(instance.blob_key, table, 100 + len(table.offsets))
    return table


@dataclass(frozen=True, slots=True)
class Told:
    """What the row of an instance holds of its data set."""

    metadata: bytes = field(repr=False)
    dictionary: bytes | None = field(repr=False)
    pixels: str | None
    """Its Image Pixel module (`dicom.image.read`); None where it is to be taken from the metadata."""
    display_key: str | None
    """That of `dicom.display.display.key_of`."""


def told(box: Box, instance: Instance) -> Told | None:
    """What its row holds of its data set, where that was read a moment ago with its frames."""
    found: Told | None = box.resource(_Told, _Told).get(instance.blob_key)
    return found


def _keep_described(box: Box, instance: Instance, frames: bytes | None, told: Told) -> None:
    if frames is not None:
        known_frames(box, instance, frames)
    box.resource(_Told, _Told).put(instance.blob_key, told, 1 + len(told.metadata) // 1024)


class Recent:
    """The most recently used of what is known by blob; blobs never change, so nothing grows stale."""

    most = 4096
    """The weight that may be kept."""

    def __init__(self, box: Box) -> None:
        del box
        self._kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._weight = 0

    def get(self, key: Any) -> Any:
        """What was put under the key, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Any, value: Any, weight: int = 1) -> None:
        """Keep a value; the least recently used ones go where they weigh too much together."""
        self._weight += weight - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = (value, weight)
        while self._weight > self.most and len(self._kept) > 1:
            self._weight -= self._kept.popitem(last=False)[1][1]

    async def close(self) -> None:
        """Forget all."""
        self._kept.clear()


class _Tables(Recent):
    """Frame tables by blob; a fragment is 16 bytes."""

    most = 1_000_000


class _Told(Recent):
    """Metadata by blob, weighed in KiB: kept for the moment between a question and what follows from it."""

    most = 1024


class _Lately(Recent):
    """Instances by their UIDs, each with the moment of the database before it was read, where it has one."""
