"""Frames as encapsulated Pixel Data (PS3.5 A.4): a fragment for each frame behind a Basic Offset Table."""

import struct
from collections.abc import Sequence

from dicomweb_box.dicom.pieces import Piece, Stretch

_ITEM = struct.Struct("<HHI")
_DELIMITER = _ITEM.pack(0xFFFE, 0xE0DD, 0)
_LONGEST_FRAGMENT = 0xFFFFFFFE
_LONGEST_TABLE = 0xFFFFFFFF // 4


def encapsulated(frames: Sequence[Stretch]) -> list[Piece]:
    """The value of Pixel Data, delimiter included; frames stay where they are.

    The table is empty where one of its offsets would not fit into 32 bits.
    """
    offsets, at = [], 0
    for frame in frames:
        offsets.append(at)
        at += sum(8 + size + size % 2 for _, size in _fragments(frame))
    table = b""
    if len(frames) > 1 and offsets[-1] <= 0xFFFFFFFF and len(offsets) <= _LONGEST_TABLE:
        table = struct.pack(f"<{len(offsets)}I", *offsets)
    pieces: list[Piece] = [_ITEM.pack(0xFFFE, 0xE000, len(table)) + table]
    for frame in frames:
        for offset, size in _fragments(frame):
            pieces += (_ITEM.pack(0xFFFE, 0xE000, size + size % 2), Stretch(offset, size), b"\0" * (size % 2))
    return [*pieces, _DELIMITER]


def _fragments(frame: Stretch) -> list[tuple[int, int]]:
    """A frame's fragments: several only where one would be too long (a video of more than 4 GiB)."""
    ends = range(0, max(1, frame.length), _LONGEST_FRAGMENT)
    return [(frame.offset + at, min(_LONGEST_FRAGMENT, frame.length - at)) for at in ends]
