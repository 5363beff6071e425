"""Objects that are shown: pictures, films, tiles, reports, documents and a video; made with pydicom alone."""

import struct

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG4HP41,
    ComprehensiveSRStorage,
    EncapsulatedCDAStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    RLELossless,
    VideoEndoscopicImageStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from conformance.objects import Object, adopted, encode, plain

STUDY = "SHOWN"
TILES = 140
TILE = 16


def shown() -> dict[str, Object]:
    """Every such object by name."""
    made = [
        plain("image", study=STUDY, series="image", RescaleSlope=1, RescaleIntercept=-1024),
        adopted("SC_rgb_jpeg_dcmtk.dcm", "jpeg", study=STUDY, series="jpeg"),
        _cine("cine", compressed=False),
        _cine("rle", compressed=True),
        _tiles("tiles"),
        _document("pdf", "application/pdf", b"%PDF-1.4\n" + b"% synthetic\n" * 300 + b"%%EOF\n"),
        _document("cda", "text/xml", b'<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"/>\n'),
        _report("report"),
        _video("video"),
    ]
    return {one.name: one for one in made}


def _cine(name: str, *, compressed: bool) -> Object:
    """Six frames of 24×16 at 25 frames a second."""
    made = plain(name, study=STUDY, series=name, modality="US", pixels=False)
    dataset = made.dataset
    dataset.SOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 24, 16, 6
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.FrameTime = "40"
    dataset.PixelData = b"".join(bytes([40 * number] * 200 + list(range(184))) for number in range(6))
    if compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    return Object(name=name, data=encode(dataset), dataset=dataset)


def _tiles(name: str) -> Object:
    """A whole slide image of 14 by 10 tiles, each of its own colours."""
    made = plain(name, study=STUDY, series=name, modality="SM", pixels=False)
    dataset = made.dataset
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    dataset.Rows = dataset.Columns = TILE
    dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows = 14 * TILE, 10 * TILE
    dataset.NumberOfFrames, dataset.DimensionOrganizationType = TILES, "TILED_FULL"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    path = Dataset()
    path.OpticalPathIdentifier, path.ICCProfile = "1", b"\0" * 2048
    dataset.OpticalPathSequence = Sequence([path])
    dataset.PixelData = b"".join(
        struct.pack("3B", number, 255 - number, number // 2) * TILE * TILE for number in range(TILES)
    )
    return Object(name=name, data=encode(dataset), dataset=dataset)


def _document(name: str, media_type: str, content: bytes) -> Object:
    made = plain(name, study=STUDY, series=name, modality="DOC", pixels=False)
    dataset = made.dataset
    if media_type == "text/xml":
        dataset.SOPClassUID = EncapsulatedCDAStorage
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.MIMETypeOfEncapsulatedDocument = media_type
    dataset.EncapsulatedDocumentLength = len(content)
    dataset.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return Object(name=name, data=encode(dataset), dataset=dataset)


def _coded(meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C1", "99TEST", meaning
    return Sequence([item])


def _report(name: str) -> Object:
    made = plain(name, study=STUDY, series=name, modality="SR", pixels=False)
    dataset = made.dataset
    dataset.SOPClassUID = ComprehensiveSRStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ConceptNameCodeSequence = _coded("Röntgen <report>")
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", "no <b>finding</b> ≥ 3 mm"
    item.ConceptNameCodeSequence = _coded("Finding")
    dataset.ContentSequence = Sequence([item])
    return Object(name=name, data=encode(dataset), dataset=dataset)


def _video(name: str) -> Object:
    """A stored video by its frame alone: the head of an MP4 file, and no picture in it."""
    made = plain(name, study=STUDY, series=name, modality="ES", pixels=False)
    dataset = made.dataset
    dataset.SOPClassUID = VideoEndoscopicImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 480, 640, 50
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = (
        3,
        "YBR_PARTIAL_420",
        0,
    )
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    stream = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x10\x08free" + bytes(4096)
    dataset.PixelData = encapsulate([stream], has_bot=False)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return Object(name=name, data=encode(dataset), dataset=dataset)
