"""One instance's data set for people to read: its attributes with the lengths they are stored with."""

from dataclasses import dataclass

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import metadata, places, retrieve
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.header import read_header, sliceable
from dicomweb_box.dicom.lengths import value_lengths
from dicomweb_box.dicom.words.tree import Tree, tree
from dicomweb_box.errors import BoxError, NotFound


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """How an instance came here."""

    source: str
    stored_at: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An instance and its attributes."""

    instance: Instance
    arrived: Arrived
    tree: Tree


async def of_instance(
    box: Box,
    study_uid: str,
    series_uid: str,
    instance_uid: str,
    *,
    scope: Scope,
    actor: Actor,
    wanted: str = "",
) -> Shown:
    """The instance with its attributes, or those that hold the words of `wanted`; raises NotFound."""
    instance = await retrieve.one(box, study_uid, series_uid, instance_uid, scope=scope, actor=actor)
    row = await box.database.fetch_one(
        "select source, stored_at, warnings from instance where blob_key = :key", {"key": instance.blob_key}
    )
    if row is None:
        raise NotFound("there is no such instance")
    arrived = Arrived(
        source=row["source"],
        stored_at=row["stored_at"],
        warnings=tuple(filter(None, row["warnings"].split("\n"))),
    )
    json = await metadata.of_row(box, instance.id)
    shown = await in_thread(box, _tree, box, json, instance.blob_key, wanted)
    return Shown(instance=instance, arrived=arrived, tree=shown)


async def find(box: Box, instance_uid: str, *, scope: Scope, actor: Actor) -> Instance:
    """The current instance with this UID, wherever it is; raises NotFound."""
    study_uid, series_uid = await places.of_instance(box, instance_uid, scope=scope, actor=actor)
    return await retrieve.one(box, study_uid, series_uid, instance_uid, scope=scope, actor=actor)


async def of_blob(box: Box, blob_key: str, *, wanted: str = "") -> Tree:
    """The attributes of a stored version, served or not; raises NotFound where its bytes are gone."""
    return await in_thread(box, _tree, box, None, blob_key, wanted)


def _tree(box: Box, json: bytes | None, blob_key: str, wanted: str) -> Tree:
    try:
        with box.blobs.open(blob_key) as stored:
            source = sliceable(stored.buffer())
            lengths = value_lengths(source)
            if json is None:
                json = read_header(source, bulk_threshold=box.settings.bulk_threshold).json
    except (BoxError, OSError):
        # What the index knows is shown all the same: that the bytes are damaged is `check`'s to say.
        if json is None:
            raise NotFound("the bytes of this version cannot be read") from None
        lengths = {}
    return tree(json_model.top_level(json), lengths, wanted=wanted)
