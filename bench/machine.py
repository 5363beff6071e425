"""How this machine compares with the one that the aims are from: the same few operations, timed again.

The aims in CPU milliseconds come from a machine on which these operations took what `STATED` says. They
are timed here between the rounds of what is measured, so that load and clock are those of the same minutes.
"""

import hashlib
import io
import time
from collections.abc import Callable, Iterable
from functools import cache
from math import prod
from statistics import median
from typing import Any

from bench import objects

STATED = {
    "SHA-256 of 0.53 MB": 0.269,
    "pydicom dcmread of 170 elements": 0.380,
    "j2k": 28.0,
    "jls": 3.6,
    "rle": 0.2,
    "window by np.take": 0.16,
    "JPEG encode": 0.3,
}
"""CPU milliseconds on the machine of the aims; codecs by their name in `objects.COMPRESSED`."""
_TURNS = {"j2k": 1, "jls": 3}
"""How often an operation is done at a time; the others take less than a millisecond."""
_USUAL_TURNS = 10


class Machine:
    """What the operations took here, in all the rounds so far."""

    def __init__(self) -> None:
        self._took: dict[str, list[float]] = {name: [] for name in STATED}

    def time(self) -> None:
        """Do each of them again."""
        for name, work in _operations().items():
            turns = _TURNS.get(name, _USUAL_TURNS)
            began = time.process_time()
            for _ in range(turns):
                work()
            self._took[name].append((time.process_time() - began) * 1000 / turns)

    def cost(self, name: str) -> float:
        """CPU milliseconds of an operation on this machine: the median of its rounds."""
        return median(self._took[name])

    @property
    def factor(self) -> float:
        """How much longer they take here: the geometric mean over the operations."""
        return _mean(self.cost(name) / stated for name, stated in STATED.items())

    @property
    def spread(self) -> tuple[float, float]:
        """The factor of single rounds: what it was at least in 19 of 20, and at most in 19 of 20."""
        took = zip(*(self._took[name] for name in STATED), strict=True)
        found = sorted(
            _mean(one / stated for one, stated in zip(each, STATED.values(), strict=True)) for each in took
        )
        edge = len(found) // 20
        return found[edge], found[-1 - edge]

    def table(self) -> str:
        """Markdown: each operation as stated and as measured."""
        lines = ["| operation | stated, CPU ms | here | factor |", "|---|--:|--:|--:|"]
        for name, stated in STATED.items():
            words = f"{name} decode, 512²" if name in objects.COMPRESSED else name
            here = self.cost(name)
            lines.append(f"| {words} | {stated:.3g} | {here:.3g} | {here / stated:.2f} |")
        return "\n".join([*lines, f"| geometric mean | | | **{self.factor:.2f}** |"])


def _mean(ratios: Iterable[float]) -> float:
    """The geometric mean."""
    found = list(ratios)
    return prod(found) ** (1 / len(found))


@cache
def _operations() -> dict[str, Callable[[], Any]]:
    """Each done once already, so that nothing is loaded while it is timed."""
    import numpy as np
    import pydicom
    from PIL import Image

    data, pixels = objects.ct(), objects.pixels(512, 512)
    table = np.clip((np.arange(65536) - 500) * 255 / 2000, 0, 255).astype(np.uint8)
    grey = Image.fromarray(np.take(table, pixels))
    operations = {
        "SHA-256 of 0.53 MB": lambda: hashlib.sha256(data).digest(),
        "pydicom dcmread of 170 elements": lambda: pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True),
        **{codec: objects.decoder(codec) for codec in objects.COMPRESSED},
        "window by np.take": lambda: np.take(table, pixels),
        "JPEG encode": lambda: grey.save(io.BytesIO(), "JPEG"),
    }
    for work in operations.values():
        work()
    return operations
