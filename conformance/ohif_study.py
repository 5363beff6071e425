"""A study of four CT slices with a ball in them, and what was found there: a segment, contours, a length.

And a study of a document of one red page, too long to come within the metadata.
"""

import io
from pathlib import Path
from time import gmtime
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid as uids
from pydicom.dataset import Dataset

from conformance.objects import encode, plain, uid

STUDY = uid("ball")
LETTER = uid("letter")
SEGMENT, CONTOUR, LENGTH = "Segmented ball", "Contoured ball", "32.0"
_SIZE, _SPACING, _THICKNESS, _RADIUS, _SLICES = 64, 2.0, 5.0, 16, range(4)
_MIDDLE = _SIZE / 2
_FRAME_OF_REFERENCE = uid("ball/frame of reference")
_Y, _X = np.mgrid[:_SIZE, :_SIZE]
_BALL = (_X - _MIDDLE) ** 2 + (_Y - _MIDDLE) ** 2 <= _RADIUS**2


def write(folder: Path) -> None:
    """Writes the files of both studies into a folder."""
    made = [*map(_slice, _SLICES), _segmentation(), _structure_set(), _report(), _letter()]
    for number, ds in enumerate(made):
        (folder / f"{number}.dcm").write_bytes(encode(ds))


def _item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def _code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def _object(series: str, sop_class: str, modality: str, name: str = "1", **more: Any) -> Dataset:
    made = plain(
        name, study="ball", series=series, modality=modality, pixels=False, SOPClassUID=sop_class,
        SeriesDescription=f"Ball {series}", ContentDate="20240102", ContentTime="101112",
        FrameOfReferenceUID=_FRAME_OF_REFERENCE, PositionReferenceIndicator="", Manufacturer="Example",
        **more,
    )  # fmt: skip
    return made.dataset


def _position(index: int) -> list[float]:
    return [0.0, 0.0, index * _THICKNESS]


def _picture(bits: int) -> dict[str, Any]:
    return {
        "Rows": _SIZE, "Columns": _SIZE, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0,
    }  # fmt: skip


def _slice(index: int) -> Dataset:
    pixels = np.where(_BALL, 1124, 924) + 10 * index
    return _object(
        "slices", uids.CTImageStorage, "CT", str(index), InstanceNumber=index + 1,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], ImagePositionPatient=_position(index),
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[_SPACING, _SPACING],
        SliceThickness=_THICKNESS, RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU",
        WindowCenter=0, WindowWidth=400,
        **_picture(16), PixelData=pixels.astype("<u2").tobytes(),
    )  # fmt: skip


def _reference(index: int) -> Dataset:
    instance = uid(f"ball/slices/{index}")
    return _item(ReferencedSOPClassUID=uids.CTImageStorage, ReferencedSOPInstanceUID=instance)


def _segmentation() -> Dataset:
    """The ball as one binary segment, a frame to each slice (PS3.3 A.51)."""
    tissue = {
        "SegmentedPropertyCategoryCodeSequence": _code("85756007", "SCT", "Tissue"),
        "SegmentedPropertyTypeCodeSequence": _code("85756007", "SCT", "Tissue"),
    }
    segment = _item(
        SegmentNumber=1, SegmentLabel=SEGMENT, SegmentAlgorithmType="MANUAL", **tissue,
        RecommendedDisplayCIELabValue=[34885, 53485, 50171],
    )  # fmt: skip
    return _object(
        "segments", uids.SegmentationStorage, "SEG", ImageType=["DERIVED", "PRIMARY"],
        SegmentationType="BINARY", ContentLabel="BALL", ContentDescription="", ContentCreatorName="",
        SegmentSequence=[segment], NumberOfFrames=len(_SLICES), LossyImageCompression="00",
        ReferencedSeriesSequence=[
            _item(
                SeriesInstanceUID=uid("ball/slices"),
                ReferencedInstanceSequence=[_reference(index) for index in _SLICES],
            )
        ],
        DimensionOrganizationSequence=[_item(DimensionOrganizationUID=uid("ball/dimensions"))],
        SharedFunctionalGroupsSequence=[
            _item(
                PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
                PixelMeasuresSequence=[
                    _item(
                        PixelSpacing=[_SPACING, _SPACING],
                        SliceThickness=_THICKNESS,
                        SpacingBetweenSlices=_THICKNESS,
                    )
                ],
                SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            _item(
                FrameContentSequence=[_item(DimensionIndexValues=[1, index + 1])],
                PlanePositionSequence=[_item(ImagePositionPatient=_position(index))],
                DerivationImageSequence=[_item(SourceImageSequence=[_reference(index)])],
            )
            for index in _SLICES
        ],
        **_picture(1), PixelData=np.packbits(np.tile(_BALL, (4, 1, 1)), bitorder="little").tobytes(),
    )  # fmt: skip


def _structure_set() -> Dataset:
    """The ball's outline on each slice (PS3.3 A.19)."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    across = (_MIDDLE + _RADIUS * np.array([np.cos(angles), np.sin(angles)])) * _SPACING
    contours = [
        _item(
            ContourImageSequence=[_reference(index)], ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=len(angles),
            ContourData=[
                f"{value:.3f}" for x, y in across.T for value in (x, y, float(index * _THICKNESS))
            ],
        )
        for index in _SLICES
    ]  # fmt: skip
    series = _item(
        SeriesInstanceUID=uid("ball/slices"), ContourImageSequence=[_reference(index) for index in _SLICES]
    )
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=STUDY,
        RTReferencedSeriesSequence=[series],
    )  # fmt: skip
    return _object(
        "contours", uids.RTStructureSetStorage, "RTSTRUCT", StructureSetLabel="BALL",
        StructureSetDate="20240102", StructureSetTime="101112",
        ReferencedFrameOfReferenceSequence=[
            _item(FrameOfReferenceUID=_FRAME_OF_REFERENCE, RTReferencedStudySequence=[study])
        ],
        StructureSetROISequence=[
            _item(
                ROINumber=1, ReferencedFrameOfReferenceUID=_FRAME_OF_REFERENCE, ROIName=CONTOUR,
                ROIGenerationAlgorithm="MANUAL",
            )
        ],
        ROIContourSequence=[
            _item(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=contours)
        ],
        RTROIObservationsSequence=[
            _item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="")
        ],
    )  # fmt: skip


def _content(relation: str, kind: str, name: list[Dataset], **more: Any) -> Dataset:
    return _item(RelationshipType=relation, ValueType=kind, ConceptNameCodeSequence=name, **more)


def _report() -> Dataset:
    """A length across the ball on the first slice, as a viewer would have written it (PS3.16 TID 1500)."""
    image = _item(RelationshipType="SELECTED FROM", ValueType="IMAGE", ReferencedSOPSequence=[_reference(0)])
    line = _content(
        "INFERRED FROM", "SCOORD", _code("121112", "DCM", "Source of Measurement"),
        GraphicType="POLYLINE", GraphicData=[24.0, 32.0, 40.0, 32.0], ContentSequence=[image],
    )  # fmt: skip
    millimetres = _item(NumericValue=LENGTH, MeasurementUnitsCodeSequence=_code("mm", "UCUM", "millimeter"))
    group = _content(
        "CONTAINS", "CONTAINER", _code("125007", "DCM", "Measurement Group"), ContinuityOfContent="SEPARATE",
        ContentSequence=[
            _content(
                "HAS OBS CONTEXT", "TEXT", _code("112039", "DCM", "Tracking Identifier"),
                TextValue="Cornerstone3DTools@^0.1.0:Length",
            ),
            _content(
                "HAS OBS CONTEXT", "UIDREF", _code("112040", "DCM", "Tracking Unique Identifier"),
                UID=uid("ball/length"),
            ),
            _content(
                "CONTAINS", "NUM", _code("410668003", "SCT", "Length"), MeasuredValueSequence=[millimetres],
                ContentSequence=[line],
            ),
        ],
    )  # fmt: skip
    measurements = _content(
        "CONTAINS", "CONTAINER", _code("126010", "DCM", "Imaging Measurements"),
        ContinuityOfContent="SEPARATE", ContentSequence=[group],
    )  # fmt: skip
    evidence = _item(
        StudyInstanceUID=STUDY,
        ReferencedSeriesSequence=[
            _item(SeriesInstanceUID=uid("ball/slices"), ReferencedSOPSequence=[_reference(0)])
        ],
    )
    return _object(
        "report", uids.ComprehensiveSRStorage, "SR", ValueType="CONTAINER", ContinuityOfContent="SEPARATE",
        ConceptNameCodeSequence=_code("126000", "DCM", "Imaging Measurement Report"),
        CompletionFlag="COMPLETE", VerificationFlag="UNVERIFIED",
        ReferencedPerformedProcedureStepSequence=[], PerformedProcedureCodeSequence=[],
        CurrentRequestedProcedureEvidenceSequence=[evidence],
        ContentTemplateSequence=[_item(MappingResource="DCMR", TemplateIdentifier="1500")],
        ContentSequence=[measurements],
    )  # fmt: skip


def letter() -> bytes:
    """A PDF of one page, red with some noise, above 60 kB."""
    page = np.zeros((600, 500, 3), "u1")
    page[..., 0] = 220
    page[..., 1:] = np.random.default_rng(1).integers(0, 60, (600, 500, 2))
    written = io.BytesIO()
    Image.fromarray(page).save(written, "PDF", quality=90, creationDate=gmtime(0), modDate=gmtime(0))
    content = written.getvalue()
    return content + b"\n" * (len(content) % 2)  # even, so that nothing is padded (PS3.5 8.2)


def _letter() -> Dataset:
    made = plain("letter", study="letter", series="letter", modality="DOC", pixels=False)
    made.dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.dataset.EncapsulatedDocumentLength = len(letter())
    made.dataset.EncapsulatedDocument = letter()
    return made.dataset
