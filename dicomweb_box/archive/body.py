"""What an answer's body is made of: texts, ranges of blobs, and bytes made when their turn comes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of a blob (by key) or of a derived file (by path)."""

    source: str | Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Made:
    """Bytes made when their turn comes: `make` gives exactly `length` of them."""

    length: int
    make: Callable[[], Awaitable[bytes | bytearray | memoryview]]


@dataclass(frozen=True, slots=True)
class Later:
    """Pieces found out when their turn comes; until then nobody knows how long they are."""

    make: Callable[[], Awaitable[Sequence["Body"]]]


@dataclass(frozen=True, slots=True)
class Through:
    """A body that goes through `work` chunk by chunk on its way; nobody knows how long that makes it."""

    body: Sequence["Body"]
    work: Callable[[bytes | bytearray | memoryview], Awaitable[bytes]]


Body = bytes | Piece | Made | Later | Through


def total_length(body: Sequence[Body]) -> int | None:
    """Number of bytes a body stands for; None where that is not known yet."""
    total = 0
    for piece in body:
        if isinstance(piece, Later | Through):
            return None
        total += len(piece) if isinstance(piece, bytes) else piece.length
    return total


async def settle_first(body: Sequence[Body]) -> list[Body]:
    """The body with its first made piece made now: what cannot be made shows before the answer begins."""
    settled = [*body]
    for position, piece in enumerate(settled):
        if isinstance(piece, Made):
            settled[position] = bytes(await piece.make())
            break
    return settled
