"""The Native DICOM Model (PS3.19 A.1) read as DICOM JSON Model objects (PS3.18 F.2).

A document that declares anything (a DTD, an entity) is refused: nothing in it can expand.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.errors import UnreadableInstance

_DEEPEST = 500
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_GROUPS = frozenset(("Alphabetic", "Ideographic", "Phonetic"))
_LEAVES = frozenset(("Value", "InlineBinary", *_COMPONENTS))
_TAG = re.compile(r"[0-9A-F]{8}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WHOLE = re.compile(r"[-+]?\d+")
_INTEGERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV"))
_NUMBERS = frozenset(("DS", "IS", "FL", "FD")) | _INTEGERS
_MOST_ABSENT = 1000  # values whose numbers may be left out, for nothing grows by a number alone


def from_xml(document: bytes) -> Dataset:
    """The data set that a NativeDicomModel document holds.

    Raises UnreadableInstance where it is not well-formed, declares a DTD, or is another kind of document.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(document, True)
    except ValueError:  # an encoding that the parser does not take
        raise UnreadableInstance("the metadata is XML in an encoding that is not known here") from None
    except expat.ExpatError as error:
        raise UnreadableInstance(
            f"the metadata is not well-formed XML at line {error.lineno}, column {error.offset}"
        ) from None
    return reader.root


def _refuse(*_: Any) -> NoReturn:
    raise UnreadableInstance("the metadata has a document type declaration; XML metadata must have none")


@dataclass(slots=True)
class _Attribute:
    """A DicomAttribute that is being read."""

    tag: str
    vr: str
    creator: str
    values: dict[int, Any] = field(default_factory=dict)
    rest: dict[str, str] = field(default_factory=dict)
    """BulkDataURI or InlineBinary."""
    number: int = 0


@dataclass(slots=True)
class _Level:
    """A data set whose attributes are being read."""

    attributes: list[_Attribute] = field(default_factory=list)


class _Reader:
    """Keeps the open data sets; each element does what it means by its local name and its parent's."""

    def __init__(self) -> None:
        self.root: Dataset = {}
        self.open: list[str] = []
        self.levels: list[_Level] = []
        self.name: dict[str, dict[str, str]] = {}
        self.group = ""
        self.letters: list[str] | None = None

    def begin(self, qualified: str, attributes: dict[str, str]) -> None:
        """An element begins; attributes may stand in any order."""
        name = qualified.rpartition(" ")[2]
        if not self.open and name != "NativeDicomModel":
            raise UnreadableInstance("the metadata is no NativeDicomModel document")
        if len(self.levels) > _DEEPEST:
            raise UnreadableInstance(f"the metadata nests sequences more than {_DEEPEST} deep")
        self.open.append(name)
        if name in ("NativeDicomModel", "Item"):
            if name == "Item":
                self._numbered(attributes)
            self.levels.append(_Level())
        elif name == "DicomAttribute":
            self._attribute(attributes)
        elif name in ("Value", "PersonName"):
            self._numbered(attributes)
            self.name = {}
        elif name in _GROUPS:
            self.group = name
        elif name == "BulkData":
            uri = attributes.get("uri") or attributes.get("URI") or attributes.get("uuid", "")
            self._present().rest["BulkDataURI"] = uri
        self.letters = [] if name in _LEAVES else None

    def text(self, text: str) -> None:
        """Characters; those between elements mean nothing."""
        if self.letters is not None:
            self.letters.append(text)

    def end(self, qualified: str) -> None:
        """An element is complete."""
        name = self.open.pop()
        text = "".join(self.letters) if self.letters is not None else ""
        self.letters = None
        if name == "Value":
            attribute = self._present()
            attribute.values[attribute.number] = _value(attribute.vr, text)
        elif name == "InlineBinary":
            self._present().rest["InlineBinary"] = text
        elif name in _COMPONENTS:
            self.name.setdefault(self.group, {})[name] = text
        elif name == "PersonName":
            attribute = self._present()
            attribute.values[attribute.number] = _person_name(self.name)
        elif name == "Item":
            item = _dataset(self.levels.pop())
            attribute = self._present()
            attribute.values[attribute.number] = item
        elif name == "NativeDicomModel":
            self.root = _dataset(self.levels.pop())

    def _present(self) -> _Attribute:
        if not self.levels or not self.levels[-1].attributes:
            raise UnreadableInstance("the metadata has a value outside of any DicomAttribute")
        return self.levels[-1].attributes[-1]

    def _attribute(self, attributes: dict[str, str]) -> None:
        tag = attributes.get("tag", "").upper()
        if not self.levels or not _TAG.fullmatch(tag):
            raise UnreadableInstance("the metadata has a DicomAttribute without a tag")
        creator = attributes.get("privateCreator", "")
        self.levels[-1].attributes.append(_Attribute(tag, attributes.get("vr", ""), creator))

    def _numbered(self, attributes: dict[str, str]) -> None:
        attribute = self._present()
        number = attributes.get("number", "")
        attribute.number = int(number) if _WHOLE.fullmatch(number) else attribute.number + 1
        if not 0 < attribute.number <= len(attribute.values) + _MOST_ABSENT:
            raise UnreadableInstance("the metadata has a value whose number cannot be")


def _dataset(level: _Level) -> Dataset:
    """The data set in tag order, private attributes in the blocks of their creators (PS3.5 7.8.1)."""
    found: Dataset = {one.tag: _element(one) for one in level.attributes if not _blockless(one)}
    for one in level.attributes:
        if _blockless(one):
            block = _block(found, one.tag[:4], one.creator)
            found[f"{one.tag[:4]}{block}{one.tag[6:]}"] = _element(one)
    return dict(sorted(found.items()))


def _blockless(attribute: _Attribute) -> bool:
    return bool(attribute.creator) and attribute.tag[4:6] == "00"


def _block(found: Dataset, group: str, creator: str) -> str:
    """The creator's block in the group; the first free one is taken for a creator that has none."""
    free = ""
    for number in range(0x10, 0x100):
        element = found.get(f"{group}00{number:02X}")
        if element is None:
            free = free or f"{number:02X}"
        elif element.get("Value") == [creator]:
            return f"{number:02X}"
    if not free:
        raise UnreadableInstance("the metadata has more private creators than a group can hold")
    found[f"{group}00{free}"] = {"vr": "LO", "Value": [creator]}
    return free


def _element(attribute: _Attribute) -> Element:
    element: Element = {"vr": attribute.vr} if attribute.vr else {}
    if attribute.values:
        last = max(attribute.values)
        absent: Any = {} if attribute.vr == "SQ" else None
        values = [attribute.values.get(number, absent) for number in range(1, last + 1)]
        if any(value is not None for value in values):
            element["Value"] = values
    return element | attribute.rest


def _value(vr: str, text: str) -> Any:
    if vr not in _NUMBERS:
        return text or None
    text = text.strip()
    if vr in _INTEGERS or vr == "IS":
        return int(text) if _WHOLE.fullmatch(text) and len(text) < 64 else text or None
    if not _NUMBER.fullmatch(text) or len(text) > 64:
        return text or None
    number = float(text)
    return (
        int(text) if _WHOLE.fullmatch(text) else text if number in (float("inf"), -float("inf")) else number
    )


def _person_name(groups: dict[str, dict[str, str]]) -> dict[str, str] | None:
    names = {
        group: "^".join(components.get(name, "") for name in _COMPONENTS).rstrip("^")
        for group, components in groups.items()
    }
    return {group: name for group, name in names.items() if name} or None
