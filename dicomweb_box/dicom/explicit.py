"""Any stored data set as Explicit VR Little Endian (PS3.5 A.2), as pieces that name the source's bytes.

Headers become new bytes; large values stay where they are and are only named, so that a data set of any size
is rewritten in the memory that its header takes. Sequences get undefined lengths, group lengths are left out
(PS3.5 7.2), encapsulated Pixel Data becomes frames to decode.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dicomweb_box.dicom.charset import Charset, charset
from dicomweb_box.dicom.image import UNTRANSFORMED, Image
from dicomweb_box.dicom.vr_lookup import LONG_VRS, SWAP_UNIT, implicit_vr
from dicomweb_box.errors import UnreadableInstance

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

LARGE = 4096
"""Values above this size are named, not copied."""

Fragments = tuple[tuple[int, int], ...]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Encapsulation:
    """How the data set's own Pixel Data is to be encapsulated: so many frames; other values of attributes."""

    frames: int
    changes: Mapping[int, bytes]
    """Whole elements by tag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What else is to become of the data set."""

    elements: Mapping[int, bytes] = field(default_factory=dict)
    """Whole elements at its top, by tag: in the place of those that are there, or added."""
    items: Mapping[int, bytes] = field(default_factory=dict)
    """Whole items to be added to sequences at its top, by tag."""
    utf8: bool = False
    """Text becomes UTF-8; `elements` then say so."""


@dataclass(slots=True)
class _Level:
    """A data set, sequence or item that is being read."""

    sequence: bool
    implicit: bool
    order: str
    end: int | None
    """None: until its delimiter."""
    integers: dict[int, int] = field(default_factory=dict)
    """Unsigned shorts of the Image Pixel module in this item."""
    texts: dict[int, bytes] = field(default_factory=dict)
    creators: dict[int, str] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    """Pieces that hold an element whose value is decided later."""
    parent: "_Level | None" = None
    tail: bytes = b""
    """Items to be added to the sequence."""
    charset: Charset | None = None
    """None: that of what is around it."""
    signed: bool | None = None
    """What Pixel Representation means here, once that was found out."""


FrameFragments = Callable[[int], Fragments]

_UNCHANGED = Changes()
_CHARACTER_SET = 0x00080005
_TEXT_VRS = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
"""What Specific Character Set speaks of (PS3.5 6.1.2.2)."""

_SHORTS = frozenset(
    (0x00280002, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
)
_PHOTOMETRIC = 0x00280004
_PLANAR = 0x00280006
_NUMBER_OF_FRAMES = 0x00280008
_PIXEL_REPRESENTATION = 0x00280103
_PIXEL_DATA = 0x7FE00010
_EXTENDED_OFFSETS = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003))
"""They tell of encapsulated bytes, which are other ones afterwards."""
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_ITEM_HEAD = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_EMPTY_ITEM = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
_ITEM_TAIL = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_TAIL = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


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


def length(pieces: list[Piece]) -> int:
    """Number of bytes the pieces stand for; raises TypeError where some are yet to be encoded."""
    total = 0
    for piece in pieces:
        if isinstance(piece, Encoded):
            raise TypeError(type(piece))
        total += len(piece) if isinstance(piece, bytes) else piece.length
    return total


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
        self.items = dict(changes.items)
        """Items still to be added to sequences."""
        elements = {**changes.elements, **(encapsulation.changes if encapsulation else {})}
        elements |= {tag: _whole_sequence(tag, items) for tag, items in changes.items.items()}
        self.changes = sorted(elements.items(), reverse=True)
        """Elements still to be put in, the next one last."""
        big = transfer_syntax_uid == EXPLICIT_BIG
        self.encapsulated = transfer_syntax_uid not in (
            EXPLICIT_LITTLE,
            IMPLICIT_LITTLE,
            EXPLICIT_BIG,
            DEFLATED,
        )
        self.done: list[Piece | bytearray] = []
        self.out = bytearray()
        self.signs: list[tuple[bytearray, int, _Level]] = []
        """Where a VR was left open between US and SS, and the level that decides it."""
        root = _Level(
            sequence=False,
            implicit=transfer_syntax_uid == IMPLICIT_LITTLE,
            order=">" if big else "<",
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
        self._put_in(_UNDEFINED)
        self._flush()
        for text, position, level in self.signs:
            text[position : position + 2] = b"SS" if _signed(level) else b"US"
        return [bytes(piece) if isinstance(piece, bytearray) else piece for piece in self.done]

    # ---- levels

    def _close(self) -> None:
        level = self.levels.pop()
        self.out += level.tail
        if self.levels:
            self.out += _SEQUENCE_TAIL if level.sequence else _ITEM_TAIL

    def _end_of_source(self) -> None:
        # Fewer than eight bytes cannot be an element; pydicom leaves such a rest alone, and so do we.
        self.at = self.size
        for _ in range(len(self.levels)):
            self._close()

    def _item(self, level: _Level) -> None:
        group, number, size = struct.unpack_from(level.order + "HHI", self.source, self.at)
        tag = group << 16 | number
        self.at += 8
        if tag == _SEQUENCE_END:
            self._close()
            return
        if tag != _ITEM:
            raise UnreadableInstance(f"({group:04X},{number:04X}) stands where a sequence item must begin")
        end = None if size == _UNDEFINED else self._end_within(level, size)
        self.out += _ITEM_HEAD
        implicit = level.implicit or (self.at + 6 <= (end or self.size) and not self._looks_explicit())
        empty = (
            struct.unpack_from(level.order + "HH", self.source, self.at) if self.at + 4 <= self.size else ()
        )
        if empty == (0xFFFE, 0xE00D):
            implicit = level.implicit
        self.levels.append(
            _Level(sequence=False, implicit=implicit, order=level.order, end=end, parent=level)
        )

    def _looks_explicit(self) -> bool:
        first, second = self.source[self.at + 4], self.source[self.at + 5]
        return 0x40 < first < 0x5B and 0x40 < second < 0x5B

    def _end_within(self, level: _Level, size: int) -> int:
        limit = min(self.size, level.end if level.end is not None else self.size)
        return min(self.at + size, limit)

    # ---- elements

    def _element(self, level: _Level) -> None:
        group, number = struct.unpack_from(level.order + "HH", self.source, self.at)
        tag = group << 16 | number
        if tag in (_ITEM_END, _SEQUENCE_END):
            self._delimiter(tag)
            return
        replaced = self.changes and len(self.levels) == 1 and self._put_in(tag)
        vr, size = self._vr_and_size(level, tag)
        if size == _UNDEFINED:
            self._undefined(level, tag, vr)
            return
        end = self._end_within(level, size)
        if replaced:
            self._note(level, tag, end)
            self.at = end
        elif tag == _PIXEL_DATA and self.encapsulation and len(self.levels) == 1:
            self.at = end
            self._encapsulate(self.encapsulation)
        elif vr == b"SQ":
            self._open_sequence(level, tag, level.implicit, level.order, end)
        elif tag in self.items and len(self.levels) == 1:
            # What stands where the sequence belongs is none: the items are all there is.
            self.out += _whole_sequence(tag, self.items.pop(tag))
            self.at = end
        elif number == 0 or self._tells_of_other_bytes(tag):
            self.at = end
        elif tag == _CHARACTER_SET and self.utf8 and len(self.levels) > 1 and not self._alone(level, end):
            self._note(level, tag, end)
            self.at = end
        else:
            self._value(level, tag, vr, end)

    def _tells_of_other_bytes(self, tag: int) -> bool:
        return self.encapsulated and not self.keep and len(self.levels) == 1 and tag in _EXTENDED_OFFSETS

    def _alone(self, level: _Level, end: int) -> bool:
        """Whether the element that ends there is the last of its item and no text came before it."""
        following = bytes(self.source[end : end + 4])
        return (level.end is not None and end >= level.end) or following == _ITEM_TAIL[:4]

    def _put_in(self, tag: int) -> bool:
        """Put in the changed elements up to this tag; whether it is one of them.

        A sequence that is there is not put in: its items are added to those it has.
        """
        put = None
        while self.changes and self.changes[-1][0] <= tag:
            put, element = self.changes.pop()
            if put == tag and tag in self.items:
                return False
            self.items.pop(put, None)
            self.out += element
        return put == tag

    def _delimiter(self, tag: int) -> None:
        self.at += 8
        if tag == _ITEM_END and len(self.levels) > 1:
            self._close()

    def _vr_and_size(self, level: _Level, tag: int) -> tuple[bytes, int]:
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

    def _undefined(self, level: _Level, tag: int, vr: bytes) -> None:
        if tag == _PIXEL_DATA and self.encapsulated and self.keep:
            self._keep_fragments()
            return
        if tag == _PIXEL_DATA and self.encapsulated:
            self._pixel_data(level)
            return
        first = bytes(self.source[self.at : self.at + 4])
        if vr not in (b"SQ", b"UN") and first not in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"):
            raise UnreadableInstance(f"element {tag:08X} has an undefined length and no items")
        # PS3.5 6.2.2: what UN hides is Implicit VR Little Endian, whatever surrounds it.
        order = "<" if first in (b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0") else level.order
        self._open_sequence(level, tag, level.implicit, order, None)

    def _open_sequence(self, level: _Level, tag: int, implicit: bool, order: str, end: int | None) -> None:
        self.out += struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, _UNDEFINED)
        tail = self.items.pop(tag, b"") if len(self.levels) == 1 else b""
        self.levels.append(
            _Level(sequence=True, implicit=implicit, order=order, end=end, parent=level, tail=tail)
        )

    def _value(self, level: _Level, tag: int, vr: bytes, end: int) -> None:
        size = end - self.at
        swap = _swap_unit(level, tag, vr) if level.order == ">" else 1
        self._note(level, tag, end)
        if self.encapsulated and tag in (_PHOTOMETRIC, _PLANAR):
            self._flush()
            level.slots[tag] = len(self.done)
        if not vr:
            self.signs.append((self.out, len(self.out) + 4, level))
        if self.utf8 and vr in _TEXT_VRS:
            value = self._as_utf8(level, self.source[self.at : end])
            self.out += _head(tag, vr, len(value)) + value
            self.at = end
            return
        self.out += _head(tag, vr or b"US", size)
        if size > LARGE:
            self._flush()
            self.done.append(Stretch(self.at, size, swap))
        else:
            self.out += swapped(self.source[self.at : end], swap)
        self.at = end
        if tag in level.slots:
            self._flush()

    def _as_utf8(self, level: _Level, value: memoryview | bytes) -> bytes:
        known: Charset | None = None
        at: _Level | None = level
        while at is not None and known is None:
            known, at = at.charset, at.parent
        text = (known or charset(b"")).decode(bytes(value)).rstrip("\0").encode()
        return text + b" " * (len(text) % 2)

    def _note(self, level: _Level, tag: int, end: int) -> None:
        """Keep what later elements depend on."""
        if tag == _CHARACTER_SET:
            level.charset = charset(bytes(self.source[self.at : end]))
        if tag in _SHORTS and end - self.at >= 2:
            level.integers[tag] = struct.unpack_from(level.order + "H", self.source, self.at)[0]
        elif tag in (_PHOTOMETRIC, _NUMBER_OF_FRAMES):
            level.texts[tag] = bytes(self.source[self.at : end]).strip(b" \0")
        elif tag == 0x00283002 and end - self.at >= 2:
            level.integers[tag] = struct.unpack_from(level.order + "H", self.source, self.at)[0]
        elif (tag >> 16) & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            creator = bytes(self.source[self.at : min(end, self.at + 64)])
            level.creators[(tag >> 16 << 8) | (tag & 0xFF)] = creator.decode("latin-1").strip(" \0")

    def _flush(self) -> None:
        if self.out:
            self.done.append(self.out)
            self.out = bytearray()

    # ---- encapsulated Pixel Data (PS3.5 A.4)

    def _pixel_data(self, level: _Level) -> None:
        if self.encapsulation and len(self.levels) == 1:
            self._fragments()
            self._encapsulate(self.encapsulation)
            return
        image = _image(level, self.transfer_syntax_uid)
        count = max(1, _integer(level.texts.get(_NUMBER_OF_FRAMES, b"")))
        fragments = self._fragments()
        if self.frames is not None and len(self.levels) == 1:
            frames = [self.frames(number) for number in range(1, count + 1)]
        elif count == 1:
            frames = [fragments]
        elif count == len(fragments):
            frames = [(fragment,) for fragment in fragments]
        else:
            raise UnreadableInstance(f"{len(fragments)} fragments cannot be told apart into {count} frames")
        self._describe_native(level, image)
        total = image.native_length(count)
        vr = b"OW" if image.bits_allocated > 8 else b"OB"
        self.out += _head(_PIXEL_DATA, vr, total + total % 2)
        self._flush()
        if image.begins_at_bytes:
            self.done += [Decoded(image, (frame,)) for frame in frames]
        else:
            self.done.append(Decoded(image, tuple(frames)))
        if total % 2:
            self.out += b"\0"

    def _encapsulate(self, how: Encapsulation) -> None:
        # An empty Basic Offset Table: nobody knows yet how long the frames will be.
        self.out += _head(_PIXEL_DATA, b"OB", _UNDEFINED) + _EMPTY_ITEM
        self._flush()
        self.done += [Encoded(number) for number in range(1, how.frames + 1)]
        self.out += _SEQUENCE_TAIL

    def _fragments(self) -> Fragments:
        """The fragments after the Basic Offset Table; moves behind the delimiter."""
        found = []
        while self.at + 8 <= self.size:
            group, number, size = struct.unpack_from("<HHI", self.source, self.at)
            self.at += 8
            if (group, number) != (0xFFFE, 0xE000):
                break
            size = min(size, self.size - self.at)
            found.append((self.at, size))
            self.at += size
        return tuple(found[1:])

    def _keep_fragments(self) -> None:
        begin = self.at
        self._fragments()
        whole = self.at - begin
        ended = bytes(self.source[self.at - 8 : self.at]) == _SEQUENCE_TAIL
        self.out += _head(_PIXEL_DATA, b"OB", _UNDEFINED)
        self._flush()
        self.done.append(Stretch(begin, whole))
        if not ended:
            self.out += _SEQUENCE_TAIL

    def _describe_native(self, level: _Level, image: Image) -> None:
        """What decoding makes of colour: RGB, colour by pixel (PS3.3 C.7.6.3.1.2, .3)."""
        if image.transfer_syntax_uid in UNTRANSFORMED:
            return
        if (slot := level.slots.get(_PHOTOMETRIC)) is not None:
            text = image.decoded_photometric.encode("ascii")
            text += b" " * (len(text) % 2)
            self.done[slot] = _head(_PHOTOMETRIC, b"CS", len(text)) + text
        if (slot := level.slots.get(_PLANAR)) is not None:
            self.done[slot] = _head(_PLANAR, b"US", 2) + b"\0\0"


def _whole_sequence(tag: int, items: bytes) -> bytes:
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, _UNDEFINED)
    return head + items + _SEQUENCE_TAIL


def swapped(value: bytes | memoryview, unit: int) -> bytes:
    """The value with each `unit` bytes reversed; a rest that is no whole unit stays as it is."""
    if unit == 1:
        return bytes(value)
    whole = len(value) - len(value) % unit
    turned = bytearray(value)
    for position in range(unit):
        turned[position:whole:unit] = value[unit - 1 - position : whole : unit]
    return bytes(turned)


def _swap_unit(level: _Level, tag: int, vr: bytes) -> int:
    bits = level.integers.get(0x00280100, 0)
    # Cells of more than 16 bits are turned as a whole, as pydicom reads them, though their VR is OW.
    return bits // 8 if tag == _PIXEL_DATA and bits > 16 else SWAP_UNIT.get(vr or b"US", 1)


def _head(tag: int, vr: bytes, size: int) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if vr in LONG_VRS:
        return struct.pack("<HH2sHI", group, number, vr, 0, size)
    if size > 0xFFFF:  # PS3.5 6.2.2, note 2: too long for its own VR
        return struct.pack("<HH2sHI", group, number, b"UN", 0, size)
    return struct.pack("<HH2sH", group, number, vr, size)


def _signed(level: _Level) -> bool:
    """Pixel Representation of this item or the nearest around it; found out once for each level."""
    passed: list[_Level] = []
    at: _Level | None = level
    while at is not None and at.signed is None and _PIXEL_REPRESENTATION not in at.integers:
        passed.append(at)
        at = at.parent
    signed = False
    if at is not None:
        signed = at.integers.get(_PIXEL_REPRESENTATION) == 1 if at.signed is None else at.signed
    for one in passed:
        one.signed = signed
    return signed


def _integer(text: bytes) -> int:
    return int(text) if text.isdigit() else 1


def _image(level: _Level, transfer_syntax_uid: str) -> Image:
    numbers = level.integers
    try:
        return Image(
            transfer_syntax_uid=transfer_syntax_uid,
            rows=numbers[0x00280010],
            columns=numbers[0x00280011],
            samples=numbers.get(0x00280002, 1),
            bits_allocated=numbers[0x00280100],
            bits_stored=numbers.get(0x00280101, numbers[0x00280100]),
            signed=numbers.get(_PIXEL_REPRESENTATION, 0) == 1,
            photometric=level.texts.get(_PHOTOMETRIC, b"").decode("latin-1"),
            planar=numbers.get(_PLANAR, 0),
            high_bit=numbers.get(0x00280102),
        )
    except KeyError as error:
        raise UnreadableInstance(f"Pixel Data without element {error.args[0]:08X}") from None
