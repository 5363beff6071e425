"""Decoding of compressed frames to native bytes; codecs are loaded at the first use.

pydicom decides what a frame's bytes mean (precision, sign, colour); this module lends it the codecs it has no
decoder for: JPEG-LS, JPEG Lossless and twelve-bit JPEG. The names at the end are what it asks of a plugin.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dicomweb_box.dicom.image import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, UNTRANSFORMED, Image
from dicomweb_box.errors import Damaged, NotAcceptable

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_RLE = "1.2.840.10008.1.2.5"
_LENT = frozenset((_JPEG_EXTENDED, *_JPEG_LOSSLESS, *_JPEG_LS))


def decodable(transfer_syntax_uid: str) -> bool:
    """Whether frames of this transfer syntax can be made native here."""
    return transfer_syntax_uid in UNTRANSFORMED or _decoder(transfer_syntax_uid) is not None


def decode(image: Image, frame: bytes) -> bytes:
    """One frame as native little endian bytes, colour by pixel and RGB where it was YBR.

    Raises NotAcceptable where there is no codec, Damaged where the frame is not what its instance says.
    """
    if image.transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
        return _checked(image, frame[: image.frame_length])
    if image.transfer_syntax_uid == DEFLATED_FRAMES:
        return _checked(image, _inflated(image, frame))
    decoder = _decoder(image.transfer_syntax_uid)
    if decoder is None:
        syntax = image.transfer_syntax_uid
        raise NotAcceptable(f"frames of transfer syntax {syntax} cannot be decoded", ())
    try:
        array, _ = decoder.as_array(_encapsulated(frame), index=0, **_options(image))
    except Exception as error:  # codecs raise whatever they like about bad bytes
        raise Damaged(f"a frame cannot be decoded: {type(error).__name__}") from error
    import numpy as np

    wanted = np.dtype(f"<{'i' if image.signed else 'u'}{max(1, image.bits_allocated // 8)}")
    if image.bits_allocated == 1 and array.size > image.frame_length:
        return np.packbits(array.reshape(-1) != 0, bitorder="little").tobytes()
    if array.dtype != wanted:
        array = array.astype(wanted)
    return _checked(image, array.tobytes())


def decode_all(image: Image, frames: Sequence[bytes]) -> bytes:
    """Native bytes of several frames that follow one another, without gaps between frames of single bits.

    Raises as `decode` does.
    """
    native = [decode(image, frame) for frame in frames]
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


def _checked(image: Image, native: bytes) -> bytes:
    if len(native) != image.frame_length:
        raise Damaged(f"a frame decodes to {len(native)} bytes where {image.frame_length} are described")
    return native


def _inflated(image: Image, frame: bytes) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return engine.decompress(frame, image.frame_length)
    except zlib.error as error:
        raise Damaged("a frame cannot be inflated") from error


def _encapsulated(frame: bytes) -> bytes:
    """Pixel Data of one frame in one fragment, behind an empty Basic Offset Table (PS3.5 A.4)."""
    padding = b"\0" * (len(frame) % 2)
    head = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(frame) + len(padding))
    return head + frame + padding


def _options(image: Image) -> dict[str, Any]:
    if image.bits_allocated == 1 and image.transfer_syntax_uid == _RLE:
        # Its byte segments hold eight pixels a byte (PS3.5 G.2): for the decoder, a row of bytes.
        image = replace(
            image, rows=1, columns=image.frame_length, bits_allocated=8, bits_stored=8, signed=False
        )
    options: dict[str, Any] = {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples,
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_representation": int(image.signed),
        "photometric_interpretation": image.photometric,
        "pixel_keyword": "PixelData",
    }
    if image.samples > 1:
        options["planar_configuration"] = image.planar
    return options


@lru_cache(maxsize=64)
def _decoder(transfer_syntax_uid: str) -> Any:
    """pydicom's decoder, with ours lent to it; None where there is none."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(transfer_syntax_uid)
    except NotImplementedError:
        return None
    if transfer_syntax_uid in _LENT and "imagecodecs" not in decoder.available_plugins:
        decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))
    return decoder if decoder.is_available else None


DECODER_DEPENDENCIES = dict.fromkeys(_LENT, ("imagecodecs",))


def is_available(uid: str) -> bool:
    """Whether `decode_frame` knows this transfer syntax."""
    return uid in _LENT


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Native bytes of one frame for pydicom's decoder, colour by pixel and untransformed."""
    import imagecodecs

    syntax = str(runner.transfer_syntax)
    if syntax in _JPEG_LS:
        array = imagecodecs.jpegls_decode(source)
    elif syntax in _JPEG_LOSSLESS:
        array = imagecodecs.ljpeg_decode(source)
    else:
        array = imagecodecs.jpeg8_decode(source)
    runner.set_option("bits_allocated", array.dtype.itemsize * 8)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return bytes(array.tobytes())
