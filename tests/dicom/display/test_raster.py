"""Pictures as files."""

import io

import numpy as np
import pytest
from PIL import Image

from dicomweb_box.dicom.display import raster


def shown(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


@pytest.mark.parametrize("quality", [1, 60, 89, 90, 100])
@pytest.mark.parametrize("shape", [(1, 1), (37, 300), (64, 48, 3)])
def test_a_jpeg_file_of_levels_shows_what_that_of_a_picture_shows(
    shape: tuple[int, ...], quality: int
) -> None:
    levels = np.random.default_rng(7).integers(0, 256, shape, np.uint8)

    made = raster.encoded(levels, raster.JPEG, quality)

    assert np.array_equal(shown(made), shown(raster.encoded(raster.image(levels), raster.JPEG, quality)))


def test_levels_that_do_not_lie_row_by_row_become_the_same_file() -> None:
    planes = np.random.default_rng(8).integers(0, 256, (3, 20, 30), np.uint8)
    levels = planes.transpose(1, 2, 0)

    made = raster.encoded(levels, raster.JPEG, 90)

    assert made == raster.encoded(levels.copy(order="C"), raster.JPEG, 90)


@pytest.mark.parametrize("media_type", [raster.PNG, raster.GIF])
def test_levels_become_files_without_loss_too(media_type: str) -> None:
    levels = np.random.default_rng(9).integers(0, 256, (20, 30), np.uint8)

    made = raster.encoded(levels, media_type, 90)

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(made)).convert("L")), levels)
