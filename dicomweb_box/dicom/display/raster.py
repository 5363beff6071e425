"""Pictures in the media types that browsers show (PS3.18 Table 8.7.4-1)."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Array = np.ndarray[Any, Any]
    Shown = Image | Array

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"
MEDIA_TYPES = (JPEG, PNG, GIF)


def encoded(shown: "Shown", media_type: str, quality: int, profile: bytes | None = None) -> bytes:
    """A picture of grey levels or RGB as a file, with a colour profile in it where one is given.

    A GIF has no place for a profile.
    """
    import numpy as np

    # Colours of every pixel where it is to be good: overlays and thin graphics have hard edges.
    whole = quality >= 90
    if media_type == JPEG and profile is None and isinstance(shown, np.ndarray):
        # The library that Pillow uses, without Pillow's copies of the pixels: a fifth less for a CT.
        import imagecodecs

        levels = np.ascontiguousarray(shown)
        return bytes(imagecodecs.jpeg8_encode(levels, level=quality, subsampling="444" if whole else "420"))
    picture, out = image(shown), io.BytesIO()
    if media_type == JPEG:
        subsampling = 0 if whole else 2
        picture.save(out, "JPEG", quality=quality, subsampling=subsampling, icc_profile=profile)
    elif media_type == PNG:
        # Half as large again as the best level, for a tenth of its time.
        picture.save(out, "PNG", compress_level=1, icc_profile=profile)
    else:
        picture.save(out, "GIF")
    return out.getvalue()


def image(shown: "Shown") -> "Image":
    """Levels as a picture; a picture as it is."""
    from PIL import Image

    return shown if isinstance(shown, Image.Image) else Image.fromarray(shown)


def opened(file: bytes, within: tuple[int, int] | None = None) -> "Image":
    """The picture in a file that was made here, as large as it fits within a width and height."""
    from PIL import Image

    with Image.open(io.BytesIO(file)) as picture:
        made = picture.convert("RGB")
    if within is None:
        return made
    scale = min(within[0] / made.width, within[1] / made.height)
    size = (max(1, round(made.width * scale)), max(1, round(made.height * scale)))
    return made.resize(size, Image.Resampling.BILINEAR)
