"""Values of interest: windows and their functions (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.lut import Lut, lut_of
from dicomweb_box.dicom.json_model import Dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CENTER, WIDTH, FUNCTION, SEQUENCE = "00281050", "00281051", "00281056", "00283010"

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A window over the output of the modality transformation."""

    center: float
    width: float
    function: Function = "LINEAR"

    def applied(self, values: "Array") -> "Array":
        """Each value's place in the window, from 0 (black) to 1."""
        import numpy as np

        if self.function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-4 * (values - self.center) / self.width))
        if self.function == "LINEAR_EXACT":  # PS3.3 C.11.2.1.3.2
            center, width = self.center, self.width
        else:  # PS3.3 C.11.2.1.2.1
            center, width = self.center - 0.5, self.width - 1
        if width <= 0:
            return (values > center).astype(np.float64)
        return np.clip((values - center) / width + 0.5, 0, 1)


Voi = Window | Lut


def voi_of(dataset: Dataset, path: str, bulk: json_values.Bulk) -> tuple[Voi, ...]:
    """The windows that a data set or item offers, then its tables; `path` leads to it, with a / behind."""
    found: list[Voi] = []
    function = json_values.text(dataset, FUNCTION).upper()
    pairs = zip(json_values.numbers(dataset, CENTER), json_values.numbers(dataset, WIDTH), strict=False)
    for center, width in pairs:
        window = window_of(center, width, function)
        if window is not None:
            found.append(window)
    for at, item in enumerate(json_values.items(dataset, SEQUENCE), 1):
        lut = lut_of(item, f"{path}{SEQUENCE}/{at}", bulk)
        if lut is not None:
            found.append(lut)
    return tuple(found)


def window_of(center: float, width: float, function: str) -> Window | None:
    """The window that stored values mean; None where they mean none."""
    if width <= 0:
        return None
    if function == "SIGMOID":
        return Window(center=center, width=width, function="SIGMOID")
    # Images in small units, such as PET in SUV, have widths that LINEAR does not allow.
    if function == "LINEAR_EXACT" or width < 1:
        return Window(center=center, width=width, function="LINEAR_EXACT")
    return Window(center=center, width=width)
