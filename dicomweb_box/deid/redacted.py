"""Pixel Data with some of its pixels made black, frame by frame as it is written."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED
from dicomweb_box.deid.mapped import let_go
from dicomweb_box.deid.pixel_rules import Rectangle
from dicomweb_box.deid.pixels import fragment_spans
from dicomweb_box.deid.plans import Plan
from dicomweb_box.deid.values import Writer
from dicomweb_box.dicom import codestream, frame_layout, losses, pixels, transcode
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.header_parts import Pixels
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    from dicomweb_box.deid.blanking import Cells

Codec = Callable[[Image, bytes, str | None], bytes]
"""One frame, stored as the image says, made native or encoded in a transfer syntax; raises Damaged."""
LOSSLESS: Final = frozenset(
    (*codestream.JPEG_LOSSLESS, transcode.JPEG_LS, transcode.JPEG_2000_LOSSLESS, transcode.HTJ2K_LOSSLESS,
     transcode.HTJ2K_RPCL, transcode.JPEG_XL_LOSSLESS, transcode.RLE)
)  # fmt: skip
_ENDED: Final = codestream.JPEG | codestream.JPEG_LOSSLESS
_END_OF_IMAGE: Final = b"\xff\xd9"
_HEAD: Final = struct.Struct("<HHI")


def made_here(image: Image, frame: bytes, target: str | None) -> bytes:
    """The Codec of this process, for frames that need no other one around them."""
    native = pixels.decode(image, frame) if image.encapsulated else frame
    return native if target is None else transcode.encode(image, native, target)


@dataclass(frozen=True, kw_only=True, slots=True)
class Redacting:
    """What becomes of the pixels of one instance."""

    rule: str
    """Who says so; empty where no pixel is made black."""
    image: Image
    """Frames as they are stored; what is RGB by their description is not turned into another colour."""
    frames: int
    order: str
    rectangles: Sequence[Rectangle]
    outside: bool
    """Whether what is outside of the rectangles is made black."""
    black: Sequence[int]
    clears: bool
    """Whether bits that are not the pixels' are cleared: overlays lie in them."""
    native: Image
    """The frames between decoding and encoding."""
    target: Image
    """As they are written and described."""
    codec: Codec

    def pieces(
        self, data: Any, plan: Plan, place: tuple[int, int], encapsulated: bool, writer: Writer
    ) -> "list[bytes | RedactedPixels]":
        """Pixel Data as it is to be written. Raises Doubt where it is not what its description says."""
        if plan.tag != PIXEL_DATA or encapsulated != self.image.encapsulated:
            raise Doubt("its pixels are not stored as its transfer syntax says")
        table = self._table(data, *place) if encapsulated else None
        vr = plan.written_vr if not encapsulated else "OW" if self.image.bits_allocated > 8 else "OB"
        length = self.native.native_length(self.frames)
        if not encapsulated and place[1] - place[0] < length:
            raise Doubt("Pixel Data is shorter than its description says")
        # PS3.5 A.3: in words of big endian, of two bytes the second comes first.
        swapped = vr == "OW" and self.order == ">" and self.image.bits_allocated <= 8
        found = RedactedPixels(self, place[0], table, swapped)
        if self.target.encapsulated:
            # The Basic Offset Table is empty: how long the frames will be nobody knows yet (PS3.5 A.4).
            start = writer.head(PIXEL_DATA, "OB", UNDEFINED) + _HEAD.pack(0xFFFE, ITEM, 0)
            return [start, found, _HEAD.pack(0xFFFE, SEQUENCE_END, 0)]
        if length + length % 2 >= UNDEFINED:
            raise Doubt("its pixels are too many to be written uncompressed")
        return [writer.head(PIXEL_DATA, vr, length + length % 2), found]

    def _table(self, data: Any, start: int, end: int) -> FrameTable:
        spans = fragment_spans(data, start, end)
        where = Pixels(tag=PIXEL_DATA, vr="OB", offset=start, length=end - start, fragments=spans)
        table = frame_layout.encapsulated(
            data, where, count=self.frames, syntax=self.image.transfer_syntax_uid, offset_tables={}
        )
        if table is None or table.count != self.frames:
            raise Doubt("its fragments cannot be told apart into its frames")
        return table


@dataclass(frozen=True, slots=True)
class RedactedPixels:
    """The frames of one instance, or the items that hold them."""

    redacting: Redacting
    start: int
    table: FrameTable | None
    swapped: bool

    def chunks(self, data: Any) -> Iterator[bytes]:
        """Their bytes, a frame at a time. Raises Doubt where one cannot be decoded."""
        from dicomweb_box.deid import blanking

        how = self.redacting
        where = None
        if how.rule:
            where = blanking.mask(how.native.rows, how.native.columns, how.rectangles, outside=how.outside)
        blanker = blanking.Blanker(how.native, how.black, where, clears=how.clears)
        packer = blanking.Packer(how.native, swapped=self.swapped)
        # What it is given as RGB an encoder takes for what it is.
        encodable = replace(how.native, photometric="RGB") if how.native.samples == 3 else how.native
        for cells in self._frames(data):
            blanker(cells)
            if how.target.encapsulated:
                yield from _item(self._made(encodable, cells.tobytes(), how.target.transfer_syntax_uid))
            else:
                yield packer.packed(cells)
        yield packer.rest()

    def lost(self, data: Any) -> bytes:
        """By which method frames have lost, by their codestreams; empty where none says that it has."""
        syntax = self.redacting.image.transfer_syntax_uid
        if self.table is None:
            return b""
        for number in range(1, self.redacting.frames + 1):
            at, length = self.table.fragments(number)[0]
            if found := losses.method(syntax, data[at : at + min(length, losses.HEAD)]):
                return found
        return b""

    def _frames(self, data: Any) -> "Iterator[Cells]":
        from dicomweb_box.deid import blanking

        how = self.redacting
        if self.table is None:
            reader = blanking.Reader(data, self.start, how.image, how.order, swapped=self.swapped)
            bits = blanking.bits_of_frame(how.image)
            for number in range(how.frames):
                yield reader.frame(number)
                let_go(data, self.start + number * bits // 8, self.start + (number + 1) * bits // 8)
            return
        for number in range(1, how.frames + 1):
            fragments = self.table.fragments(number)
            frame = b"".join(data[at : at + length] for at, length in fragments)
            self._check_end(frame)
            self._check_colour(frame)
            yield blanking.cells_of(how.native, self._made(how.image, frame, None), "<")
            let_go(data, fragments[0][0], sum(fragments[-1]))

    def _made(self, image: Image, frame: bytes, target: str | None) -> bytes:
        try:
            return self.redacting.codec(image, frame, target)
        except Damaged as error:
            raise Doubt(f"a frame cannot be {'decoded' if target is None else 'encoded'}") from error

    def _check_end(self, frame: bytes) -> None:
        """Raises Doubt where a frame breaks off: decoders fill up what is missing, and say nothing."""
        syntax = self.redacting.image.transfer_syntax_uid
        if syntax in _ENDED and not frame.rstrip(b"\0\xff").endswith(_END_OF_IMAGE):
            raise Doubt("a frame ends before its image does")

    def _check_colour(self, frame: bytes) -> None:
        """Raises Doubt where decoding would turn lossless colour into another one, and so lose of it."""
        image = self.redacting.image
        syntax = image.transfer_syntax_uid
        if image.samples != 3 or syntax not in LOSSLESS or image.photometric.startswith("YBR"):
            return
        try:
            said = codestream.examined(image, frame)
        except Damaged as error:
            raise Doubt("a frame cannot be decoded") from error
        turned = self.redacting.native.photometric.startswith("YBR")
        if said is not None and said.colour not in ((None,) if turned else (None, "RGB")):
            raise Doubt("a frame says another colour than its description")


def _item(frame: bytes) -> Iterator[bytes]:
    padding = b"\0" * (len(frame) % 2)
    yield _HEAD.pack(0xFFFE, ITEM, len(frame) + len(padding))
    yield frame + padding
