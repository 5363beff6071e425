"""Palette Color Lookup Tables, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.9)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.grey import Cells
from dicomweb_box.dicom.display.lut import Lut, lut_from
from dicomweb_box.dicom.json_model import Dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_DESCRIPTORS = ("00281101", "00281102", "00281103")
_PLAIN = ("00281201", "00281202", "00281203")
_SEGMENTED = ("00281221", "00281222", "00281223")
_MOST = 1 << 16
_MOST_SEGMENTS = 4 * _MOST
"""Segments that are followed: empty ones add nothing, and may be repeated without end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """Colours of stored values: `first` has the first of `rgb`, three bytes each."""

    first: int
    rgb: bytes

    def colours(self) -> "Array":
        """(entries, 3) levels from 0 to 255."""
        import numpy as np

        return np.frombuffer(self.rgb, np.uint8).reshape(-1, 3)

    def coloured(self, cells: Cells, patterns: "Array") -> "Array":
        """(rows, columns, 3) of a frame's cells; values beyond the table get its nearest colour."""
        return _taken(self._of(cells.values()), patterns)

    def supplemented(self, cells: Cells, levels: "Array", patterns: "Array") -> "Array":
        """The colour of each cell from `first` on, the grey level of those below (PS3.3 C.7.6.19)."""
        import numpy as np

        grey = np.repeat(levels[..., None], 3, axis=2)
        chosen = cells.values() >= self.first
        return np.where(chosen[patterns][..., None], self.coloured(cells, patterns), grey)

    def spread(self, levels: "Array") -> "Array":
        """The colour of each 8-bit level, the table spread over all of them (PS3.4 N.2.3)."""
        import numpy as np

        entries = len(self.rgb) // 3
        return _taken(self.colours()[np.rint(np.arange(256) * (entries - 1) / 255).astype(np.intp)], levels)

    def _of(self, values: "Array") -> "Array":
        import numpy as np

        colours = self.colours()
        found: Array = colours[np.clip(values - self.first, 0, len(colours) - 1)]
        return found


def palette_of(dataset: Dataset, bulk: json_values.Bulk) -> Palette | None:
    """The palette of a data set; None where it has no usable one."""
    tables = [
        _table(dataset, descriptor, plain, segmented, bulk)
        for descriptor, plain, segmented in zip(_DESCRIPTORS, _PLAIN, _SEGMENTED, strict=True)
    ]
    channels = [table for table in tables if table is not None]
    if len(channels) < 3:
        return None
    import numpy as np

    arrays = [channel.array() for channel in channels]
    entries = min(map(len, arrays))
    # Of 16 bits the upper eight are shown; some say 16 and write eight.
    shift = max(0, channels[0].bits - 8) if max(int(array.max()) for array in arrays) > 255 else 0
    rgb = np.stack([array[:entries] >> shift for array in arrays], axis=1).astype(np.uint8)
    return Palette(first=channels[0].first, rgb=rgb.tobytes())


def _table(
    dataset: Dataset, descriptor_tag: str, plain: str, segmented: str, bulk: json_values.Bulk
) -> Lut | None:
    descriptor = json_values.numbers(dataset, descriptor_tag)
    data = json_values.binary(dataset, plain, plain, bulk)
    if not data and len(descriptor) == 3:
        segments = json_values.binary(dataset, segmented, segmented, bulk)
        data = expanded(segments, int(descriptor[2]) <= 8)
    return lut_from(descriptor, data)


def expanded(segments: bytes, eight_bits: bool) -> bytes:
    """The entries, of two bytes each, that segments mean (PS3.3 C.7.9.2); as far as they can be followed."""
    import numpy as np

    words = np.frombuffer(segments[: len(segments) // 2 * 2], "u1" if eight_bits else "<u2").tolist()
    found: list[int] = []
    left = [_MOST_SEGMENTS]
    _expand(words, 0, len(words), found, left, words_of_offset=4 if eight_bits else 2, depth=0)
    return np.array(found[:_MOST], "<u2").tobytes()


def _expand(
    words: list[int],
    at: int,
    segments: int,
    found: list[int],
    left: list[int],
    *,
    words_of_offset: int,
    depth: int,
) -> None:
    """Append the entries of up to `segments` segments from word `at` on; `left`: how many more in all."""
    for _ in range(segments):
        left[0] -= 1
        if at + 2 > len(words) or len(found) >= _MOST or left[0] < 0:
            return
        opcode, length = words[at], words[at + 1]
        if opcode == 0:  # discrete
            found += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif opcode == 1 and at + 2 < len(words) and found:  # linear, from the entry before
            begin, end = found[-1], words[at + 2]
            found += [round(begin + (end - begin) * step / length) for step in range(1, length + 1)]
            at += 3
        elif opcode == 2 and depth == 0 and at + 2 + words_of_offset <= len(words):  # indirect
            bits = 32 // words_of_offset
            offset = sum(words[at + 2 + place] << bits * place for place in range(words_of_offset))
            start = offset // (2 if words_of_offset == 2 else 1)
            _expand(words, start, length, found, left, words_of_offset=words_of_offset, depth=1)
            at += 2 + words_of_offset
        else:
            return


def _taken(table: "Array", places: "Array") -> "Array":
    """`table[places]` of (n, 3) bytes, by one look-up of four bytes each."""
    import numpy as np

    whole = np.zeros((len(table), 4), np.uint8)
    whole[:, :3] = table
    taken = np.take(whole.view("<u4")[:, 0], places, mode="clip")
    found: Array = np.ascontiguousarray(taken.view(np.uint8).reshape(*places.shape, 4)[..., :3])
    return found
