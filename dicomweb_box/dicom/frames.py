"""Where each frame's bytes lie in a stored instance (PS3.5 8.1 and A.4)."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

import zstandard

from dicomweb_box.errors import Damaged, NotFound

Kind = Literal["native", "bits", "encapsulated", "video", "deflated"]
_KINDS: Final[tuple[Kind, ...]] = ("native", "bits", "encapsulated", "video", "deflated")
_FRAGMENT_HEAD: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTable:
    """The frames of one instance.

    `kind` says how to read them: "native" and "encapsulated" are byte ranges; "bits" are ranges of whole
    bytes, of which `bits` tells the first bit and the number of bits that count; "video" is one stream,
    called frame 1; "deflated" are native ranges (with `bits` where needed) of the inflated data set.
    """

    count: int
    kind: Kind
    offset: int = 0  # native: of the first frame
    frame_bits: int = 0  # native: size of each frame
    length: int = 0  # native: of the whole value
    offsets: Sequence[int] = field(default=(), repr=False)  # encapsulated: of each fragment's bytes
    lengths: Sequence[int] = field(default=(), repr=False)
    firsts: Sequence[int] | None = field(
        default=None, repr=False
    )  # index of each frame's first fragment; None: one each

    def fragments(self, number: int) -> tuple[tuple[int, int], ...]:
        """(offset, length) of the pieces of frame `number`, from 1. Raises NotFound beyond the last."""
        if not 1 <= number <= self.count:
            raise NotFound(f"there is no frame {number}: the instance has {self.count}")
        if self.kind in {"encapsulated", "video"}:
            first, last = self._range(number)
            return tuple(zip(self.offsets[first:last], self.lengths[first:last], strict=True))
        first_bit = (number - 1) * self.frame_bits
        start, stop = first_bit // 8, -(-(first_bit + self.frame_bits) // 8)
        return ((self.offset + start, min(stop, self.length) - start),)

    def bits(self, number: int) -> tuple[int, int]:
        """The first bit that counts in the bytes of frame `number` (0: lowest), and how many do."""
        return (number - 1) * self.frame_bits % 8, self.frame_bits

    def _range(self, number: int) -> tuple[int, int]:
        if self.firsts is None:
            return number - 1, number
        last = self.firsts[number] if number < self.count else len(self.offsets)
        return self.firsts[number - 1], last

    def moved(self, by: int) -> "FrameTable":
        """The same table for bytes that lie `by` further on."""
        if not by:
            return self
        return FrameTable(
            count=self.count,
            kind=self.kind,
            offset=self.offset + by,
            frame_bits=self.frame_bits,
            length=self.length,
            offsets=array("Q", [offset + by for offset in self.offsets]) if self.offsets else (),
            lengths=self.lengths,
            firsts=self.firsts,
        )

    def pack(self) -> bytes:
        """The table in few bytes, for `unpack`."""
        head = [
            _KINDS.index(self.kind),
            self.count,
            self.offset,
            self.frame_bits,
            self.length,
            len(self.offsets),
        ]
        if not self.offsets:
            return _varints([*head[:5], 0])
        gaps = [
            offset - end - _FRAGMENT_HEAD
            for offset, end in zip(
                self.offsets,
                [self.offsets[0] - _FRAGMENT_HEAD, *map(sum, zip(self.offsets, self.lengths, strict=True))],
                strict=False,
            )
        ]
        head[2] = self.offsets[0]
        plain = not any(gaps)
        body = _planes(self.lengths)
        if not plain:
            body += _planes(gaps)
        if self.firsts is not None:
            body += _planes(self.firsts)
        flags = [int(plain), int(self.firsts is not None)]
        return _varints(head + flags) + zstandard.compress(body, 3)

    @classmethod
    def unpack(cls, data: bytes) -> "FrameTable":
        """The table that `pack` wrote. Raises Damaged where it did not."""
        try:
            return cls._unpack(data)
        except (IndexError, ValueError, zstandard.ZstdError) as error:
            raise Damaged("a frame table cannot be read") from error

    @classmethod
    def _unpack(cls, data: bytes) -> "FrameTable":
        (kind, count, offset, frame_bits, length, fragments), at = _read_varints(data, 0, 6)
        if not fragments:
            return cls(count=count, kind=_KINDS[kind], offset=offset, frame_bits=frame_bits, length=length)
        (plain, several), at = _read_varints(data, at, 2)
        body = zstandard.ZstdDecompressor().decompress(data[at:])
        lengths, at = _from_planes(body, 0, fragments)
        starts = accumulate((size + _FRAGMENT_HEAD for size in lengths[:-1]), initial=offset)
        if plain:
            offsets = array("Q", starts)
        else:
            gaps, at = _from_planes(body, at, fragments)
            offsets = array("Q", map(sum, zip(starts, accumulate(gaps), strict=True)))
        firsts = _from_planes(body, at, count)[0] if several else None
        return cls(count=count, kind=_KINDS[kind], offsets=offsets, lengths=lengths, firsts=firsts)


def _varints(numbers: Sequence[int]) -> bytes:
    """Numbers in seven bits a byte, least significant first."""
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _read_varints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    found: list[int] = []
    while len(found) < count:
        number = shift = 0
        while data[at] & 0x80:
            number |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
        found.append(number | data[at] << shift)
        at += 1
    return found, at


def _planes(numbers: Sequence[int]) -> bytes:
    """Eight-byte numbers with equal bytes together: lengths that differ little then compress well."""
    raw = array("Q", numbers).tobytes()
    return b"".join([raw[plane::8] for plane in range(8)])


def _from_planes(body: bytes, at: int, count: int) -> tuple["array[int]", int]:
    if count == 1:  # an instance of one frame in one fragment, which most are
        return array("Q", body[at : at + 8]), at + 8
    raw = bytearray(8 * count)
    for plane in range(8):
        raw[plane::8] = body[at : at + count]
        at += count
    return array("Q", bytes(raw)), at
