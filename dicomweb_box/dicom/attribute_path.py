"""The way to an attribute: keywords or tags joined by dots, private with creator (PS3.18 8.3.4.1)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dicomweb_box.dicom.attributes import BY_TAG, DERIVED
from dicomweb_box.errors import BadQuery

_STEP = re.compile(
    r"(?P<name>[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2}|xx)[0-9A-Fa-f]{2}|[A-Za-z]\w*)(?::(?P<creator>.+?))?"
    # A creator may hold dots itself: it ends where an attribute follows.
    r"(?:$|\.(?=[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2}|xx)[0-9A-Fa-f]{2}(?:$|[.:])|[A-Z][A-Za-z0-9]{3,}(?:$|\.)))"
)
_TAG = re.compile(r"[0-9A-F]{4}(?:[0-9A-F]{2}|xx)[0-9A-F]{2}")
_KEYWORDS = {attribute.keyword: attribute.tag for attribute in BY_TAG.values()} | {
    keyword: tag for tag, (keyword, _, _) in DERIVED.items()
}
_VRS = {attribute.tag: attribute.vr for attribute in BY_TAG.values()} | {
    tag: vr for tag, (_, vr, _) in DERIVED.items()
}

Dataset = Mapping[str, Any]
"""A DICOM JSON object: tag → element."""


@dataclass(frozen=True, slots=True)
class Step:
    """One attribute on the way; with a creator, its block is written `xx` and found in each data set."""

    tag: str
    creator: str | None = None

    def __str__(self) -> str:
        return self.tag if self.creator is None else f"{self.tag}:{self.creator}"


@dataclass(frozen=True, slots=True)
class AttributePath:
    """An attribute, or an attribute within the items of sequences."""

    steps: tuple[Step, ...]
    vr: str
    """Of the last step; "" where no dictionary knows it."""

    def __str__(self) -> str:
        """Tags joined by dots: what an index of declared attributes is named by."""
        return ".".join(str(step) for step in self.steps)

    @property
    def head(self) -> str:
        """Tag of the attribute that the data set itself holds."""
        return self.steps[0].tag


LABELS = AttributePath((Step("4D53xx01", "DICOMWEB_BOX"),), "LO")
"""Our one private attribute, also known by the keyword Labels; docs/labels.md."""
_LABELS_KEYWORD = "Labels"


@lru_cache(maxsize=4096)
def step_of(tag: str) -> Step:
    """The step without a creator; one and the same for equal tags."""
    return Step(tag)


@lru_cache(maxsize=4096)
def path_of(tag: str, vr: str) -> AttributePath:
    """The path of one attribute without a creator; one and the same for equal ones."""
    return AttributePath((step_of(tag),), vr)


def standard(tag: str) -> AttributePath:
    """The path of one standard attribute of the data set itself."""
    return AttributePath((Step(tag),), vr_of(tag))


def parse(text: str, creators: Mapping[str, str] | None = None) -> AttributePath:
    """The path that keywords or tags joined by dots name; raises BadQuery where they name none.

    `creators` maps the group and block of a private attribute ("000910") to its private creator; a
    creator can also be written behind the tag: "00091001:ACME 1.0".
    """
    steps: list[Step] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if not found or (found.end() == len(text) and text.endswith(".")):
            raise BadQuery("An attribute is named by neither keyword nor tag.")
        steps.append(_step(found["name"], found["creator"], creators or {}))
        position = found.end()
    if not steps:
        raise BadQuery("An attribute is named by neither keyword nor tag.")
    return AttributePath(tuple(steps), _vr(steps[-1]))


def _step(name: str, creator: str | None, creators: Mapping[str, str]) -> Step:
    tag = name[:4].upper() + name[4:].replace("XX", "xx").upper().replace("XX", "xx")
    if name == _LABELS_KEYWORD:
        return LABELS.steps[0]
    if not _TAG.fullmatch(tag):
        return Step(_tag_of(name))
    if int(tag[:4], 16) % 2 == 0:
        return Step(tag)
    creator = creator or creators.get(tag[:6])
    return Step(tag) if creator is None else Step(f"{tag[:4]}xx{tag[6:]}", creator)


def _tag_of(keyword: str) -> str:
    known = _KEYWORDS.get(keyword) or _dictionary_tag(keyword)
    if known is None:
        raise BadQuery("No attribute has this keyword.")
    return known


@lru_cache(maxsize=4096)
def _dictionary_tag(keyword: str) -> str | None:
    # Imported at the first attribute that the index has no column for: the dictionary costs 0.1 s.
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    return None if tag is None else f"{tag:08X}"


@lru_cache(maxsize=4096)
def vr_of(tag: str) -> str:
    """VR of a standard attribute; "" where the dictionary does not know it."""
    if tag in _VRS:
        return _VRS[tag]
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(int(tag, 16)).split(" or ")[0]
    except (KeyError, ValueError):
        return ""


def _vr(step: Step) -> str:
    if step.creator is None:
        return vr_of(step.tag)
    if step == LABELS.steps[0]:
        return LABELS.vr
    from pydicom.datadict import private_dictionary_VR

    try:
        return private_dictionary_VR(int(step.tag.replace("xx", "10"), 16), step.creator).split(" or ")[0]
    except (KeyError, ValueError):
        return ""


def find(dataset: Dataset, step: Step) -> tuple[str, Mapping[str, Any]] | None:
    """The tag and element of one data set (or item) that a step names."""
    if step.creator is None:
        found = dataset.get(step.tag)
        return None if found is None else (step.tag, found)
    group = step.tag[:4]
    for block in range(0x10, 0x100):
        reserved = dataset.get(f"{group}00{block:02X}")
        if reserved and (reserved.get("Value") or [None])[0] == step.creator:
            tag = f"{group}{block:02X}{step.tag[6:]}"
            if tag in dataset:
                return tag, dataset[tag]
    return None


def values(dataset: Dataset, path: AttributePath) -> list[Any]:
    """The values at the end of the path, over all items on the way; empty ones left out."""
    return [value for item in _ends(dataset, path.steps) for value in item if value is not None]


def _ends(dataset: Dataset, steps: tuple[Step, ...]) -> Iterator[list[Any]]:
    found = find(dataset, steps[0])
    held = (found[1].get("Value") or []) if found else []
    if len(steps) == 1:
        yield held
        return
    for item in held:
        if isinstance(item, Mapping):
            yield from _ends(item, steps[1:])


def project(dataset: Dataset, paths: Iterable[AttributePath]) -> dict[str, Any]:
    """The part of a data set that the paths lead to; private attributes come with their creator's element."""
    return _project(dataset, [path.steps for path in paths])


def _project(dataset: Dataset, ways: list[tuple[Step, ...]]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for step in dict.fromkeys(way[0] for way in ways):
        found = find(dataset, step)
        if found is None:
            continue
        tag, element = found
        further = [way[1:] for way in ways if way[0] == step]
        if all(further) and element.get("vr") == "SQ":
            items = element.get("Value") or []
            element = {**element, "Value": [_project(item, further) for item in items if item]}
        part[tag] = element
        if step.creator is not None:
            creator = f"{tag[:4]}00{tag[4:6]}"
            part[creator] = dataset[creator]
    return part
