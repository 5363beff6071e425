"""How long each value of a data set is in the bytes that were stored (PS3.5 7.1)."""

import struct
from dataclasses import dataclass
from typing import Any

from dicomweb_box.dicom.header_tables import IMPLICIT_LITTLE, Encoding
from dicomweb_box.dicom.part10 import open_part10

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xFFFEE00D, 0xE0DD


@dataclass(slots=True)
class _Open:
    """A data set or item whose elements follow, or a sequence (`items` counts them) whose items follow."""

    prefix: str
    end: int | None
    encoding: Encoding
    items: int = -1
    fragments: bool = False


def value_lengths(source: Any, *, most: int = 20_000) -> dict[str, int | None]:
    """Bytes of each value by its path (`00081140/1/00080050`); None where the length is undefined.

    Of the first `most` elements; where the bytes stop making sense, of those before.
    Raises UnreadableInstance where no data set begins.
    """
    part10 = open_part10(source, len(source))
    found: dict[str, int | None] = {}
    stack = [_Open("", part10.size, part10.encoding)]
    pos = part10.start
    try:
        while stack and len(found) < most:
            top = stack[-1]
            if top.end is not None and pos >= top.end:
                stack.pop()
            elif top.items < 0:
                pos = _element(part10.data, pos, stack, found)
            else:
                pos = _item(part10.data, pos, stack)
    except (struct.error, ValueError):
        pass  # the reader that indexed it knew better, or it ends here
    return found


def _element(data: Any, pos: int, stack: list[_Open], found: dict[str, int | None]) -> int:
    top = stack[-1]
    encoding = top.encoding
    key, length = encoding.head(data, pos)
    entry = encoding.table.get(key) or encoding.entry(key)
    if entry.tag == _ITEM_END:
        stack.pop()
        return pos + 8
    start = pos + 8
    if entry.long:
        start, length = pos + 12, encoding.long(data, pos + 8)[0]
    path = f"{top.prefix}{entry.tag:08X}"
    undefined = length == _UNDEFINED
    found[path] = None if undefined else length
    end = None if undefined else start + length
    if entry.vr == "SQ" or (undefined and entry.vr == "UN"):
        inner = IMPLICIT_LITTLE if entry.vr == "UN" else encoding  # PS3.5 6.2.2 note 2
        stack.append(_Open(path + "/", end, inner, items=0))
        return start
    if undefined:
        stack.append(_Open(path + "/", None, encoding, items=0, fragments=True))
        return start
    return start + int(length)


def _item(data: Any, pos: int, stack: list[_Open]) -> int:
    top = stack[-1]
    group, element, length = top.encoding.item(data, pos)
    pos += 8
    if group == 0xFFFE and element == _SEQUENCE_END:
        stack.pop()
    elif group != 0xFFFE or element != _ITEM:
        raise ValueError("something else where an item begins")
    elif top.fragments:
        pos += int(length)
    else:
        top.items += 1
        end = None if length == _UNDEFINED else pos + int(length)
        stack.append(_Open(f"{top.prefix}{top.items}/", end, top.encoding))
    return pos
