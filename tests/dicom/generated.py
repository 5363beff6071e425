"""Data sets made at random from a seed: every VR, encoding, character set, nesting, private data."""

import random
import struct
import warnings
from io import BytesIO
from typing import Any, Final

from pydicom import DataElement, Dataset, dcmwrite
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SYNTAXES: Final = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
# Specific Character Set and text that can be written in it.
CHARSETS: Final = (
    (None, "plain"),
    ("ISO_IR 100", "Äneas Grün"),
    ("ISO_IR 101", "Dvořák Łódź"),
    ("ISO_IR 109", "Ĝorĝo"),
    ("ISO_IR 110", "Jānis"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني"),
    ("ISO_IR 138", "שרון דבורה"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 148", "Çavuşoğlu"),
    ("ISO_IR 166", "นามสกุล"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ ﾀﾛｳ"),
    ("ISO_IR 192", "王小東 Ünal"),
    ("GB18030", "王小东 㐀"),
    ("GBK", "王小东"),
    (["", "ISO 2022 IR 87"], "山田太郎"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ山田"),
    (["", "ISO 2022 IR 149"], "김희중"),
    (["", "ISO 2022 IR 58"], "张小东"),
    (["ISO 2022 IR 100", "ISO 2022 IR 144"], "Люкc Äne"),
    (["ISO 2022 IR 6", "ISO 2022 IR 126"], "Διο abc"),
)
_SKIPPED: Final = {
    0x00080005,
    0x00080016,
    0x00080018,
    0x0020000D,
    0x0020000E,
    0x00280103,
    0xFFFAFFFA,
    0xFFFCFFFC,
}
BY_VR: Final[dict[str, list[int]]] = {}
for _tag, _entry in DicomDictionary.items():
    if _tag not in _SKIPPED and _tag & 0xFFFF and _tag >> 16 not in {0, 2, 4, 0x7FE0, 0xFFFE}:
        BY_VR.setdefault(_entry[0], []).append(_tag)
_VRS: Final = [vr for vr in BY_VR if " " not in vr and vr != "NONE"]
_CREATORS: Final = ("SIEMENS CSA HEADER", "GEMS_ACQU_01", "SYNTHETIC MAKER")


def instance(seed: int) -> bytes:
    """The Part 10 bytes of data set number `seed`."""
    rng = random.Random(seed)
    charset, text = rng.choice(CHARSETS)
    dataset = Dataset()
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{seed}", f"1.2.3.{seed}.1"
    dataset.SOPInstanceUID = f"1.2.3.{seed}.1.1"
    if rng.random() < 0.4:
        dataset.PixelRepresentation = rng.randint(0, 1)
        dataset.add_new(0x00280106, "SS" if dataset.PixelRepresentation else "US", rng.randint(0, 3000))
    _fill(dataset, rng, text, depth=rng.randint(0, 5))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = rng.choice(SYNTAXES)
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def _fill(dataset: Dataset, rng: random.Random, text: str, depth: int) -> None:
    for vr in rng.sample(_VRS, rng.randint(1, 8)):
        if vr != "SQ":
            tag = rng.choice(BY_VR[vr])
            dataset[tag] = DataElement(tag, vr, _value(vr, rng, text), validation_mode=0)
    if rng.random() < 0.4:
        creator = rng.choice(_CREATORS)
        block = dataset.private_block(rng.choice((0x0029, 0x0019, 0x7FE3)), creator, create=True)
        for vr in rng.sample(_VRS, rng.randint(1, 4)):
            if vr != "SQ":
                block.add_new(rng.randint(0, 255), vr, _value(vr, rng, text))
    for _ in range(rng.randint(0, 2) if depth else 0):
        tag = rng.choice(BY_VR["SQ"])
        items = []
        for _ in range(rng.randint(0, 3)):
            item = Dataset()
            if rng.random() < 0.9:
                _fill(item, rng, text, depth - 1)
            item.is_undefined_length_sequence_item = rng.random() < 0.5
            items.append(item)
        dataset.add_new(tag, "SQ", Sequence(items))
        dataset[tag].is_undefined_length = rng.random() < 0.5


def _value(vr: str, rng: random.Random, text: str) -> Any:
    if rng.random() < 0.1:
        return None if vr not in {"OB", "OW", "OD", "OF", "OL", "OV", "UN"} else b""
    if vr in {"OB", "OW", "OD", "OF", "OL", "OV", "UN"}:
        return rng.randbytes(8 * rng.choice((1, 2, 4, 150, 300)))
    single = vr in {"LT", "ST", "UT", "UR"} or rng.random() < 0.6
    values = [_one(vr, rng, text) for _ in range(1 if single else rng.randint(2, 4))]
    return values[0] if len(values) == 1 else values


_NUMBERS: Final = {
    "US": (0, 65535),
    "SS": (-32768, 32767),
    "UL": (0, 2**32 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "UV": (0, 2**64 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "IS": (-(2**31), 2**31 - 1),
}


def _one(vr: str, rng: random.Random, text: str) -> Any:
    if vr in _NUMBERS:
        return rng.choice([*_NUMBERS[vr], rng.randint(0, 1000)])
    if vr == "FL":
        return struct.unpack(
            "<f", struct.pack("<f", rng.choice((rng.uniform(-1e9, 1e9), float("nan"), 0.5)))
        )[0]
    if vr == "FD":
        return rng.choice((rng.uniform(-1e300, 1e300), float("inf"), 0.1))
    if vr == "AT":
        return Tag(rng.choice(BY_VR["LO"]))
    written = {
        "AE": " STORE_1",
        "AS": "042Y",
        "CS": rng.choice(("ORIGINAL", "A_B 1")),
        "DA": "20240229",
        "DT": "20240229123456.123456+0100",
        "DS": rng.choice(("1.0", "-0.00", "1e-5", "+12.50", ".5", "5.", "123456789.12345", " 7 ", "00012")),
        "TM": "123456.789",
        "UI": "1.2.840.10008.1.2",
        "UR": "https://example.org/a?b=c",
        "PN": rng.choice((f"{text}^Given", f"Doe^Jane={text}^x={text}", f"A^B=={text}", "Doe^John^^Dr.^")),
        "SH": text[:8],
    }
    if vr in written:
        return written[vr]
    body = f'{text} "quoted" {text}'
    return body + "\r\nline \\ two\t" if vr in {"LT", "ST", "UT"} else body
