"""Corrected attributes laid over an instance: in its DICOM JSON, and in its bytes.

An instance keeps the bytes it came with. What it is given out with are the corrected values, and an item of
Original Attributes Sequence for each act of correcting (PS3.3 C.12.1.1.9).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from dicomweb_box.dicom import json_encoder, json_model, original_attributes
from dicomweb_box.dicom.changed_elements import Changes
from dicomweb_box.dicom.json_encoder import CHARACTER_SET, BulkValue
from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.original_attributes import SEQUENCE
from dicomweb_box.dicom.uids import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.errors import UnreadableInstance

Kind = Literal["COERCE", "CORRECT"]

_UTF8: Element = {"vr": "CS", "Value": ["ISO_IR 192"]}
# The set of JIS X 0201: its first half is not quite ASCII.
_NOT_ASCII = re.compile(r"\s*ISO[ _](?:2022 )?IR[ _]13\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """One act of correcting: when, why, and the values it gave (an element without Value: empty)."""

    at: str
    kind: Kind
    elements: Mapping[str, Element]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """The corrections in force for one study, the earliest first; each attribute once."""

    acts: tuple[Act, ...] = ()
    elements: Mapping[str, Element] = field(default_factory=dict)
    """All of them together."""

    def over(self, dataset: Mapping[str, Element]) -> Dataset:
        """The elements with the corrected ones in their places; those made empty are left out."""
        found = {tag: one for tag, one in dataset.items() if tag not in self.elements}
        return found | {tag: one for tag, one in self.elements.items() if "Value" in one}


@lru_cache(maxsize=1024)
def read(text: str) -> Overlay:
    """An overlay as `write` wrote it."""
    acts = tuple(Act(at=at, kind=kind, elements=elements) for at, kind, elements in orjson.loads(text))
    return Overlay(acts=acts, elements={tag: one for act in acts for tag, one in act.elements.items()})


def write(acts: list[Act]) -> str:
    """The acts as text, each attribute only in the latest that names it; "" where nothing is left."""
    kept: list[list[Any]] = []
    seen: set[str] = set()
    for act in reversed(acts):
        elements = {tag: one for tag, one in sorted(act.elements.items()) if tag not in seen}
        seen |= elements.keys()
        if elements:
            kept.append([act.at, act.kind, elements])
    return orjson.dumps(kept[::-1]).decode() if kept else ""


def given_syntax(transfer_syntax_uid: str, overlay: str | None) -> str:
    """The transfer syntax that an instance has where nobody asks for another: rewritten ones are explicit."""
    if overlay and transfer_syntax_uid in (IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE):
        return EXPLICIT_LITTLE
    return transfer_syntax_uid


def laid_over(json: bytes, overlay: Overlay, *, system: str, source: str) -> bytes:
    """The instance's DICOM JSON with the corrected values and what they were before."""
    try:
        dataset: Dataset = orjson.loads(json)
        found = orjson.dumps(_corrected(dataset, overlay, system, source))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        found = _spliced(json, overlay, system, source)
    return found


def _corrected(dataset: Dataset, overlay: Overlay, system: str, source: str) -> Dataset:
    items = _originals(dataset, overlay, system, source)
    before = dataset.get(SEQUENCE, {}).get("Value")
    dataset.update(overlay.elements)
    dataset[SEQUENCE] = {"vr": "SQ", "Value": [*(before if isinstance(before, list) else []), *items]}
    return dict(sorted(dataset.items()))


def _spliced(json: bytes, overlay: Overlay, system: str, source: str) -> bytes:
    """The same of JSON that is nested too deeply to be parsed as a whole."""
    texts = {tag: bytes(piece) for tag, piece in json_model.pieces(json)}
    wanted = (*overlay.elements, SEQUENCE)
    known = {tag: one for tag in wanted if tag in texts and (one := _element(texts[tag])) is not None}
    corrected = _corrected(known, overlay, system, source)
    texts |= {tag: orjson.dumps(one) for tag, one in corrected.items()}
    return b"{" + b",".join(b'"%s":%s' % (tag.encode(), texts[tag]) for tag in sorted(texts)) + b"}"


def _element(text: bytes) -> Element | None:
    try:
        element: Element = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return element


def _originals(dataset: Dataset, overlay: Overlay, system: str, source: str) -> list[Dataset]:
    """An item of Original Attributes Sequence for each act."""
    made: Dataset = {}
    for act in overlay.acts:
        originals = {tag: dataset.get(tag) or {"vr": one["vr"]} for tag, one in act.elements.items()}
        at = datetime.fromisoformat(act.at)
        original_attributes.record(made, originals, at=at, system=system, source=source, reason=act.kind)
    items: list[Dataset] = made.get(SEQUENCE, {}).get("Value", [])
    return items


def changes(json: bytes, overlay: Overlay, *, system: str, source: str) -> Changes:
    """What is to be changed in the bytes of the instance with this DICOM JSON.

    Its text becomes UTF-8 where its own character set might not hold the new values. Raises
    UnreadableInstance where a former value cannot be written.
    """
    tags = (*overlay.elements, CHARACTER_SET)
    dataset = {tag: one for tag, one in json_model.top_level(json).items() if tag in tags}
    items = b"".join(_item(one) for one in _originals(dataset, overlay, system, source))
    elements = {int(tag, 16): _bytes({tag: one}) for tag, one in overlay.elements.items()}
    terms = dataset.get(CHARACTER_SET, {}).get("Value") or [""]
    utf8 = not all(map(bytes.isascii, (items, *elements.values()))) or bool(_NOT_ASCII.match(str(terms[0])))
    if utf8:
        elements[int(CHARACTER_SET, 16)] = _bytes({CHARACTER_SET: _UTF8})
    return Changes(elements=elements, items={int(SEQUENCE, 16): items}, utf8=utf8)


def _item(dataset: Dataset) -> bytes:
    """One item of a sequence, in Explicit VR Little Endian."""
    whole = _bytes({SEQUENCE: {"vr": "SQ", "Value": [dataset]}})
    return whole[12:-8]  # without the head and the delimiter of the sequence


def _bytes(dataset: Dataset) -> bytes:
    pieces = json_encoder.encode(dataset, _no_bulk)
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


def _no_bulk(tag: str, uri: str, top: bool) -> BulkValue:
    del uri, top
    raise UnreadableInstance(f"the former value of {json_encoder.named(tag)} is too large to be kept")
