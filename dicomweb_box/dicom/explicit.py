"""Any stored data set as Explicit VR Little Endian (PS3.5 A.2), as pieces that name the source's bytes.

Headers become new bytes; large values stay where they are and are only named, so that a data set of any size
is rewritten in the memory that its header takes. Sequences get undefined lengths, group lengths are left out
(PS3.5 7.2), encapsulated Pixel Data becomes frames to decode.
"""

import struct
from collections.abc import Sequence

from dicomweb_box.dicom.changed_elements import Changes, Pending
from dicomweb_box.dicom.element_heads import (
    ITEM,
    ITEM_END,
    ITEM_HEAD,
    ITEM_TAIL,
    SEQUENCE_END,
    SEQUENCE_TAIL,
    UNDEFINED,
    head,
    whole_sequence,
)
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.nesting import CHARACTER_SET, PHOTOMETRIC, PIXEL_DATA, PLANAR, Level
from dicomweb_box.dicom.pieces import Fragments, Output, Piece, Stretch, swapped
from dicomweb_box.dicom.rewritten_pixels import (
    Encapsulation,
    FrameFragments,
    decode,
    encapsulate,
    fragments_at,
    keep_fragments,
    told_apart,
)
from dicomweb_box.dicom.uids import EXPLICIT_BIG, IMPLICIT_LITTLE
from dicomweb_box.dicom.vr_lookup import LONG_VRS, implicit_vr
from dicomweb_box.errors import UnreadableInstance

LARGE = 4096
"""Values above this size are named, not copied."""

_UNCHANGED = Changes()
_TEXT_VRS = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
"""What Specific Character Set speaks of (PS3.5 6.1.2.2)."""
_EXTENDED_OFFSETS = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003))
"""They tell of encapsulated bytes, which are other ones afterwards."""


def rewrite(
    source: memoryview | bytes,
    offset: int,
    transfer_syntax_uid: str,
    frames: FrameFragments | None = None,
    *,
    encapsulation: Encapsulation | None = None,
    changes: Changes | None = None,
    keep: bool = False,
) -> list[Piece]:
    """The data set that begins at `offset` of `source`, as pieces of Explicit VR Little Endian.

    `frames` names the fragments of each frame of the data set's own encapsulated Pixel Data; without it they
    are walked. With an `encapsulation` its frames become items of encoded bytes instead; with `keep`
    encapsulated Pixel Data stays as it is. Raises UnreadableInstance where elements run past their
    container's end.
    """
    return _Rewriter(
        source, offset, transfer_syntax_uid, frames, encapsulation, changes or _UNCHANGED, keep
    ).pieces()


class _Rewriter:
    """The walk: one loop over a stack of levels, so that no depth of nesting can exhaust Python's stack."""

    def __init__(
        self,
        source: memoryview | bytes,
        offset: int,
        transfer_syntax_uid: str,
        frames: FrameFragments | None,
        encapsulation: Encapsulation | None,
        changes: Changes,
        keep: bool,
    ) -> None:
        self.source = source
        self.at = offset
        self.size = len(source)
        self.transfer_syntax_uid = transfer_syntax_uid
        self.frames = frames
        self.encapsulation = encapsulation
        self.keep, self.utf8 = keep, changes.utf8
        self.pending = Pending(changes, encapsulation.changes if encapsulation else {})
        self.encapsulated = transfer_syntax_uid not in NATIVE
        self.output = Output()
        self.signs: list[tuple[bytearray, int, Level]] = []
        """Where a VR was left open between US and SS, and the level that decides it."""
        root = Level(
            sequence=False,
            implicit=transfer_syntax_uid == IMPLICIT_LITTLE,
            order=">" if transfer_syntax_uid == EXPLICIT_BIG else "<",
            end=self.size,
        )
        # Data sets that are not encoded as their file meta says exist: the first element shows what they are.
        root.implicit = not self._looks_explicit() if self.at + 6 <= self.size else root.implicit
        self.levels = [root]

    def pieces(self) -> list[Piece]:
        while self.levels:
            level = self.levels[-1]
            if level.end is not None and self.at >= level.end:
                self._close()
            elif self.at + 8 > self.size:
                self._end_of_source()
            elif level.sequence:
                self._item(level)
            else:
                self._element(level)
        self.pending.put_in(UNDEFINED, self.output.text)
        for text, position, level in self.signs:
            text[position : position + 2] = b"SS" if level.is_signed() else b"US"
        return self.output.pieces()

    # ---- levels

    def _close(self) -> None:
        level = self.levels.pop()
        self.output.text += level.tail
        if self.levels:
            self.output.text += SEQUENCE_TAIL if level.sequence else ITEM_TAIL

    def _end_of_source(self) -> None:
        # Fewer than eight bytes cannot be an element; pydicom leaves such a rest alone, and so do we.
        self.at = self.size
        for _ in range(len(self.levels)):
            self._close()

    def _item(self, level: Level) -> None:
        group, number, size = struct.unpack_from(level.order + "HHI", self.source, self.at)
        tag = group << 16 | number
        self.at += 8
        if tag == SEQUENCE_END:
            self._close()
            return
        if tag != ITEM:
            raise UnreadableInstance(f"({group:04X},{number:04X}) stands where a sequence item must begin")
        end = None if size == UNDEFINED else self._end_within(level, size)
        self.output.text += ITEM_HEAD
        implicit = level.implicit or (self.at + 6 <= (end or self.size) and not self._looks_explicit())
        empty = (
            struct.unpack_from(level.order + "HH", self.source, self.at) if self.at + 4 <= self.size else ()
        )
        if empty == (0xFFFE, 0xE00D):
            implicit = level.implicit
        self.levels.append(Level(sequence=False, implicit=implicit, order=level.order, end=end, parent=level))

    def _looks_explicit(self) -> bool:
        first, second = self.source[self.at + 4], self.source[self.at + 5]
        return 0x40 < first < 0x5B and 0x40 < second < 0x5B

    def _end_within(self, level: Level, size: int) -> int:
        limit = min(self.size, level.end if level.end is not None else self.size)
        return min(self.at + size, limit)

    # ---- elements

    def _element(self, level: Level) -> None:
        group, number = struct.unpack_from(level.order + "HH", self.source, self.at)
        tag = group << 16 | number
        if tag in (ITEM_END, SEQUENCE_END):
            self._delimiter(tag)
            return
        pending, at_top = self.pending, len(self.levels) == 1
        replaced = pending.elements and at_top and pending.put_in(tag, self.output.text)
        vr, size = self._vr_and_size(level, tag)
        if size == UNDEFINED:
            self._undefined(level, tag, vr)
            return
        end = self._end_within(level, size)
        if replaced:
            level.note(tag, self.source, self.at, end)
            self.at = end
        elif tag == PIXEL_DATA and self.encapsulation and at_top:
            self.at = end
            encapsulate(self.output, self.encapsulation)
        elif vr == b"SQ":
            self._open_sequence(level, tag, level.implicit, level.order, end)
        elif tag in pending.items and at_top:
            # What stands where the sequence belongs is none: the items are all there is.
            self.output.text += whole_sequence(tag, pending.items.pop(tag))
            self.at = end
        elif number == 0 or self._tells_of_other_bytes(tag):
            self.at = end
        elif tag == CHARACTER_SET and self.utf8 and not at_top and not self._alone(level, end):
            level.note(tag, self.source, self.at, end)
            self.at = end
        else:
            self._value(level, tag, vr, end)

    def _tells_of_other_bytes(self, tag: int) -> bool:
        return self.encapsulated and not self.keep and len(self.levels) == 1 and tag in _EXTENDED_OFFSETS

    def _alone(self, level: Level, end: int) -> bool:
        """Whether the element that ends there is the last of its item and no text came before it."""
        following = bytes(self.source[end : end + 4])
        return (level.end is not None and end >= level.end) or following == ITEM_TAIL[:4]

    def _delimiter(self, tag: int) -> None:
        self.at += 8
        if tag == ITEM_END and len(self.levels) > 1:
            self._close()

    def _vr_and_size(self, level: Level, tag: int) -> tuple[bytes, int]:
        """VR (b"" where it is open between US and SS) and length; moves to the value."""
        vr = bytes(self.source[self.at + 4 : self.at + 6])
        if level.implicit or not (b"AA" <= vr <= b"ZZ"):
            (size,) = struct.unpack_from(level.order + "I", self.source, self.at + 4)
            self.at += 8
            return implicit_vr(tag, level.creators.get(tag >> 8), level.integers), size
        if vr not in LONG_VRS:
            (size,) = struct.unpack_from(level.order + "H", self.source, self.at + 6)
            self.at += 8
            return vr, size
        if self.at + 12 > self.size:
            raise UnreadableInstance(f"element {tag:08X} is cut off in its length")
        (size,) = struct.unpack_from(level.order + "I", self.source, self.at + 8)
        self.at += 12
        return vr, size

    def _undefined(self, level: Level, tag: int, vr: bytes) -> None:
        if tag == PIXEL_DATA and self.encapsulated:
            self._pixel_data(level)
            return
        first = bytes(self.source[self.at : self.at + 4])
        if vr not in (b"SQ", b"UN") and first not in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"):
            raise UnreadableInstance(f"element {tag:08X} has an undefined length and no items")
        # PS3.5 6.2.2: what UN hides is Implicit VR Little Endian, whatever surrounds it.
        order = "<" if first in (b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0") else level.order
        self._open_sequence(level, tag, level.implicit, order, None)

    def _open_sequence(self, level: Level, tag: int, implicit: bool, order: str, end: int | None) -> None:
        self.output.text += head(tag, b"SQ", UNDEFINED)
        tail = self.pending.items.pop(tag, b"") if len(self.levels) == 1 else b""
        self.levels.append(
            Level(sequence=True, implicit=implicit, order=order, end=end, parent=level, tail=tail)
        )

    def _value(self, level: Level, tag: int, vr: bytes, end: int) -> None:
        size = end - self.at
        swap = level.swap_unit(tag, vr) if level.order == ">" else 1
        level.note(tag, self.source, self.at, end)
        output = self.output
        if self.encapsulated and tag in (PHOTOMETRIC, PLANAR):
            output.flush()
            level.slots[tag] = len(output.done)
        if not vr:
            self.signs.append((output.text, len(output.text) + 4, level))
        if self.utf8 and vr in _TEXT_VRS:
            value = level.as_utf8(self.source[self.at : end])
            output.text += head(tag, vr, len(value)) + value
            self.at = end
            return
        output.text += head(tag, vr or b"US", size)
        if size > LARGE:
            output.name(Stretch(self.at, size, swap))
        else:
            output.text += swapped(self.source[self.at : end], swap)
        self.at = end
        if tag in level.slots:
            output.flush()

    def _pixel_data(self, level: Level) -> None:
        """Encapsulated Pixel Data (PS3.5 A.4)."""
        if self.keep:
            self.at = keep_fragments(self.output, self.source, self.at)
            return
        if self.encapsulation and len(self.levels) == 1:
            _, self.at = fragments_at(self.source, self.at)
            encapsulate(self.output, self.encapsulation)
            return
        image = level.image(self.transfer_syntax_uid)
        fragments, self.at = fragments_at(self.source, self.at)
        if self.frames is not None and len(self.levels) == 1:
            frames: Sequence[Fragments] = [self.frames(number) for number in range(1, level.frames + 1)]
        else:
            frames = told_apart(fragments, level.frames)
        decode(self.output, level, image, frames)
