"""Display shutters: what of a frame is not to be seen (PS3.3 C.7.6.11, C.7.6.15)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


MOST_CORNERS = 10_000
"""Corners of a polygon: finding what lies within takes time for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shutter:
    """The shapes of which a pixel must be within each to be seen."""

    rectangle: tuple[int, int, int, int] | None = None
    """First and last column, first and last row that are seen, from 1."""
    circle: tuple[float, float, float] | None = None
    """Row and column of the centre, radius."""
    polygon: tuple[tuple[float, float], ...] = ()
    """Rows and columns of its corners."""
    overlay_group: int | None = None
    """Group of the overlay whose bits hide."""
    level: int = 0
    """What is seen instead, from 0 to 255."""

    def hidden(self, shape: tuple[int, int]) -> "Array":
        """Which pixels of a frame are not seen, but for those that an overlay hides; raises Damaged."""
        import numpy as np

        hidden = np.zeros(shape, bool)
        rows, columns = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
        if self.rectangle is not None:
            left, right, upper, lower = self.rectangle
            hidden |= (columns < left) | (columns > right) | (rows < upper) | (rows > lower)
        if self.circle is not None:
            row, column, radius = self.circle
            hidden |= np.hypot(rows - row, columns - column) > abs(radius)
        if len(self.polygon) > MOST_CORNERS:
            raise Damaged(f"a shutter has more than {MOST_CORNERS} corners")
        if len(self.polygon) > 2:
            hidden |= ~_within(self.polygon, shape)
        return hidden


def shutter_of(dataset: Dataset) -> Shutter | None:
    """The shutter of an image or presentation state; None where there is none."""
    if "00181600" not in dataset:
        return None
    shapes = {shape.upper() for shape in json_values.texts(dataset, "00181600")}
    edges = [json_values.whole(dataset, tag) for tag in ("00181602", "00181604", "00181606", "00181608")]
    known = [edge for edge in edges if edge is not None]
    centre, radius = json_values.numbers(dataset, "00181610"), json_values.number(dataset, "00181612")
    corners = json_values.numbers(dataset, "00181620")
    found = Shutter(
        rectangle=(known[0], known[1], known[2], known[3])
        if "RECTANGULAR" in shapes and len(known) == 4
        else None,
        circle=(centre[0], centre[1], radius)
        if "CIRCULAR" in shapes and len(centre) == 2 and radius is not None
        else None,
        polygon=tuple(zip(corners[::2], corners[1::2], strict=False)) if "POLYGONAL" in shapes else (),
        overlay_group=json_values.whole(dataset, "00181623") if "BITMAP" in shapes else None,
        level=(json_values.whole(dataset, "00181622") or 0) >> 8 & 0xFF,
    )
    nothing = found.rectangle is None and found.circle is None and not found.polygon
    return None if nothing and found.overlay_group is None else found


def _within(polygon: tuple[tuple[float, float], ...], shape: tuple[int, int]) -> "Array":
    import numpy as np
    from PIL import Image, ImageDraw

    mask = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(mask).polygon([(column - 1, row - 1) for row, column in polygon], fill=1, outline=1)
    return np.asarray(mask)
