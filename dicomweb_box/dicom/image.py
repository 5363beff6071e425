"""What the Image Pixel module says about the shape of one frame (PS3.3 C.7.6.3)."""

from dataclasses import dataclass, fields

import orjson

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.uids import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.errors import NotFound


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """Shape and kind of each frame of an instance."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int
    high_bit: int | None = None
    """None: Bits Stored less one, the only value that PS3.5 8.1.1 still allows."""
    floats: bool = False
    """Whether the cells are those of Float (7FE0,0008) or Double Float Pixel Data (7FE0,0009)."""

    @property
    def frame_length(self) -> int:
        """Bytes of one native frame; of one-bit frames, those of a frame that begins at a byte."""
        samples = self.rows * self.columns * self.samples
        if self.bits_allocated == 1:
            return (samples + 7) // 8
        native = samples * (self.bits_allocated // 8)
        # Chrominance of every second pixel (PS3.3 C.7.6.3.1.2); decoding makes it RGB.
        return native * 2 // 3 if self.halved else native

    @property
    def halved(self) -> bool:
        """Whether native frames hold the chrominance of every second pixel alone."""
        untransformed = not self.encapsulated or self.transfer_syntax_uid in UNTRANSFORMED
        return self.samples == 3 and untransformed and self.photometric in HALVED

    @property
    def begins_at_bytes(self) -> bool:
        """Whether each native frame begins at a byte; frames of single bits may follow without a gap."""
        return self.bits_allocated != 1 or self.rows * self.columns * self.samples % 8 == 0

    def native_length(self, count: int) -> int:
        """Bytes of `count` native frames."""
        if self.begins_at_bytes:
            return self.frame_length * count
        return (self.rows * self.columns * self.samples * count + 7) // 8

    @property
    def encapsulated(self) -> bool:
        """Whether frames are stored in fragments (PS3.5 A.4)."""
        return self.transfer_syntax_uid not in NATIVE

    @property
    def decoded_photometric(self) -> str:
        """Photometric Interpretation after decoding: what was YBR in any form is RGB."""
        if not self.encapsulated or self.transfer_syntax_uid in UNTRANSFORMED:
            return self.photometric
        turned = self.photometric.startswith("YBR") or self.photometric == "XYB"
        return "RGB" if self.samples == 3 and turned else self.photometric


def described(dataset: Dataset, transfer_syntax_uid: str) -> Image:
    """What a data set's Image Pixel module says; raises NotFound where it says too little."""

    def value(tag: str, default: int = 0) -> int:
        found = json_values.whole(dataset, tag)
        return default if found is None else found

    rows, columns, bits = value("00280010"), value("00280011"), value("00280100")
    if rows <= 0 or columns <= 0 or bits <= 0:
        raise NotFound("the instance does not say how large its frames are")
    return Image(
        transfer_syntax_uid=transfer_syntax_uid,
        rows=rows,
        columns=columns,
        samples=value("00280002", 1),
        bits_allocated=bits,
        bits_stored=value("00280101", bits),
        signed=value("00280103") == 1,
        photometric=json_values.text(dataset, "00280004"),
        planar=value("00280006"),
        high_bit=json_values.whole(dataset, "00280102"),
        floats="7FE00008" in dataset or "7FE00009" in dataset,
    )


def written(image: Image) -> str | None:
    """All of it but the transfer syntax, for `read`; None where it says what cannot be."""
    try:
        return orjson.dumps([getattr(image, name) for name in _WRITTEN]).decode()
    except orjson.JSONEncodeError:  # a number of rows beyond 64 bits
        return None


def read(text: str, transfer_syntax_uid: str) -> Image:
    """The Image that `written` wrote, of an instance of this transfer syntax."""
    values = dict(zip(_WRITTEN, orjson.loads(text), strict=True))
    return Image(transfer_syntax_uid=transfer_syntax_uid, **values)


_WRITTEN = tuple(field.name for field in fields(Image) if field.name != "transfer_syntax_uid")

HALVED = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422"))
"""Photometric Interpretations with chrominance for every second pixel (PS3.3 C.7.6.3.1.2)."""

NATIVE = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG))
"""Transfer syntaxes without fragments."""

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
UNTRANSFORMED = frozenset((DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED))
"""Encapsulated transfer syntaxes whose frames hold native bytes."""
