"""What the main header of a JPEG 2000 or HTJ2K codestream says (ISO 15444-1 A), in a JP2 file or alone."""

import struct
from dataclasses import dataclass

from dicomweb_box.dicom.media.medium import unusable

_SIGNATURE = b"\0\0\0\x0cjP  "
_START, _SIZ, _COD, _CAP, _SOT = 0xFF4F, 0xFF51, 0xFF52, 0xFF50, 0xFF90
_MOST_BOXES = 10_000


@dataclass(slots=True)
class Jpeg2000Stream:
    """One image, and where its codestream lies."""

    offset: int
    length: int
    rows: int = 0
    columns: int = 0
    components: int = 0
    bits: int = 0
    signed: bool = False
    reversible: bool = False
    transformed: bool = False
    """Whether its three components went through a colour transform."""
    part2: bool = False
    high_throughput: bool = False

    @property
    def photometric(self) -> str:
        """Photometric Interpretation (PS3.5 8.2.4)."""
        if self.components == 1:
            return "MONOCHROME2"
        if not self.transformed:
            return "RGB"
        return "YBR_RCT" if self.reversible else "YBR_ICT"

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax that holds it: that for lossless streams only where it is one."""
        if self.high_throughput:
            return "1.2.840.10008.1.2.4.201" if self.reversible else "1.2.840.10008.1.2.4.203"
        if self.part2:
            return "1.2.840.10008.1.2.4.92" if self.reversible else "1.2.840.10008.1.2.4.93"
        return "1.2.840.10008.1.2.4.90" if self.reversible else "1.2.840.10008.1.2.4.91"


def read_jpeg2000(data: memoryview) -> Jpeg2000Stream:
    """The image's description; raises UnreadableInstance where it is none that an instance can hold."""
    offset, length = _codestream(data)
    code = data[offset : offset + length]
    if len(code) < 4 or struct.unpack_from(">H", code)[0] != _START:
        raise unusable("is no JPEG 2000 image")
    stream, at = Jpeg2000Stream(offset, length), 2
    while at + 4 <= len(code):
        marker, size = struct.unpack_from(">HH", code, at)
        body = code[at + 4 : at + 2 + size]
        if marker == _SOT:
            break
        if size < 2 or len(body) < size - 2:
            raise unusable("is a JPEG 2000 image that is cut off")
        _segment(stream, marker, body)
        at += 2 + size
    if stream.components not in (1, 3):
        raise unusable("is a JPEG 2000 image that has not one or three components")
    return stream


def _codestream(data: memoryview) -> tuple[int, int]:
    """PS3.5 A.4.4: the codestream is stored, without the boxes of a JP2 file around it."""
    if bytes(data[:8]) != _SIGNATURE:
        return 0, len(data)
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            break
        size, kind, head = int(struct.unpack_from(">I", data, at)[0]), bytes(data[at + 4 : at + 8]), 8
        if size == 1 and at + 16 <= len(data):
            size, head = int(struct.unpack_from(">Q", data, at + 8)[0]), 16
        size = size or len(data) - at
        if kind == b"jp2h" and b"pclr" in bytes(data[at : at + min(size, 1 << 16)]):
            raise unusable("is a JPEG 2000 image with a palette")
        if kind == b"jp2c":
            return at + head, min(size, len(data) - at) - head
        at += max(size, head)
    raise unusable("is a JP2 file without a codestream")


def _segment(stream: Jpeg2000Stream, marker: int, body: memoryview) -> None:
    if marker == _SIZ and len(body) >= 36:
        capabilities, width, height, left, top = struct.unpack_from(">HIIII", body)
        stream.columns, stream.rows = width - left, height - top
        stream.components = int(struct.unpack_from(">H", body, 34)[0])
        depths = [body[at] for at in range(36, min(len(body), 36 + 3 * stream.components), 3)]
        if not depths or len(set(depths)) != 1:
            raise unusable("is a JPEG 2000 image with components of several depths")
        stream.bits, stream.signed = (depths[0] & 0x7F) + 1, bool(depths[0] & 0x80)
        stream.part2 = bool(capabilities & 0x8000)
    elif marker == _COD and len(body) >= 10:
        stream.transformed = body[4] != 0 and stream.components >= 3
        stream.reversible = body[9] == 1
    elif marker == _CAP:
        stream.high_throughput = True
