"""Any instance as a plain listing of its attributes: what can be read of what has no pixels and no report."""

from collections.abc import Iterator
from typing import Any

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.words.document import Document, Entry, joined
from dicomweb_box.dicom.words.readable import attribute, items, one, sop_class, values, words

_MOST_VALUES = 24
_CLASS, _INSTANCE = "00080016", "00080018"
_FACTS = ("00100010", "00100020", "00100030", "00100040", "00080020", "00081030", "0008103E", "00080060")


def listing(dataset: Dataset) -> Document:
    """The instance as a document: whose and what it is, then each attribute in the order of tags."""
    title = joined((sop_class(words(dataset, _CLASS)), words(dataset, "0008103E")), ": ")
    return Document(
        title=title or "DICOM instance",
        facts=tuple((attribute(tag), shown) for tag in _FACTS if (shown := words(dataset, tag))),
        entries=list(attributes(dataset)),
    )


def attributes(dataset: Dataset, *, place: str = "", depth: int = 0) -> Iterator[Entry]:
    """Each attribute and, below a sequence, each item; nested to any depth without recursion."""
    levels = [_level(dataset, place, depth)]
    while levels:
        following = next(levels[-1], None)
        if following is None:
            levels.pop()
            continue
        entry, below = following
        yield entry
        if below is not None:
            levels.append(below)


_Level = Iterator[tuple[Entry, Any]]


def _level(dataset: Dataset, place: str, depth: int) -> _Level:
    for tag in sorted(dataset):
        element, here = dataset[tag], f"{place}{tag}"
        if element.get("vr") == "SQ":
            found = items(dataset, tag)
            count = f"{len(found)} item{'' if len(found) == 1 else 's'}"
            entry = Entry(depth=depth, place=here, label=_name(tag, dataset), value=count)
            yield entry, _items(found, f"{here}/", depth + 1)
        else:
            value = _value(dataset, tag)
            yield Entry(depth=depth, place=here, label=_name(tag, dataset), value=value), None


def _items(found: list[Dataset], place: str, depth: int) -> _Level:
    for number, item in enumerate(found, 1):
        entry = Entry(depth=depth, place=f"{place}{number}", label=f"Item {number}")
        yield entry, _level(item, f"{place}{number}/", depth + 1)


def _name(tag: str, dataset: Dataset) -> str:
    name = attribute(tag)
    if not name.startswith("("):
        return f"{name} ({tag[:4]},{tag[4:]})"
    creator = words(dataset, f"{tag[:4]}00{tag[4:6]}") if int(tag[:4], 16) % 2 else ""
    return f"{name} of {creator}" if creator and not tag[4:].startswith("00") else name


def _value(dataset: Dataset, tag: str) -> str:
    element = dataset[tag]
    if "InlineBinary" in element:
        encoded = str(element["InlineBinary"])
        size = len(encoded) * 3 // 4 - encoded[-2:].count("=")
        return f"({size} bytes)"
    if "BulkDataURI" in element:
        return words(dataset, tag)
    vr, found = str(element.get("vr", "UN")), values(dataset, tag)
    shown = ", ".join(one(value, vr) for value in found[:_MOST_VALUES])
    return shown if len(found) <= _MOST_VALUES else f"{shown}, … {len(found)} values in all"
