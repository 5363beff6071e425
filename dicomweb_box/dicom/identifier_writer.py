"""Rows of a search, DICOM JSON objects, as the identifiers of C-FIND responses.

Our own encoder: one row costs microseconds, and pydicom, its referee in the tests, nearly a millisecond.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

from dicomweb_box.dicom import attribute_path
from dicomweb_box.dicom.charset_writer import Repertoire, readable_name, repertoire
from dicomweb_box.dicom.encoded_values import BINARY, VRS, BadValue, encoded, inline, padded, text_of
from dicomweb_box.dicom.identifier import CHARACTER_SET, Key, item_matches
from dicomweb_box.dicom.repertoires import UTF8
from dicomweb_box.dicom.uids import EXPLICIT_BIG, IMPLICIT_LITTLE
from dicomweb_box.dicom.vr_lookup import LONG_VRS, SWAP_UNIT

_TEXT_VRS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""What Specific Character Set speaks of (PS3.5 6.1.2.2)."""
_SHORT_MOST: Final = 0xFFFE

Row = Mapping[str, Any]


class IdentifierWriter:
    """Writes the identifiers of one answer.

    `charsets` are tried in turn, and the last one takes what comes nearest; each response says which it has.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        transfer_syntax: str,
        charsets: Sequence[str],
        said: Mapping[str, tuple[str, str]],
    ) -> None:
        """`said` are the attributes that every response has: tag → VR and value."""
        self._implicit = transfer_syntax == IMPLICIT_LITTLE
        self._order: Literal["little", "big"] = "big" if transfer_syntax == EXPLICIT_BIG else "little"
        parts: dict[str, Key | bytes] = {tag: self._text(tag, vr, text) for tag, (vr, text) in said.items()}
        for key in keys:
            parts[key.tag] = key
            if key.step.creator is not None:
                creator = f"{key.tag[:4]}00{key.tag[4:6]}"
                parts[creator] = self._text(creator, "LO", key.step.creator)
        known = [found for name in charsets if (found := repertoire(name)) is not None]
        self._repertoires = known or [_utf8()]
        self._parts = [part for _, part in sorted({CHARACTER_SET: b"", **parts}.items())]
        """In ascending order; the character set is put where nothing is."""

    def write(self, row: Row) -> bytes:
        """The data set of one row; attributes in ascending order."""
        for target in self._repertoires[:-1]:
            try:
                return self._written(row, target, nearest=False)
            except UnicodeEncodeError:
                continue
        return self._written(row, self._repertoires[-1], nearest=True)

    def _written(self, row: Row, target: Repertoire, *, nearest: bool) -> bytes:
        coder = _Coder(target, nearest=nearest)
        charset = self._text(CHARACTER_SET, "CS", target.value)
        return b"".join(
            (part or charset) if isinstance(part, bytes) else self._of_key(part, row, coder)
            for part in self._parts
        )

    def _of_key(self, key: Key, dataset: Row, coder: "_Coder") -> bytes:
        if key.step.creator is None:
            element = dataset.get(key.tag)
        else:
            held = attribute_path.find(dataset, key.step)
            element = held[1] if held else None
        if element is None:
            return self._element(key.tag, key.vr, b"")
        vr = element.get("vr", key.vr)
        if vr == "SQ":
            return self._sequence(key, element, coder)
        return self._element(key.tag, vr, coder.value(vr, element))

    def _sequence(self, key: Key, element: Mapping[str, Any], coder: "_Coder") -> bytes:
        # C.2.2.2.6: the items that match, with what of them was asked for.
        items = [
            self._item(key, item, coder)
            for item in element.get("Value") or ()
            if isinstance(item, Mapping) and item_matches(key, item)
        ]
        head, size = _head("FFFEE000", "", True, self._order)
        value = b"".join(head + len(item).to_bytes(size, self._order) + item for item in items)
        return self._element(key.tag, "SQ", value)

    def _item(self, key: Key, item: Row, coder: "_Coder") -> bytes:
        keys = sorted(key.items or _all_of(item), key=lambda one: one.tag)
        return b"".join(self._of_key(one, item, coder) for one in keys)

    def _text(self, tag: str, vr: str, text: str) -> bytes:
        return self._element(tag, vr, padded(text.encode("ascii", "replace"), vr))

    def _element(self, tag: str, vr: str, value: bytes) -> bytes:
        if not self._implicit and len(value) > _SHORT_MOST and vr.encode() not in LONG_VRS:
            vr = "UN"  # PS3.5 6.2.2
        if self._order == "big" and (unit := SWAP_UNIT.get(vr.encode())):
            value = b"".join(value[at : at + unit][::-1] for at in range(0, len(value), unit))
        head, size = _head(tag, vr, self._implicit, self._order)
        return head + len(value).to_bytes(size, self._order) + value


@lru_cache(maxsize=4096)
def _head(tag: str, vr: str, implicit: bool, order: Literal["little", "big"]) -> tuple[bytes, int]:
    """What comes before the length of an element, and the bytes of that."""
    number = int(tag[:4], 16).to_bytes(2, order) + int(tag[4:], 16).to_bytes(2, order)
    code = (vr if vr in VRS else "UN").encode("ascii")
    if implicit:
        return number, 4
    return (number + code + b"\0\0", 4) if code in LONG_VRS else (number + code, 2)


class _Coder:
    """Values in one character set."""

    def __init__(self, target: Repertoire, *, nearest: bool) -> None:
        self._target = target
        self._nearest = nearest

    def value(self, vr: str, element: Mapping[str, Any]) -> bytes:
        """The value of a DICOM JSON element; nothing for one that is not of its VR, or given apart."""
        values = element.get("Value")
        if values and len(values) == 1 and (text := _plain(vr, values[0])) is not None:
            data = text.encode("ascii")
            return data if len(data) % 2 == 0 else data + (b"\0" if vr == "UI" else b" ")
        try:
            if values is None:
                return inline(vr, element["InlineBinary"]) if "InlineBinary" in element else b""
            if vr in _TEXT_VRS:
                return padded(self._text(vr, text_of(vr, values)), vr)
            if vr in BINARY:
                return b""
            value = encoded(vr, values)
        except BadValue:
            return b""
        if value.isascii() or vr not in _ASCII_VRS:
            return value
        # A UID or a date that is none: what cannot be in it is left out, never replaced.
        return padded(bytes(one for one in value if one < 0x80).rstrip(b" \0"), vr)

    def _text(self, vr: str, text: str) -> bytes:
        if not self._nearest:
            return self._target.encode(text)
        if vr == "PN" and "=" in text:
            text = "\\".join(readable_name(name, self._target) for name in text.split("\\"))
        return self._target.nearest(text)


_ASCII_VRS: Final = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))


_STRINGS: Final = _TEXT_VRS | _ASCII_VRS


def _plain(vr: str, value: Any) -> str | None:
    """The text of a single value that is ASCII, as most are; None where it takes more."""
    if vr == "PN" and type(value) is dict and len(value) == 1:
        value = value.get("Alphabetic")
    elif vr == "IS" and type(value) is int:
        return str(value)
    return value if type(value) is str and vr in _STRINGS and value.isascii() else None


def _all_of(item: Row) -> list[Key]:
    return [
        Key(tag=tag, step=attribute_path.Step(tag), vr=str(element.get("vr", "UN")))
        for tag, element in item.items()
        if tag != CHARACTER_SET and isinstance(element, Mapping)
    ]


def _utf8() -> Repertoire:
    found = repertoire(UTF8)
    assert found is not None  # noqa: S101 - it is one of the standard's
    return found
