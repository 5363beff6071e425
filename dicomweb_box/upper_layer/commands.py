"""The command set of a DIMSE message: to bytes and back (PS3.7 6.3.1, Annex E).

Command sets are small, flat and always Implicit VR Little Endian, so that a table and one loop do. pydicom,
which takes many times as long, is the referee in the tests.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from pydicom.dataset import Dataset

# PS3.7 E.1: element number, VR. Retired elements are passed over.
_ELEMENTS = {
    "AffectedSOPClassUID": (0x0002, "UI"),
    "RequestedSOPClassUID": (0x0003, "UI"),
    "CommandField": (0x0100, "US"),
    "MessageID": (0x0110, "US"),
    "MessageIDBeingRespondedTo": (0x0120, "US"),
    "MoveDestination": (0x0600, "AE"),
    "Priority": (0x0700, "US"),
    "CommandDataSetType": (0x0800, "US"),
    "Status": (0x0900, "US"),
    "OffendingElement": (0x0901, "AT"),
    "ErrorComment": (0x0902, "LO"),
    "ErrorID": (0x0903, "US"),
    "AffectedSOPInstanceUID": (0x1000, "UI"),
    "RequestedSOPInstanceUID": (0x1001, "UI"),
    "EventTypeID": (0x1002, "US"),
    "AttributeIdentifierList": (0x1005, "AT"),
    "ActionTypeID": (0x1008, "US"),
    "NumberOfRemainingSuboperations": (0x1020, "US"),
    "NumberOfCompletedSuboperations": (0x1021, "US"),
    "NumberOfFailedSuboperations": (0x1022, "US"),
    "NumberOfWarningSuboperations": (0x1023, "US"),
    "MoveOriginatorApplicationEntityTitle": (0x1030, "AE"),
    "MoveOriginatorMessageID": (0x1031, "US"),
}
_KEYWORDS = {element: (keyword, vr) for keyword, (element, vr) in _ELEMENTS.items()}

_HEAD = struct.Struct("<HHI")
_SHORT = struct.Struct("<H")
_SHORT_ELEMENT = struct.Struct("<HHIH")
_TAG = struct.Struct("<HH")
_GROUP_LENGTH = struct.Struct("<HHII")

C_STORE_RQ, C_GET_RQ, C_FIND_RQ, C_MOVE_RQ, C_ECHO_RQ = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030
N_EVENT_REPORT_RQ, N_GET_RQ, N_SET_RQ, N_ACTION_RQ, N_CREATE_RQ, N_DELETE_RQ = range(0x0100, 0x0160, 0x10)
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000
"""The bit of Command Field that makes a response of a request (PS3.7 E.1)."""
NO_DATA = 0x0101
"""Command Data Set Type where no data set follows; any other value says that one does."""
PENDING = frozenset({0xFF00, 0xFF01})


class Malformed(ValueError):
    """Bytes that are no command set."""


class Command(dict[str, Any]):
    """A command set by keyword, each element also an attribute, as with pydicom's Dataset.

    Numbers are int, UIDs, AE titles and comments str without padding, attribute tags tuples of int.
    """

    def __getattr__(self, keyword: str) -> Any:
        try:
            return self[keyword]
        except KeyError:
            raise AttributeError(f"the command set has no {keyword}") from None


def decode(data: bytes | bytearray) -> Command:
    """The command set of these bytes; raises Malformed."""
    command = Command()
    position, end = 0, len(data)
    while position < end:
        if end - position < 8:
            raise Malformed("a command element is cut short")
        group, element, length = _HEAD.unpack_from(data, position)
        start, position = position + 8, position + 8 + length
        if group != 0 or position > end:
            raise Malformed("a command element is not of group 0000, or longer than the command set")
        known = _KEYWORDS.get(element)
        if known is not None and length:
            keyword, vr = known
            command[keyword] = _value(vr, data, start, length)
    if "CommandField" not in command:
        raise Malformed("the command set has no Command Field")
    return command


def encode(command: Mapping[str, Any] | Dataset, *, has_data: bool) -> bytes:
    """A command set as bytes, with its group length and the Command Data Set Type that goes with `has_data`.

    Elements that are None are left out. Raises ValueError for an element that no command set has.
    """
    items = _items(command) if isinstance(command, Dataset) else command
    parts = []
    for keyword, value in items.items():
        if value is None or keyword in {"CommandDataSetType", "CommandGroupLength"}:
            continue
        known = _ELEMENTS.get(keyword)
        if known is None:
            raise ValueError(f"{keyword} is no element of a command set")
        parts.append(_element(*known, value))
    parts.append(_SHORT_ELEMENT.pack(0, 0x0800, 2, 0x0001 if has_data else NO_DATA))
    parts.sort(key=_order)
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def _value(vr: str, data: bytes | bytearray, start: int, length: int) -> Any:
    if vr == "US":
        if length < 2:
            raise Malformed("a number of a command element is cut short")
        return _SHORT.unpack_from(data, start)[0]
    if vr == "AT":
        if length % 4:
            raise Malformed("a tag of a command element is cut short")
        pairs = struct.unpack_from(f"<{length // 2}H", data, start)
        return tuple(group << 16 | tag for group, tag in zip(pairs[::2], pairs[1::2], strict=True))
    text = data[start : start + length]
    if vr == "UI":
        return text.rstrip(b"\0 ").decode("ascii", "replace")
    return text.strip(b" \0").decode("ascii", "replace")


def _element(element: int, vr: str, value: Any) -> bytes:
    if vr == "US":
        return _SHORT_ELEMENT.pack(0, element, 2, value)
    if vr == "AT":
        tags: Iterable[int] = [value] if isinstance(value, int) else value
        text = b"".join(_TAG.pack(tag >> 16, tag & 0xFFFF) for tag in tags)
    else:
        text = str(value).encode("ascii", "replace")
        if len(text) % 2:
            text += b"\0" if vr == "UI" else b" "
    return _HEAD.pack(0, element, len(text)) + text


def _order(part: bytes) -> bytes:
    return part[3:1:-1]  # the element number, most significant byte first


def _items(dataset: Dataset) -> dict[str, Any]:
    return {element.keyword: element.value for element in dataset if element.tag.group == 0}
