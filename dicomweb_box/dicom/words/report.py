"""Structured Reports and Key Object Selections as documents (PS3.3 A.35, C.17; PS3.18 8.7.4, text/html)."""

import re
from collections.abc import Iterator

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.words.document import Document, Entry, Link, joined
from dicomweb_box.dicom.words.listing import attributes
from dicomweb_box.dicom.words.readable import attribute, code, items, sop_class, values, words
from dicomweb_box.dicom.words.report_values import concept, is_known, remarks_of, value_of

_CONTENT, _BY_REFERENCE = "0040A730", "0040DB73"
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,3}")
_SHORT = 80

_FACTS = (
    "00100010", "00100020", "00100030", "00100040", "00080050", "00081030", "00080020", "00080090",
    "0008103E", "00080023", "00080033", "0040A032", "00080080", "00080070", "00081090",
)  # fmt: skip
_INFERENCES = {"INFERRED FROM": "inferred from", "SELECTED FROM": "selected from"}


def is_report(dataset: Dataset) -> bool:
    """Whether the instance carries the SR Document Content Module, whatever its SOP class."""
    return words(dataset, "0040A040") == "CONTAINER" or _CONTENT in dataset


def report(dataset: Dataset) -> Document:
    """The report as a document: its title, whose it is, how far it is signed, and every content item."""
    return Document(
        title=concept(dataset) or sop_class(words(dataset, "00080016")) or "Structured Report",
        language=_language(dataset),
        notices=tuple(_notices(dataset)),
        facts=tuple(_facts(dataset)),
        entries=list(_entries(dataset)),
    )


def _language(dataset: Dataset) -> str:
    # (0008,0006) of the document as a whole; RFC 5646 names are HTML's own.
    for item in items(dataset, "00080006"):
        if _LANGUAGE.fullmatch(value := words(item, "00080100")):
            return value
    return "en"


def _notices(dataset: Dataset) -> Iterator[str]:
    """What forbids to read the report as final and signed (PS3.3 C.17.2)."""
    if words(dataset, "0040A491") == "PARTIAL":
        yield joined(("This report is not complete", words(dataset, "0040A492")), ": ")
    if words(dataset, "0040A496") == "PRELIMINARY":
        yield "This report is preliminary."
    if words(dataset, "0040A493") == "UNVERIFIED":
        yield "This report is not verified."


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for tag in _FACTS:
        if shown := words(dataset, tag):
            yield attribute(tag), shown
    for item in items(dataset, "0040A078"):
        yield "Author", joined((words(item, "0040A123"), words(item, "00081070"), words(item, "00080080")))
    for item in items(dataset, "0040A073"):
        at = words(item, "0040A030")
        yield (
            "Verified by",
            joined((words(item, "0040A075"), words(item, "0040A027"), f"on {at}" if at else "")),
        )
    for tag, name in (("0040A360", "Replaces"), ("0040A525", "Identical to")):
        if uids := list(_instances(dataset, tag)):
            yield name, joined(uids)
    yield "Document", joined((sop_class(words(dataset, "00080016")), words(dataset, "00080018")), " ")


def _instances(dataset: Dataset, tag: str) -> Iterator[str]:
    """SOP Instance UIDs of a Hierarchical SOP Instance Reference (PS3.3 Table C.17-3)."""
    for study in items(dataset, tag):
        for series in items(study, "00081115"):
            for instance in items(series, "00081199"):
                yield words(instance, "00081155")


def _entries(dataset: Dataset) -> Iterator[Entry]:
    """Every content item below the root in reading order; nested to any depth without recursion."""
    levels = [enumerate(items(dataset, _CONTENT), 1)]
    places = ["1"]
    while levels:
        following = next(levels[-1], None)
        if following is None:
            levels.pop()
            places.pop()
            continue
        number, item = following
        place, depth = f"{places[-1]}.{number}", len(levels) - 1
        yield from _item(dataset, item, place, depth)
        levels.append(enumerate(items(item, _CONTENT), 1))
        places.append(place)


def _item(root: Dataset, item: Dataset, place: str, depth: int) -> Iterator[Entry]:
    relation = _INFERENCES.get(words(item, "0040A010"), "")
    if values(item, _BY_REFERENCE):
        yield Entry(depth=depth, place=place, label=relation, link=_link(root, item))
        return
    value_type = words(item, "0040A040")
    name = concept(item) or value_type.capitalize() or "Item"
    yield Entry(
        depth=depth,
        place=place,
        label=joined((relation, name), " – "),
        value=value_of(item, value_type),
        remarks=remarks_of(item, value_type),
        heading=value_type == "CONTAINER",
    )
    if not is_known(value_type):
        # A value type of a later edition, or none: nothing that a report says is left out.
        kept = {
            tag: element for tag, element in item.items() if tag not in (_CONTENT, "0040A043", "0040A010")
        }
        yield from attributes(kept, place=f"{place}.", depth=depth + 1)


def _link(root: Dataset, item: Dataset) -> Link:
    """What a by-reference relationship points to (PS3.3 C.17.3.2.5)."""
    path = [int(number) for number in values(item, _BY_REFERENCE) if str(number).isdecimal()]
    place = ".".join(map(str, path))
    target = _at(root, path)
    if target is None:
        return Link(text=f"refers to item {place}, which this report does not hold", place=None)
    value = value_of(target, words(target, "0040A040"))
    text = joined((concept(target) or code(root, "0040A043") or "item", value), ": ").replace("\n", " ")
    return Link(text=text if len(text) <= _SHORT else text[: _SHORT - 1] + "…", place=place)


def _at(root: Dataset, path: list[int]) -> Dataset | None:
    if not path or path[0] != 1:
        return None
    found = root
    for number in path[1:]:
        below = items(found, _CONTENT)
        if not 1 <= number <= len(below):
            return None
        found = below[number - 1]
    return found
