"""Grey levels through each stage of PS3.4 N.2, right to the level, by the formulas of PS3.3."""

from fractions import Fraction

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, RTDoseStorage

from conformance.objects import Object, encode, plain
from conformance.pixel_files import rendered
from conformance.rendering_cells import Array
from conformance.rendering_reference import NEAREST, TABLE, Window, expected
from conformance.stow import store

ROWS, COLUMNS = 48, 64
SIGNED = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) - 1400
UNSIGNED = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
CT = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "WindowCenter": "40", "WindowWidth": "400"}


def item(**values: object) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def table(entries: Array, first: int, bits: int, signed: bool) -> Dataset:
    """A look-up table from `first` on."""
    made = item(LUTDescriptor=[len(entries), first, bits], LUTData=entries.astype("<u2").tobytes())
    made["LUTDescriptor"].VR, made["LUTData"].VR = "SS" if signed else "US", "OW"
    return made


def ct(name: str, values: Array, **attributes: object) -> Object:
    """An image of `values`, (rows, columns) or (frames, rows, columns), signed where one is below 0."""
    signed, frames = bool(values.min() < 0), len(values) if values.ndim == 3 else None
    made = plain(f"levels {name}", study="LEVELS", series="ct")
    dataset = made.dataset
    dataset.SOPClassUID = CTImageStorage if frames is None else EnhancedCTImageStorage
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    if frames is not None:
        dataset.NumberOfFrames = frames
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for keyword in {"PixelPaddingValue", "PixelPaddingRangeLimit"} & attributes.keys():
        dataset[keyword].VR = "SS" if signed else "US"
    dataset.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return Object(name=name, data=encode(dataset), dataset=dataset)


def shown(http: httpx.Client, made: Object, frame: int = 1, **query: str) -> Array:
    """A frame of an image that is stored first."""
    store(http, [made.data])
    return rendered(http, f"{made.path}/frames/{frame}", **query)


def check(http: httpx.Client, made: Object, frame: int = 1, window: Window | None = None) -> None:
    """Asserts that each level is as near as is promised to what the reference calculates."""
    wanted = expected(made.dataset, frame, window)
    query = {}
    if window is not None:
        function = window.function.lower().replace("_", "-")
        query["window"] = f"{window.center!r},{window.width!r},{function}"
    got = shown(http, made, frame, **query)
    assert wanted.levels is not None
    assert got.shape == wanted.levels.shape
    assert np.abs(got - wanted.levels).max() <= wanted.within


@pytest.mark.dicom("PS3.3 C.11.2.1.2.1")
@pytest.mark.row(80, 83, 87)
@pytest.mark.parametrize("query", [{}, {"window": "40,400,linear"}, {"window": "40,400"}], ids=str)
@pytest.mark.parametrize(
    ("values", "intercept"),
    [(UNSIGNED, -1024), (SIGNED, 0), (SIGNED + 1024, -1024)],
    ids=["u", "s", "s-1024"],
)
def test_a_soft_tissue_window_over_negative_values_is_right_to_the_grey_level(
    http: httpx.Client, values: Array, intercept: int, query: dict[str, str]
):
    made = ct(f"soft {intercept} {values.min()}", values, **CT | {"RescaleIntercept": str(intercept)})
    got = shown(http, made, **query)
    # In whole numbers: y = ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, from -160 (black) to 239 (white).
    of = {int(x): int(level) for x, level in zip((values + intercept).flat, got.flat, strict=True)}
    for x, level in of.items():
        exact = (Fraction(2 * x - 79, 2 * 399) + Fraction(1, 2)) * 255
        assert level == round(min(max(exact, Fraction(0)), Fraction(255))), x
    assert (of[-161], of[-160], of[-159], of[39], of[40], of[238], of[239], of[240]) == (
        0, 0, 1, 127, 128, 254, 255, 255,
    )  # fmt: skip


@pytest.mark.dicom("PS3.3 C.11.2.1.2, C.11.2.1.3")
@pytest.mark.row(83, 87)
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    "window", [(40, 400), (-600.5, 1500.25), (-1000, 1), (0, 2), (40, 0.5), (100, 70000)]
)
def test_each_function_of_a_window_has_its_formula(
    http: httpx.Client, function: str, window: tuple[float, float]
):
    center, width = window
    width = max(width, 1) if function == "LINEAR" else width  # PS3.3 C.11.2.1.2.1
    given = {"WindowCenter": str(center), "WindowWidth": str(width), "VOILUTFunction": function}
    check(http, ct(f"function {function} {window}", SIGNED, **CT | given))
    asked = Window(center=center, width=width, function=function)
    check(http, ct("function asked", SIGNED, **CT), window=asked)


STAGES: dict[str, dict[str, object]] = {
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "MONOCHROME1 and INVERSE": {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "INVERSE",
    },
    "MONOCHROME2 and INVERSE": {"PresentationLUTShape": "INVERSE"},
    "MONOCHROME2 and IDENTITY": {"PresentationLUTShape": "IDENTITY"},
    "several windows": {"WindowCenter": ["40", "-600"], "WindowWidth": ["400", "1500"]},
    "a broken slope": {"RescaleSlope": "0.37", "RescaleIntercept": "-12.5"},
    "a falling slope": {"RescaleSlope": "-1.5", "RescaleIntercept": "100"},
    "padding": {"PixelPaddingValue": 1000},
    "padding beside a limit": {"PixelPaddingValue": 900, "PixelPaddingRangeLimit": 1100},
    "a limit below its padding": {"PixelPaddingValue": 1100, "PixelPaddingRangeLimit": 900},
    "padding of MONOCHROME1": {"PixelPaddingValue": 1000, "PhotometricInterpretation": "MONOCHROME1"},
}


@pytest.mark.dicom("PS3.4 N.2")
@pytest.mark.row(87)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_each_stage_of_the_grey_pipeline_is_applied(http: httpx.Client, stage: str, signed: bool):
    check(http, ct(f"{stage} {signed}", SIGNED if signed else UNSIGNED, **CT | STAGES[stage]))


@pytest.mark.row(87)
def test_negative_padding_is_black(http: httpx.Client):
    values = np.where(UNSIGNED % 7 == 0, -2000, SIGNED)
    window = {"WindowCenter": "-1500", "WindowWidth": "4000", "RescaleIntercept": "0"}
    check(http, ct("negative padding", values, PixelPaddingValue=-2000, **CT | window))


@pytest.mark.dicom("PS3.3 C.11.2.1.1")
@pytest.mark.row(87)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("first", [-500, 0, 300])
def test_a_voi_table_is_looked_up_and_its_ends_hold_beyond_it(http: httpx.Client, bits: int, first: int):
    entries = (np.sqrt(np.arange(1001) / 1000) * (2**bits - 1)).astype(int)
    lut = Sequence([table(entries, first % 2**16 if first >= 0 else first, bits, signed=first < 0)])
    rescale = {"RescaleSlope": "1", "RescaleIntercept": "0" if first < 0 else "-1024"}
    values = SIGNED if first < 0 else UNSIGNED
    made = ct(f"voi {bits} {first}", values, VOILUTSequence=lut, **rescale)
    wanted = (
        entries[np.clip(values + int(rescale["RescaleIntercept"]) - first, 0, 1000)] * 255 / (2**bits - 1)
    )
    assert np.abs(shown(http, made) - wanted).max() <= TABLE


@pytest.mark.dicom("PS3.3 C.11.1")
@pytest.mark.row(87)
def test_a_modality_table_comes_before_the_window(http: httpx.Client):
    entries = (np.arange(2000) ** 2 // 100).astype(int)
    lut = table(entries, -1000, 16, signed=True)
    lut.ModalityLUTType = "US"
    given = {"ModalityLUTSequence": Sequence([lut]), "WindowCenter": "9000", "WindowWidth": "20001"}
    real = entries[np.clip(SIGNED + 1000, 0, 1999)]
    got = shown(http, ct("modality table", SIGNED, **given))
    assert np.abs(got - np.clip((real - 8999.5) / 20000 + 0.5, 0, 1) * 255).max() <= NEAREST


@pytest.mark.dicom("PS3.3 C.7.6.16.2.9, C.7.6.16.2.10")
@pytest.mark.row(87)
@pytest.mark.parametrize("frame", [1, 2, 3])
def test_each_frame_has_the_transformations_of_its_functional_groups(http: httpx.Client, frame: int):
    def rescaled(slope: float, intercept: float) -> Sequence:
        return Sequence([item(RescaleSlope=str(slope), RescaleIntercept=str(intercept), RescaleType="HU")])

    def windowed(center: float, width: float) -> Sequence:
        return Sequence([item(WindowCenter=str(center), WindowWidth=str(width))])

    groups = [
        item(PixelValueTransformationSequence=rescaled(1, -1024), FrameVOILUTSequence=windowed(40, 400)),
        item(PixelValueTransformationSequence=rescaled(2, -3000), FrameVOILUTSequence=windowed(300, 1500)),
        item(PixelValueTransformationSequence=rescaled(0.5, 7)),
    ]
    shared = item(FrameVOILUTSequence=windowed(600, 900))
    made = ct("groups", np.stack([UNSIGNED, UNSIGNED[::-1], UNSIGNED.T.reshape(ROWS, COLUMNS)]))
    made.dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    made.dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    check(http, Object(name=made.name, data=encode(made.dataset), dataset=made.dataset), frame)


@pytest.mark.dicom("PS3.3 C.8.8.3.4")
@pytest.mark.row(83, 87)
def test_the_window_of_a_dose_is_in_its_unit(http: httpx.Client):
    made = ct("dose", UNSIGNED)
    dataset = made.dataset
    dataset.SOPClassUID, dataset.Modality, dataset.DoseUnits = RTDoseStorage, "RTDOSE", "GY"
    dataset.file_meta.MediaStorageSOPClassUID = RTDoseStorage
    dataset.DoseGridScaling, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = "0.0123", 32, 32, 31
    dataset.PixelData = (UNSIGNED * 1_000_003).astype("<u4").tobytes()
    window = Window(center=2e7, width=1.5e7, function="LINEAR_EXACT")
    check(http, Object(name="dose", data=encode(dataset), dataset=dataset), window=window)


@pytest.mark.dicom("PS3.18 8.3.5.1.3")
@pytest.mark.row(82)
@pytest.mark.parametrize(
    ("viewport", "shape"),
    [
        ("32,32", (24, 32)),
        ("1000,24", (24, 32)),
        ("640,640", (480, 640)),
        ("64,48", (48, 64)),
        ("100,100,0,0,20,40", (100, 50)),
    ],
)
def test_a_picture_is_as_large_as_its_viewport_lets_it_be(
    http: httpx.Client, viewport: str, shape: tuple[int, int]
):
    assert shown(http, ct("viewport", SIGNED, **CT), viewport=viewport).shape == shape


@pytest.mark.dicom("PS3.18 8.3.5.1.3")
@pytest.mark.row(82)
def test_a_region_as_large_as_its_viewport_is_cut_out_or_mirrored(http: httpx.Client):
    made = ct("viewport", SIGNED, **CT)
    whole = shown(http, made)
    cut = whole[6:14, 20:40]
    assert np.array_equal(shown(http, made, viewport="20,8,20,6,20,8"), cut)
    assert np.array_equal(shown(http, made, viewport="20,8,20,6,-20,8"), cut[:, ::-1])
    assert np.array_equal(shown(http, made, viewport="20,8,20,6,20,-8"), cut[::-1])


@pytest.mark.dicom("PS3.3 C.7.6.3.1.7")
@pytest.mark.row(82, 87)
def test_pixels_twice_as_high_as_wide_are_not_shown_square(http: httpx.Client):
    made = ct("aspect", SIGNED, PixelAspectRatio=["2", "1"], **CT)
    # 48 rows of height 2 beside 64 columns of width 1.
    assert shown(http, made, viewport="96,96").shape == (96, 64)
    wide = ct("aspect wide", SIGNED, PixelAspectRatio=["1", "2"], **CT)
    assert shown(http, wide, viewport="128,128").shape == (48, 128)
