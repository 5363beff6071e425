"""Values of the DICOM JSON Model (PS3.18 F.2) as the bytes of Explicit VR Little Endian (PS3.5 6.2)."""

import base64
import binascii
import re
import struct
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from dicomweb_box.dicom.header_tables import KINDS, NUMBER_FORMATS

VRS: Final = frozenset(KINDS)
BINARY: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_DS_LONGEST: Final = 16  # PS3.5 Table 6.2-1


class BadValue(Exception):
    """A value that cannot be of its VR; the text is the end of a sentence and never holds the value."""


def encoded(vr: str, values: list[Any]) -> bytes:
    """The values of one attribute, padded to an even length; raises BadValue."""
    if vr in NUMBER_FORMATS:
        return _numbers(vr, values)
    if vr == "AT":
        return b"".join(_tag(value) for value in values)
    if vr in BINARY:
        raise BadValue(f"of VR {vr} has Value where InlineBinary or BulkDataURI belongs")
    return padded(text_of(vr, values).encode("utf-8", "surrogatepass"), vr)


def text_of(vr: str, values: list[Any]) -> str:
    """The values of an attribute of a VR of text; raises BadValue."""
    # PS3.5 6.2: several values stand behind one another with a backslash between them.
    return "\\".join(_WRITERS.get(vr, _text)(value) for value in values)


def inline(vr: str, text: Any) -> bytes:
    """What InlineBinary holds (PS3.18 F.2.7), padded; raises BadValue."""
    if isinstance(text, list) and len(text) == 1:  # as some JavaScript writers put it
        text = text[0]
    if not isinstance(text, str):
        raise BadValue("has an InlineBinary that is no text")
    try:
        return padded(base64.b64decode("".join(text.split()), validate=True), vr)
    except (binascii.Error, ValueError):
        raise BadValue("has an InlineBinary that is not base64") from None


def padded(value: bytes, vr: str) -> bytes:
    """The value with an even number of bytes (PS3.5 6.2)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in BINARY or vr == "UI" else b" ")


def _numbers(vr: str, values: list[Any]) -> bytes:
    code = NUMBER_FORMATS[vr]
    # PS3.18 F.2.3: what JSON has no number for comes as a string.
    make: Callable[[Any], Any] = float if code in "fd" else _integer
    try:
        return struct.pack(f"<{len(values)}{code}", *[make(_not_truth(value)) for value in values])
    except (TypeError, ValueError):
        raise BadValue(f"of VR {vr} has a value that is no such number") from None
    except (struct.error, OverflowError):
        raise BadValue(f"of VR {vr} has a value out of its range") from None


def _not_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, float) and value != int(value):
        raise ValueError
    return int(value)


def _tag(value: Any) -> bytes:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise BadValue("of VR AT has a value that is no tag of eight hexadecimal digits")
    return struct.pack("<HH", int(value[:4], 16), int(value[4:], 16))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadValue("has a value that is no text")


def _decimal(value: Any) -> str:
    if not isinstance(value, float):
        return _text(value)
    if not isfinite(value):
        raise BadValue("of VR DS has a value that is not finite")
    text = repr(value)
    precision = _DS_LONGEST
    while len(text) > _DS_LONGEST:
        text, precision = f"{value:.{precision}g}", precision - 1
    return text


def _whole(value: Any) -> str:
    if isinstance(value, float):
        if not isfinite(value) or value != int(value):
            raise BadValue("of VR IS has a value that is no whole number")
        return str(int(value))
    return _text(value)


def _name(value: Any) -> str:
    if not isinstance(value, dict):  # a plain string, as writers of other models send it
        return _text(value)
    return "=".join(_text(value.get(group)) for group in _GROUPS).rstrip("=")


_WRITERS: Final[dict[str, Callable[[Any], str]]] = {"DS": _decimal, "IS": _whole, "PN": _name}
