"""The objects that the conformance run stores: made with pydicom alone, the same in every run.

Each study has a PatientID that begins with CONF-, so that a run against a server that holds more still knows
its own.
"""

import io
import uuid
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

NAMESPACE = uuid.UUID("6d2f6f0e-9a3c-5a0b-8e0f-6a1f3a5d7c11")


def uid(name: str) -> str:
    """A UID that is the same for the same name (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, name).int}"


@dataclass(frozen=True, kw_only=True)
class Object:
    """One instance as a sender would send it, and what it is."""

    name: str
    data: bytes
    dataset: Dataset

    @property
    def study_uid(self) -> str:
        return str(self.dataset.StudyInstanceUID)

    @property
    def series_uid(self) -> str:
        return str(self.dataset.SeriesInstanceUID)

    @property
    def instance_uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)

    @property
    def path(self) -> str:
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.instance_uid}"


def encode(dataset: Dataset) -> bytes:
    """The dataset as a Part 10 file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def plain(
    name: str, *, study: str, series: str, modality: str = "CT", pixels: bool = True, **values: object
) -> Object:
    """A small single-frame image of `study` and `series`, `values` set upon it by keyword (None removes)."""
    classes = {
        "CT": CTImageStorage,
        "MR": MRImageStorage,
        "US": UltrasoundImageStorage,
        "DOC": EncapsulatedPDFStorage,
    }
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = classes.get(modality, SecondaryCaptureImageStorage)
    dataset.SOPInstanceUID = uid(f"{study}/{series}/{name}")
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(f"{study}/{series}")
    dataset.Modality = modality
    dataset.PatientName = "Roe^Richard"
    dataset.PatientID = f"CONF-{study}"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.StudyDate = "20240102"
    dataset.StudyTime = "101112"
    dataset.AccessionNumber = f"ACC-{study}"
    dataset.StudyID = f"ID-{study}"
    dataset.ReferringPhysicianName = "Smith^Ann"
    dataset.StudyDescription = f"Conformance {study}"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    if pixels:
        _image(dataset, name)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return Object(name=name, data=encode(dataset), dataset=dataset)


def _image(dataset: Dataset, name: str, frames: int = 1) -> None:
    dataset.Rows, dataset.Columns = 32, 48
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    start = sum(name.encode())
    values = (((start + i * 7) & 0xFFF).to_bytes(2, "little") for i in range(32 * 48 * frames))
    dataset.PixelData = b"".join(values)
    if frames > 1:
        dataset.NumberOfFrames = frames


def adopted(
    file: str, name: str, *, study: str = "ENC", series: str = "encodings", **values: object
) -> Object:
    """A file that pydicom ships, under UIDs of ours, its Pixel Data and encoding untouched."""
    dataset = pydicom.dcmread(Path(str(get_testdata_file(file, download=False))))
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(f"{study}/{series}")
    dataset.SOPInstanceUID = uid(f"{study}/{series}/{name}")
    dataset.PatientID, dataset.PatientName = f"CONF-{study}", "Roe^Richard"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    data = encode(dataset)
    return Object(name=name, data=data, dataset=pydicom.dcmread(io.BytesIO(data)))


def _requested(procedure: str, step: str) -> Sequence:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = procedure, step
    return Sequence([item])


def _search_objects() -> list[Object]:
    ct = {"SeriesNumber": 1, "PatientName": "Doe^Jane", "StudyDate": "20240102", "StudyTime": "101112.5"}
    steps = {
        "PerformedProcedureStepStartDate": "20240102",
        "PerformedProcedureStepStartTime": "1012",
        "RequestAttributesSequence": _requested("RP-1", "SPS-1"),
    }
    made = [
        plain(f"ct{n}", study="A", series="ct", InstanceNumber=n, SeriesDescription="axial", **ct, **steps)
        for n in (1, 2, 3)
    ]
    mr = ct | {"SeriesNumber": 2}
    made += [plain(f"mr{n}", study="A", series="mr", modality="MR", InstanceNumber=n, **mr) for n in (1, 2)]
    made.append(
        plain(
            "mr",
            study="B",
            series="mr",
            modality="MR",
            PatientName="Müller^Jürgen",
            StudyDate="20240215",
            StudyTime="0800",
            ReferringPhysicianName="Øster^Åse",
        )
    )
    made.append(
        plain(
            "us",
            study="C",
            series="us",
            modality="US",
            SpecificCharacterSet=["", "ISO 2022 IR 87"],
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
            StudyDate="20240301",
            StudyTime="235959",
            AccessionNumber="",
            StudyID=None,
        )
    )
    made.append(
        plain(
            "ot",
            study="D",
            series="ot",
            modality="OT",
            PatientName="Doe^John",
            StudyDate="20240401",
            StudyTime="",
            PatientSex=None,
            PatientBirthDate="",
        )
    )
    return made


def _private(name: str) -> Object:
    """Private attributes with a creator, a bulk value inside sequences, values JSON has no numbers for."""
    made = plain(name, study="BULK", series="private", StudyDate="20240502")
    dataset = made.dataset
    block = dataset.private_block(0x0011, "CONFORMANCE", create=True)
    block.add_new(0x01, "LO", "private word")
    block.add_new(0x02, "OB", bytes(range(256)) * 16)
    inner = Dataset()
    inner.add_new(0x00420011, "OB", b"\x01\x02\x03\x04" * 1024)
    inner.ReferencedSOPInstanceUID = uid("inner")
    middle = Dataset()
    middle.ReferencedSeriesSequence = Sequence([Dataset(), inner])
    dataset.ReferencedStudySequence = Sequence([middle])
    dataset.add_new(0x00189073, "FD", [float("nan"), float("inf"), 1.5])
    dataset.SliceThickness = "1.25"
    # A decimal comma, as some modalities write it: no number, and pydicom would not let us say it.
    data = encode(dataset).replace(b"DS\x04\x001.25", b"DS\x04\x001,25")
    return Object(name=name, data=data, dataset=dataset)


def _multi_frame(name: str, frames: int) -> Object:
    made = plain(name, study="ENC", series="frames", modality="OT", InstanceNumber=10)
    _image(made.dataset, name, frames)
    return Object(name=name, data=encode(made.dataset), dataset=made.dataset)


def _document(name: str) -> Object:
    made = plain(name, study="BULK", series="document", modality="DOC", pixels=False)
    made.dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.dataset.EncapsulatedDocument = b"%PDF-1.4\n" + b"% synthetic\n" * 300 + b"%%EOF\n"
    return Object(name=name, data=encode(made.dataset), dataset=made.dataset)


ENCODINGS: tuple[tuple[str, str], ...] = (
    ("MR_small.dcm", "explicit"),
    ("MR_small_implicit.dcm", "implicit"),
    ("MR_small_bigendian.dcm", "bigendian"),
    ("image_dfl.dcm", "deflated"),
    ("MR_small_RLE.dcm", "rle"),
    ("MR_small_jp2klossless.dcm", "j2k"),
    ("MR_small_jpeg_ls_lossless.dcm", "jls"),
    ("SC_rgb_jpeg_dcmtk.dcm", "jpeg"),
    ("SC_rgb_rle_2frame.dcm", "rle2"),
    ("liver_1frame.dcm", "onebit"),
    ("examples_ybr_color.dcm", "cine"),
)


def cast() -> dict[str, Object]:
    """Every object of the run by name; searching, encodings, bulk values."""
    made: list[Object] = _search_objects()
    made += [
        adopted(file, name, InstanceNumber=n, SeriesNumber=1)
        for n, (file, name) in enumerate(ENCODINGS, start=1)
    ]
    made += [_multi_frame("native8", 8), _private("private"), _document("pdf")]
    return {f"{str(o.dataset.PatientID).removeprefix('CONF-')}/{o.name}": o for o in made}


def multipart(
    parts: list[bytes], *, boundary: str = "conformance-part", content_type: str = "application/dicom"
) -> bytes:
    """A multipart/related body (RFC 2387) of `parts`."""
    head = f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
