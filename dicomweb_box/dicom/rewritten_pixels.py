"""What becomes of encapsulated Pixel Data (PS3.5 A.4) in a rewritten data set.

It stays as it is, becomes native frames that are yet to be decoded, or frames that are yet to be encoded.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dicomweb_box.dicom.element_heads import EMPTY_ITEM, SEQUENCE_TAIL, UNDEFINED, head
from dicomweb_box.dicom.image import UNTRANSFORMED, Image
from dicomweb_box.dicom.nesting import PHOTOMETRIC, PIXEL_DATA, PLANAR, Level
from dicomweb_box.dicom.pieces import Decoded, Encoded, Fragments, Output, Stretch
from dicomweb_box.errors import UnreadableInstance

FrameFragments = Callable[[int], Fragments]
"""The fragments of a frame, by its number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encapsulation:
    """How the data set's own Pixel Data is to be encapsulated: so many frames; other values of attributes."""

    frames: int
    changes: Mapping[int, bytes]
    """Whole elements by tag."""


def fragments_at(source: memoryview | bytes, at: int) -> tuple[Fragments, int]:
    """The fragments after the Basic Offset Table, and where the next element begins."""
    found = []
    while at + 8 <= len(source):
        group, number, size = struct.unpack_from("<HHI", source, at)
        at += 8
        if (group, number) != (0xFFFE, 0xE000):
            break
        size = min(size, len(source) - at)
        found.append((at, size))
        at += size
    return tuple(found[1:]), at


def keep_fragments(output: Output, source: memoryview | bytes, at: int) -> int:
    """Let the fragments that begin there be; where the next element begins."""
    _, end = fragments_at(source, at)
    output.text += head(PIXEL_DATA, b"OB", UNDEFINED)
    output.name(Stretch(at, end - at))
    if bytes(source[end - 8 : end]) != SEQUENCE_TAIL:
        output.text += SEQUENCE_TAIL
    return end


def encapsulate(output: Output, how: Encapsulation) -> None:
    """Frames that are yet to be encoded."""
    # An empty Basic Offset Table: nobody knows yet how long the frames will be.
    output.text += head(PIXEL_DATA, b"OB", UNDEFINED) + EMPTY_ITEM
    output.name(*(Encoded(number) for number in range(1, how.frames + 1)))
    output.text += SEQUENCE_TAIL


def decode(
    output: Output,
    level: Level,
    image: Image,
    frames: Sequence[Fragments],
) -> None:
    """Native frames that are yet to be decoded."""
    _describe_native(output, level, image)
    total = image.native_length(len(frames))
    output.text += head(PIXEL_DATA, b"OW" if image.bits_allocated > 8 else b"OB", total + total % 2)
    if image.begins_at_bytes:
        output.name(*(Decoded(image, (frame,)) for frame in frames))
    else:
        output.name(Decoded(image, tuple(frames)))
    if total % 2:
        output.text += b"\0"


def told_apart(fragments: Fragments, count: int) -> Sequence[Fragments]:
    """The fragments of each of so many frames; raises UnreadableInstance where that is open."""
    if count == 1:
        return [fragments]
    if count == len(fragments):
        return [(fragment,) for fragment in fragments]
    raise UnreadableInstance(f"{len(fragments)} fragments cannot be told apart into {count} frames")


def _describe_native(output: Output, level: Level, image: Image) -> None:
    """What decoding makes of colour: RGB, colour by pixel (PS3.3 C.7.6.3.1.2, .3)."""
    if image.transfer_syntax_uid in UNTRANSFORMED:
        return
    if (slot := level.slots.get(PHOTOMETRIC)) is not None:
        text = image.decoded_photometric.encode("latin-1")
        text += b" " * (len(text) % 2)
        output.done[slot] = head(PHOTOMETRIC, b"CS", len(text)) + text
    if (slot := level.slots.get(PLANAR)) is not None:
        output.done[slot] = head(PLANAR, b"US", 2) + b"\0\0"
