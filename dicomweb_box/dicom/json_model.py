"""Looking things up in the DICOM JSON Model (PS3.18 Annex F)."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

Element = dict[str, Any]
Dataset = dict[str, Element]

_DEEPEST_SORTED = 250  # what orjson writes; deeper than this an order is not worth a refusal
_MOST_PARSED = 4 << 20  # bytes of JSON that are made Python objects at once
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_ITEM_DEPTH = 4  # within the object, its element, and the element's list of values
_QUOTE, _OPENING = ord('"'), b"{["


def values(dataset: Dataset, path: tuple[str, ...]) -> list[Any]:
    """The values at a path of tags, over all items of the sequences on the way; [] where it is absent."""
    items = [dataset]
    for tag in path[:-1]:
        items = [
            inner for item in items for inner in item.get(tag, {}).get("Value", ()) if isinstance(inner, dict)
        ]
    return [value for item in items for value in item.get(path[-1], {}).get("Value", ())]


def first_value(dataset: Any, tag: str) -> Any:
    """The attribute's first value; None where it has none, whatever shape the metadata is in."""
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    found = element.get("Value") if isinstance(element, dict) else None
    return found[0] if isinstance(found, list) and found else None


def in_order(text: bytes) -> bytes:
    """The same object with its attributes in ascending order, each once (PS3.18 F.2.2); the last one counts.

    An object nested too deeply for that, or very large, comes back as it was.
    """
    if len(text) > 4 * _MOST_PARSED:
        return text
    try:
        return orjson.dumps(_sorted(orjson.loads(text)))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return text


def _sorted(dataset: Dataset) -> Dataset:
    for element in dataset.values():
        if element["vr"] == "SQ" and "Value" in element:
            element["Value"] = [_sorted(item) for item in element["Value"]]
    return dict(sorted(dataset.items()))


def writable(dataset: Dataset) -> Dataset:
    """The same without what is nested too deeply to be written as JSON again."""
    try:
        orjson.dumps(dataset)
    except orjson.JSONEncodeError:
        return {tag: element for tag, element in dataset.items() if _can_be_written(element)}
    return dataset


def _can_be_written(element: Element) -> bool:
    try:
        orjson.dumps(element)
    except orjson.JSONEncodeError:
        return False
    return True


def top_level(text: bytes) -> Dataset:
    """The object as Python. Of one that is very large, or nested too deeply to be parsed, what is not."""
    if len(text) <= _MOST_PARSED:
        try:
            parsed: Dataset = orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
        else:
            return parsed
    return {tag: element for tag, piece in pieces(text) if (element := _parsed(piece)) is not None}


def all_or_none(text: bytes) -> Dataset | None:
    """The object as Python; None where `top_level` would leave something of it out."""
    if len(text) > _MOST_PARSED:
        return None
    try:
        parsed: Dataset = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return parsed


def whole(text: bytes) -> Dataset:
    """The object as Python, however large; an attribute nested too deeply to be parsed is left out."""
    try:
        parsed: Dataset = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {tag: one for tag, piece in pieces(text) if (one := _parsed(piece, len(text))) is not None}
    return parsed


def array_items(text: bytes) -> Iterator[memoryview]:
    """The text of each object or array within an array, without following what is inside.

    The whole text where it is no array, or none that holds such.
    """
    view, depth, begun, found = memoryview(text), 0, 0, False
    if text.lstrip()[:1] == b"[":
        for token in _TOKENS.finditer(text):
            first = text[token.start()]
            if first == _QUOTE:
                continue
            depth += 1 if first in _OPENING else -1
            if depth == 2 and first in _OPENING:
                begun = token.start()
            elif depth == 1 and first not in _OPENING:
                found = True
                yield view[begun : token.end()]
                begun = token.end()
    if not found or depth > 0:
        yield view[begun:]


def items_of(text: bytes, tag: str) -> Iterator[Dataset]:
    """Each item of a sequence at the top, one after another; {} for one that is nested too deeply."""
    view, depth, begun, wanted = memoryview(text), 0, 0, False
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first == _QUOTE:
            if depth == 1:
                wanted = token[0][1:-1] == tag.encode()
        elif first in _OPENING:
            depth += 1
            if depth == _ITEM_DEPTH:
                begun = token.start()
        else:
            depth -= 1
            if wanted and depth == _ITEM_DEPTH - 1:
                yield _parsed(view[begun : token.end()]) or {}


def _parsed(piece: memoryview, most: int = _MOST_PARSED // 4) -> Element | None:
    # A sequence of a million items would be a gigabyte of Python objects, made while nothing else runs.
    if len(piece) > most:
        return None
    try:
        element: Element = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return element


def pieces(text: bytes) -> Iterator[tuple[str, memoryview]]:
    """(tag, text) of each attribute at the top, without following what is inside."""
    view, depth, begun = memoryview(text), 0, 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first == _QUOTE:
            if depth == 1:
                begun = token.start()
        elif first in _OPENING:
            depth += 1
        else:
            depth -= 1
            if depth == 1:
                yield text[begun + 1 : begun + 9].decode(), view[begun + 11 : token.end()]
