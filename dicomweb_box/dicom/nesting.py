"""Levels of nesting while a data set is rewritten, and what their elements say that later ones hang on."""

import struct
from dataclasses import dataclass, field
from typing import Final

from dicomweb_box.dicom.charset import Charset, charset
from dicomweb_box.dicom.image import Image
from dicomweb_box.dicom.vr_lookup import SWAP_UNIT
from dicomweb_box.errors import UnreadableInstance

CHARACTER_SET: Final = 0x00080005
PHOTOMETRIC: Final = 0x00280004
PLANAR: Final = 0x00280006
PIXEL_DATA: Final = 0x7FE00010
_NUMBER_OF_FRAMES = 0x00280008
_PIXEL_REPRESENTATION = 0x00280103
_SHORTS = frozenset(
    (
        *(0x00280002, 0x00280006, 0x00280010, 0x00280011, 0x00280100),
        *(0x00280101, 0x00280102, 0x00280103, 0x00283002),
    )
)


@dataclass(slots=True)
class Level:
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
    parent: "Level | None" = None
    tail: bytes = b""
    """Items to be added to the sequence."""
    charset: Charset | None = None
    """None: that of what is around it."""
    signed: bool | None = None
    """What Pixel Representation means here, once that was found out."""

    def note(self, tag: int, source: memoryview | bytes, at: int, end: int) -> None:
        """Keep what later elements depend on of the value that lies there."""
        if tag == CHARACTER_SET:
            self.charset = charset(bytes(source[at:end]))
        if tag in _SHORTS and end - at >= 2:
            self.integers[tag] = struct.unpack_from(self.order + "H", source, at)[0]
        elif tag in (PHOTOMETRIC, _NUMBER_OF_FRAMES):
            self.texts[tag] = bytes(source[at:end]).strip(b" \0")
        elif (tag >> 16) & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            creator = bytes(source[at : min(end, at + 64)])
            self.creators[(tag >> 16 << 8) | (tag & 0xFF)] = creator.decode("latin-1").strip(" \0")

    def swap_unit(self, tag: int, vr: bytes) -> int:
        """How many bytes of a value change places where the byte order is another one."""
        bits = self.integers.get(0x00280100, 0)
        # Cells of more than 16 bits are turned as a whole, as pydicom reads them, though their VR is OW.
        return bits // 8 if tag == PIXEL_DATA and bits > 16 else SWAP_UNIT.get(vr or b"US", 1)

    def as_utf8(self, value: memoryview | bytes) -> bytes:
        """Text in the Specific Character Set of this level, or of the nearest around it, as UTF-8."""
        known: Charset | None = None
        at: Level | None = self
        while at is not None and known is None:
            known, at = at.charset, at.parent
        text = (known or charset(b"")).decode(bytes(value)).rstrip("\0").encode()
        return text + b" " * (len(text) % 2)

    def is_signed(self) -> bool:
        """Pixel Representation of this item or the nearest around it; found out once for each level."""
        passed: list[Level] = []
        at: Level | None = self
        while at is not None and at.signed is None and _PIXEL_REPRESENTATION not in at.integers:
            passed.append(at)
            at = at.parent
        signed = False
        if at is not None:
            signed = at.integers.get(_PIXEL_REPRESENTATION) == 1 if at.signed is None else at.signed
        for one in passed:
            one.signed = signed
        return signed

    @property
    def frames(self) -> int:
        """Number of Frames; 1 where it is absent or no number."""
        text = self.texts.get(_NUMBER_OF_FRAMES, b"")
        return max(1, int(text)) if text.isdigit() else 1

    def image(self, transfer_syntax_uid: str) -> Image:
        """How its pixels are laid out; raises UnreadableInstance where it does not say."""
        numbers = self.integers
        try:
            return Image(
                transfer_syntax_uid=transfer_syntax_uid,
                rows=numbers[0x00280010],
                columns=numbers[0x00280011],
                samples=numbers.get(0x00280002, 1),
                bits_allocated=numbers[0x00280100],
                bits_stored=numbers.get(0x00280101, numbers[0x00280100]),
                signed=numbers.get(_PIXEL_REPRESENTATION, 0) == 1,
                photometric=self.texts.get(PHOTOMETRIC, b"").decode("latin-1"),
                planar=numbers.get(PLANAR, 0),
                high_bit=numbers.get(0x00280102),
            )
        except KeyError as error:
            raise UnreadableInstance(f"Pixel Data without element {error.args[0]:08X}") from None
