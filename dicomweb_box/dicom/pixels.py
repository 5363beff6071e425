"""Frames as native bytes and as cells; codecs and numpy are loaded at the first use."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dicomweb_box.dicom import codestream
from dicomweb_box.dicom.image import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, UNTRANSFORMED, Image
from dicomweb_box.errors import Damaged, NotAcceptable

if TYPE_CHECKING:
    import numpy as np

Native = TypeVar("Native", bytes, memoryview)

COMPRESSED = frozenset(
    (
        *codestream.JPEG,
        *codestream.JPEG_LOSSLESS,
        *codestream.JPEG_LS,
        *codestream.JPEG_2000,
        *codestream.HTJ2K,
        *codestream.JPEG_XL,
        codestream.RLE,
    )
)
"""Transfer syntaxes whose frames a codec has to decode."""


def decodable(transfer_syntax_uid: str) -> bool:
    """Whether frames of this transfer syntax can be made native here."""
    return transfer_syntax_uid in UNTRANSFORMED or transfer_syntax_uid in COMPRESSED


def decode(image: Image, frame: bytes) -> bytes:
    """One frame as native little endian bytes, colour by pixel and RGB where it was YBR.

    Raises NotAcceptable where there is no codec, Damaged where the frame is not what its instance says.
    Bytes of strangers are decoded so in a process of their own only: see `archive.decoding`.
    """
    return bytes(decoded(image, frame))


def decoded(image: Image, frame: bytes) -> bytes | memoryview:
    """As `decode`; the bytes may lie in what a codec made, which spares a copy."""
    if image.transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
        return _checked(image, frame[: image.frame_length])
    if image.transfer_syntax_uid == DEFLATED_FRAMES:
        return _checked(image, _inflated(image, frame))
    if image.transfer_syntax_uid not in COMPRESSED:
        raise NotAcceptable(f"frames of transfer syntax {image.transfer_syntax_uid} cannot be decoded", ())
    import numpy as np

    from dicomweb_box.dicom import codecs

    cells = codecs.decoded(image, frame)
    if image.bits_allocated == 1 and cells.size > image.frame_length:
        return np.packbits(cells.reshape(-1) != 0, bitorder="little").tobytes()
    return _checked(image, np.ascontiguousarray(cells).reshape(-1).view(np.uint8).data)


def joined(image: Image, native: Sequence[bytes]) -> bytes:
    """Native frames that follow one another, without gaps between frames of single bits (PS3.5 8.1.1)."""
    if image.begins_at_bytes:
        return b"".join(native)
    import numpy as np

    count = image.rows * image.columns * image.samples
    bits = [np.unpackbits(np.frombuffer(one, np.uint8), count=count, bitorder="little") for one in native]
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes()


def bits_from(covering: bytes, first: int, count: int) -> bytes:
    """`count` bits of the bytes that cover them, from bit `first` on, made to begin at a byte."""
    import numpy as np

    bits = np.unpackbits(np.frombuffer(covering, np.uint8), bitorder="little")[first : first + count]
    return np.packbits(bits, bitorder="little").tobytes()


def samples(image: Image, native: bytes | memoryview) -> "np.ndarray[Any, Any]":
    """The cells of one native little endian frame, as `decode` or the archive gives it.

    The shape is (rows, columns), or (rows, columns, samples) of colour, which is RGB where it was YBR. Bits
    above High Bit or below the stored ones are gone, signs extended (PS3.5 8.1.1), single bits 0 or 1,
    float and double pixel data floats; palette images give their indices. The array may lie in `native`:
    it is not to be written to. Raises Damaged where the bytes are too few.
    """
    if len(native) < image.frame_length:
        raise Damaged(f"a frame has {len(native)} bytes where {image.frame_length} are described")
    if image.bits_allocated not in (1, 8, 16, 32, 64) or image.samples not in (1, *range(3, 256)):
        raise Damaged(f"a pixel of {image.samples} samples of {image.bits_allocated} bits cannot be read")
    cells = _cells(image, memoryview(native)[: image.frame_length])
    if image.samples == 1:
        return cells.reshape(image.rows, image.columns)
    turned = not image.encapsulated or image.transfer_syntax_uid in UNTRANSFORMED
    if image.halved:
        cells = _unhalved(cells)
    elif turned and image.planar == 1:
        return _rgb(image, cells.reshape(image.samples, image.rows, image.columns).transpose(1, 2, 0))
    return _rgb(image, cells.reshape(image.rows, image.columns, image.samples))


def _cells(image: Image, native: memoryview) -> "np.ndarray[Any, Any]":
    import numpy as np

    if image.bits_allocated == 1:
        count = image.rows * image.columns * image.samples
        return np.unpackbits(np.frombuffer(native, np.uint8), count=count, bitorder="little")
    kind = "f" if image.floats else "i" if image.signed else "u"
    cells = np.frombuffer(native, np.dtype(f"<{kind}{image.bits_allocated // 8}"))
    if image.floats:
        return cells
    high = image.bits_stored - 1 if image.high_bit is None else image.high_bit
    if not 0 < image.bits_stored <= high + 1 <= image.bits_allocated:
        return cells  # it says what cannot be: the cells are taken whole
    above, all_others = image.bits_allocated - 1 - high, image.bits_allocated - image.bits_stored
    if above:
        cells = cells << above
    return cells >> all_others if all_others else cells


def _unhalved(cells: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Y Y Cb Cr of each two pixels as Y Cb Cr of each (PS3.3 C.7.6.3.1.2)."""
    import numpy as np

    if len(cells) % 4:
        raise Damaged("a frame whose chrominance is halved has an odd number of pixels")
    pairs = cells.reshape(-1, 4)
    whole = np.empty((len(pairs), 2, 3), cells.dtype)
    whole[:, :, 0] = pairs[:, :2]
    whole[:, :, 1:] = pairs[:, None, 2:]
    return whole


def _rgb(image: Image, cells: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Colour as RGB (PS3.3 C.7.6.3.1.2); what is none of YBR stays as it is."""
    if not image.decoded_photometric.startswith("YBR"):
        return cells
    from dicomweb_box.dicom import colour

    return colour.rgb(cells, image.bits_stored, partial="PARTIAL" in image.photometric)


def _checked(image: Image, native: Native) -> Native:
    if len(native) != image.frame_length:
        raise Damaged(f"a frame decodes to {len(native)} bytes where {image.frame_length} are described")
    return native


def _inflated(image: Image, frame: bytes) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return engine.decompress(frame, image.frame_length)
    except zlib.error as error:
        raise Damaged("a frame cannot be inflated") from error
