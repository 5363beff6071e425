"""A DICOMDIR: the Basic Directory Information Object of one study's files (PS3.10 8, PS3.3 F)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.dicom.directory_records import (
    FURTHER,
    INSTANCE_NUMBER,
    KEYS,
    SERIES_NUMBER,
    record_type,
)
from dicomweb_box.dicom.json_encoder import BulkValue, encode
from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.errors import UnreadableInstance

FILE_NAME: Final = "DICOMDIR"
_CLASS: Final = "1.2.840.10008.1.3.10"
_ITEM: Final = struct.Struct("<HHI")
_LINK: Final = struct.Struct("<HH2sHI")
_UTF8: Final[Element] = {"vr": "CS", "Value": ["ISO_IR 192"]}
_LINKS: Final = 2 * _LINK.size + 10  # next record, in use, first record below


@dataclass(frozen=True, kw_only=True, slots=True)
class Filed:
    """A file of the file-set: its instance's attributes, and where it lies."""

    elements: Dataset
    file_id: Sequence[str]
    """Components of up to eight capitals, digits and underscores (PS3.10 8.2, 8.5)."""
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    transfer_syntax_uid: str


@dataclass(slots=True)
class _Record:
    """One directory record without its links; `depth` from 0, the patient's."""

    depth: int
    content: bytes
    next: int = 0
    below: int = 0

    @property
    def size(self) -> int:
        return _ITEM.size + _LINKS + len(self.content)


class Directory:
    """Gathers the records of one study's files, those of a series one after another."""

    def __init__(self) -> None:
        self._records: list[_Record] = []
        self._series: list[str] = []
        self._instances = 0

    def add(self, filed: Filed) -> None:
        """One more file; it begins its series, or the study, where it is the first of it."""
        if not self._records:
            self._append(0, "PATIENT", filed.elements, {})
            self._append(1, "STUDY", filed.elements, {})
        if filed.series_uid not in self._series[-1:]:
            self._series.append(filed.series_uid)
            number = _numbered(filed.elements, SERIES_NUMBER, len(self._series))
            self._append(2, "SERIES", filed.elements, number)
            self._instances = 0
        self._instances += 1
        reference: Dataset = {
            "00041500": {"vr": "CS", "Value": [*filed.file_id]},
            "00041510": {"vr": "UI", "Value": [filed.sop_class_uid]},
            "00041511": {"vr": "UI", "Value": [filed.instance_uid]},
            "00041512": {"vr": "UI", "Value": [filed.transfer_syntax_uid]},
        }
        number = _numbered(filed.elements, INSTANCE_NUMBER, self._instances)
        self._append(3, record_type(filed.sop_class_uid), filed.elements, reference | number)

    def written(self, instance_uid: str) -> bytes:
        """The file, `instance_uid` being the directory's own SOP Instance UID; some file must be in it."""
        meta = written_meta(
            sop_class_uid=_CLASS, instance_uid=instance_uid, transfer_syntax_uid=EXPLICIT_LITTLE
        )
        size = sum(record.size for record in self._records)
        head = b"".join(
            (
                struct.pack("<HH2sH", 0x0004, 0x1130, b"CS", 0),
                _LINK.pack(0x0004, 0x1200, b"UL", 4, 0),
                _LINK.pack(0x0004, 0x1202, b"UL", 4, 0),
                struct.pack("<HH2sHH", 0x0004, 0x1212, b"US", 2, 0),
                struct.pack("<HH2sHI", 0x0004, 0x1220, b"SQ", 0, size),
            )
        )
        first = len(meta) + len(head)
        self._link(first)
        # The one patient is the first root record and the last.
        head = head.replace(
            _LINK.pack(0x0004, 0x1200, b"UL", 4, 0), _LINK.pack(0x0004, 0x1200, b"UL", 4, first)
        ).replace(_LINK.pack(0x0004, 0x1202, b"UL", 4, 0), _LINK.pack(0x0004, 0x1202, b"UL", 4, first))
        return b"".join((meta, head, *map(_item, self._records)))

    def _append(self, depth: int, kind: str, elements: Dataset, more: Dataset) -> None:
        self._records.append(_Record(depth, _content(kind, elements, more)))

    def _link(self, offset: int) -> None:
        """Let each record say where the next one of its level is, and the first one below it."""
        latest: list[_Record | None] = [None] * 4
        for record in self._records:
            before = latest[record.depth]
            if before is not None:
                before.next = offset
            elif record.depth and (above := latest[record.depth - 1]) is not None:
                above.below = offset
            latest[record.depth] = record
            latest[record.depth + 1 :] = [None] * (3 - record.depth)
            offset += record.size


def _content(kind: str, elements: Dataset, more: Dataset) -> bytes:
    fixed: Dataset = {"00041430": {"vr": "CS", "Value": [kind]}, "00080005": _UTF8, **more}
    keys: Dataset = {tag: _plain(elements.get(tag)) for tag in KEYS.get(kind, ())}
    keys |= {tag: _plain(elements[tag]) for tag in FURTHER.get(kind, ()) if tag in elements}
    try:
        return _encoded(keys | fixed)
    except UnreadableInstance:
        # A value that cannot be of its VR: the file is still to be found.
        return _encoded({tag: {"vr": ""} for tag in keys} | fixed)


def _plain(element: Element | None) -> Element:
    """The element if its value is at hand, else an empty one; of sequences what the record can hold."""
    if element is None or "Value" not in element:
        return {"vr": (element or {}).get("vr", "")}
    return element


def _numbered(elements: Dataset, tag: str, position: int) -> Dataset:
    """The number that the instance says; its position where it says none (Type 1 in a record)."""
    element = elements.get(tag, {})
    value: list[Any] = element.get("Value") or []
    number = value[0] if value and isinstance(value[0], int) else position
    return {tag: {"vr": "IS", "Value": [number]}}


def _encoded(record: Dataset) -> bytes:
    [content] = encode(record, _no_bulk)
    if not isinstance(content, bytes):
        raise TypeError(type(content))
    return content


def _no_bulk(tag: str, uri: str, top: bool) -> BulkValue:
    raise UnreadableInstance("a directory record names no bulk data")


def _item(record: _Record) -> bytes:
    return b"".join(
        (
            _ITEM.pack(0xFFFE, 0xE000, _LINKS + len(record.content)),
            _LINK.pack(0x0004, 0x1400, b"UL", 4, record.next),
            struct.pack("<HH2sHH", 0x0004, 0x1410, b"US", 2, 0xFFFF),
            _LINK.pack(0x0004, 0x1420, b"UL", 4, record.below),
            record.content,
        )
    )
