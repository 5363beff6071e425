"""Decoding of compressed frames to native bytes; codecs are loaded at the first use.

pydicom decides what a frame's bytes mean (precision, sign, colour); this module lends it the codecs it has no
decoder for: JPEG-LS, JPEG Lossless and twelve-bit JPEG. The names at the end are what it asks of a plugin.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom.image import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, UNTRANSFORMED, Image
from dicomweb_box.errors import Damaged, NotAcceptable

if TYPE_CHECKING:
    import numpy as np

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


def samples(image: Image, native: bytes | memoryview) -> "np.ndarray[Any, Any]":
    """The cells of one native little endian frame, as `decode` or the archive gives it.

    The shape is (rows, columns), or (rows, columns, samples) of colour, which is RGB where it was YBR. Bits
    above High Bit or below the stored ones are gone, signs extended (PS3.5 8.1.1), single bits 0 or 1,
    float and double pixel data floats; palette images give their indices. The array may lie in `native`:
    it is not to be written to. Raises Damaged where the bytes are too few.
    """
    if len(native) < image.frame_length:
        raise Damaged(f"a frame has {len(native)} bytes where {image.frame_length} are described")
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
    import numpy as np

    most = (1 << image.bits_stored) - 1
    whole = cells.astype(np.float32)
    light, blue, red = (whole[..., index] for index in range(3))
    blue, red = blue - (most + 1) // 2, red - (most + 1) // 2
    if image.photometric.startswith("YBR_PARTIAL"):
        # Black is 1/16 of the range and white 235/256 of it (CCIR 601-2).
        light = (light - (most + 1) / 16) * (255 / 219)
        blue, red = blue * (255 / 224), red * (255 / 224)
    turned = np.stack(
        (light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue), axis=-1
    )
    rgb: np.ndarray[Any, Any] = np.clip(np.rint(turned), 0, most).astype(cells.dtype)
    return rgb


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
