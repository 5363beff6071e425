"""Frames as a film in H.264 (MP4), and the first picture of a stored video; where PyAV is installed."""

import importlib.util
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Array = np.ndarray[Any, Any]

_ENCODER = "libx264"
_CLOCK = Fraction(1, 90_000)


HEAD = 189
"""Bytes of a video that tell its container: one packet of a transport stream, and a byte."""


def container(head: bytes) -> str:
    """The media type of an MPEG-4 AVC or HEVC video by its first bytes."""
    transport = len(head) >= HEAD and head[0] == head[188] == 0x47
    return "video/mp2t" if transport else "video/mp4"


@lru_cache(maxsize=1)
def can_encode() -> bool:
    """Whether a film can be made here."""
    if importlib.util.find_spec("av") is None:
        return False
    import av

    return _ENCODER in av.codecs_available


def can_decode() -> bool:
    """Whether a stored video can be looked into here."""
    return importlib.util.find_spec("av") is not None


class Mp4Writer:
    """A file that plays while it still loads; `quality` from 1 to 100.

    Frames are pictures of grey levels or RGB, all of one size; times are milliseconds. Odd sizes grow by a
    line, since chrominance is kept for two by two pixels.
    """

    def __init__(self, path: Path, quality: int, rate: float) -> None:
        import av

        # The index before the pictures ("faststart"): a browser begins with the first bytes.
        self._film = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        stream: Any = self._film.add_stream(_ENCODER, rate=Fraction(rate).limit_denominator(1001))
        stream.options = {"crf": str(_rate_factor(quality)), "preset": "veryfast", "bf": "0"}
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = _CLOCK
        stream.codec_context.color_range = 1  # 16 to 235, as every player takes it
        stream.codec_context.colorspace = stream.codec_context.color_primaries = 1  # ITU-R BT.709
        stream.codec_context.color_trc = 1
        self._stream = stream
        self._lasting: dict[int, int] = {}

    def add(self, frame: "Image", begin: float, end: float) -> None:
        """Write the next frame."""
        picture = _picture(frame)
        if not self._stream.codec_context.is_open:
            self._stream.width, self._stream.height = picture.width, picture.height
        picture.pts, picture.time_base = _ticks(begin), _CLOCK
        self._lasting[picture.pts] = _ticks(end) - _ticks(begin)
        self._mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what is left, and the index."""
        try:
            self._mux(self._stream.encode(None))
        finally:
            self._film.close()

    def abandon(self) -> None:
        """Let go of the file, whatever is in it."""
        self._film.close()

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            # The encoder gives every frame the usual length, which shows at the last one.
            packet.duration = self._lasting.pop(packet.pts)
            self._film.mux(packet)


def _ticks(milliseconds: float) -> int:
    return round(milliseconds * 90)


def _rate_factor(quality: int) -> int:
    """x264's constant rate factor: 18 for our usual quality of 90, 15 at most, 40 at worst."""
    return round(40 - quality / 4)


def _picture(frame: "Image") -> Any:
    import av
    import numpy as np

    cells = np.asarray(frame)
    rows, columns = cells.shape[:2]
    even = np.pad(cells, [(0, rows % 2), (0, columns % 2)] + [(0, 0)] * (cells.ndim - 2), mode="edge")
    if cells.ndim == 2:
        return _grey_picture(even)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")


def _grey_picture(cells: "Array") -> Any:
    import av
    import numpy as np

    luma = np.rint(16 + np.arange(256) * (219 / 255)).astype(np.uint8)[cells]
    chroma = np.full((cells.shape[0] // 2, cells.shape[1]), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")


def frame_of(stored: BinaryIO | RawIOBase, number: int) -> "Image":
    """Picture `number` of a stored video; raises Damaged where it cannot be decoded so far."""
    import av
    from PIL import Image

    try:
        with av.open(stored, "r") as film:
            for at, picture in enumerate(film.decode(video=0), 1):
                if at == number:
                    return Image.fromarray(picture.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError) as error:
        raise Damaged(f"the video cannot be decoded: {type(error).__name__}") from error
    raise Damaged("the video ends before this frame")
