"""Data sets of Storage Commitment (PS3.4 J.3): what is asked to be kept, and what is said of it."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.json_model import first_value
from dicomweb_box.dicom.uids import IMPLICIT_LITTLE, clean_uid
from dicomweb_box.errors import BadRequest

MOST: Final = 100_000
"""Instances of one request."""
_TRANSACTION, _FAILED, _REFERENCED = 0x00081195, 0x00081198, 0x00081199
_CLASS, _INSTANCE, _REASON, _RETRIEVE_AE = 0x00081150, 0x00081155, 0x00081197, 0x00080054
_ITEM: Final = 0xFFFEE000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One instance, and of which SOP class it is said to be."""

    sop_class_uid: str
    instance_uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one request asks to be kept."""

    transaction_uid: str
    references: Sequence[Reference]


def asked(data: bytes, transfer_syntax: str) -> Asked:
    """The action information of a request (PS3.4 Table J.3-1).

    Raises BadRequest for what it lacks, UnreadableInstance where it is no data set.
    """
    found = remote_query.answer(data, transfer_syntax)
    transaction = _uid(first_value(found, f"{_TRANSACTION:08X}"))
    if transaction is None:
        raise BadRequest("Transaction UID (0008,1195) is missing, or is no UID")
    items = _items(found, _REFERENCED)
    references = [one for item in items if (one := _reference(item)) is not None]
    if not references or len(references) != len(items):
        raise BadRequest("Referenced SOP Sequence (0008,1199) is empty, or an item lacks a UID")
    if len(references) > MOST:
        raise BadRequest(f"more than {MOST} instances are referenced")
    return Asked(transaction_uid=transaction, references=list(dict.fromkeys(references)))


def _reference(item: Any) -> Reference | None:
    sop_class, instance = (_uid(first_value(item, f"{tag:08X}")) for tag in (_CLASS, _INSTANCE))
    if sop_class is None or instance is None:
        return None
    return Reference(sop_class_uid=sop_class, instance_uid=instance)


def _uid(value: Any) -> str | None:
    return clean_uid(str(value or "").encode("ascii", "replace"))


def request(transaction_uid: str, references: Iterable[Reference], *, transfer_syntax: str) -> bytes:
    """The action information of a request (PS3.4 Table J.3-1)."""
    write = _Writer(implicit=transfer_syntax == IMPLICIT_LITTLE)
    items = [write.item(write.names(one)) for one in references]
    return write.text(_TRANSACTION, "UI", transaction_uid) + write.sequence(_REFERENCED, items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one report says."""

    transaction_uid: str
    kept: Sequence[Reference]
    failed: Sequence[tuple[Reference, int]]
    """With the reason of each."""


def told(data: bytes, transfer_syntax: str) -> Told:
    """The event information of a report (PS3.4 Table J.3-2).

    Raises BadRequest for what it lacks, UnreadableInstance where it is no data set.
    """
    found = remote_query.answer(data, transfer_syntax)
    transaction = _uid(first_value(found, f"{_TRANSACTION:08X}"))
    if transaction is None:
        raise BadRequest("Transaction UID (0008,1195) is missing, or is no UID")
    kept = [one for item in _items(found, _REFERENCED) if (one := _reference(item)) is not None]
    failed = [
        (one, _reason(item)) for item in _items(found, _FAILED) if (one := _reference(item)) is not None
    ]
    if not kept and not failed:
        raise BadRequest("no instance is told of")
    return Told(transaction_uid=transaction, kept=kept, failed=failed)


def _items(found: Any, tag: int) -> Sequence[Any]:
    return (found.get(f"{tag:08X}") or {}).get("Value") or []


def _reason(item: Any) -> int:
    value = first_value(item, f"{_REASON:08X}")
    return value if isinstance(value, int) else 0x0110


def report(
    transaction_uid: str,
    kept: Iterable[Reference],
    failed: Iterable[tuple[Reference, int]],
    *,
    retrieve_from: str,
    transfer_syntax: str,
) -> bytes:
    """The event information of a report (PS3.4 Table J.3-2); `failed` with the reason of each (C.14.1.1)."""
    write = _Writer(implicit=transfer_syntax == IMPLICIT_LITTLE)
    lost = [write.item(write.names(one) + write.number(_REASON, reason)) for one, reason in failed]
    held = [write.item(write.names(one)) for one in kept]
    return b"".join(
        (
            write.text(_RETRIEVE_AE, "AE", retrieve_from),
            write.text(_TRANSACTION, "UI", transaction_uid),
            write.sequence(_FAILED, lost) if lost else b"",
            write.sequence(_REFERENCED, held) if held else b"",
        )
    )


class _Writer:
    """Elements in one of the two little endian transfer syntaxes."""

    def __init__(self, *, implicit: bool) -> None:
        self._implicit = implicit

    def text(self, tag: int, vr: str, text: str) -> bytes:
        value = text.encode("ascii")
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        return self._element(tag, vr, value)

    def number(self, tag: int, number: int) -> bytes:
        return self._element(tag, "US", struct.pack("<H", number))

    def names(self, one: Reference) -> bytes:
        return self.text(_CLASS, "UI", one.sop_class_uid) + self.text(_INSTANCE, "UI", one.instance_uid)

    def item(self, content: bytes) -> bytes:
        return struct.pack("<HHI", _ITEM >> 16, _ITEM & 0xFFFF, len(content)) + content

    def sequence(self, tag: int, items: Sequence[bytes]) -> bytes:
        content = b"".join(items)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not self._implicit:
            head += b"SQ\0\0"
        return head + struct.pack("<I", len(content)) + content

    def _element(self, tag: int, vr: str, value: bytes) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self._implicit:
            return head + struct.pack("<I", len(value)) + value
        return head + vr.encode("ascii") + struct.pack("<H", len(value)) + value
