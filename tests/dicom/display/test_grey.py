"""The grey pipeline, against the standard's own formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dicomweb_box.dicom.display.grey import Cells, Grey, Rescale, calculated, fitting, levels
from dicomweb_box.dicom.display.lut import Lut, lut_from
from dicomweb_box.dicom.display.voi import Window

TWELVE = Cells(allocated=16, stored=12, high=11, signed=True)
SIXTEEN = Cells(allocated=16, stored=16, high=15, signed=False)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, its pseudo-code, from 0 to 255."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0
    if x > c - 0.5 + (w - 1) / 2:
        return 255
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0
    if x > c + w / 2:
        return 255
    return ((x - c) / w + 0.5) * 255


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return 255 / (1 + math.exp(max(-700, min(700, -4 * (x - c) / w))))


@pytest.mark.dicom("PS3.3 C.11.2.1.2")
@pytest.mark.dicom("PS3.3 C.11.2.1.3")
@pytest.mark.parametrize("formula", [linear, linear_exact, sigmoid])
@pytest.mark.parametrize(
    ("center", "width"), [(40, 400), (-600, 1500), (2048, 4096), (0.5, 1), (10, 2), (7, 1)]
)
def test_a_window_is_what_its_formula_says_of_each_value(formula, center: float, width: float):
    window = Window(center=center, width=width, function=formula.__name__.upper())
    patterns = np.arange(4096, dtype=np.uint16)
    values = np.where(patterns < 2048, patterns, patterns.astype(int) - 4096)

    got = levels(Grey(voi=window), TWELVE, patterns)

    exact = np.array([formula(int(value), center, width) for value in values])
    assert np.abs(got - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("cells", "pattern", "value"),
    [
        (Cells(allocated=16, stored=12, high=11, signed=False), 0xF123, 0x123),
        (Cells(allocated=16, stored=12, high=11, signed=True), 0x0FFF, -1),
        (Cells(allocated=16, stored=12, high=15, signed=False), 0x123F, 0x123),
        (Cells(allocated=16, stored=12, high=15, signed=True), 0x800F, -2048),
        (Cells(allocated=16, stored=16, high=15, signed=True), 0x8000, -32768),
        (Cells(allocated=8, stored=8, high=7, signed=True), 0xFF, -1),
        (Cells(allocated=8, stored=1, high=0, signed=False), 3, 1),
    ],
)
def test_a_bit_pattern_is_the_value_that_its_bits_mean(cells: Cells, pattern: int, value: int):
    assert cells.values()[pattern] == value


def test_padding_is_black_and_counts_for_no_window():
    grey = Grey(padding=(63536, 65535), inverse=True)
    patterns = np.array([63536, 65535, 100, 200, 300], "<u2")

    assert levels(grey, SIXTEEN, patterns).tolist() == [0, 0, 255, 128, 0]


def test_a_frame_of_one_value_is_black_and_one_of_padding_alone_too():
    assert levels(Grey(), SIXTEEN, np.full(4, 700, "<u2")).tolist() == [0] * 4
    assert levels(Grey(padding=(7, 7)), SIXTEEN, np.full(4, 7, "<u2")).tolist() == [0] * 4
    assert calculated(Grey(), np.full(4, np.nan)).tolist() == [0] * 4


def test_a_window_from_the_data_leaves_out_half_a_percent_at_either_end():
    patterns = np.concatenate([[0], np.full(198, 1000), np.linspace(1000, 2000, 800), [65535]]).astype("<u2")

    window = fitting(Grey(modality=Rescale(slope=2, intercept=-5)), SIXTEEN, patterns)

    ordered = np.sort(patterns) * 2.0 - 5
    low, high = ordered[4], ordered[994]
    assert (window.center, window.width) == ((low + high) / 2, high - low)


def test_eight_bits_are_shown_as_they_are():
    cells = Cells(allocated=8, stored=8, high=7, signed=False)
    patterns = np.array([0, 17, 100, 255], np.uint8)

    assert levels(Grey(), cells, patterns).tolist() == [0, 17, 100, 255]


@pytest.mark.dicom("PS3.3 C.11.1.1")
def test_tables_stand_in_for_each_of_the_transformations():
    modality = Lut(first=10, bits=8, data=np.array([5, 50, 200], "<u2").tobytes())
    voi = Lut(first=0, bits=10, data=np.arange(1024, dtype="<u2")[::-1].tobytes())
    presentation = Lut(first=0, bits=16, data=np.array([0, 65535, 0], "<u2").tobytes())
    patterns = np.array([0, 10, 11, 12, 999], "<u2")

    through = levels(Grey(modality=modality, voi=voi), SIXTEEN, patterns)
    presented = levels(
        Grey(voi=Window(center=500, width=1000, function="LINEAR_EXACT"), presentation=presentation),
        SIXTEEN,
        np.array([0, 500, 1000], "<u2"),
    )

    # Below the first entry the first, above the last the last.
    wanted = [round((1023 - value) / 1023 * 255) for value in (5, 5, 50, 200, 200)]
    assert through.tolist() == wanted
    assert presented.tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    ("descriptor", "data", "wanted"),
    [
        ([3, 5, 16], np.array([1, 2, 65535], "<u2").tobytes(), (5, 16, [1, 2, 65535])),
        ([3, 0, 8], bytes([1, 2, 3, 0]), (0, 8, [1, 2, 3])),
        ([2, -3, 12], np.array([1, 4096], "<u2").tobytes(), (-3, 13, [1, 4096])),
    ],
)
def test_a_table_is_read_by_its_descriptor(descriptor, data, wanted):
    lut = lut_from(descriptor, data)

    assert lut is not None
    assert (lut.first, lut.bits, lut.array().tolist()) == wanted


def test_a_descriptor_of_zero_entries_means_65536():
    lut = lut_from([0, 0, 16], np.arange(65536, dtype="<u2").tobytes())

    assert lut is not None
    assert lut.entries == 65536


def test_no_table_is_made_of_a_descriptor_without_data():
    assert lut_from([3, 0, 16], b"") is None
    assert lut_from([3, 0], b"\0\0\0\0\0\0") is None


def test_wide_and_floating_values_are_calculated():
    window = Window(center=0.5, width=1, function="LINEAR_EXACT")
    values = np.array([[-1.0, 0.25], [0.5, np.inf]])

    assert calculated(Grey(voi=window), values).tolist() == [[0, 64], [128, 0]]
    wide = np.array([0, 1 << 20, 1 << 21], "<u4")
    assert calculated(replace(Grey(), inverse=True), wide).tolist() == [255, 128, 0]


def test_each_pixel_of_a_large_frame_gets_the_level_of_its_value():
    grey = Grey(voi=Window(center=32768, width=65536, function="LINEAR_EXACT"))
    patterns = np.random.default_rng(3).integers(0, 1 << 16, (301, 457), np.uint16)

    got = levels(grey, SIXTEEN, patterns)

    one_by_one = levels(grey, SIXTEEN, np.arange(1 << 16, dtype=np.uint16))
    assert np.array_equal(got, one_by_one[patterns])
