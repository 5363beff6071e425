"""Makes synthetic DICOM objects. Names and values are invented; UIDs are counted, so runs repeat."""

import io
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1511.9"
_numbers = count(1)


def new_uid() -> str:
    """A UID that no other object of this run has."""
    return f"{ROOT}.{next(_numbers)}"


def make_dataset(
    *, study: str | None = None, series: str | None = None, instance: str | None = None, **attributes: Any
) -> Dataset:
    """A small CT instance; keyword arguments are attributes by keyword (None: left out)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = instance or new_uid()
    ds.StudyInstanceUID = study or new_uid()
    ds.SeriesInstanceUID = series or new_uid()
    ds.StudyDate = "20260105"
    ds.StudyTime = "101500"
    ds.AccessionNumber = "A1"
    ds.Modality = "CT"
    ds.ReferringPhysicianName = "Referrer^Rita"
    ds.StudyDescription = "Chest"
    ds.SeriesDescription = "Axial"
    ds.PatientName = "Doe^Jane"
    ds.PatientID = "P1"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "F"
    ds.StudyID = "S1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = bytes(range(32))
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def part10(
    ds: Dataset, *, transfer_syntax: str = ExplicitVRLittleEndian, source_ae: str = "BUILDER"
) -> bytes:
    """The object as a file of PS3.10."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    meta.TransferSyntaxUID = pydicom.uid.UID(transfer_syntax)
    meta.ImplementationClassUID = f"{ROOT}.0"
    meta.SourceApplicationEntityTitle = source_ae
    ds.file_meta = meta
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def make_instance(**attributes: Any) -> bytes:
    """A file of PS3.10 with a small CT instance; see `make_dataset`."""
    return part10(make_dataset(**attributes))


async def pieces(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """The bytes in pieces, as a server hands them on."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
