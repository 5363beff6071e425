"""What is to be made black in an instance: by the rule that means it, from its raw values alone."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dicomweb_box.deid import verdict
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.identity import CHARACTER_SET
from dicomweb_box.deid.palette import darkest
from dicomweb_box.deid.pixel_rules import PixelRule, Rectangle, built_in
from dicomweb_box.deid.pixels import BITS, COLUMNS, FRAMES, PHOTOMETRIC, ROWS, SAMPLES
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.redacted import LOSSLESS, Codec, Redacting
from dicomweb_box.deid.regions import REGIONS, regions
from dicomweb_box.dicom import codestream, pixels, transcode
from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.header_tables import Encoding
from dicomweb_box.dicom.image import HALVED, NATIVE, UNTRANSFORMED, Image
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE

PLANAR, STORED, HIGH_BIT, SIGNED = 0x00280006, 0x00280101, 0x00280102, 0x00280103
_SAID: Final = {
    "manufacturer": 0x00080070,
    "model": 0x00081090,
    "modality": 0x00080060,
    "sop_class": verdict.SOP_CLASS,
}
OVERLAY_BITS: Final = frozenset(0x60000102 + (plane << 17) for plane in range(16))
_LOOKED_UP: Final = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00281201, 0x00281202, 0x00281203))
SEEN: Final = (
    frozenset((PLANAR, STORED, HIGH_BIT, SIGNED, REGIONS, 0x00282110, 0x00282114))
    | frozenset(_SAID.values())
    | OVERLAY_BITS
    | _LOOKED_UP
)
LAST_SEEN: Final = max(OVERLAY_BITS)
_FAMILIES: Final = (
    (codestream.JPEG | codestream.JPEG_LOSSLESS, transcode.JPEG_LOSSLESS),
    (codestream.JPEG_LS, transcode.JPEG_LS),
    (codestream.JPEG_2000, transcode.JPEG_2000_LOSSLESS),
    (frozenset((transcode.HTJ2K_RPCL,)), transcode.HTJ2K_RPCL),
    (codestream.HTJ2K, transcode.HTJ2K_LOSSLESS),
    (codestream.JPEG_XL, transcode.JPEG_XL_LOSSLESS),
    (frozenset((transcode.RLE,)), transcode.RLE),
)
"""Which lossless transfer syntax frames of others are written in."""
_COLOUR_STAYS: Final = frozenset((transcode.RLE, transcode.JPEG_LS))
"""Those whose encoders say nothing of colour, and so leave it to the instance."""
_MOST_CELLS: Final = 1 << 30


def planned(
    raw: Mapping[int, bytes], encoding: Encoding, syntax: str, policy: Policy, codec: Codec
) -> Redacting | None:
    """What to redact of an instance with these raw values; None where its pixels go as they are.

    Raises Doubt where they may show who the patient is and nothing tells where, or cannot be redacted.
    """
    rule = _rule(raw, encoding, policy)
    overlays = [raw[tag] for tag in OVERLAY_BITS if any(raw.get(tag, b""))]
    if rule is None and (not overlays or syntax not in NATIVE):
        return None
    image = _image(raw, encoding, syntax)
    if overlays:
        _check_bits(image, [_number(value, encoding) for value in overlays])
    rectangles, outside = _area(rule, raw, encoding, image)
    decoded = _decoded(image)
    return Redacting(
        rule=rule.name if rule else "",
        image=_left_alone(image),
        frames=_frames(raw),
        order=encoding.order,
        rectangles=rectangles,
        outside=outside,
        black=_black(decoded, raw, encoding),
        clears=bool(overlays),
        native=decoded,
        target=_target(image, decoded),
        codec=codec,
    )


def _rule(raw: Mapping[int, bytes], encoding: Encoding, policy: Policy) -> PixelRule | None:
    read = charset(raw.get(CHARACTER_SET, b""))
    said = {condition: read.decode(raw.get(tag, b"")) for condition, tag in _SAID.items()}
    rows, columns = (_number(raw.get(tag, b""), encoding) for tag in (ROWS, COLUMNS))
    found = policy.pixel_rules.matching(said, rows, columns)
    shown = verdict.shown(raw)
    if not found and shown and not verdict.captured(raw):
        found = built_in().matching(said, rows, columns)
    if len(found) > 1:
        raise Doubt("more than one rule says where its pixels show who the patient is")
    if shown and not found:
        raise Doubt(f"its pixels may show who the patient is: {shown}, and no rule says where")
    return found[0] if found else None


def _image(raw: Mapping[int, bytes], encoding: Encoding, syntax: str) -> Image:
    if not all(raw.get(tag) for tag in (ROWS, COLUMNS, SAMPLES, BITS, STORED, HIGH_BIT, SIGNED, PHOTOMETRIC)):
        raise Doubt("its description does not tell what its pixels are")
    rows, columns, samples, bits, stored, high, signed, planar = (
        _number(raw.get(tag, b""), encoding)
        for tag in (ROWS, COLUMNS, SAMPLES, BITS, STORED, HIGH_BIT, SIGNED, PLANAR)
    )
    image = Image(
        transfer_syntax_uid=syntax,
        rows=rows,
        columns=columns,
        samples=samples,
        bits_allocated=bits,
        bits_stored=stored,
        signed=signed == 1,
        photometric=raw[PHOTOMETRIC].strip(b" \0").decode("latin-1"),
        planar=planar,
        high_bit=high,
    )
    _check(image)
    return image


def _check(image: Image) -> None:
    """Raises Doubt for pixels whose place or black is not known here (PS3.3 C.7.6.3.1)."""
    grey = image.samples == 1 and image.photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
    colour = image.samples == 3 and not image.signed and image.bits_allocated > 1
    decodes = image.encapsulated and image.transfer_syntax_uid not in UNTRANSFORMED
    known = {"RGB", "YBR_FULL", *HALVED} | ({"YBR_RCT", "YBR_ICT"} if decodes else set())
    if not grey and not (colour and image.photometric in known):
        raise Doubt("its Photometric Interpretation is not one that is redacted")
    if decodes and image.photometric in HALVED and image.transfer_syntax_uid in LOSSLESS:
        raise Doubt("its Photometric Interpretation is not one of its transfer syntax")
    if image.halved and (image.columns % 2 or image.planar):
        raise Doubt("its pixels do not share chrominance in pairs")
    high = -1 if image.high_bit is None else image.high_bit
    whole = image.bits_allocated in {1, 8, 16, 32} and image.planar in {0, 1}
    if not whole or not 1 <= image.bits_stored <= high + 1 <= image.bits_allocated:
        raise Doubt("its description does not tell what its pixels are")
    if not 1 <= image.rows * image.columns * image.samples <= _MOST_CELLS:
        raise Doubt("its frames are empty, or too large to be redacted")
    if image.encapsulated and not pixels.decodable(image.transfer_syntax_uid):
        raise Doubt("frames of its transfer syntax cannot be decoded")


def _frames(raw: Mapping[int, bytes]) -> int:
    count = raw.get(FRAMES, b"").strip(b" \0") or b"1"
    if not count.isdigit() or len(count) > 9:
        raise Doubt("Number of Frames is no number")
    return max(1, int(count))


def _check_bits(image: Image, positions: Sequence[int]) -> None:
    high = image.bits_stored - 1 if image.high_bit is None else image.high_bit
    free = {*range(high + 1 - image.bits_stored), *range(high + 1, image.bits_allocated)}
    if not set(positions) <= free:
        raise Doubt("an overlay lies in bits that are not unused")


def _area(
    rule: PixelRule | None, raw: Mapping[int, bytes], encoding: Encoding, image: Image
) -> tuple[Sequence[Rectangle], bool]:
    if rule is None:
        return (), False
    if isinstance(rule.blank, tuple):
        return rule.blank, False
    return regions(raw.get(REGIONS, b""), encoding, image.rows, image.columns), True


def _left_alone(image: Image) -> Image:
    """The image as decoders are told it, so that lossless luminance and chrominance stay what they are."""
    if image.transfer_syntax_uid in LOSSLESS and image.photometric == "YBR_FULL":
        return replace(image, photometric="RGB")
    return image


def _decoded(image: Image) -> Image:
    """Its native frames: as they are stored, or as `dicom.pixels.decode` makes them."""
    if image.transfer_syntax_uid in NATIVE:
        return image
    native = replace(image, transfer_syntax_uid=EXPLICIT_LITTLE)
    if image.transfer_syntax_uid in UNTRANSFORMED:
        return native
    colour = image.photometric if _left_alone(image) != image else image.decoded_photometric
    return replace(native, photometric=colour, planar=0)


def _target(image: Image, decoded: Image) -> Image:
    """As the frames are written: encoded without loss where that can be, else native."""
    if not image.encapsulated:
        return image
    found = next((target for family, target in _FAMILIES if image.transfer_syntax_uid in family), None)
    if found is None or found not in transcode.targets(_encodable(decoded)):
        return decoded
    if decoded.photometric == "YBR_FULL":
        return replace(decoded, transfer_syntax_uid=found) if found in _COLOUR_STAYS else decoded
    return transcode.described(decoded, found)


def _encodable(decoded: Image) -> Image:
    return replace(decoded, photometric="RGB") if decoded.samples == 3 else decoded


def _black(image: Image, raw: Mapping[int, bytes], encoding: Encoding) -> tuple[int, ...]:
    """Stored values that are displayed black, for each sample."""
    most = (1 << image.bits_stored) - 1
    least = 0
    if image.signed:
        least, most = -(1 << image.bits_stored - 1), (1 << image.bits_stored - 1) - 1
    if image.photometric == "PALETTE COLOR":
        found: tuple[int, ...] = (darkest(raw, encoding, signed=image.signed),)
        if not least <= found[0] <= most:
            raise Doubt("its palette is not one for its pixels")
    elif image.photometric == "MONOCHROME1":
        found = (most,)
    elif image.photometric.startswith("YBR"):
        # PS3.3 C.7.6.3.1.2: chrominance has its zero in the middle; partial luminance begins at a sixteenth.
        middle = 1 << image.bits_stored - 1
        found = ((most + 1) // 16 if "PARTIAL" in image.photometric else 0, middle, middle)
    else:
        found = (least if image.samples == 1 else 0,) * image.samples
    shift = 0 if image.high_bit is None else image.high_bit + 1 - image.bits_stored
    return tuple(value << shift for value in found)


def _number(value: bytes, encoding: Encoding) -> int:
    """A US value; 0 where it is none."""
    return int(struct.unpack(encoding.order + "H", value)[0]) if len(value) == 2 else 0
