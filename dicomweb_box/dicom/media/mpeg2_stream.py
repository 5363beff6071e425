"""What the first sequence header of an MPEG-2 video says (ISO 13818-2 6.2.2.1), in whatever container."""

from dataclasses import dataclass
from typing import Final

from dicomweb_box.dicom.media.medium import positions, unusable

_SEQUENCE: Final = b"\0\0\1\xb3"
_PICTURE: Final = b"\0\0\1\0"
_RATES: Final = (0.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
_LOOKED_AT: Final = 1 << 20
_MAIN_LEVEL: Final = (720, 576)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mpeg2Video:
    """Size and rate of the video; pictures are counted by their start codes."""

    rows: int
    columns: int
    frames: int
    rate: float

    @property
    def main_level(self) -> bool:
        """Whether it fits Main Profile at Main Level."""
        return self.columns <= _MAIN_LEVEL[0] and self.rows <= _MAIN_LEVEL[1]


def read_mpeg2(data: memoryview) -> Mpeg2Video:
    """The video's description; raises UnreadableInstance where there is no sequence header."""
    beginning = bytes(data[:_LOOKED_AT])
    at = beginning.find(_SEQUENCE)
    if at < 0 or at + 8 > len(beginning):
        raise unusable("is no MPEG-2 video: there is no sequence header in its first megabyte")
    packed = int.from_bytes(beginning[at + 4 : at + 8], "big")
    code = packed & 15
    if not 0 < code < len(_RATES):
        raise unusable("is an MPEG-2 video without a frame rate")
    frames = sum(1 for _ in positions(data, _PICTURE, 0))
    return Mpeg2Video(
        rows=packed >> 8 & 0xFFF, columns=packed >> 20 & 0xFFF, frames=max(1, frames), rate=_RATES[code]
    )
