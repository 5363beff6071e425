"""Instances with something planted in every place where an identity may be, and the engine over bytes."""

import io
import warnings
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.policy import BASIC, Policy
from dicomweb_box.deid.pseudonyms import Keyed
from dicomweb_box.deid.table import Row

KEY = Keyed(bytes(range(32)))
OTHER = Keyed(bytes(range(1, 33)))
CT = "1.2.840.10008.5.1.4.1.1.2"
SERIAL = iter(range(1, 1_000_000))
NUMERIC = {"US", "SS", "UL", "SL", "FL", "FD", "UV", "SV", "AT"}


def deid(source: bytes, policy: Policy = BASIC, key: Keyed = KEY) -> bytes:
    """The bytes of the de-identified instance."""
    return b"".join(deidentify(source, len(source), policy, key).chunks())


def read(source: bytes) -> Dataset:
    """The instance as pydicom reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom_read(source)
        ds.walk(lambda _ds, _element: None)
    return ds


def pydicom_read(source: bytes) -> Dataset:
    from pydicom import dcmread

    return dcmread(io.BytesIO(source), force=True)


def written(ds: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bytes = bytes(128)) -> bytes:
    """The data set as a Part 10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    file = FileDataset("", ds, file_meta=meta, preamble=preamble)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def instance(**more: object) -> Dataset:
    """A small CT instance of Doe^Jane."""
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = "1.2.826.0.1.3680043.2.1.1"
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.2.1.2"
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.2.1.3"
    ds.PatientName = "Doe^Jane"
    ds.PatientID = "MRN-4711"
    ds.StudyDate = "20240229"
    ds.Modality = "CT"
    ds.Rows = ds.Columns = 2
    ds.SamplesPerPixel = 1
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = b"\1\2\3\4"
    ds["PixelData"].VR = "OB"
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


@dataclass
class Planted:
    """A data set and what must not be found after de-identification, by where it was put."""

    ds: Dataset
    sentinels: dict[str, bytes] = field(default_factory=dict)


def sentinel(vr: str) -> str:
    """A value of a VR that is nowhere else."""
    number = next(SERIAL)
    if vr in {"DA", "DT"}:
        return f"{1931 + number // 336:04}{number // 28 % 12 + 1:02}{number % 28 + 1:02}" + (
            "235959.987654" if vr == "DT" else ""
        )
    if vr == "TM":
        return f"1147{number % 60:02}.{718000 + number}"
    return {
        "AS": f"{200 + number % 700}Y", "CS": f"QZX{number:06}", "DS": f"27182.{number:06}",
        "IS": f"{314000000 + number}", "UI": f"1.2.826.0.1.3680043.9.271828.{number}",
        "PN": f"Qzx{number:06}^Zqx{number:06}", "UR": f"http://qzx{number:06}.example",
    }.get(vr, f"Qzx{number:06}")  # fmt: skip


def plant(ds: Dataset, tag: int, vr: str, planted: Planted, where: str) -> None:
    """An element with a sentinel in it."""
    if vr == "SQ":
        item = Dataset()
        for inner_tag, inner in (
            (0x00080104, "LO"),
            (0x00080100, "SH"),
            (0x0040A121, "DA"),
            (0x00080060, "CS"),
        ):
            plant(item, inner_tag, inner, planted, f"{where} {inner_tag:08X}")
        ds.add_new(tag, vr, [item])
        return
    if vr in NUMERIC:
        ds.add_new(tag, vr, 1)
        return
    text = sentinel(vr)
    planted.sentinels[where] = text.encode()
    ds.add_new(tag, vr, text.encode() if vr in {"OB", "OW", "UN", "OD", "OF", "OL"} else text)


def vr_of(row: Row) -> str | None:
    """The VR of a row's attribute by pydicom's dictionary; UN where it does not know it, None for masks."""
    if not all(digit in "0123456789ABCDEF" for digit in row.mask):
        return None
    tag = int(row.mask, 16)
    return dictionary_VR(tag).split(" or ")[0] if dictionary_has_tag(tag) else "UN"
