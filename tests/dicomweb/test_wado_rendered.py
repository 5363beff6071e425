"""Rendered frames, over HTTP."""

import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from PIL import Image

from dicomweb_box.box import Box
from tests.builders import make_dataset, part10
from tests.dicomweb.retrieving import client_of, path_of, put


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def ct(**attributes: object) -> tuple[bytes, np.ndarray]:
    """A CT instance of 64×48 with negative values, and its values in Hounsfield units."""
    stored = np.arange(64 * 48, dtype=np.int16).reshape(64, 48) - 1200
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -24, "PixelRepresentation": 1}
    ds = make_dataset(Rows=64, Columns=48, PixelData=stored.tobytes(), **rescale, **attributes)
    return part10(ds), stored.astype(float) - 24


def levels_of(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.dicom("PS3.18 8.3.5.1.4")
async def test_a_window_is_right_to_the_grey_level_where_values_are_negative(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, units = ct()
    stored = await put(box, data)

    response = await client.get(
        path_of(stored, "rendered"), params={"window": "40,400,linear"}, headers={"accept": "image/png"}
    )

    expected = np.clip(((units - 39.5) / 399 + 0.5) * 255, 0, 255)
    assert response.headers["content-type"] == "image/png"
    assert (levels_of(response) == np.rint(expected)).all()


async def test_a_jpeg_is_what_is_given_where_nothing_is_asked(box: Box, client: httpx.AsyncClient) -> None:
    data, _ = ct(WindowCenter=40, WindowWidth=400)
    stored = await put(box, data)

    first = await client.get(path_of(stored, "rendered"))
    again = await client.get(path_of(stored, "rendered"), headers={"if-none-match": first.headers["etag"]})

    assert first.headers["content-type"] == "image/jpeg"
    assert levels_of(first).shape == (64, 48)
    assert again.status_code == 304
    assert (await client.get(path_of(stored, "rendered"))).content == first.content
