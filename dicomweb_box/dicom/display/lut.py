"""Look-up tables: Modality, VOI, Presentation and Palette Color LUTs of data sets (PS3.3 C.11.1.1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.json_model import Dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

DESCRIPTOR, DATA = "00283002", "00283006"
_MOST = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Lut:
    """One table: `first` is the input that its first entry is for, `data` its entries in two bytes each."""

    first: int
    bits: int
    data: bytes

    @property
    def entries(self) -> int:
        """Number of entries."""
        return len(self.data) // 2

    @property
    def most(self) -> int:
        """The greatest output it can mean."""
        return (1 << self.bits) - 1

    def look_up(self, values: "Array") -> "Array":
        """The entry of each value; values below the table get its first, values above it its last."""
        import numpy as np

        position = np.clip(np.rint(values) - self.first, 0, self.entries - 1).astype(np.intp)
        found: Array = np.take(self.array(), position)
        return found

    def array(self) -> "Array":
        """The entries as unsigned 16-bit numbers."""
        import numpy as np

        return np.frombuffer(self.data, "<u2")


def lut_of(item: Dataset, path: str, bulk: json_values.Bulk) -> Lut | None:
    """The table that the item at `path` holds as LUT Descriptor and LUT Data; None for no usable one."""
    data = json_values.binary(item, DATA, f"{path}/{DATA}", bulk)
    return lut_from(json_values.numbers(item, DESCRIPTOR), data)


def lut_from(descriptor: list[float], data: bytes) -> Lut | None:
    """The table that a descriptor and its data mean; None where they cannot be meant."""
    if len(descriptor) < 3 or len(data) < 2:
        return None
    entries, first, bits = (int(value) for value in descriptor[:3])
    first = max(-_MOST, min(first, _MOST))  # further out no stored value of 16 bits is told apart
    # PS3.3 C.11.1.1: 0 means 65,536 entries, in a field of 16 bits.
    entries = entries & 0xFFFF or _MOST
    if len(data) < 2 * entries and (bits <= 8 or len(data) in (entries, entries + 1)):
        data = _widened(data[:entries])
    data = data[: 2 * entries]
    data = data[: len(data) // 2 * 2]
    import numpy as np

    # What the entries need beats what the descriptor says of them.
    needed = int(np.frombuffer(data, "<u2").max(initial=0)).bit_length()
    return Lut(first=first, bits=max(1, min(16, max(bits, needed))), data=data)


def _widened(data: bytes) -> bytes:
    """Entries of one byte in two."""
    import numpy as np

    return np.frombuffer(data, np.uint8).astype("<u2").tobytes()
