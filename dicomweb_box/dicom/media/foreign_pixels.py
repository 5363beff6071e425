"""PNG, GIF and JPEG that no transfer syntax holds, decoded to native frames; codecs are loaded when used.

Their sizes were bounded before (`raster_headers`, `medium.bounded`).
"""

import io
from collections.abc import Iterator
from typing import Any, Final

from dicomweb_box.dicom.media.jpeg_stream import JpegStream
from dicomweb_box.dicom.media.medium import Medium, image_pixels, lossy, number, text, unusable
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE

MOST_FRAMES: Final = 10_000
MOST_BYTES: Final = 0xFFFFFFFE


def warm() -> None:
    """Load the codecs."""
    import imagecodecs
    from PIL import Image

    imagecodecs.png_check(b"")
    Image.preinit()


def from_png(data: memoryview) -> Medium:
    """One native frame, grey or RGB, of 8 or 16 bits; transparency is discarded (PS3.18 10.5.2)."""
    import imagecodecs

    try:
        array = imagecodecs.png_decode(bytes(data))
    except Exception as error:  # noqa: BLE001  (codecs raise whatever they like about bad bytes)
        raise unusable(f"is a PNG that cannot be decoded: {type(error).__name__}") from None
    return _native(array)


def from_jpeg(data: memoryview, stream: JpegStream) -> Medium:
    """One native frame, upright as Exif says it; what was lossy stays marked as lossy."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as opened:
            image = ImageOps.exif_transpose(opened)
            picture = image if image.mode in ("L", "RGB") else image.convert("RGB")
            raw, size, mode = picture.tobytes(), picture.size, picture.mode
    except Exception as error:  # noqa: BLE001
        raise unusable(f"is a JPEG that cannot be decoded: {type(error).__name__}") from None
    pixels = _pixels(size, mode) | lossy("ISO_10918_1", len(raw), len(data))
    if stream.orientation != 1:
        pixels["00082111"] = text("ST", f"Exif Orientation {stream.orientation} applied to the pixels")
    return Medium(kind="image", transfer_syntax_uid=EXPLICIT_LITTLE, attributes=pixels, frames=iter([raw]))


def from_gif(data: memoryview) -> Medium:
    """One native frame, or one for each picture of an animation, with its Frame Time."""
    from PIL import Image

    try:
        image: Any = Image.open(io.BytesIO(data), formats=["GIF"])
        count = _gif_frames(image)
        mode = "L" if count == 1 and image.mode == "L" else "RGB"
        duration = float(image.info.get("duration") or 100)
    except OSError as error:
        raise unusable(f"is a GIF that cannot be decoded: {type(error).__name__}") from None
    if count * image.size[0] * image.size[1] * len(mode) > MOST_BYTES:
        raise unusable("is a GIF of more pixels than an instance can hold")
    pixels = _pixels(image.size, mode)
    if count > 1:
        pixels |= cine(count, duration)
    return Medium(
        kind="frames" if count > 1 else "image",
        transfer_syntax_uid=EXPLICIT_LITTLE,
        attributes=pixels,
        frames=_gif_pictures(image, count, mode),
    )


def cine(count: int, milliseconds: float) -> dict[str, Any]:
    """Number of Frames, and that they follow one another in time (PS3.3 C.7.6.5, C.7.6.6)."""
    return {
        "00280008": number("IS", count),
        "00280009": text("AT", "00181063"),
        "00181063": number("DS", round(milliseconds, 4)),
        "00180040": number("IS", max(1, round(1000 / milliseconds))),
    }


def _native(array: Any) -> Medium:
    import numpy as np

    samples = array.shape[2] if array.ndim == 3 else 1
    if samples in (2, 4):
        array = array[..., : samples - 1]
        samples -= 1
    array = np.squeeze(array, axis=2) if array.ndim == 3 and samples == 1 else array
    bits = array.dtype.itemsize * 8
    pixels = image_pixels(
        rows=array.shape[0],
        columns=array.shape[1],
        samples=samples,
        photometric="MONOCHROME2" if samples == 1 else "RGB",
        bits_stored=bits,
    )
    raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return Medium(kind="image", transfer_syntax_uid=EXPLICIT_LITTLE, attributes=pixels, frames=iter([raw]))


def _pixels(size: tuple[int, int], mode: str) -> dict[str, Any]:
    return image_pixels(
        rows=size[1],
        columns=size[0],
        samples=len(mode),
        photometric="RGB" if mode == "RGB" else "MONOCHROME2",
    )


def _gif_frames(image: Any) -> int:
    """How many pictures there are, counted without decoding more than a bound of them."""
    count = 0
    try:
        while count < MOST_FRAMES:
            image.seek(count)
            count += 1
    except EOFError:
        image.seek(0)
        return count
    raise unusable(f"is a GIF of more than {MOST_FRAMES} pictures")


def _gif_pictures(image: Any, count: int, mode: str) -> Iterator[bytes]:
    try:
        for number_of in range(count):
            image.seek(number_of)
            yield image.convert(mode).tobytes()
    except Exception as error:  # noqa: BLE001
        raise unusable(f"is a GIF that cannot be decoded: {type(error).__name__}") from None
    finally:
        image.close()
