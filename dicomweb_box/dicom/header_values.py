"""The text of values in the DICOM JSON Model (PS3.18 F.2.2–F.2.7), from their bytes."""

import base64
import re
import struct
from json.encoder import encode_basestring as quote
from math import isfinite
from typing import Any, Final

from dicomweb_box.dicom.header_tables import WORD_SIZES, Numbers

_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?").fullmatch
# Beyond this, a reader that keeps numbers as doubles (every browser) would not see the value that was sent.
_EXACT: Final = 1 << 53
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def strings(text: str, vr: str) -> str:
    """Several strings as the inside of a JSON array; an empty one is null (PS3.18 F.2.5)."""
    strip = _stripper(vr)
    return ",".join([quote(one) if (one := strip(part)) else "null" for part in text.split("\\")])


def plain_strings(text: str, vr: str) -> str:
    """The same for printable ASCII without quotation marks."""
    if text[0] in "\\ " or text[-1] == "\\" or "\\\\" in text or " \\" in text or "\\ " in text:
        return strings(text, vr)
    return '"' + text.replace("\\", '","') + '"'


def _stripper(vr: str) -> Any:
    if vr in {"AE", "CS"}:
        return lambda part: part.strip(" \0")
    return lambda part: part.rstrip(" \0")


def decimal(value: bytes, opening: str, with_values: str, vr: str) -> str:
    """An element of VR DS or IS whose text is not JSON: numbers, and a string where a value is no number."""
    text = value.decode("latin-1").strip(" \0")
    if not text:
        return opening + "}"
    found = ",".join([_number(part.strip(" \0"), vr) for part in text.split("\\")])
    return f"{with_values}{found}]}}"


def _number(text: str, vr: str) -> str:
    if not text:
        return "null"
    if not _NUMBER(text) or len(text) > 64:
        return quote(text)
    number = float(text)
    if not isfinite(number):
        return quote(text)
    if vr == "IS":
        if abs(number) >= _EXACT or number != int(number):
            return quote(text)
        return str(int(number))
    return repr(number)


def names(text: str, opening: str, with_values: str) -> str:
    """An element of VR PN: the component groups that are there, null for an empty name among several."""
    people = [_name(part) for part in text.split("\\")]
    if people == ["null"]:
        return opening + "}"
    return f"{with_values}{','.join(people)}]}}"


def _name(text: str) -> str:
    groups = zip(_GROUPS, text.split("="), strict=False)
    there = [f'"{name}":{quote(stripped)}' for name, group in groups if (stripped := group.strip(" \0"))]
    return "{" + ",".join(there) + "}" if there else "null"


def tags(value: bytes, opening: str, with_values: str, order: str) -> str:
    """An element of VR AT: eight hexadecimal digits a tag."""
    halves = struct.unpack_from(f"{order}{len(value) // 4 * 2}H", value)
    found = ",".join(
        [f'"{group:04X}{element:04X}"' for group, element in zip(halves[::2], halves[1::2], strict=True)]
    )
    return f"{with_values}{found}]}}" if found else opening + "}"


def numbers(data: Any, start: int, length: int, how: Numbers, order: str) -> str | None:
    """Binary numbers as the inside of a JSON array; None where it cannot hold them."""
    if length % how.size:
        return None
    found = struct.unpack_from(f"{order}{length // how.size}{how.code}", data, start)
    if how.code in "fd" and not all(map(isfinite, found)):
        return None
    return ",".join(map(repr, found))


def inline(value: bytes, opening: str, vr: str, order: str) -> str:
    """A binary element in base64, in little endian whatever the source was in (PS3.18 F.2.7)."""
    if order == ">":
        value = swapped(value, vr)
    return f'{opening},"InlineBinary":"{base64.b64encode(value).decode()}"}}'


def swapped(value: bytes, vr: str) -> bytes:
    """Bytes of a big endian value in little endian, by the size of its VR's words."""
    size = WORD_SIZES.get(vr) or {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "SV": 8, "UV": 8}.get(
        vr, 1
    )
    if size == 1 or len(value) % size:
        return value
    turned = bytearray(len(value))
    for position in range(size):
        turned[position::size] = value[size - 1 - position :: size]
    return bytes(turned)
