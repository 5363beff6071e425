"""Native frames in other transfer syntaxes, and what an instance then says of them (PS3.5 8.2, A.4).

Lossless targets hold each stored bit. The lossy ones are given only to who names them.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dicomweb_box.dicom import json_model, pixels
from dicomweb_box.dicom.image import NATIVE, Image
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    import numpy as np

    Cells = np.ndarray[Any, Any]

_UID: Final = "1.2.840.10008.1.2."
JPEG_LS: Final = _UID + "4.80"
JPEG_2000_LOSSLESS: Final = _UID + "4.90"
JPEG_2000: Final = _UID + "4.91"
HTJ2K_LOSSLESS: Final = _UID + "4.201"
HTJ2K_RPCL: Final = _UID + "4.202"
JPEG_LOSSLESS: Final = _UID + "4.70"
JPEG_BASELINE: Final = _UID + "4.50"
JPEG_XL_LOSSLESS: Final = _UID + "4.110"
RLE: Final = _UID + "5"

TARGETS: Final = (
    JPEG_LS,
    HTJ2K_LOSSLESS,
    HTJ2K_RPCL,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS,
    RLE,
    JPEG_XL_LOSSLESS,
    JPEG_BASELINE,
    JPEG_2000,
)
"""What can be made, first what is given where several are asked for alike."""
LOSSY: Final = {JPEG_BASELINE: "ISO_10918_1", JPEG_2000: "ISO_15444_1"}
"""Lossy targets, with their Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""

_GREY: Final = frozenset(("MONOCHROME1", "MONOCHROME2"))
_TRANSFORMING: Final = {
    JPEG_2000_LOSSLESS: "YBR_RCT",
    HTJ2K_LOSSLESS: "YBR_RCT",
    HTJ2K_RPCL: "YBR_RCT",
    JPEG_2000: "YBR_ICT",
    JPEG_BASELINE: "YBR_FULL_422",
}
"""Photometric Interpretation of what was RGB (PS3.5 8.2.1, 8.2.4)."""
_QUALITY: Final = 90
_DECIBELS: Final = 50
_SLACK: Final = 6
_JPEG_XL_EFFORT: Final = 2


def targets(image: Image) -> tuple[str, ...]:
    """The transfer syntaxes in which this image's frames can be given besides the stored one and native."""
    readable = image.transfer_syntax_uid in NATIVE or pixels.decodable(image.transfer_syntax_uid)
    if not readable or not _whole(image):
        return ()
    return tuple(one for one in TARGETS if one != image.transfer_syntax_uid and _expresses(one, image))


def described(image: Image, target: str) -> Image:
    """The image as an instance describes it whose frames were encoded so."""
    photometric = image.decoded_photometric
    if photometric == "RGB":
        photometric = _TRANSFORMING.get(target, "RGB")
    return replace(image, transfer_syntax_uid=target, photometric=photometric, planar=0)


def changes(image: Image, target: str, dataset: json_model.Dataset, ratio: float) -> dict[int, bytes]:
    """The attributes that an instance must say otherwise, as Explicit VR Little Endian elements.

    `dataset` is what it says now; `ratio`: native bytes for each encoded one, told where the target is lossy.
    """
    said = described(image, target)
    found = {0x00280004: _text(0x00280004, "CS", [said.photometric])}
    if image.samples > 1:
        found[0x00280006] = struct.pack("<HH2sHH", 0x0028, 0x0006, b"US", 2, 0)
    if target in LOSSY:
        found |= _lossy(dataset, LOSSY[target], ratio)
    return found


def _lossy(dataset: json_model.Dataset, method: str, ratio: float) -> dict[int, bytes]:
    """PS3.3 C.7.6.1.1.5: lossy for good, by which methods after one another; C.7.6.1.1.2: derived.

    The SOP Instance UID stays what it is, although a new object would get another: this is the answer to who
    asked for that UID in that very transfer syntax, and a UID that no later retrieve would find helps nobody.
    """
    ratios = [*map(str, _values(dataset, "00282112")), f"{ratio:.6g}"]
    methods = [*map(str, _values(dataset, "00282114")), method]
    kind = [*map(str, _values(dataset, "00080008"))]
    return {
        0x00080008: _text(0x00080008, "CS", ["DERIVED", *(kind[1:] or ["SECONDARY"])]),
        0x00282110: _text(0x00282110, "CS", ["01"]),
        0x00282112: _text(0x00282112, "DS", ratios),
        0x00282114: _text(0x00282114, "CS", methods),
    }


def _values(dataset: json_model.Dataset, tag: str) -> list[Any]:
    return list(dataset.get(tag, {}).get("Value", ()))


def _text(tag: int, vr: str, values: list[str]) -> bytes:
    text = "\\".join(values).encode("ascii", "replace")
    text += b" " * (len(text) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(text)) + text


def encode(image: Image, native: bytes, target: str) -> bytes:
    """A native frame of this image, encoded; raises Damaged where it is too short or no encoder takes it."""
    import numpy as np

    cells = pixels.samples(image, native)
    cells = np.ascontiguousarray(cells, cells.dtype.newbyteorder("="))
    try:
        return bytes(_ENCODERS[target](image, cells))
    except MemoryError:
        raise
    except Exception as error:
        raise Damaged(f"a frame cannot be encoded: {type(error).__name__}") from error


def _whole(image: Image) -> bool:
    """Whether cells are integers of whole bytes whose stored bits are the lowest, in a colour that stays."""
    if image.floats or image.bits_allocated not in (8, 16, 32) or image.samples not in (1, 3):
        return False
    lowest = image.high_bit in (None, image.bits_stored - 1)
    if not lowest or not 1 <= image.bits_stored <= image.bits_allocated or not image.rows * image.columns:
        return False
    if image.samples == 1:
        return image.photometric in _GREY or image.photometric == "PALETTE COLOR"
    # What is stored uncompressed in another colour space would not come out as it went in.
    return image.decoded_photometric == "RGB"


def _expresses(target: str, image: Image) -> bool:
    bits = image.bits_stored
    if target == RLE:
        return True
    if image.bits_allocated > 16 or max(image.rows, image.columns) > 65535:
        return False
    if target == JPEG_BASELINE:
        return image.bits_allocated == 8 and bits == 8 and not image.signed and _may_lose(image)
    if target == JPEG_2000:
        return _may_lose(image)
    if target == JPEG_XL_LOSSLESS:
        return not image.signed
    return bits >= 2


def _may_lose(image: Image) -> bool:
    return image.photometric != "PALETTE COLOR"  # a neighbouring index is another colour altogether


def _jpeg_ls(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    return imagecodecs.jpegls_encode(_unsigned(cells))


def _htj2k(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    return imagecodecs.htj2k_encode(cells, rgb=image.samples == 3, reversible=True)


def _htj2k_rpcl(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    # PS3.5 A.4.9: with TLM markers; the order RPCL is the encoder's only one.
    return imagecodecs.htj2k_encode(cells, rgb=image.samples == 3, reversible=True, tlm=True)


def _jpeg_2000(
    image: Image, cells: "Cells", *, decibels: int = 0, reversible: bool = True
) -> bytes | bytearray:
    import imagecodecs

    return imagecodecs.jpeg2k_encode(
        cells.astype(f"{cells.dtype.kind}1") if image.bits_stored <= 8 else cells,
        level=decibels,
        codecformat="J2K",
        reversible=reversible,
        bitspersample=image.bits_stored,
        mct=image.samples == 3,
    )


def _jpeg_2000_lossy(image: Image, cells: "Cells") -> bytes | bytearray:
    """Loses little of what the frame holds, or next to nothing where the encoder cannot keep to that.

    The encoder measures losses against all that the stored bits could hold, of which a CT of 16 bits takes a
    small part, and takes frames of few values for empty ones: what it made is decoded and looked at.
    """
    import imagecodecs

    spread = max(1, int(cells.max()) - int(cells.min()))
    decibels = _DECIBELS + round(20 * math.log10(((1 << image.bits_stored) - 1) / spread))
    made = _jpeg_2000(image, cells, decibels=decibels, reversible=False)
    lost = imagecodecs.jpeg2k_decode(made).astype("f8") - cells
    if math.sqrt((lost**2).mean()) <= spread / 10 ** ((_DECIBELS - _SLACK) / 20):
        return made
    return _jpeg_2000(image, cells, reversible=False)


def _jpeg_lossless(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    bits = image.bits_allocated if image.signed else _precision(image)
    same = "RGB" if image.samples == 3 else None  # named equal: the components are left alone
    return imagecodecs.jpeg8_encode(
        _unsigned(cells), lossless=True, predictor=1, bitspersample=bits, colorspace=same, outcolorspace=same
    )


def _jpeg_baseline(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    if image.samples == 1:
        return imagecodecs.jpeg8_encode(cells, level=_QUALITY)
    return imagecodecs.jpeg8_encode(
        cells, level=_QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="422"
    )


def _jpeg_xl(image: Image, cells: "Cells") -> bytes | bytearray:
    import imagecodecs

    return imagecodecs.jpegxl_encode(
        cells,
        lossless=True,
        effort=_JPEG_XL_EFFORT,
        usecontainer=False,
        numthreads=1,
        bitspersample=_precision(image),
    )


def _precision(image: Image) -> int:
    """Bits Stored, or all where readers would take the cells to be narrower than they are allocated."""
    return image.bits_allocated if image.bits_stored <= 8 else image.bits_stored


def _rle(image: Image, cells: "Cells") -> bytes | bytearray:
    """PS3.5 Annex G: a segment for each byte of a cell, the highest first, for each colour."""
    from rle.rle import encode_frame

    little = cells.astype(cells.dtype.newbyteorder("<"), copy=False)
    bits = 8 * cells.itemsize
    return bytes(encode_frame(little.tobytes(), image.rows, image.columns, image.samples, bits, "<"))


def _unsigned(cells: "Cells") -> "Cells":
    # Neither JPEG nor JPEG-LS knows a sign. All bits of the cell go in, sign extended: readers that take the
    # cells as they come, and those that look at Bits Stored, find the same.
    return cells.view(f"u{cells.itemsize}")


_ENCODERS: Final[dict[str, Callable[[Image, Any], bytes | bytearray]]] = {
    JPEG_LS: _jpeg_ls,
    HTJ2K_LOSSLESS: _htj2k,
    HTJ2K_RPCL: _htj2k_rpcl,
    JPEG_2000_LOSSLESS: _jpeg_2000,
    JPEG_LOSSLESS: _jpeg_lossless,
    RLE: _rle,
    JPEG_XL_LOSSLESS: _jpeg_xl,
    JPEG_BASELINE: _jpeg_baseline,
    JPEG_2000: _jpeg_2000_lossy,
}
