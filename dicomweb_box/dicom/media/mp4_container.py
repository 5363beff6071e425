"""What an MP4 file (ISO 14496-12) says of its video: size, frames, duration, and the level of its codec."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dicomweb_box.dicom.media.medium import unusable

_MOST_BOXES = 100_000
_AVC = frozenset((b"avc1", b"avc2", b"avc3", b"avc4"))
_HEVC = frozenset((b"hvc1", b"hev1"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Mp4Video:
    """The first video track."""

    codec: str
    """`avc` or `hevc`."""
    profile: int
    level: int
    """As the codec writes it: 41 is level 4.1 of AVC, 153 is level 5.1 of HEVC."""
    rows: int
    columns: int
    frames: int
    seconds: float


def read_mp4(data: memoryview) -> Mp4Video:
    """The video's description; raises UnreadableInstance where there is none that an instance can hold."""
    movie = _child(data, b"moov")
    if movie is None:
        raise unusable("is no MP4 file, or one that is cut off before its movie box")
    for kind, track in _boxes(movie):
        media = _child(track, b"mdia") if kind == b"trak" else None
        handler = _child(media, b"hdlr") if media is not None else None
        if media is not None and handler is not None and bytes(handler[8:12]) == b"vide":
            return _video(media)
    raise unusable("is an MP4 file without a video track")


def _video(media: memoryview) -> Mp4Video:
    information = _child(media, b"minf")
    table = _child(information, b"stbl") if information is not None else None
    descriptions = _child(table, b"stsd") if table is not None else None
    if table is None or descriptions is None:
        raise unusable("is an MP4 file with a broken video track")
    frames, ticks = _times(table)
    scale = _time_scale(media)
    if not frames or not ticks or not scale:
        raise unusable("is an MP4 file in fragments, or without frames; rewrite it as one movie")
    kind, sample = next(_boxes(descriptions[8:]), (b"", memoryview(b"")))
    if len(sample) < 78:
        raise unusable("is an MP4 file with a broken video track")
    columns, rows = struct.unpack_from(">HH", sample, 24)
    codec, profile, level = _level(kind, sample[78:])
    return Mp4Video(
        codec=codec,
        profile=profile,
        level=level,
        rows=rows,
        columns=columns,
        frames=frames,
        seconds=ticks / scale,
    )


def _level(kind: bytes, extensions: memoryview) -> tuple[str, int, int]:
    if kind in _AVC:
        record = _child(extensions, b"avcC")
        if record is not None and len(record) >= 4:
            return "avc", record[1], record[3]
    if kind in _HEVC:
        record = _child(extensions, b"hvcC")
        if record is not None and len(record) >= 13:
            return "hevc", record[1] & 0x1F, record[12]
    raise unusable("is an MP4 file whose video is neither H.264 nor H.265")


def _times(table: memoryview) -> tuple[int, int]:
    """Number of frames, and the ticks that they last together (ISO 14496-12 8.6.1.2)."""
    times = _child(table, b"stts")
    if times is None or len(times) < 8:
        return 0, 0
    count = min(int(struct.unpack_from(">I", times, 4)[0]), (len(times) - 8) // 8)
    runs = list(struct.iter_unpack(">II", times[8 : 8 + 8 * count]))
    return sum(number for number, _ in runs), sum(number * ticks for number, ticks in runs)


def _time_scale(media: memoryview) -> int:
    header = _child(media, b"mdhd")
    at = 20 if header is not None and len(header) and header[0] == 1 else 12
    if header is None or len(header) < at + 4:
        return 0
    return int(struct.unpack_from(">I", header, at)[0])


def _child(data: memoryview, wanted: bytes) -> memoryview | None:
    return next((body for kind, body in _boxes(data) if kind == wanted), None)


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind, head = int(struct.unpack_from(">I", data, at)[0]), bytes(data[at + 4 : at + 8]), 8
        if size == 1 and at + 16 <= len(data):
            size, head = int(struct.unpack_from(">Q", data, at + 8)[0]), 16
        size = size or len(data) - at
        if size < head or at + size > len(data):
            return
        yield kind, data[at + head : at + size]
        at += size
