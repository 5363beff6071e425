"""Which bulk data a study, series or instance has: the URIs in its metadata, not the data."""

import mmap
import re
from pathlib import Path

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import metadata
from dicomweb_box.box import Box, in_thread

# A quotation mark within a text of JSON has a backslash before it: no text looks like this.
_URI = re.compile(
    rb'"BulkDataURI":"(?:series/[0-9.]+/)?(?:instances/([0-9.]+)/)?bulkdata/([0-9A-Fa-f]{8}(?:/[0-9A-Fa-f]+)*)"'
)

Paths = dict[str, list[str]]
"""Paths such as `00283000/1/00283006` by SOP Instance UID, as they stand in the metadata."""


async def bulk_paths(
    box: Box,
    study_uid: str,
    series_uid: str | None = None,
    instance_uid: str | None = None,
    *,
    scope: Scope,
    actor: Actor,
) -> Paths:
    """The paths of all bulk data below a study, series or instance; NotFound."""
    if series_uid is not None and instance_uid is not None:
        json = await metadata.of_instance(box, study_uid, series_uid, instance_uid, scope=scope, actor=actor)
        return await in_thread(box, _found, json, instance_uid)
    if series_uid is not None:
        found = await metadata.of_series(box, study_uid, series_uid, gzip=False, scope=scope, actor=actor)
    else:
        found = await metadata.of_study(box, study_uid, gzip=False, scope=scope, actor=actor)
    return await in_thread(box, _in_file, found.file.path)


def _in_file(path: Path) -> Paths:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return _found(text, "")


def _found(text: bytes | mmap.mmap, instance_uid: str) -> Paths:
    paths: Paths = {}
    for match in _URI.finditer(text):
        uid = match[1].decode("ascii") if match[1] else instance_uid
        paths.setdefault(uid, []).append(match[2].decode("ascii"))
    return paths
