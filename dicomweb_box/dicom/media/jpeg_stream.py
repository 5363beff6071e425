"""What the markers of a JPEG say (ISO 10918-1 B, JFIF, Exif), without decoding it."""

import struct
from dataclasses import dataclass, field
from typing import Final

from dicomweb_box.dicom.media.medium import positions, unusable

BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END: Final = b"\xff\xd9"
_START_OF_SCAN, _APP0, _APP1, _APP14 = 0xDA, 0xE0, 0xE1, 0xEE
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))
_ORIENTATION: Final = 0x0112
_MOST_ENTRIES: Final = 1000


@dataclass(slots=True)
class JpegStream:
    """The frame header of a JPEG, and what stands before its first scan."""

    process: int = 0
    """The marker of its frame: BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, or another one."""
    precision: int = 0
    rows: int = 0
    columns: int = 0
    components: tuple[int, ...] = ()
    sampling: tuple[tuple[int, int], ...] = ()
    predictor: int = 0
    orientation: int = 1
    """Exif Orientation: 1 is upright."""
    adobe_transform: int | None = None
    names: list[bytes] = field(default_factory=list)

    @property
    def photometric(self) -> str:
        """Photometric Interpretation of the stream as it is (PS3.5 8.2.1)."""
        if len(self.components) == 1:
            return "MONOCHROME2"
        if self.process == LOSSLESS or not self._is_ybr():
            return "RGB"
        return "YBR_FULL_422" if self.sampling[0][0] > self.sampling[1][0] else "YBR_FULL"

    def _is_ybr(self) -> bool:
        if self.adobe_transform is not None:
            return self.adobe_transform != 0
        return b"JFIF" in self.names or self.components != (0x52, 0x47, 0x42)  # "RGB"


def read_jpeg(data: memoryview) -> JpegStream:
    """The stream's description; raises UnreadableInstance where it is no JPEG or breaks off."""
    if bytes(data[:2]) != b"\xff\xd8":
        raise unusable("is no JPEG")
    stream, at = JpegStream(), 2
    while True:
        at, marker = _next_marker(data, at)
        if marker in _ALONE:
            continue
        if at + 2 > len(data) or marker == 0xD9:
            raise unusable("is a JPEG without an image")
        end = at + int(struct.unpack_from(">H", data, at)[0])
        if end > len(data) or end < at + 2:
            raise unusable("is a JPEG that is cut off")
        _segment(stream, marker, data[at + 2 : end])
        if marker == _START_OF_SCAN:
            return _checked(stream, data, end)
        at = end


def _next_marker(data: memoryview, at: int) -> tuple[int, int]:
    if at + 2 > len(data) or data[at] != 0xFF:
        raise unusable("is a JPEG that is cut off or broken")
    while at < len(data) and data[at] == 0xFF:  # any number of fill bytes
        at += 1
    if at >= len(data):
        raise unusable("is a JPEG that is cut off")
    return at + 1, data[at]


def _segment(stream: JpegStream, marker: int, body: memoryview) -> None:
    if marker in _FRAMES and len(body) >= 6:
        precision, rows, columns, count = struct.unpack_from(">BHHB", body)
        parts = [bytes(body[at : at + 3]) for at in range(6, 6 + 3 * count, 3)]
        if any(len(part) < 3 for part in parts):
            raise unusable("is a JPEG with a broken frame header")
        stream.process, stream.precision = marker, precision
        stream.rows, stream.columns = rows, columns
        stream.components = tuple(part[0] for part in parts)
        stream.sampling = tuple((part[1] >> 4, part[1] & 15) for part in parts)
    elif marker == _START_OF_SCAN and len(body) >= 4:
        stream.predictor = body[-3]
    elif marker == _APP0:
        stream.names.append(bytes(body[:4]))
    elif marker == _APP1 and bytes(body[:6]) == b"Exif\0\0":
        stream.orientation = _orientation(body[6:])
    elif marker == _APP14 and bytes(body[:5]) == b"Adobe" and len(body) >= 12:
        stream.adobe_transform = body[11]


def _orientation(tiff: memoryview) -> int:
    """Orientation of an Exif block's first directory; 1 where it says none, or nothing that can be."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]), "")
    if not order or len(tiff) < 8:
        return 1
    directory = int(struct.unpack_from(order + "I", tiff, 4)[0])
    if directory + 2 > len(tiff):
        return 1
    count = int(struct.unpack_from(order + "H", tiff, directory)[0])
    for at in range(directory + 2, directory + 2 + 12 * min(count, _MOST_ENTRIES), 12):
        if at + 12 > len(tiff):
            break
        if struct.unpack_from(order + "H", tiff, at)[0] == _ORIENTATION:
            value = int(struct.unpack_from(order + "H", tiff, at + 8)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def _checked(stream: JpegStream, data: memoryview, scan: int) -> JpegStream:
    if not stream.process or len(stream.components) not in (1, 3, 4):
        raise unusable("is a JPEG without an image of one, three or four components")
    # Coded data never hold it (B.1.1.5), and what follows it may be another program's: a phone's film, say.
    if next(positions(data, _END, scan), None) is None:
        raise unusable("is a JPEG that is cut off")
    return stream
