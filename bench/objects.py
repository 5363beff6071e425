"""What is stored: generated objects of known size, their UIDs and values put in by replacing bytes."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

# Stand-ins as long as what replaces them, so that no length field changes.
STUDY, SERIES, INSTANCE = (f"2.25.{digit * 3}{'0' * 29}" for digit in "123")
PATIENT, ACCESSION, NAME, DATE, MODALITY = (
    "PATIENT-ID-0",
    "ACCESSION-00",
    "SURNAME000^GIVEN",
    "19000101",
    "QQ",
)
COMPRESSED = {"j2k": "1.2.840.10008.1.2.4.90", "jls": "1.2.840.10008.1.2.4.80", "rle": "1.2.840.10008.1.2.5"}
MODALITIES = ("CT", "MR", "US", "CR")
TEXTS = """
    Manufacturer ManufacturerModelName InstitutionName StationName StudyDescription SeriesDescription
    ProtocolName DeviceSerialNumber SoftwareVersions ConvolutionKernel BodyPartExamined ScanOptions FilterType
    ExposureModulationType
"""
NUMBERS = """
    SliceThickness KVP DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector SliceLocation
    DistanceSourceToPatient GantryDetectorTilt TableHeight RescaleIntercept RescaleSlope WindowCenter
    WindowWidth
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """One object ready to send."""

    data: bytes
    study_uid: str
    series_uid: str
    instance_uid: str

    @property
    def path(self) -> str:
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.instance_uid}"


def uid(kind: int, number: int) -> str:
    """The UID of the numbered study (1), series (2) or instance (3)."""
    return f"2.25.{str(kind) * 3}{number:029d}"


def make(template: bytes, *, study: int, series: int, instance: int) -> Made:
    """An object from a template, its patient and day following from the number of its study."""
    chance = random.Random(study)
    patient = f"P{study // 2:011d}"
    name = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=10)) + "^GIVEN"
    date = f"{2010 + study % 10}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}"
    made = Made(data=b"", study_uid=uid(1, study), series_uid=uid(2, series), instance_uid=uid(3, instance))
    pairs = (
        (STUDY, made.study_uid),
        (SERIES, made.series_uid),
        (INSTANCE, made.instance_uid),
        (PATIENT, patient),
        (ACCESSION, f"A{study:011d}"),
        (NAME, name),
        (DATE, date),
        (MODALITY, MODALITIES[study % len(MODALITIES)]),
    )
    # Only the header is searched: replacing within half a megabyte of pixels would measure the client.
    head, pixels = template[:16384], template[16384:]
    for old, new in pairs:
        head = head.replace(old.encode(), new.encode())
    return Made(
        data=head + pixels,
        study_uid=made.study_uid,
        series_uid=made.series_uid,
        instance_uid=made.instance_uid,
    )


@cache
def ct() -> bytes:
    """A CT of 512×512 with about 170 elements, 0.53 MB."""
    return _encode(_image(512, 512))


@cache
def small() -> bytes:
    """An instance of about 11 kB."""
    return _encode(_image(64, 64))


@cache
def tiny() -> bytes:
    """An instance for filling the index, about 5 kB."""
    return _encode(_image(8, 8))


@cache
def frames200() -> bytes:
    """200 frames of 512×512, 105 MB."""
    dataset = _image(512, 512)
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = 200
    cells = pixels(512, 512)
    dataset.PixelData = b"".join(np.roll(cells, n, axis=0).tobytes() for n in range(200))
    return _encode(dataset)


@cache
def compressed(codec: str) -> bytes:
    """The CT losslessly compressed."""
    import imagecodecs

    dataset = _image(512, 512)
    cells = pixels(512, 512)
    if codec == "rle":
        dataset.compress(COMPRESSED["rle"], arr=cells, encoding_plugin="pydicom", generate_instance_uid=False)
        return _encode(dataset)
    encode = {"j2k": imagecodecs.jpeg2k_encode, "jls": imagecodecs.jpegls_encode}[codec]
    options = {"codecformat": "J2K", "reversible": True, "level": 0} if codec == "j2k" else {}
    dataset.PixelData = encapsulate([bytes(encode(cells, **options))])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = COMPRESSED[codec]
    return _encode(dataset)


def decoder(codec: str) -> Callable[[], object]:
    """What decodes the frame of `compressed` by the codec alone."""
    import imagecodecs

    frame = next(pydicom.encaps.generate_frames(pydicom.dcmread(io.BytesIO(compressed(codec))).PixelData))
    decode = {
        "j2k": imagecodecs.jpeg2k_decode,
        "jls": imagecodecs.jpegls_decode,
        "rle": lambda data: imagecodecs.dicomrle_decode(data, np.dtype("<u2")),
    }[codec]
    return lambda: decode(frame)


def pixels(rows: int, columns: int) -> "np.ndarray[tuple[int, int], np.dtype[np.uint16]]":
    """A smooth body with the noise of a detector, 12 bits."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = 1000 * (x**2 + y**2 < 0.7) + 300 * np.sin(9 * x) * np.cos(7 * y)
    noise = np.random.default_rng(rows * columns).normal(0, 12, (rows, columns))
    return np.clip(1000 + body + noise, 0, 4095).astype(np.uint16)


def _image(rows: int, columns: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, INSTANCE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = PATIENT, NAME, ACCESSION
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "101112.345"
    dataset.Modality = MODALITY
    _describe(dataset)
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelData = pixels(rows, columns).tobytes()
    return dataset


def _describe(dataset: Dataset) -> None:
    """What a scanner says besides, up to about 170 elements."""
    for keyword in TEXTS.split():
        setattr(dataset, keyword, f"SYNTHETIC {keyword[:5].upper()}"[:16])
    for keyword in NUMBERS.split():
        setattr(dataset, keyword, "1.5")
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.WindowCenter, dataset.WindowWidth = "500", "2000"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyID = "19500101", "O", "STUDY"
    dataset.ReferringPhysicianName = "REFERRER^A"
    dataset.SeriesNumber = dataset.InstanceNumber = dataset.AcquisitionNumber = 1
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = (
        ["-250", "-250", "0"],
        ["1", "0", "0", "0", "1", "0"],
    )
    dataset.PixelSpacing, dataset.FrameOfReferenceUID = ["0.5", "0.5"], uid(9, 1)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    for group in (0x0019, 0x0043, 0x0045):
        block = dataset.private_block(group, "SYNTHETIC SCANNER", create=True)
        for offset in range(34):
            block.add_new(offset, ("LO", "DS", "IS")[offset % 3], ("words", "1.25", "7")[offset % 3])


def _encode(dataset: Dataset) -> bytes:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
