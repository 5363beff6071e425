"""A frame as it is shown."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import grey, pixels
from dicomweb_box.dicom.display import Display
from dicomweb_box.dicom.view import View
from dicomweb_box.dicom.viewport import fitted
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Image  # also by rooms, which may not import PIL

    Array = np.ndarray[Any, Any]


def picture(display: Display, number: int, native: bytes | memoryview, view: View) -> "Image":
    """Frame `number` as a picture of grey levels or RGB.

    `native` is the frame in little endian, as the archive gives it. Raises Damaged where it is too short, and
    BadRequest where the view asks for what is not in the frame.
    """
    from PIL import Image

    made = Image.fromarray(levels(display, number, native, view))
    return made if view.viewport is None else fitted(made, view.viewport, display.aspect)


def levels(display: Display, number: int, native: bytes | memoryview, view: View) -> "Array":
    """Frame `number` as (rows, columns) of grey or (rows, columns, 3) of RGB, each from 0 to 255."""
    if display.image.samples >= 3:
        return _colour(display, native)
    shown = display.grey(number)
    if view.window is not None:
        shown = replace(shown, voi=view.window)
    if display.cells is None:
        return grey.calculated(shown, pixels.samples(display.image, native))
    return grey.levels(shown, display.cells, _patterns(display, native))


def _patterns(display: Display, native: bytes | memoryview) -> "Array":
    """The cells as unsigned bit patterns; the tables of grey know what they mean."""
    import numpy as np

    image = display.image
    if image.bits_allocated == 1:
        return pixels.samples(image, native)
    if len(native) < image.frame_length:
        raise Damaged(f"a frame has {len(native)} bytes where {image.frame_length} are described")
    count = image.rows * image.columns
    kind = "<u2" if image.bits_allocated == 16 else "u1"
    return np.frombuffer(native, kind, count).reshape(image.rows, image.columns)


def _colour(display: Display, native: bytes | memoryview) -> "Array":
    import numpy as np

    cells = pixels.samples(display.image, native)[..., :3]
    if cells.dtype == np.uint8 and display.image.bits_stored == 8:
        return np.ascontiguousarray(cells)
    most = (1 << display.image.bits_stored) - 1
    turned: Array = np.rint(np.clip(cells, 0, most) * (255 / most)).astype(np.uint8)
    return turned
