"""What a first ask of a frame takes from the index instead of the metadata."""

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from dicomweb_box.box import Box
from tests.builders import part10
from tests.dicomweb.pixel_objects import rle_frames
from tests.dicomweb.rendering import PNG, RAMP, image
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

NATIVE = bytes([1]) * 16
"""What the frame of `rle_frames(1)` decodes to."""
OCTETS = {"accept": 'multipart/related; type="application/octet-stream"'}


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


async def without(box: Box, *columns: str) -> None:
    """Empty these columns of every instance."""
    for column in columns:
        value = {"nothing": b"" if column == "metadata" else None}
        statement = f"update instance set {column} = :nothing"
        await box.database.write(lambda w, statement=statement, value=value: w.execute(statement, value))


def slice_of(cells: np.ndarray, number: int, **attributes: object) -> bytes:
    window = {"WindowCenter": 2048, "WindowWidth": 4096} | attributes
    return part10(image(cells, SOPInstanceUID=f"1.2.3.{number}", InstanceNumber=number, **window))


async def test_a_slice_that_is_shown_as_one_before_is_shown_without_its_metadata(
    box: Box, client: httpx.AsyncClient
) -> None:
    first = await put(box, slice_of(RAMP, 1))
    second = await put(box, slice_of(RAMP[::-1], 2, SmallestImagePixelValue=7))
    shown = await client.get(path_of(first, "rendered"), headers=PNG)
    await without(box, "metadata")

    next_one = await client.get(path_of(second, "rendered"), headers=PNG)

    assert (shown.status_code, next_one.status_code) == (200, 200)
    assert next_one.content != shown.content
    mirrored = await client.get(path_of(second, "rendered"), headers=PNG, params={"viewport": "64,64,,,,-64"})
    assert mirrored.content == shown.content


async def test_a_slice_with_another_window_is_shown_by_its_own(box: Box, client: httpx.AsyncClient) -> None:
    first = await put(box, slice_of(RAMP, 1))
    other = await put(box, slice_of(RAMP, 2, WindowCenter=100, WindowWidth=50))

    shown = [await client.get(path_of(one, "rendered"), headers=PNG) for one in (first, other)]

    asked = {"window": "100,50,linear"}
    assert shown[0].content != shown[1].content
    assert (await client.get(path_of(first, "rendered"), headers=PNG, params=asked)).content == shown[
        1
    ].content


async def test_a_frame_is_decoded_without_the_metadata(box: Box, client: httpx.AsyncClient) -> None:
    data, _ = rle_frames(1)
    stored = await put(box, data)
    await without(box, "metadata")

    answer = await client.get(path_of(stored, "frames", "1"), headers=OCTETS)

    assert answer.status_code == 200
    assert [body for _, body in parts_of(answer)] == [NATIVE]


async def test_what_an_earlier_version_stored_is_shown_by_its_metadata(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, _ = rle_frames(1)
    compressed, plain = await put(box, data), await put(box, slice_of(RAMP, 1))
    shown = await client.get(path_of(plain, "rendered"), headers=PNG)
    again = await put(box, slice_of(RAMP, 2))
    await without(box, "pixels", "display_key")

    answer = await client.get(path_of(compressed, "frames", "1"), headers=OCTETS)

    assert [body for _, body in parts_of(answer)] == [NATIVE]
    assert (await client.get(path_of(again, "rendered"), headers=PNG)).content == shown.content


async def test_a_shape_that_no_index_can_hold_is_no_reason_to_refuse(
    box: Box, client: httpx.AsyncClient
) -> None:
    ds = image(RAMP)
    del ds.Rows
    ds.add_new(0x00280010, "DS", "1e300")

    stored = await put(box, part10(ds))

    assert (await client.get(path_of(stored, "metadata"))).status_code == 200
