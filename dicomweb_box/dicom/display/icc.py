"""Colour management: the ICC profile of an image, and well-known colour spaces (PS3.18 8.3.5.1.6)."""

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from dicomweb_box.dicom.display.view import IccProfile

if TYPE_CHECKING:
    from PIL.Image import Image

# Colorants of the RGB spaces adapted to D50, as an ICC profile holds them, and the exponent of their curves.
_ADOBE = (((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 563 / 256)
_ROMM = (((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00008, 0.82521)), 1.8)
_D50 = (0.9642, 1.0, 0.8249)

SPACES = {"SRGB": "srgb", "ADOBERGB": "adobergb", "ROMMRGB": "rommrgb"}
"""Color Space (0028,2002) as the query parameter calls it."""


def managed(
    picture: "Image", profile: bytes, space: str, wanted: IccProfile | None
) -> "tuple[Image, bytes | None]":
    """A colour picture in the space that is wanted, and the profile to put in its file.

    `profile` is the image's own, b"" for none; `space` its Color Space. Grey pictures stay as they are.
    """
    if wanted in (None, "no") or picture.mode != "RGB":
        return picture, None
    own = profile or well_known(SPACES.get(space, "srgb"))
    if wanted == "yes":
        return picture, own
    target = well_known(str(wanted))
    return (picture if own == target else _converted(picture, own, target)), target


@lru_cache(maxsize=4)
def well_known(name: str) -> bytes:
    """The profile of a space that the parameter names."""
    if name == "srgb":
        from PIL import ImageCms

        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _matrix_profile(name, *(_ADOBE if name == "adobergb" else _ROMM))


def _converted(picture: "Image", own: bytes, target: bytes) -> "Image":
    from PIL import ImageCms

    def transformed(source: bytes) -> "Image | None":
        return ImageCms.profileToProfile(picture, io.BytesIO(source), io.BytesIO(target), outputMode="RGB")

    try:
        return transformed(own) or picture
    except (ImageCms.PyCMSError, OSError):
        # A profile that cannot be read says nothing: what has none is taken as sRGB.
        return transformed(well_known("srgb")) or picture


def _matrix_profile(name: str, colorants: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """A display profile of three colorants and one curve (ICC.1:2001-04, 6.3.1.2)."""
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"No copyright\0",
        b"wtpt": _xyz(_D50),
        **{
            letter + b"XYZ": _xyz(values)
            for letter, values in zip((b"r", b"g", b"b"), colorants, strict=True)
        },
        **{
            letter + b"TRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
            for letter in (b"r", b"g", b"b")
        },
    }
    table, body = b"", b""
    begin = 128 + 4 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", begin + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = begin + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += b"".join(struct.pack(">i", round(value * 65536)) for value in _D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)
