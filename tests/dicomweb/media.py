"""Consumer media made in memory: photos, films and documents with nothing of anybody in them."""

import io
import struct

import numpy as np
from PIL import Image

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF"


def picture(columns: int = 40, rows: int = 30, mode: str = "RGB") -> Image.Image:
    """A picture whose every corner is another one."""
    x, y = np.meshgrid(np.linspace(0, 255, columns), np.linspace(0, 255, rows))
    rgb = Image.fromarray(np.dstack([x, y, (x + y) / 2]).astype(np.uint8))
    return rgb if mode == "RGB" else rgb.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    """A JPEG of `picture`."""
    return saved(picture(mode=mode), "JPEG", **{"quality": 90, **options})


def turned_jpeg(orientation: int) -> bytes:
    """A JPEG that Exif says is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(exif=exif, subsampling=0, quality=100)


def animation(count: int = 3) -> bytes:
    """A GIF of several pictures, 50 ms each."""
    pictures = [picture(16 + 0 * n, 8).rotate(90 * n).convert("P") for n in range(count)]
    return saved(pictures[0], "GIF", save_all=True, append_images=pictures[1:], duration=50)


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of ISO 14496-12."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mp4(
    *, level: int = 41, profile: int = 100, frames: int = 50, codec: bytes = b"avc1", size: int = 1000
) -> bytes:
    """An MP4 file without a picture in it: 25 frames a second, 640 by 480, behind a track of sound."""
    record = box(b"avcC", bytes([1, profile, 0, level, 0xFF]))
    if codec == b"hvc1":
        record = box(b"hvcC", bytes([1, profile, *[0] * 10, level]))
    sample = box(codec, bytes(24), struct.pack(">HH", 640, 480), bytes(50), record)
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), sample),
        box(b"stts", struct.pack(">IIII", 0, 1, frames, 512)),
    )
    header = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 12800, frames * 512, 0))
    video = box(
        b"trak", box(b"mdia", header, box(b"hdlr", bytes(8), b"vide", bytes(12)), box(b"minf", table))
    )
    sound = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(12))))
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(size)) + box(b"moov", sound, video)
