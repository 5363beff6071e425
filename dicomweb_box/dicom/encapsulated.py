"""What the Encapsulated Document Module says of the document in it (PS3.3 C.24.2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicomweb_box.dicom.json_model import Dataset

DOCUMENT = "00420011"
OCTETS = "application/octet-stream"
_MIME_TYPE, _LENGTH = "00420012", "00420015"

_CLASSES: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.104.1": "application/pdf",
    "1.2.840.10008.5.1.4.1.1.104.2": "text/xml",
    "1.2.840.10008.5.1.4.1.1.104.3": "model/stl",
    "1.2.840.10008.5.1.4.1.1.104.4": "model/obj",
    "1.2.840.10008.5.1.4.1.1.104.5": "model/mtl",
}
# Whoever stores an object says its type, and browsers believe it: no scripts and no styles among them.
_SHOWN = re.compile(
    r"application/(?:pdf|xml|rtf|zip)|text/(?:xml|plain|html|rtf|csv)|(?:model|image|audio|video)/[a-z0-9.+-]{1,60}"
)


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A document within an instance."""

    media_type: str
    """Its own type where it names one that may be shown, else that of its SOP class, else octet-stream."""
    length: int | None
    """Its bytes without padding; None where nobody says."""


def enclosed(elements: Dataset, sop_class_uid: str) -> Enclosed | None:
    """The document of an instance by its attributes; None where there is none."""
    if DOCUMENT not in elements:
        return None
    said = str(_first(elements, _MIME_TYPE) or "").partition(";")[0].strip().lower()
    media_type = said if _SHOWN.fullmatch(said) else _CLASSES.get(sop_class_uid, OCTETS)
    length = _first(elements, _LENGTH)
    return Enclosed(media_type, length if isinstance(length, int) and length > 0 else None)


def _first(elements: Dataset, tag: str) -> Any:
    found = elements.get(tag, {}).get("Value") or [None]
    return found[0]
