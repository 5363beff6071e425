"""The cells of native frames: signs, stray bits, single bits, floats and colour."""

from typing import Any

import numpy as np
import pytest
from pydicom.pixels.processing import convert_color_space

from dicomweb_box.dicom.image import Image
from dicomweb_box.dicom.pixels import samples
from dicomweb_box.errors import Damaged

EXPLICIT = "1.2.840.10008.1.2.1"


def image(**given: Any) -> Image:
    says: dict[str, Any] = {
        "transfer_syntax_uid": EXPLICIT,
        "rows": 2,
        "columns": 4,
        "samples": 1,
        "bits_allocated": 16,
        "bits_stored": 16,
        "signed": False,
        "photometric": "MONOCHROME2",
        "planar": 0,
    }
    return Image(**(says | given))


@pytest.mark.dicom("PS3.5 8.1.1")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_it_gives_whole_cells_as_they_are(bits: int, signed: bool) -> None:
    cells = np.arange(-4, 4).astype(f"<{'i' if signed else 'u'}{bits // 8}").reshape(2, 4)

    found = samples(image(bits_allocated=bits, bits_stored=bits, signed=signed), cells.tobytes())

    assert found.dtype == cells.dtype
    assert np.array_equal(found, cells)


@pytest.mark.dicom("PS3.5 8.1.1")
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, None), (12, 15), (10, 12)])
@pytest.mark.parametrize("signed", [False, True])
def test_it_drops_bits_that_are_not_stored_and_extends_the_sign(
    stored: int, high: int | None, signed: bool
) -> None:
    lowest = -(1 << stored - 1) if signed else 0
    values = np.array(
        [lowest, lowest + 1, 1, 2, 3, 200, lowest + (1 << stored) - 2, lowest + (1 << stored) - 1]
    )
    shift = (stored - 1 if high is None else high) + 1 - stored
    raw = (values & (1 << stored) - 1) << shift
    stray = 0xFFFF & ~(((1 << stored) - 1) << shift)

    found = samples(
        image(bits_stored=stored, high_bit=high, signed=signed), (raw | stray).astype("<u2").tobytes()
    )

    assert found.reshape(-1).tolist() == values.tolist()


@pytest.mark.parametrize(("bits", "kind"), [(32, "<f4"), (64, "<f8")])
def test_it_gives_float_pixel_data_as_floats(bits: int, kind: str) -> None:
    cells = np.linspace(-1.5, 1e6, 8).astype(kind).reshape(2, 4)

    found = samples(image(bits_allocated=bits, bits_stored=bits, floats=True), cells.tobytes())

    assert np.array_equal(found, cells)


def test_it_gives_single_bits_from_the_lowest() -> None:
    found = samples(image(bits_allocated=1, bits_stored=1), bytes([0b10000011]))

    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1]]


@pytest.mark.dicom("PS3.3 C.7.6.3.1.3")
@pytest.mark.parametrize("planar", [0, 1])
def test_it_gives_colour_by_pixel(planar: int) -> None:
    cells = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    native = cells.transpose(2, 0, 1).tobytes() if planar else cells.tobytes()

    found = samples(
        image(samples=3, bits_allocated=8, bits_stored=8, photometric="RGB", planar=planar), native
    )

    assert np.array_equal(found, cells)


@pytest.mark.dicom("PS3.3 C.7.6.3.1.2")
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_it_gives_ybr_as_rgb(photometric: str) -> None:
    ybr = np.random.default_rng(7).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    native = ybr.tobytes()
    if photometric == "YBR_FULL_422":
        ybr[:, 1::2, 1:] = ybr[:, ::2, 1:]
        pairs = ybr.reshape(-1, 6)
        native = pairs[:, [0, 3, 1, 2]].tobytes()

    found = samples(
        image(rows=8, columns=8, samples=3, bits_allocated=8, bits_stored=8, photometric=photometric), native
    )

    expected = convert_color_space(ybr, "YBR_FULL", "RGB").astype(int)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_it_gives_partial_range_black_and_white() -> None:
    pairs = bytes([16, 235, 128, 128] * 4)

    found = samples(image(samples=3, bits_allocated=8, bits_stored=8, photometric="YBR_PARTIAL_422"), pairs)

    assert found[0].tolist() == [[0, 0, 0], [255, 255, 255]] * 2


def test_it_refuses_fewer_bytes_than_described() -> None:
    with pytest.raises(Damaged):
        samples(image(), b"\0" * 15)
