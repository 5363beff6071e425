"""What a rewritten data set is made of: new bytes, and names of bytes that stay where they are."""

from dataclasses import dataclass

from dicomweb_box.dicom.image import Image

Fragments = tuple[tuple[int, int], ...]
"""Offset and length of each."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the source, each `swap` of them reversed (1: as they are)."""

    offset: int
    length: int
    swap: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """Frames of encapsulated Pixel Data, to be given as native bytes.

    It is one frame, or all of them where native frames do not begin at bytes (PS3.5 8.1.1).
    """

    image: Image
    frames: tuple[Fragments, ...]

    @property
    def length(self) -> int:
        """Bytes of the native frames."""
        return self.image.native_length(len(self.frames))


@dataclass(frozen=True, slots=True)
class Encoded:
    """One frame of the data set's own Pixel Data, to be given as an item that holds it (PS3.5 A.4)."""

    number: int


Piece = bytes | Stretch | Decoded | Encoded


class Output:
    """Pieces being put together: those that are done, and the text after them that still grows."""

    def __init__(self) -> None:
        self.done: list[Piece | bytearray] = []
        self.text = bytearray()

    def flush(self) -> None:
        """Let the next piece begin here."""
        if self.text:
            self.done.append(self.text)
            self.text = bytearray()

    def name(self, *pieces: Piece) -> None:
        """Add pieces that are no text."""
        self.flush()
        self.done += pieces

    def pieces(self) -> list[Piece]:
        """All of them."""
        self.flush()
        return [bytes(piece) if isinstance(piece, bytearray) else piece for piece in self.done]


def length(pieces: list[Piece]) -> int:
    """Number of bytes the pieces stand for; raises TypeError where some are yet to be encoded."""
    total = 0
    for piece in pieces:
        if isinstance(piece, Encoded):
            raise TypeError(type(piece))
        total += len(piece) if isinstance(piece, bytes) else piece.length
    return total


def swapped(value: bytes | memoryview, unit: int) -> bytes:
    """The value with each `unit` bytes reversed; a rest that is no whole unit stays as it is."""
    if unit == 1:
        return bytes(value)
    whole = len(value) - len(value) % unit
    turned = bytearray(value)
    for position in range(unit):
        turned[position:whole:unit] = value[unit - 1 - position : whole : unit]
    return bytes(turned)
