"""De-identification once more, over pydicom's data sets: what the walker over bytes must agree with."""

import io
import warnings
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from dicomweb_box.deid import rules
from dicomweb_box.deid.identity import IDENTIFYING, identity
from dicomweb_box.deid.policy import Policy, applied
from dicomweb_box.deid.pseudonyms import Keyed
from dicomweb_box.deid.rules import Action
from dicomweb_box.deid.treatment import Treatment
from dicomweb_box.dicom.charset import Charset, charset
from dicomweb_box.dicom.header_tables import private_vr, standard_vr

Plain = dict[int, Any]
"""Raw bytes by tag, for a sequence the list of its items."""
WRITTEN_ANEW = {0x00120062, 0x00120063, 0x00120064, 0x0018A001, 0x00280303}
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010, 0x7FE00001, 0x7FE00002}


def opened(source: bytes) -> Dataset:
    """The data set as pydicom reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(io.BytesIO(source), force=True)


def plain(ds: Dataset) -> Plain:
    """Raw values and items of a data set, pixels and what is written anew left out."""
    found: Plain = {}
    for tag in list(ds._dict):
        if int(tag) in PIXELS or int(tag) in WRITTEN_ANEW or not tag & 0xFFFF:
            continue
        found[int(tag)] = _items(ds, int(tag)) if _is_sequence(ds, int(tag)) else _raw(ds, int(tag))
    return found


def deidentified(source: bytes, policy: Policy, key: Keyed) -> Plain:
    """What `plain` would be of the de-identified instance."""
    ds = opened(source)
    seen = IDENTIFYING | policy.asked
    top = {int(tag): _raw(ds, int(tag)) for tag in list(ds._dict) if int(tag) in seen}
    policy = applied(policy, top)
    found = identity(top)
    days = key.days(found.patient, policy.dates) if policy.moves_dates else 0
    treatment = Treatment(policy=policy, pseudonyms=key, identity=found, days=days)
    return _treated(ds, treatment, found.charset, top=True)


def _treated(ds: Dataset, treatment: Treatment, read: Charset, *, top: bool) -> Plain:
    out: Plain = {}
    if 0x00080005 in ds:
        own = _raw(ds, 0x00080005)
        read = charset(own)
        out[0x00080005] = b"" if read.unknown else own
    trial = {tag for tag, _ in treatment.policy.trial}
    for tag in map(int, list(ds._dict)):
        if tag in PIXELS or tag == 0x00080005 or tag in WRITTEN_ANEW or tag in trial:
            continue
        if tag >> 16 & 1:
            value = _private(ds, tag, treatment, read)
            if value is not None:
                out[tag] = value
            continue
        value = _element(ds, tag, treatment, read, top=top)
        if value is not None:
            out[tag] = value
    return out


def _element(ds: Dataset, tag: int, treatment: Treatment, read: Charset, *, top: bool) -> Any:
    vr = "SQ" if _is_sequence(ds, tag) else _vr(ds, tag)
    action = rules.rule_of(treatment.policy, tag, vr).action
    if action == Action.REMOVE:
        return None
    if vr == "SQ":
        if action == Action.RECURSE:
            return [_treated(item, treatment, read, top=False) for item in ds[tag].value]
        return "stand-in" if action == Action.DUMMY else b""
    raw = _raw(ds, tag)
    return raw if action == Action.KEEP else treatment.value(action, tag, vr, raw, read, top=top)


def _private(ds: Dataset, tag: int, treatment: Treatment, read: Charset) -> bytes | None:
    own = [rule for rule in treatment.policy.rules if rule.creator]
    if not own:
        return None
    if not tag & 0xFF00:
        creator = _raw(ds, tag).decode("latin-1").strip()
        kept = [one for one in own if one.creator == creator and one.mask[:4] == f"{tag >> 16:04X}"]
        return _raw(ds, tag) if any(one.action != "remove" for one in kept) else None
    block = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF)
    creator = _raw(ds, block).decode("latin-1").strip() if block in ds else ""
    rule = next((one for one in own if creator and one.is_of(tag, creator)), None)
    if rule is None:
        return None
    vr = ds.get_item(tag).VR
    vr = private_vr(tag, creator) if vr in {None, "UN"} else str(vr)
    action = rules.rule_of(treatment.policy, tag, vr, creator).action
    if action == Action.REMOVE:
        return None
    raw = _raw(ds, tag)
    return raw if action == Action.KEEP else treatment.value(action, tag, vr, raw, read, top=False)


def same(found: Any, wanted: Any) -> bool:
    """Whether two plain data sets are the same, an item that says nothing being any one."""
    if wanted == "stand-in":
        return isinstance(found, list) and len(found) == 1
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[tag], wanted[tag]) for tag in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == wanted or (not found and not wanted))


def _is_sequence(ds: Dataset, tag: int) -> bool:
    return not tag >> 16 & 1 and _vr(ds, tag) == "SQ"


def _items(ds: Dataset, tag: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [plain(item) for item in ds[tag].value or ()]


def _vr(ds: Dataset, tag: int) -> str:
    vr = ds.get_item(tag).VR
    if vr is None or (vr == "UN" and not tag >> 16 & 1):
        return "UN" if tag >> 16 & 1 else standard_vr(tag).rpartition(" ")[2]
    return str(vr)


def _raw(ds: Dataset, tag: int) -> bytes:
    element = ds.get_item(tag)
    if isinstance(element, RawDataElement):
        return element.value or b""
    assert isinstance(element, DataElement)
    value = element.value
    if isinstance(value, bytes):
        return value
    if isinstance(value, int) and element.VR == "US":  # pydicom read it to know how others are written
        return value.to_bytes(2, "little" if ds.original_encoding[1] in {True, None} else "big")
    text = "\\".join(map(str, value)) if element.VM > 1 else str("" if value is None else value)
    return text.encode() + b" " * (len(text) % 2)
