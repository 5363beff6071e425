"""Whether an instance may go at all: its kind, and what its pixels may show (no pixel is looked at)."""

from collections.abc import Mapping
from typing import Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.registry import SOP_CLASSES
from dicomweb_box.dicom.uids import VIDEO, clean_uid

SOP_CLASS, IMAGE_TYPE, CONVERSION, BURNED_IN = 0x00080016, 0x00080008, 0x00080064, 0x00280301
DOCUMENT, CONTENT, LABELLED = 0x00420011, 0x0040A730, 0x00480010
JUDGED: Final = frozenset((SOP_CLASS, IMAGE_TYPE, CONVERSION, BURNED_IN, DOCUMENT, CONTENT, LABELLED))
"""Attributes at the top that a verdict needs."""
LAST_JUDGED: Final = max(JUDGED)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_SECONDARY_CAPTURE: Final = f"{_STORAGE}7"
_DOCUMENTS: Final = f"{_STORAGE}104."
_ULTRASOUND: Final = frozenset(_STORAGE + tail for tail in ("3", "3.1", "6", "6.1", "6.2"))
_VIDEO: Final = frozenset(_STORAGE + tail for tail in ("77.1.1.1", "77.1.2.1", "77.1.4.1"))
_SLIDE: Final = f"{_STORAGE}77.1.6"
_REPORTS: Final = f"{_STORAGE}88."
_VOICE: Final = f"{_STORAGE}9.4."
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_SCREENS: Final = (b"SCREEN SAVE", b"SCREENSHOT", b"DOSE", b"DOSE_INFO", b"REPORT")


def judge(raw: Mapping[int, bytes], transfer_syntax_uid: str, policy: Policy) -> None:
    """Raises Doubt where the policy does not let such an instance go."""
    sop_class = clean_uid(raw.get(SOP_CLASS, b"")) or ""
    kind = _held_back(sop_class, raw, transfer_syntax_uid)
    if kind:
        raise Doubt(f"{kind} is not de-identified by this version")
    if policy.pixels == "refuse":
        found = shown(raw)
        if found:
            raise Doubt(f"its pixels may show who the patient is: {found}")


def _held_back(sop_class: str, raw: Mapping[int, bytes], transfer_syntax_uid: str) -> str:
    """What cannot be de-identified here, whatever the policy allows."""
    if sop_class == _DIRECTORY:
        return "a DICOMDIR"
    if sop_class not in SOP_CLASSES:
        return "an instance of a private or unknown SOP class"
    if sop_class.startswith(_DOCUMENTS) or DOCUMENT in raw:
        return "an encapsulated document"
    if sop_class.startswith(_REPORTS) or CONTENT in raw:
        return "a structured report or key object selection"
    if sop_class.startswith(_VOICE):
        return "sound"
    if sop_class in _VIDEO or transfer_syntax_uid in VIDEO:
        return "a video"
    return ""


def shown(raw: Mapping[int, bytes]) -> str:
    """Why the pixels are not trusted; empty where nothing speaks against them."""
    burned_in = _term(raw, BURNED_IN)
    if burned_in not in {b"", b"NO"}:
        return "Burned In Annotation is not NO"
    if found := captured(raw):
        return found
    if clean_uid(raw.get(SOP_CLASS, b"")) in _ULTRASOUND and burned_in != b"NO":
        return "ultrasound without Burned In Annotation NO"
    return ""


def captured(raw: Mapping[int, bytes]) -> str:
    """Why the pixels are those of a screen or of a label; empty where nothing says so."""
    sop_class = clean_uid(raw.get(SOP_CLASS, b"")) or ""
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}."):
        return "it is a secondary capture"
    if _term(raw, CONVERSION):
        return "Conversion Type says that it was captured"
    if any(screen in raw.get(IMAGE_TYPE, b"").upper() for screen in _SCREENS):
        return "Image Type says that it is a screen"
    # PS3.3 C.8.12.4: what is written on the label of a slide names the patient.
    if sop_class == _SLIDE and (b"LABEL" in _term(raw, IMAGE_TYPE) or _term(raw, LABELLED) == b"YES"):
        return "it shows the label of a slide"
    return ""


def _term(raw: Mapping[int, bytes], tag: int) -> bytes:
    return raw.get(tag, b"").strip(b" \0").upper()
