"""The Native DICOM Model (PS3.19 A.1): DICOM JSON Model objects (PS3.18 F.2) written as XML."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
_TAIL = "</NativeDicomModel>"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
# What XML 1.0 cannot hold at all, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

DataSet = Mapping[str, Mapping[str, Any]]


def to_xml(dataset: DataSet) -> bytes:
    """One data set as a NativeDicomModel document, in UTF-8; sequences may be nested to any depth."""
    pieces = [_HEAD]
    # One iterator for each sequence that is open: nesting uses no recursion.
    open_levels: list[Iterator[str | DataSet]] = [_attributes(dataset)]
    while open_levels:
        piece = next(open_levels[-1], None)
        if piece is None:
            open_levels.pop()
        elif isinstance(piece, str):
            pieces.append(piece)
        else:
            open_levels.append(_attributes(piece))
    pieces.append(_TAIL)
    return "".join(pieces).encode("utf-8")


def _attributes(dataset: DataSet) -> Iterator[str | DataSet]:
    """The markup of a data set's attributes; an item of a sequence comes as the data set it is."""
    for tag in sorted(dataset):
        element = dataset[tag]
        vr = str(element.get("vr", "UN"))
        yield f"<DicomAttribute {_names(tag, dataset)} vr={quoteattr(vr)}>"
        if vr == "SQ":
            for number, item in enumerate(element.get("Value", ()), 1):
                yield f'<Item number="{number}">'
                yield item or {}
                yield "</Item>"
        else:
            yield from _content(vr, element)
        yield "</DicomAttribute>"


def _content(vr: str, element: Mapping[str, Any]) -> Iterable[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(_clean(element['BulkDataURI']))}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{_text(element['InlineBinary'])}</InlineBinary>"
    else:
        for number, value in enumerate(element.get("Value", ()), 1):
            if value is None:  # an empty value keeps its place by the numbers of the others
                continue
            if vr == "PN":
                yield f'<PersonName number="{number}">{_person_name(value)}</PersonName>'
            else:
                yield f'<Value number="{number}">{_text(value)}</Value>'


def _person_name(value: Any) -> str:
    groups = value if isinstance(value, Mapping) else {"Alphabetic": str(value)}
    markup = ""
    for group in _GROUPS:
        components = zip(_COMPONENTS, str(groups.get(group) or "").split("^"), strict=False)
        inner = "".join(f"<{name}>{_text(text)}</{name}>" for name, text in components if text)
        if inner:
            markup += f"<{group}>{inner}</{group}>"
    return markup


def _names(tag: str, dataset: DataSet) -> str:
    """The attributes tag, and keyword or privateCreator, of one DicomAttribute."""
    tag = tag.upper()
    if int(tag[3], 16) % 2 and tag[4:6] != "00":
        creator = dataset.get(tag[:4] + "00" + tag[4:6], {}).get("Value") or [None]
        if creator[0]:
            # The block's number means nothing beside its creator (PS3.19 A.1.5): it is written as 00.
            return f'tag="{tag[:4]}00{tag[6:]}" privateCreator={quoteattr(_clean(creator[0]))}'
    keyword = _keyword(tag)
    return f'tag="{tag}" keyword="{keyword}"' if keyword else f'tag="{tag}"'


@lru_cache(maxsize=4096)
def _keyword(tag: str) -> str:
    return keyword_for_tag(int(tag, 16))


def _text(value: Any) -> str:
    # A carriage return would be read as a line feed if it were not escaped (XML 1.0 2.11).
    return escape(_clean(value), {"\r": "&#13;"})


def _clean(value: Any) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))
