"""The DICOMDIR of a study's files, made from the index alone (PS3.10 8)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dicomweb_box.archive import metadata
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.dicomdir import Directory, Filed

_AT_ONCE = 100
_NAMESPACE = uuid.UUID("5f2a6f0c-2c57-4f0e-9f53-0c8a3b1d7e64")


@dataclass(frozen=True, slots=True)
class File:
    """An instance as a file of the file-set."""

    instance: Instance
    transfer_syntax: str
    file_id: tuple[str, ...]


async def directory(box: Box, files: Sequence[File], identity: str) -> bytes:
    """The DICOMDIR of the files, which come series by series; the same identity gives the same UID.

    What left the index meanwhile is not in it.
    """
    made = Directory()
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        texts = await metadata.of_rows(box, [one.instance.id for one in some])
        await in_thread(box, _add, made, some, texts)
    uid = f"2.25.{uuid.uuid5(_NAMESPACE, identity).int}"
    return await in_thread(box, partial(made.written, uid))


def _add(made: Directory, files: Sequence[File], texts: dict[int, bytes]) -> None:
    for one in files:
        text = texts.get(one.instance.id)
        if text is None:
            continue
        made.add(
            Filed(
                elements=json_model.top_level(text),
                file_id=one.file_id,
                sop_class_uid=one.instance.sop_class_uid,
                instance_uid=one.instance.instance_uid,
                series_uid=one.instance.series_uid,
                transfer_syntax_uid=one.transfer_syntax,
            )
        )
