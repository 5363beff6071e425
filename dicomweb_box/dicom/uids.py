"""Unique identifiers as modalities really write them, and the transfer syntaxes read here."""

import re
from typing import Final

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
JPIP_DEFLATED: Final = frozenset({"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
DEFLATED: Final = JPIP_DEFLATED | {DEFLATED_LITTLE}

# PS3.5 8.2.5–8.2.9, A.4.5–A.4.9: MPEG2, MPEG-4 AVC and HEVC keep one stream over all fragments.
VIDEO: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)) | frozenset(
    f"1.2.840.10008.1.2.4.{number}.1" for number in range(100, 107)
)

# PS3.5 9.1: at most 64 characters of digits and dots. Components with leading zeros are wrong by the standard
# but common, and harmless: they are accepted and never rewritten.
_UID: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)*")
_LONGEST: Final = 64


def clean_uid(value: bytes) -> str | None:
    """The UID without its padding; None where it holds more than digits and dots, or over 64 characters."""
    stripped = value.strip(b" \0")
    if len(stripped) > _LONGEST or not _UID.fullmatch(stripped):
        return None
    return stripped.decode("ascii")
