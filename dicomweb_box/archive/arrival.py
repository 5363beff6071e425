"""What the rows of a durable blob will say: from its header, and from where it came."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.archive import index, levels, series_dictionary
from dicomweb_box.archive.series_dictionary import Dictionaries, Dictionary
from dicomweb_box.dicom import attributes, image
from dicomweb_box.dicom.display.display import key_of
from dicomweb_box.dicom.header import Header
from dicomweb_box.errors import NotFound


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where an instance came from and who brought it."""

    realm: str = "main"
    source: str
    actor: str
    by: Actor | None = None
    """Who is told to the audit; None: nobody, since nothing new has come."""
    scope: Scope = EVERYTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A durable blob that no row names yet."""

    key: str
    size: int
    sha256: bytes
    dataset_digest: bytes


def arrival_of(
    header: Header,
    blob: Blob,
    dictionaries: Dictionaries,
    origin: Origin,
    *,
    at: datetime,
    policy: index.Policy,
    decided: index.State | None = None,
) -> index.Arrival:
    """What the row writer needs to know of a durable blob."""
    dictionary = dictionaries.known((origin.realm, header.study_uid, header.series_uid))
    columns = {
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "instance_number": attributes.integer(next(iter(header.values("00200013")), None)),
        "rows": header.rows,
        "columns": header.columns,
        "bits_allocated": header.bits_allocated,
        "number_of_frames": header.number_of_frames,
        "blob_key": blob.key,
        "size": blob.size,
        "sha256": blob.sha256,
        "dataset_offset": header.dataset_offset + len(header.part10_prefix),
        "dataset_digest": blob.dataset_digest,
        "frames": header.frames.pack() if header.frames is not None else None,
        "pixels": _pixels(header),
        "display_key": _display_key(header),
        "metadata": series_dictionary.compress(header.json, dictionary),
        "metadata_dictionary": int(dictionary is not None),
        "warnings": "\n".join(header.warnings),
    }
    return index.Arrival(
        realm=origin.realm,
        study_uid=header.study_uid,
        series_uid=header.series_uid,
        instance_uid=header.instance_uid,
        columns=columns,
        study_values=levels.values_of("study", header.dataset()),
        series_values=levels.values_of("series", header.dataset()),
        json=header.json,
        dictionary_digest=dictionary.digest if dictionary is not None else None,
        source=origin.source,
        actor=origin.actor,
        by=origin.by,
        at=at.isoformat(timespec="microseconds"),
        policy=policy,
        decided=decided,
        scope=origin.scope,
    )


def _pixels(header: Header) -> str | None:
    if header.frames is None:
        return None
    with suppress(NotFound):
        return image.written(image.described(header.dataset(), header.transfer_syntax_uid))
    return None


def _display_key(header: Header) -> str | None:
    return None if header.frames is None else key_of(header.dataset(), len(header.json))


def recompressed(dictionary: Dictionary | None, arrival: index.Arrival) -> index.Arrival:
    """The same arrival for a series that was made anew since its dictionary was learnt."""
    columns = {
        **arrival.columns,
        "metadata": series_dictionary.compress(arrival.json, dictionary),
        "metadata_dictionary": int(dictionary is not None),
    }
    return replace(
        arrival, columns=columns, dictionary_digest=dictionary.digest if dictionary is not None else None
    )
