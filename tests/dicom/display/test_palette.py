"""Palettes, against pydicom and by hand."""

import time

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import _expand_segmented_lut

from dicomweb_box.dicom.display.grey import Cells
from dicomweb_box.dicom.display.palette import Palette, expanded, palette_of

SEGMENTS = [0, 3, 10, 20, 30, 1, 4, 70, 0, 1, 500, 1, 8, 0]


@pytest.mark.dicom("PS3.3 C.7.9.2")
@pytest.mark.parametrize(
    "words",
    [SEGMENTS, [*SEGMENTS, 2, 2, 0, 0], [0, 2, 7, 9, 1, 3, 1009], [0, 1, 65535, 1, 5, 0]],
    ids=["discrete and linear", "indirect", "rising", "falling"],
)
def test_segments_are_expanded_as_another_reader_does(words: list[int]):
    data = np.array(words, "<u2").tobytes()

    got = np.frombuffer(expanded(data, eight_bits=False), "<u2")

    assert got.tolist() == _expand_segmented_lut(tuple(words), "H")


@pytest.mark.parametrize("words", [[1, 5, 9], [0, 9, 1], [7, 1, 1], [2, 9, 0, 0], [0]])
def test_segments_that_cannot_be_followed_give_what_there_is(words: list[int]):
    got = np.frombuffer(expanded(np.array(words, "<u2").tobytes(), eight_bits=False), "<u2")

    assert got.tolist() == words[2:][:1] * (words[0] == 0)


def test_segments_that_lead_to_empty_ones_again_and_again_come_to_an_end():
    again = [2, 65535, 800, 0] * 200
    words = [*again, *[0, 0] * 65535]
    began = time.monotonic()

    assert expanded(np.array(words, "<u2").tobytes(), eight_bits=False) == b""
    assert time.monotonic() - began < 30  # and not after billions of steps


def dataset(bits: int, data: bytes, vr: str = "OW") -> dict:
    ds = Dataset()
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [len(data) // 2, 2, bits])
        setattr(ds, f"{name}PaletteColorLookupTableData", data)
    return ds.to_json_dict()


@pytest.mark.parametrize(
    ("bits", "entries", "wanted"),
    [
        (16, [0, 0x8000, 0xFFFF], [0, 128, 255]),
        (8, [0, 128, 255], [0, 128, 255]),
        (16, [0, 128, 255], [0, 128, 255]),
    ],
    ids=["sixteen", "eight", "eight that say sixteen"],
)
def test_entries_are_shown_in_eight_bits(bits: int, entries: list[int], wanted: list[int]):
    palette = palette_of(dataset(bits, np.array(entries, "<u2").tobytes()), lambda path: b"")

    assert palette is not None
    assert palette.first == 2
    assert palette.colours()[:, 0].tolist() == wanted


def test_values_beyond_the_palette_get_its_ends():
    palette = Palette(first=2, rgb=bytes([1, 2, 3, 4, 5, 6]))
    cells = Cells(allocated=8, stored=8, high=7, signed=False)

    got = palette.coloured(cells, np.array([[0, 2, 3, 200]], np.uint8))

    assert got.tolist() == [[[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]]


def test_a_palette_without_one_of_its_colours_is_none():
    incomplete = dataset(16, b"\0\0\1\0")
    del incomplete["00281203"]

    assert palette_of(incomplete, lambda path: b"") is None
