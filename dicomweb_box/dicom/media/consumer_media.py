"""Consumer media as DICOM (PS3.18 10.5.2): what each becomes, and the Image Pixel macro derived from it.

A medium that some transfer syntax holds is kept bit for bit; what none holds (PNG, GIF, progressive JPEG, a
photo that Exif turns) is decoded and stored native.
"""

from collections.abc import Callable
from typing import Final

from dicomweb_box.dicom.media.jpeg2000_stream import read_jpeg2000
from dicomweb_box.dicom.media.jpeg_stream import BASELINE, EXTENDED, LOSSLESS, PROGRESSIVE, read_jpeg
from dicomweb_box.dicom.media.medium import (
    MOST_PIXELS,
    Medium,
    bounded,
    image_pixels,
    lossy,
    number,
    text,
    unusable,
)
from dicomweb_box.dicom.media.mp4_container import Mp4Video, read_mp4
from dicomweb_box.dicom.media.mpeg2_stream import read_mpeg2
from dicomweb_box.dicom.media.raster_headers import check_gif, check_png
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE

MOST_TURNED: Final = MOST_PIXELS
_PDF_WITHIN: Final = 1024
# PS3.5 10.4: highest AVC level of each transfer syntax; profiles are those that High Profile decoders read.
_AVC_LEVELS: Final = ((41, "1.2.840.10008.1.2.4.102"), (42, "1.2.840.10008.1.2.4.104"))
_AVC_PROFILES: Final = frozenset((66, 77, 100))
_HEVC_PROFILES: Final = {1: "1.2.840.10008.1.2.4.107", 2: "1.2.840.10008.1.2.4.108"}
_HEVC_HIGHEST: Final = 153
_LONGEST_FRAGMENT: Final = 0xFFFFFFFE
_FRAGMENTABLE: Final = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in range(100, 107))


def kept(media_type: str, data: memoryview) -> Medium | None:
    """What a medium becomes whose bytes are stored as they are; None for one that must be `decoded`.

    Raises UnreadableInstance where no instance can be made of it.
    """
    return _READERS[media_type](data)


def decoded(media_type: str, data: memoryview) -> Medium:
    """What a medium becomes for which `kept` had no answer; raises UnreadableInstance where it is broken."""
    from dicomweb_box.dicom.media import foreign_pixels

    if media_type == "image/png":
        return foreign_pixels.from_png(data)
    if media_type == "image/gif":
        return foreign_pixels.from_gif(data)
    return foreign_pixels.from_jpeg(data, read_jpeg(data))


def warm() -> None:
    """Load what `decoded` needs, before a limit of memory is set."""
    from dicomweb_box.dicom.media import foreign_pixels

    foreign_pixels.warm()


def _jpeg(data: memoryview) -> Medium | None:
    stream = read_jpeg(data)
    if stream.process == PROGRESSIVE or len(stream.components) == 4:
        if stream.precision != 8:
            raise unusable("is a JPEG of more than 8 bits that cannot be kept as it is")
        bounded(stream.rows, stream.columns, data)
        return None
    # Too large to be turned is better kept as it is than refused.
    if stream.orientation != 1 and stream.precision == 8 and stream.rows * stream.columns <= MOST_TURNED:
        return None
    if stream.process not in (BASELINE, EXTENDED, LOSSLESS):
        raise unusable("is a JPEG of a coding process that no transfer syntax holds")
    syntax = {BASELINE: "50", EXTENDED: "51", LOSSLESS: "70" if stream.predictor == 1 else "57"}
    samples = len(stream.components)
    pixels = image_pixels(
        rows=stream.rows,
        columns=stream.columns,
        samples=samples,
        photometric=stream.photometric,
        bits_stored=stream.precision,
    )
    if stream.process != LOSSLESS:
        native = stream.rows * stream.columns * samples * (1 if stream.precision <= 8 else 2)
        pixels |= lossy("ISO_10918_1", native, len(data))
    return Medium(
        kind="image",
        transfer_syntax_uid=f"1.2.840.10008.1.2.4.{syntax[stream.process]}",
        attributes=pixels,
        kept=(0, len(data)),
    )


def _jpeg2000(data: memoryview) -> Medium:
    stream = read_jpeg2000(data)
    pixels = image_pixels(
        rows=stream.rows,
        columns=stream.columns,
        samples=stream.components,
        photometric=stream.photometric,
        bits_stored=stream.bits,
        signed=stream.signed,
    )
    if not stream.reversible:
        native = stream.rows * stream.columns * stream.components * (1 if stream.bits <= 8 else 2)
        pixels |= lossy("ISO_15444_1", native, stream.length)
    return Medium(
        kind="image",
        transfer_syntax_uid=stream.transfer_syntax_uid,
        attributes=pixels,
        kept=(stream.offset, stream.length),
    )


def _png(data: memoryview) -> Medium | None:
    check_png(data)
    return None


def _gif(data: memoryview) -> Medium | None:
    check_gif(data)
    return None


def _mp4(data: memoryview) -> Medium:
    video = read_mp4(data)
    method = "ISO_14496_10" if video.codec == "avc" else "ISO_23008_2"
    return _video(
        data,
        syntax=_mp4_syntax(video),
        method=method,
        rows=video.rows,
        columns=video.columns,
        frames=video.frames,
        milliseconds=1000 * video.seconds / video.frames,
        bits=10 if video.codec == "hevc" and video.profile == 2 else 8,
    )


def _mp4_syntax(video: Mp4Video) -> str:
    if video.codec == "hevc":
        syntax = _HEVC_PROFILES.get(video.profile)
        if syntax and video.level <= _HEVC_HIGHEST:
            return syntax
    elif video.profile in _AVC_PROFILES:
        for highest, syntax in _AVC_LEVELS:
            if video.level <= highest:
                return syntax
    raise unusable(
        f"is a video of profile {video.profile} and level {video.level}, which no transfer syntax holds"
    )


def _mpeg2(data: memoryview) -> Medium:
    video = read_mpeg2(data)
    return _video(
        data,
        syntax=f"1.2.840.10008.1.2.4.{100 if video.main_level else 101}",
        method="ISO_13818_2",
        rows=video.rows,
        columns=video.columns,
        frames=video.frames,
        milliseconds=1000 / video.rate,
    )


def _video(
    data: memoryview,
    *,
    syntax: str,
    method: str,
    rows: int,
    columns: int,
    frames: int,
    milliseconds: float,
    bits: int = 8,
) -> Medium:
    pixels = image_pixels(
        rows=rows, columns=columns, samples=3, photometric="YBR_PARTIAL_420", bits_stored=bits
    )
    if len(data) > _LONGEST_FRAGMENT and syntax in _FRAGMENTABLE:
        syntax += ".1"  # PS3.5 8.2.5–8.2.8: the stream in several fragments
    native = rows * columns * frames * 3 // 2
    pixels |= lossy(method, native, len(data)) | {
        "00280008": number("IS", frames),
        "00280009": text("AT", "00181063"),
        "00181063": number("DS", round(milliseconds, 4)),
        "00180040": number("IS", max(1, round(1000 / milliseconds))),
    }
    return Medium(kind="video", transfer_syntax_uid=syntax, attributes=pixels, kept=(0, len(data)))


def _pdf(data: memoryview) -> Medium:
    if b"%PDF-" not in bytes(data[:_PDF_WITHIN]):
        raise unusable("is no PDF")
    attributes = {
        "00420012": text("LO", "application/pdf"),
        "00420015": number("UL", len(data)),
    }
    return Medium(
        kind="document",
        transfer_syntax_uid=EXPLICIT_LITTLE,
        attributes=attributes,
        kept=(0, len(data)),
    )


_READERS: Final[dict[str, Callable[[memoryview], Medium | None]]] = {
    "image/jpeg": _jpeg,
    "image/jp2": _jpeg2000,
    "image/jpx": _jpeg2000,
    "image/jphc": _jpeg2000,
    "image/png": _png,
    "image/gif": _gif,
    "video/mp4": _mp4,
    "video/mpeg": _mpeg2,
    "video/mpeg2": _mpeg2,
    "application/pdf": _pdf,
}
PICTURES: Final = frozenset(name for name in _READERS if name != "application/pdf")
"""Media types that become Pixel Data (PS3.18 Table 10.5.2-1)."""
MEDIA_TYPES: Final = frozenset(_READERS)
