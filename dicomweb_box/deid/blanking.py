"""Frames as cells of which some are made black: the part of redaction that counts bits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dicomweb_box.deid.pixel_rules import Rectangle
from dicomweb_box.dicom.image import Image

Cells = np.ndarray[Any, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def mask(rows: int, columns: int, rectangles: Sequence[Rectangle], *, outside: bool) -> Mask:
    """True for pixels of the rectangles, or for those outside of all of them."""
    found = np.full((rows, columns), outside, np.bool_)
    for left, top, width, height in rectangles:
        found[top : top + height, left : left + width] = not outside
    return found


class Blanker:
    """Makes cells of native frames black in place, and clears the bits that are not the pixels'."""

    def __init__(self, image: Image, black: Sequence[int], where: Mask | None, *, clears: bool) -> None:
        self._image, self._black, self._clears = image, black, clears
        self._where = where
        if where is not None and image.halved:
            # Two pixels share their chrominance (PS3.3 C.7.6.3.1.2): both are blanked.
            pairs = where.reshape(image.rows, image.columns // 2, 2)
            self._where = pairs[..., 0] | pairs[..., 1]

    def __call__(self, cells: Cells) -> None:
        """`cells`: those of one frame, one after another."""
        if self._clears:
            self._clear(cells)
        if self._where is not None:
            for plane, value in self._planes(cells):
                np.copyto(plane, value, where=self._where)

    def _planes(self, cells: Cells) -> Iterator[tuple[Cells, Any]]:
        image = self._image
        if image.halved:
            pairs = cells.reshape(image.rows, image.columns // 2, 4)
            light, blue, red = self._black
            values = zip(range(4), (light, light, blue, red), strict=True)
            yield from ((pairs[..., place], cells.dtype.type(value)) for place, value in values)
            return
        if image.samples > 1 and image.planar == 1:
            planes = cells.reshape(image.samples, image.rows, image.columns)
        else:
            planes = cells.reshape(image.rows, image.columns, image.samples).transpose(2, 0, 1)
        yield from (
            (plane, cells.dtype.type(value)) for plane, value in zip(planes, self._black, strict=True)
        )

    def _clear(self, cells: Cells) -> None:
        """PS3.5 8.1.1: bits above High Bit repeat the sign or are zero, those below the stored ones are 0."""
        image = self._image
        high = image.bits_stored - 1 if image.high_bit is None else image.high_bit
        above, below = image.bits_allocated - 1 - high, high + 1 - image.bits_stored
        plain = cells.astype(cells.dtype.newbyteorder("="))
        cells[...] = (plain << above >> above) >> below << below


class Reader:
    """Native frames at a place of a data set, as cells that can be written to.

    `swapped`: bytes are those of 16-bit words in big endian (PS3.5 A.3, OW).
    """

    def __init__(self, data: Any, start: int, image: Image, order: str, *, swapped: bool) -> None:
        self._data, self._start, self._image = data, start, image
        self._order, self._swapped = order, swapped
        self._bits = bits_of_frame(image)

    def frame(self, number: int) -> Cells:
        """The cells of a frame; the first is 0."""
        first, last = number * self._bits, (number + 1) * self._bits
        covering = self._bytes(first // 8, -(-last // 8))
        if self._image.bits_allocated == 1:
            bits = np.unpackbits(np.frombuffer(covering, np.uint8), bitorder="little")
            return bits[first % 8 : first % 8 + self._bits].copy()
        return cells_of(self._image, covering, self._order)

    def _bytes(self, start: int, stop: int) -> bytes:
        if not self._swapped:
            return bytes(self._data[self._start + start : self._start + stop])
        whole = start - start % 2, stop + stop % 2
        words = np.frombuffer(bytes(self._data[self._start + whole[0] : self._start + whole[1]]), "u2")
        return words.byteswap().tobytes()[start - whole[0] : stop - whole[0]]


def bits_of_frame(image: Image) -> int:
    """How many bits a native frame takes, without padding."""
    if image.bits_allocated == 1:
        return image.rows * image.columns * image.samples
    return 8 * image.frame_length


def cells_of(image: Image, native: bytes, order: str) -> Cells:
    """The cells of a native frame, one after another, that can be written to; single bits as bytes."""
    if image.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(native, np.uint8), bitorder="little")
        return bits[: bits_of_frame(image)].copy()
    kind = f"{order}{'i' if image.signed else 'u'}{image.bits_allocated // 8}"
    return np.frombuffer(bytearray(native), np.dtype(kind))


class Packer:
    """The bytes of native frames without gaps (PS3.5 8.1.1)."""

    def __init__(self, image: Image, *, swapped: bool) -> None:
        self._one_bit, self._swapped = image.bits_allocated == 1, swapped
        self._bits: Cells = np.empty(0, np.uint8)
        self._odd = b""

    def packed(self, cells: Cells) -> bytes:
        """As many bytes as are whole with this frame."""
        if not self._one_bit:
            return self._words(cells.tobytes())
        bits = np.concatenate((self._bits, cells))
        whole = len(bits) - len(bits) % 8
        self._bits = bits[whole:]
        return self._words(np.packbits(bits[:whole], bitorder="little").tobytes())

    def rest(self) -> bytes:
        """What is left, padded to words by zeros."""
        left = self._odd + np.packbits(self._bits, bitorder="little").tobytes()
        return self._ordered(left + b"\0" * (len(left) % 2))

    def _words(self, native: bytes) -> bytes:
        native = self._odd + native
        whole = len(native) - len(native) % 2
        self._odd = native[whole:]
        return self._ordered(native[:whole])

    def _ordered(self, native: bytes) -> bytes:
        return np.frombuffer(native, "u2").byteswap().tobytes() if self._swapped else native
