"""A data set as the rows of a tree that people read: tag, name, VR, length, value, sequences folding."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.words.document import clean
from dicomweb_box.dicom.words.readable import attribute, items, one, sop_class, values

MOST_ROWS = 10_000
MOST_DEPTH = 24
"""Levels shown; the JSON has the rest."""
_MOST_VALUES, _MOST_LETTERS, _MOST_BYTES = 32, 1000, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One attribute, or one item of a sequence."""

    path: str
    """Tags and item numbers from the top, as bulk data are named by: `00081140/1/00081150`."""
    tag: str = ""
    """(gggg,eeee); empty for an item."""
    name: str
    keyword: str = ""
    vr: str = ""
    length: int | None = None
    """Bytes of the stored value; None where it is undefined or not known."""
    value: str = ""
    creator: str = ""
    """Who defines a private attribute."""
    bulk: str = ""
    """Where the value is, relative to the series, if it is not here."""
    depth: int = 0
    opens: bool = False
    """Rows below it follow."""
    closes: int = 0
    """How many open rows end behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """The rows of a data set."""

    rows: Sequence[Row]
    cut: bool
    """There are more rows, or deeper ones, than are shown."""


def tree(dataset: Dataset, lengths: Mapping[str, int | None] = {}, *, wanted: str = "") -> Tree:
    """The rows in tag order, at most MOST_ROWS; of those only the ones that have the words of `wanted`.

    What is above a row that is wanted stays, and what is below one.
    """
    found: list[Row] = []
    cut = False
    for row in _rows(dataset, lengths):
        if len(found) == MOST_ROWS:
            cut = True
            break
        cut |= row.depth == MOST_DEPTH
        found.append(row)
    if wanted.strip():
        found = _wanted(found, wanted.casefold().split())
    return Tree(rows=_nested(found), cut=cut)


def _rows(dataset: Dataset, lengths: Mapping[str, int | None]) -> Iterator[Row]:
    levels = [_attributes(dataset, lengths, "", 0)]
    while levels:
        following = next(levels[-1], None)
        if following is None:
            levels.pop()
            continue
        row, below = following
        yield row
        if below is not None and row.depth < MOST_DEPTH:
            levels.append(below)


_Level = Iterator[tuple[Row, Any]]


def _attributes(dataset: Dataset, lengths: Mapping[str, int | None], place: str, depth: int) -> _Level:
    for tag in sorted(dataset):
        path, element = place + tag, dataset[tag]
        vr = str(element.get("vr", "UN"))
        creator = _creator(dataset, tag)
        row = Row(
            path=path,
            tag=f"({tag[:4]},{tag[4:]})",
            name=_name(tag, creator),
            keyword=keyword(tag),
            vr=vr,
            length=lengths.get(path),
            creator=creator,
            depth=depth,
        )
        if vr == "SQ" and "BulkDataURI" not in element:
            held = items(dataset, tag)
            count = f"{len(held)} item{'' if len(held) == 1 else 's'}"
            yield replace(row, value=count), _items(held, lengths, path + "/", depth + 1) if held else None
        else:
            yield replace(row, value=_value(element, vr), bulk=str(element.get("BulkDataURI", ""))), None


def _items(held: list[Dataset], lengths: Mapping[str, int | None], place: str, depth: int) -> _Level:
    for number, item in enumerate(held, 1):
        row = Row(path=f"{place}{number}", name=f"Item {number}", depth=depth)
        if not item:
            row = replace(row, value="empty")
        yield row, _attributes(item, lengths, f"{place}{number}/", depth + 1) if item else None


def _wanted(rows: list[Row], words: list[str]) -> list[Row]:
    """Those rows that hold every word, with what is above and below them, in their order."""
    kept = [False] * len(rows)
    below: int | None = None  # depth of the wanted row that we are below of
    above: list[int] = []
    for place, row in enumerate(rows):
        del above[row.depth :]
        above.append(place)
        if below is not None and row.depth > below:
            kept[place] = True
            continue
        below = None
        if all(word in _searched(row) for word in words):
            below = row.depth
            for one_above in above:
                kept[one_above] = True
    return [row for row, keep in zip(rows, kept, strict=True) if keep]


def _searched(row: Row) -> str:
    digits = row.tag.strip("()").replace(",", "")
    return f"{row.tag} {digits} {row.name} {row.keyword} {row.creator} {row.vr} {row.value}".casefold()


def _nested(rows: list[Row]) -> list[Row]:
    nested = []
    for row, after in zip_longest(rows, rows[1:]):
        depth = after.depth if after is not None else 0
        opens = after is not None and depth > row.depth
        nested.append(replace(row, opens=opens, closes=0 if opens else row.depth - depth))
    return nested


def _creator(dataset: Dataset, tag: str) -> str:
    # PS3.5 7.8.1: (gggg,00bb) reserves the elements (gggg,bb00-bbFF).
    if not int(tag[:4], 16) % 2 or tag[4:6] == "00":
        return ""
    found = values(dataset, f"{tag[:4]}00{tag[4:6]}")
    return clean(str(found[0])) if found else "nobody"


def _name(tag: str, creator: str) -> str:
    if int(tag[:4], 16) % 2:
        if tag[4:6] == "00":
            return "Private Creator"
        return _private_name(tag, creator) or f"Private attribute of {creator}"
    name = attribute(tag)
    return "Unknown attribute" if name.startswith("(") else name


@lru_cache(maxsize=4096)
def _private_name(tag: str, creator: str) -> str:
    from pydicom.datadict import private_dictionary_description

    try:
        return private_dictionary_description(int(tag, 16), creator)
    except KeyError:
        return ""


@lru_cache(maxsize=4096)
def keyword(tag: str) -> str:
    """The keyword of a standard attribute; "" where it has none."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(int(tag, 16))


def _value(element: Element, vr: str) -> str:
    if "BulkDataURI" in element:
        return ""
    if "InlineBinary" in element:
        return _binary(str(element["InlineBinary"]))
    found = [value for value in element.get("Value", ()) if value not in (None, "", {})]
    shown = " \\ ".join(_word(value, vr) for value in found[:_MOST_VALUES])
    if len(shown) > _MOST_LETTERS:
        shown = shown[:_MOST_LETTERS] + " …"
    return shown if len(found) <= _MOST_VALUES else f"{shown} \\ … {len(found):,} values in all"


def _word(value: Any, vr: str) -> str:
    if vr == "UI":
        name = sop_class(str(value))
        return f"{value} ({name})" if name != value else str(value)
    return one(value, vr)


def _binary(encoded: str) -> str:
    try:
        start = base64.b64decode(encoded[: _MOST_BYTES * 2], validate=True)[:_MOST_BYTES]
    except (binascii.Error, ValueError):
        return "(unreadable)"
    size = len(encoded) * 3 // 4 - encoded[-2:].count("=")
    return start.hex(" ") + (" …" if size > len(start) else "")
