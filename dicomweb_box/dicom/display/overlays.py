"""Overlay planes: bitmaps over frames, beside the pixel data or in its unused bits (PS3.3 C.9.2)."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.json_model import Dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_GROUPS = frozenset(range(0x6000, 0x6020, 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """One plane; its bits are fetched when it is drawn."""

    group: int
    rows: int
    columns: int
    top: int
    """Row of the frame, from 0, that its first row is on; it may begin before the frame."""
    left: int
    frames: int
    first_frame: int
    """Frame that its first bitmap is of."""
    bit: int | None
    """Bit of the cells that holds it; None: it has data of its own."""
    inline: bytes | None
    """Its data where they are short."""
    layer: str = ""
    """Layer that a presentation state draws it on (60xx,1001); "": none."""

    def mask(self, number: int, shape: tuple[int, int], bulk: json_values.Bulk, cells: "Array | None") -> Any:
        """Which pixels of frame `number` it covers; None where it covers none or cannot be had."""
        import numpy as np

        if self.bit is not None:
            there = cells is not None and cells.shape == shape and 0 <= self.bit < 8 * cells.itemsize
            return (cells >> self.bit & 1).astype(bool) if there and cells is not None else None
        at = number - self.first_frame
        if self.frames == 1 and self.first_frame == 1:
            at = 0  # one plane for all frames
        plane = self._plane(at, bulk) if 0 <= at < self.frames else None
        if plane is None:
            return None
        mask = np.zeros(shape, bool)
        top, left = max(0, self.top), max(0, self.left)
        part = plane[top - self.top :, left - self.left :][
            : max(0, shape[0] - top), : max(0, shape[1] - left)
        ]
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        return mask

    def _plane(self, at: int, bulk: json_values.Bulk) -> "Array | None":
        import numpy as np

        data = self.inline if self.inline is not None else bulk(f"{self.group:04X}3000")
        count = self.rows * self.columns
        # Planes follow one another without a gap.
        first, last = at * count // 8, -(-((at + 1) * count) // 8)
        if last > len(data):
            return None
        bits = np.unpackbits(np.frombuffer(data[first:last], np.uint8), bitorder="little")
        begin = at * count % 8
        plane: Array = bits[begin : begin + count].reshape(self.rows, self.columns)
        return plane


def overlays_of(dataset: Dataset, rows: int, columns: int) -> tuple[Overlay, ...]:
    """The planes of a data set whose frames are so large."""
    groups = sorted({int(tag[:4], 16) for tag in dataset if tag.startswith("60")} & _GROUPS)
    found = (_overlay(dataset, group, rows, columns) for group in groups)
    return tuple(one for one in found if one is not None)


def _overlay(dataset: Dataset, group: int, rows: int, columns: int) -> Overlay | None:
    def whole(element: str, default: int) -> int:
        found = json_values.whole(dataset, f"{group:04X}{element}")
        return default if found is None else found

    layer = json_values.text(dataset, f"{group:04X}1001")
    element = dataset.get(f"{group:04X}3000")
    if element is None and f"{group:04X}0102" not in dataset:
        # A presentation state may draw a plane of the image by its group alone.
        return None
    height, width = whole("0010", rows), whole("0011", columns)
    if height <= 0 or width <= 0:
        return None
    origin = json_values.numbers(dataset, f"{group:04X}0050")
    top, left = (int(origin[0]), int(origin[1])) if len(origin) >= 2 else (1, 1)
    return Overlay(
        group=group,
        rows=height,
        columns=width,
        top=top - 1,
        left=left - 1,
        frames=max(1, whole("0015", 1)),
        first_frame=max(1, whole("0051", 1)),
        bit=None if element is not None else whole("0102", 0),
        inline=_inline(element),
        layer=layer,
    )


def _inline(element: Any) -> bytes | None:
    if element is None or "BulkDataURI" in element:
        return None
    return base64.b64decode(element.get("InlineBinary", ""))
