"""From stored values to grey levels of a display (PS3.4 N.2.1).

Cells of up to 16 bits are turned by one table of 8-bit levels, made once for each set of transformations and
applied by a look-up for each pixel. Wider cells and floats are calculated.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom.display.lut import Lut
from dicomweb_box.dicom.display.voi import Voi, Window

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_TABLES_KEPT = 128
_STRIP = 1 << 15
"""Pixels that are looked up at once."""
_LOWEST, _HIGHEST = 0.005, 0.995


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescale:
    """A linear modality transformation (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def applied(self, values: "Array") -> "Array":
        """Each stored value in its real unit."""
        return values * self.slope + self.intercept


Modality = Rescale | Lut


@dataclass(frozen=True, kw_only=True, slots=True)
class Grey:
    """The transformations of one frame."""

    modality: Modality = Rescale()
    voi: Voi | None = None
    """None: a window is taken from the frame itself, see `fitting`."""
    presentation: Lut | None = None
    inverse: bool = False
    padding: tuple[float, float] | None = None
    """Stored values from and to which nothing was imaged (PS3.3 C.7.5.1.1.2): they are black."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """How integer cells of up to 16 bits hold stored values."""

    allocated: int
    stored: int
    high: int
    signed: bool

    def values(self) -> "Array":
        """The stored value of each bit pattern of a cell; not to be written to."""
        return _values(self)


@lru_cache(maxsize=16)
def _values(cells: Cells) -> "Array":
    import numpy as np

    patterns = np.arange(1 << cells.allocated, dtype=np.int32)
    shifted = patterns >> (cells.high + 1 - cells.stored)
    masked = shifted & ((1 << cells.stored) - 1)
    return masked - ((masked >> (cells.stored - 1)) << cells.stored) if cells.signed else masked


def levels(grey: Grey, cells: Cells, patterns: "Array") -> "Array":
    """The 8-bit level of each cell; `patterns` are unsigned, as they lie in the frame."""
    import numpy as np

    table = _table(grey, cells, grey.voi or fitting(grey, cells, patterns))
    found = np.empty(patterns.shape, np.uint8)
    source, made = patterns.reshape(-1), found.reshape(-1)
    # In strips: numpy widens each index to eight bytes, and a whole frame of those drops out of the cache.
    for at in range(0, source.size, _STRIP):
        strip = slice(at, at + _STRIP)
        # "clip" spares a second look at each index; none can be out of bounds.
        np.take(table, source[strip], mode="clip", out=made[strip])
    return found


def calculated(grey: Grey, values: "Array") -> "Array":
    """The 8-bit level of each stored value, whatever its type; what is not a number is black."""
    import numpy as np

    real, nothing = _real(grey, values)
    voi = grey.voi or _percentiles(real[~nothing])
    real = np.where(nothing, 0, real)
    return _eight_bits(grey, _voi(voi, real), nothing)


def fitting_values(grey: Grey, values: "Array") -> Window:
    """As `fitting`, of stored values of any type."""
    real, nothing = _real(grey, values)
    return _percentiles(real[~nothing])


def _real(grey: Grey, values: "Array") -> "tuple[Array, Array]":
    """Each value in its real unit, and whether it is none: padding, or not a number."""
    import numpy as np

    real = _modality(grey.modality, values)
    nothing, padding = ~np.isfinite(real), _padding(grey.padding, values)
    if padding is not None:
        nothing |= padding
    return real, nothing


def reach(modality: Modality, cells: Cells) -> tuple[float, float]:
    """The least and the greatest that a modality transformation gives of all that can be stored."""
    values = _modality(modality, cells.values())
    return float(values.min()), float(values.max())


def fitting(grey: Grey, cells: Cells, patterns: "Array") -> Window:
    """A window for a frame that comes with none.

    Of up to 8 unsigned bits all that can be stored, as such frames are mostly made to be looked at; else what
    lies between the lowest and the highest half of a percent of the frame's values, padding left out.
    """
    import numpy as np

    values = _modality(grey.modality, cells.values())
    if cells.stored <= 8 and not cells.signed:
        return _window(float(values.min()), float(values.max()))
    counts = np.bincount(patterns.reshape(-1), minlength=1 << cells.allocated)
    padding = _padding(grey.padding, cells.values())
    if padding is not None:
        counts[padding] = 0
    if not counts.any():
        return _window(0, 0)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order])
    low, high = np.searchsorted(below, (_LOWEST * below[-1], _HIGHEST * below[-1]))
    if values[order[low]] == values[order[high]]:
        (there,) = np.nonzero(counts[order])
        low, high = there[0], there[-1]
    return _window(float(values[order[low]]), float(values[order[high]]))


def _percentiles(values: "Array") -> Window:
    """As `fitting`, of values that are too many to be counted one by one."""
    import numpy as np

    if not values.size:
        return _window(0, 0)
    ordered = np.sort(values, axis=None)
    low, high = (ordered[math.ceil(share * ordered.size) - 1] for share in (_LOWEST, _HIGHEST))
    if low == high:
        low, high = ordered[0], ordered[-1]
    return _window(float(low), float(high))


def _window(low: float, high: float) -> Window:
    if high <= low:  # a frame of one value is black
        return Window(center=low + 0.5, width=1.0, function="LINEAR_EXACT")
    return Window(center=(low + high) / 2, width=high - low, function="LINEAR_EXACT")


@lru_cache(maxsize=_TABLES_KEPT)
def _table(grey: Grey, cells: Cells, voi: Voi) -> "Array":
    """The level of each bit pattern of a cell; remembered, as the frames of a series mostly share one."""
    values = cells.values()
    real = _modality(grey.modality, values)
    return _eight_bits(grey, _voi(voi, real), _padding(grey.padding, values))


def _modality(modality: Modality, values: "Array") -> "Array":
    return modality.look_up(values).astype("f8") if isinstance(modality, Lut) else modality.applied(values)


def _voi(voi: Voi, values: "Array") -> "Array":
    return voi.look_up(values) / voi.most if isinstance(voi, Lut) else voi.applied(values)


def _padding(padding: tuple[float, float] | None, values: "Array") -> Any:
    if padding is None:
        return None
    return (values >= padding[0]) & (values <= padding[1])


def _eight_bits(grey: Grey, shares: "Array", nothing: "Array | None") -> "Array":
    import numpy as np

    if grey.presentation is not None:
        lut = grey.presentation
        shares = lut.look_up(shares * (lut.entries - 1) + lut.first) / lut.most
    if grey.inverse:
        shares = 1 - shares
    found: Array = np.rint(shares * 255).astype(np.uint8)
    if nothing is not None:
        found[nothing] = 0
    return found
