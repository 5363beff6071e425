"""Looking things up in the DICOM JSON Model (PS3.18 Annex F)."""

from typing import Any

import orjson

Element = dict[str, Any]
Dataset = dict[str, Element]


def values(dataset: Dataset, path: tuple[str, ...]) -> list[Any]:
    """The values at a path of tags, over all items of the sequences on the way; [] where it is absent."""
    items = [dataset]
    for tag in path[:-1]:
        items = [
            inner for item in items for inner in item.get(tag, {}).get("Value", ()) if isinstance(inner, dict)
        ]
    return [value for item in items for value in item.get(path[-1], {}).get("Value", ())]


def in_order(text: bytes) -> bytes:
    """The same object with its attributes in ascending order, each once (PS3.18 F.2.2); the last one counts.

    An object nested too deeply for that comes back as it was.
    """
    try:
        return orjson.dumps(_sorted(orjson.loads(text)))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return text


def _sorted(dataset: Dataset) -> Dataset:
    for element in dataset.values():
        if element["vr"] == "SQ" and "Value" in element:
            element["Value"] = [_sorted(item) for item in element["Value"]]
    return dict(sorted(dataset.items()))


def top_level(text: bytes) -> Dataset:
    """The object as Python; of one nested too deeply to be parsed, what is not."""
    try:
        parsed: Dataset = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {tag: element for tag, piece in _pieces(text) if (element := _parsed(piece)) is not None}
    return parsed


def _parsed(piece: bytes) -> Element | None:
    try:
        element: Element = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return element


def _pieces(text: bytes) -> list[tuple[str, bytes]]:
    """(tag, text) of each attribute at the top, without following what is inside."""
    found: list[tuple[str, bytes]] = []
    depth, at, begun = 0, 0, 1
    while at < len(text):
        byte = text[at]
        if byte == 0x22:
            at += 1
            while text[at] != 0x22:
                at += 2 if text[at] == 0x5C else 1
        elif byte in b"{[":
            depth += 1
        elif byte in b"}]":
            depth -= 1
            if depth == 1:
                found.append((text[begun + 1 : begun + 9].decode(), text[begun + 11 : at + 1]))
        elif byte == 0x2C and depth == 1:
            begun = at + 1
        at += 1
    return found
