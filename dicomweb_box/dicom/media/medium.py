"""What a consumer medium (a JPEG, a PDF, a video) turns out to be, in DICOM's words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.errors import FailureReason, UnreadableInstance

MOST_PIXELS = 50_000_000
MOST_COMPRESSED = 256 << 20
_PIECE = 1 << 20

Kind = Literal["image", "frames", "video", "document"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """A medium as an instance holds it.

    Either `kept`, the offset and length of the medium's bytes that are stored as they are, or `frames`, the
    native bytes of each decoded frame, to be read once; neither where they were read.
    """

    kind: Kind
    transfer_syntax_uid: str
    attributes: Dataset
    """The Image Pixel Description Macro and what else the medium itself says."""
    kept: tuple[int, int] | None = None
    frames: Iterator[bytes] | None = None


def image_pixels(
    *,
    rows: int,
    columns: int,
    samples: int,
    photometric: str,
    bits_stored: int = 8,
    signed: bool = False,
) -> Dataset:
    """The Image Pixel Description Macro (PS3.3 Table C.7-11c), colour by pixel."""
    if not 0 < rows <= 0xFFFF or not 0 < columns <= 0xFFFF:
        raise unusable("has no size that an instance can have: 1 to 65535 rows and columns")
    allocated = 8 if bits_stored <= 8 else 16
    pixels = {
        "00280002": number("US", samples),
        "00280004": text("CS", photometric),
        "00280010": number("US", rows),
        "00280011": number("US", columns),
        "00280100": number("US", allocated),
        "00280101": number("US", bits_stored),
        "00280102": number("US", bits_stored - 1),
        "00280103": number("US", int(signed)),
    }
    if samples > 1:
        pixels["00280006"] = number("US", 0)
    return pixels


def lossy(method: str, native: int, compressed: int) -> Dataset:
    """Lossy Image Compression, its ratio and its method (PS3.3 C.7.6.1.1.5)."""
    return {
        "00282110": text("CS", "01"),
        "00282112": number("DS", round(native / max(1, compressed), 3)),
        "00282114": text("CS", method),
    }


def bounded(rows: int, columns: int, data: memoryview) -> None:
    """Raise UnreadableInstance where decoding would take too much: a small file can be a huge image."""
    if not rows * columns:
        raise unusable("has no size")
    if rows * columns > MOST_PIXELS:
        raise unusable(f"has more than {MOST_PIXELS // 1_000_000} megapixels, too many to be decoded")
    if len(data) > MOST_COMPRESSED:
        raise unusable(f"has more than {MOST_COMPRESSED >> 20} MiB, too many to be decoded")


def positions(data: memoryview, needle: bytes, start: int) -> Iterator[int]:
    """Where the needle lies, from `start` on; looked for in pieces, so that other threads get their turn."""
    for begin in range(start, len(data), _PIECE):
        piece = bytes(data[begin : begin + _PIECE + len(needle) - 1])
        at = piece.find(needle)
        while at >= 0:
            yield begin + at
            at = piece.find(needle, at + 1)


def number(vr: str, value: float) -> dict[str, Any]:
    """An element with one number."""
    return {"vr": vr, "Value": [value]}


def text(vr: str, *values: str) -> dict[str, Any]:
    """An element with texts; without any it is empty."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def unusable(sentence: str) -> UnreadableInstance:
    """A medium that no instance can be made of; the sentence goes on after "the medium"."""
    return UnreadableInstance(f"the medium {sentence}", FailureReason.CANNOT_UNDERSTAND)
