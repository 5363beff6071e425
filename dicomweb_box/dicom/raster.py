"""Pictures of 8-bit levels in the media types that browsers show (PS3.18 Table 8.7.4-1)."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"
MEDIA_TYPES = (JPEG, PNG, GIF)
_LARGEST_JPEG = 65535


def encoded(levels: "Array", media_type: str, quality: int) -> bytes:
    """A picture of levels, (rows, columns) of grey or (rows, columns, 3) of RGB."""
    from PIL import Image

    picture = Image.fromarray(levels)
    out = io.BytesIO()
    if media_type == JPEG:
        picture.save(out, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    elif media_type == PNG:
        # Half as large again as the best level, for a tenth of its time.
        picture.save(out, "PNG", compress_level=1)
    else:
        picture.save(out, "GIF")
    return out.getvalue()
