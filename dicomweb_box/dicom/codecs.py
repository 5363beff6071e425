"""Decoders of compressed frames: imagecodecs first, pydicom's plugins for what it cannot read."""

import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from dicomweb_box.dicom import codestream, colour
from dicomweb_box.dicom.codestream import Codestream
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged

Cells = np.ndarray[Any, Any]

_MOST_THREADS = 4
_WORTH_THREADS = 1 << 16
"""Pixels from which JPEG 2000 is decoded by several threads: starting them takes 0.3 ms, decoding 9."""


def warm() -> None:
    """Load the libraries, so that the first frame does not wait for them."""
    import imagecodecs

    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "htj2k_decode", "dicomrle_decode"):
        getattr(imagecodecs, name)


def decoded(image: Image, frame: bytes) -> Cells:
    """The cells of one frame in their final type and colour; raises Damaged where no decoder reads it."""
    said = codestream.examined(image, frame)
    try:
        cells = _kinds()[image.transfer_syntax_uid](image, frame, said)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (codecs raise whatever they like about bad bytes)
        return _by_pydicom(image, frame, error)
    return _typed(image, cells)


@lru_cache(maxsize=1)
def _kinds() -> dict[str, Callable[[Image, bytes, Codestream | None], Cells]]:
    return {
        **dict.fromkeys(codestream.JPEG | codestream.JPEG_LOSSLESS, _jpeg),
        **dict.fromkeys(codestream.JPEG_LS, _jpeg_ls),
        **dict.fromkeys(codestream.JPEG_2000 | codestream.HTJ2K, _jpeg_2000),
        **dict.fromkeys(codestream.JPEG_XL, _jpeg_xl),
        codestream.RLE: _rle,
    }


def _jpeg(image: Image, frame: bytes, said: Codestream | None) -> Cells:
    import imagecodecs

    if image.samples == 3:
        # Named equal so that libjpeg leaves the components alone: what they are is ours to decide.
        cells = imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
    else:
        cells = imagecodecs.jpeg8_decode(frame)
    said_colour = said.colour if said else None
    return _stored_bits(image, _rgb(image, _shaped(image, cells), said_colour))


def _jpeg_ls(image: Image, frame: bytes, said: Codestream | None) -> Cells:
    import imagecodecs

    cells = _shaped(image, imagecodecs.jpegls_decode(frame))
    if image.signed and said is not None and said.precision is not None:
        # JPEG-LS knows no sign: it is the highest of the bits that it was given.
        cells = _sign_extended(cells, said.precision)
    return _rgb(image, cells, said.colour if said else None)


def _jpeg_2000(image: Image, frame: bytes, said: Codestream | None) -> Cells:
    import imagecodecs

    if image.transfer_syntax_uid in codestream.HTJ2K:
        decoded = imagecodecs.htj2k_decode(frame)
    else:
        decoded = imagecodecs.jpeg2k_decode(frame, numthreads=_threads(image))
    cells = _shaped(image, decoded)
    if said is not None and said.precision is not None and said.signed is not image.signed:
        # Encoders that lose the sign are many: the bits are right, their meaning is the instance's.
        cells = (_sign_extended if image.signed else _sign_dropped)(cells, said.precision)
    if image.photometric in ("YBR_ICT", "YBR_RCT"):
        return cells  # undone by the decoder
    return _rgb(image, cells, said.colour if said else None)


def _threads(image: Image) -> int:
    """How many are to decode a frame whose code-blocks do not depend on one another (PS3.5 A.4.4)."""
    if image.rows * image.columns < _WORTH_THREADS:
        return 1
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))


def _jpeg_xl(image: Image, frame: bytes, said: Codestream | None) -> Cells:
    import imagecodecs

    return _stored_bits(image, _shaped(image, imagecodecs.jpegxl_decode(frame, numthreads=1)))


def _rle(image: Image, frame: bytes, said: Codestream | None) -> Cells:
    import imagecodecs

    if image.bits_allocated == 1:
        # Its byte segments hold eight pixels a byte (PS3.5 G.2).
        packed = imagecodecs.dicomrle_decode(frame, dtype="u1", out=image.frame_length)
        return np.frombuffer(packed, np.uint8)
    kind = f"<{'i' if image.signed else 'u'}{image.bits_allocated // 8}"
    native = imagecodecs.dicomrle_decode(frame, dtype=kind, out=image.frame_length)
    cells = np.frombuffer(native, kind)
    if image.samples > 1:
        cells = cells.reshape(image.samples, image.rows, image.columns).transpose(1, 2, 0)
    return _rgb(image, _stored_bits(image, cells.reshape(_shape(image))), None)


def _shape(image: Image) -> tuple[int, ...]:
    return (image.rows, image.columns, image.samples)[: 3 if image.samples > 1 else 2]


def _shaped(image: Image, cells: Cells) -> Cells:
    if cells.shape != _shape(image):
        raise Damaged(f"a frame decodes to the shape {cells.shape} where {_shape(image)} is described")
    return cells


def _rgb(image: Image, cells: Cells, said: str | None) -> Cells:
    """RGB where the codestream's markers, or else the instance, say that it is not."""
    if image.samples != 3 or said == "RGB":
        return cells
    if said is None and not image.photometric.startswith("YBR"):
        return cells
    return colour.rgb(
        cells, min(image.bits_stored, 8 * cells.itemsize), partial="PARTIAL" in image.photometric
    )


def _stored_bits(image: Image, cells: Cells) -> Cells:
    """Cells without bits above the stored ones, signs extended (PS3.5 8.1.1)."""
    if image.high_bit not in (None, image.bits_stored - 1) or image.bits_stored >= 8 * cells.itemsize:
        return cells
    return (_sign_extended if image.signed else _sign_dropped)(cells, image.bits_stored)


def _sign_extended(cells: Cells, bits: int) -> Cells:
    shift = 8 * cells.itemsize - bits
    signed = cells.view(f"i{cells.itemsize}")
    return signed << shift >> shift if shift else signed


def _sign_dropped(cells: Cells, bits: int) -> Cells:
    unsigned = cells.view(f"u{cells.itemsize}")
    return unsigned & unsigned.dtype.type((1 << bits) - 1) if bits < 8 * cells.itemsize else unsigned


def _typed(image: Image, cells: Cells) -> Cells:
    """Cells in the type that the instance allocates."""
    if image.bits_allocated == 1:
        return cells
    wanted = np.dtype(f"<{'i' if image.signed else 'u'}{image.bits_allocated // 8}")
    if cells.itemsize == wanted.itemsize and cells.dtype.kind in "iu":
        return cells.view(wanted)
    return cells.astype(wanted)


# ---- pydicom's own decoders


def available(transfer_syntax_uid: str) -> bool:
    """Whether there is a decoder for frames of this transfer syntax."""
    return transfer_syntax_uid in _kinds()


def _by_pydicom(image: Image, frame: bytes, first: Exception) -> Cells:
    """As another decoder reads it; raises Damaged where none does."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(image.transfer_syntax_uid)
        cells, _ = decoder.as_array(_encapsulated(frame), index=0, **_options(image))
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # as above; a panic of a codec in Rust is no Exception
        raise Damaged(f"a frame cannot be decoded: {_named(first)}") from error
    return _typed(image, cells)


def _named(error: Exception) -> str:
    return str(error) if isinstance(error, Damaged) else type(error).__name__


def _encapsulated(frame: bytes) -> bytes:
    """Pixel Data of one frame in one fragment, behind an empty Basic Offset Table (PS3.5 A.4)."""
    padding = b"\0" * (len(frame) % 2)
    head = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(frame) + len(padding))
    return head + frame + padding


def _options(image: Image) -> dict[str, Any]:
    packed = image.bits_allocated == 1 and image.transfer_syntax_uid == codestream.RLE
    options: dict[str, Any] = {
        "rows": 1 if packed else image.rows,
        "columns": image.frame_length if packed else image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples,
        "bits_allocated": 8 if packed else image.bits_allocated,
        "bits_stored": 8 if packed else image.bits_stored,
        "pixel_representation": 0 if packed else int(image.signed),
        "photometric_interpretation": image.photometric,
        "pixel_keyword": "PixelData",
    }
    if image.samples > 1:
        options["planar_configuration"] = image.planar
    return options
