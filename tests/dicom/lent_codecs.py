"""pydicom's decoders with the codecs lent to it for which it has no plugin here."""

from typing import Any

import imagecodecs
from pydicom.pixels.decoders.base import get_decoder

_EXTENDED = "1.2.840.10008.1.2.4.51"
_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_LENT = (_EXTENDED, *_LOSSLESS, *_JPEG_LS)

DECODER_DEPENDENCIES = dict.fromkeys(_LENT, ("imagecodecs",))


def lend() -> None:
    """Lend them; again does no harm."""
    for syntax in _LENT:
        decoder = get_decoder(syntax)
        if "imagecodecs" not in decoder.available_plugins:
            decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether `decode_frame` knows this transfer syntax."""
    return uid in _LENT


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Native bytes of one frame, colour by pixel and untransformed."""
    syntax = str(runner.transfer_syntax)
    if syntax in _JPEG_LS:
        array = imagecodecs.jpegls_decode(source)
    elif syntax in _LOSSLESS:
        array = imagecodecs.jpegsof3_decode(source)
    else:
        array = imagecodecs.jpeg8_decode(source)
    runner.set_option("bits_allocated", array.dtype.itemsize * 8)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return bytes(array.tobytes())
