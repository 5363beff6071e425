"""Frames, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.encaps import get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomweb_box.box import Box
from tests.builders import make_dataset, make_instance, part10
from tests.dicomweb.pixel_objects import NATIVE, OHIF, RLE, cells, multi_frame, rle_frames
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


@pytest.mark.row(69)
@pytest.mark.row(70)
@pytest.mark.row(74)
@pytest.mark.dicom("PS3.18 10.4.1.1.6")
@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
async def test_native_frames_come_in_little_endian_alone_and_in_lists(
    box: Box, client: httpx.AsyncClient, syntax: str
) -> None:
    frames = cells(7)
    stored = await put(box, multi_frame(frames, syntax))

    single = await client.get(path_of(stored, "frames", "3"))
    several = await client.get(path_of(stored, "frames", "7,1,2"), headers={"accept": OHIF})
    ranged = await client.get(path_of(stored, "frames", "2-4,6"))

    assert single.content == frames[2].tobytes()
    assert single.headers["content-type"] == NATIVE
    assert [body for _, body in parts_of(several)] == [frames[number].tobytes() for number in (6, 0, 1)]
    assert {fields["Content-Type"] for fields, _ in parts_of(several)} == {NATIVE}
    assert parts_of(several)[0][0]["Content-Location"].endswith("/frames/7")
    assert [body for _, body in parts_of(ranged)] == [frames[number].tobytes() for number in (1, 2, 3, 5)]


@pytest.mark.parametrize("dtype", ["<u1", "<u4"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
async def test_native_frames_of_other_widths_come_in_little_endian(
    box: Box, client: httpx.AsyncClient, dtype: str, syntax: str
) -> None:
    frames = cells(4, 3, 3).astype(dtype)
    stored = await put(box, multi_frame(frames, syntax))

    for number in range(1, 5):
        response = await client.get(path_of(stored, "frames", str(number)))
        assert response.content == frames[number - 1].tobytes()


@pytest.mark.dicom("PS3.5 8.1.1")
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
async def test_frames_of_single_bits_begin_at_a_byte(
    box: Box, client: httpx.AsyncClient, syntax: str
) -> None:
    bits = (np.arange(5 * 3 * 5) % 3 == 0).reshape(5, 3, 5)
    ds = make_dataset(
        Rows=3, Columns=5, NumberOfFrames=5, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=b""
    )
    ds.PixelData = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    stored = await put(box, part10(ds, transfer_syntax=syntax))

    for number in range(1, 6):
        response = await client.get(path_of(stored, "frames", str(number)))
        assert response.content == np.packbits(bits[number - 1].reshape(-1), bitorder="little").tobytes()


@pytest.mark.row(71)
@pytest.mark.row(72)
@pytest.mark.row(73)
@pytest.mark.dicom("PS3.18 8.7.3.5.3")
async def test_stored_frames_come_without_delimiters_under_their_own_name(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, frames = rle_frames(5)
    stored = await put(box, data)
    named = f"image/dicom-rle; transfer-syntax={RLE}"

    for accept in ("image/dicom-rle", f"image/dicom-rle; transfer-syntax={RLE}", "image/x-dicom-rle"):
        single = await client.get(path_of(stored, "frames", "2"), headers={"accept": accept})
        assert (single.content, single.headers["content-type"]) == (frames[1], named)
    several = await client.get(
        path_of(stored, "frames", "1-5"), headers={"accept": 'multipart/related; type="image/dicom-rle"'}
    )
    ohif = await client.get(path_of(stored, "frames", "4"), headers={"accept": OHIF})

    assert [body for _, body in parts_of(several)] == frames
    assert {fields["Content-Type"] for fields, _ in parts_of(several)} == {named}
    assert several.headers["content-type"].startswith('multipart/related; type="image/dicom-rle"; boundary=')
    assert parts_of(ohif)[0][1] == frames[3]
    assert parts_of(ohif)[0][0]["Content-Type"] == f"application/octet-stream; transfer-syntax={RLE}"


@pytest.mark.row(53)
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", NATIVE),
        ("application/octet-stream", NATIVE),
        (f'application/octet-stream; transfer-syntax="{ExplicitVRLittleEndian}"', NATIVE),
        ("*/*; transfer-syntax=*", f"image/dicom-rle; transfer-syntax={RLE}"),
        ("image/*; transfer-syntax=*", f"image/dicom-rle; transfer-syntax={RLE}"),
        ("image/jpx, image/dicom-rle;q=0.1", f"image/dicom-rle; transfer-syntax={RLE}"),
        ('multipart/related; type="*/*"', NATIVE),
        ("multipart/related;type=application/octet-stream", NATIVE),
        ("multipart/related; type=image/dicom-rle, */*;q=0.1", f"image/dicom-rle; transfer-syntax={RLE}"),
    ],
)
async def test_compressed_frames_are_given_as_accepted(
    box: Box, client: httpx.AsyncClient, accept: str, content_type: str
) -> None:
    data, frames = rle_frames(2)
    stored = await put(box, data)

    response = await client.get(path_of(stored, "frames", "2"), headers={"accept": accept})

    body, said = response.content, response.headers["content-type"]
    if said.startswith("multipart"):
        [(fields, body)] = parts_of(response)
        said = fields["Content-Type"]
    assert said == content_type
    assert body == (bytes([2]) * 16 if content_type == NATIVE else frames[1])


@pytest.mark.row(55)
async def test_frames_in_types_that_are_not_there_are_not_acceptable(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, _ = rle_frames(1)
    stored = await put(box, data)

    response = await client.get(path_of(stored, "frames", "1"), headers={"accept": "image/jpx"})

    assert response.status_code == 406
    assert f"image/dicom-rle; transfer-syntax={RLE}" in response.json()["offered"]


@pytest.mark.row(78)
@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "examples_ybr_color.dcm"])
async def test_compressed_colour_is_rgb_when_decoded(box: Box, client: httpx.AsyncClient, name: str) -> None:
    data = (SHIPPED / name).read_bytes()
    ds = pydicom.dcmread(SHIPPED / name)
    stored = await put(box, data)

    response = await client.get(path_of(stored, "frames", "1"))
    whole = await client.get(path_of(stored))

    wanted = pydicom.pixels.pixel_array(ds, index=0)
    assert response.content == wanted.tobytes()
    assert b"\x28\x00\x04\x00CS\x04\x00RGB " in whole.content


@pytest.mark.row(71)
async def test_stored_frames_of_real_objects_equal_pydicoms(box: Box, client: httpx.AsyncClient) -> None:
    names = {
        "JPEG2000.dcm": "image/jp2",
        "MR_small_jpeg_ls_lossless.dcm": "image/jls",
        "JPEG-lossy.dcm": "image/jpeg",
        "SC_rgb_rle_2frame.dcm": "image/dicom-rle",
        "rtdose_rle.dcm": "image/dicom-rle",
    }
    for name, media_type in names.items():
        ds = pydicom.dcmread(SHIPPED / name)
        count = int(ds.get("NumberOfFrames", 1))
        stored = await put(box, (SHIPPED / name).read_bytes(), source=f"stow:{name}")
        for number in range(1, count + 1):
            response = await client.get(
                path_of(stored, "frames", str(number)), headers={"accept": media_type}
            )
            assert response.headers["content-type"] == (
                f"{media_type}; transfer-syntax={ds.file_meta.TransferSyntaxUID}"
            )
            assert response.content == get_frame(ds.PixelData, number - 1, number_of_frames=count)


@pytest.mark.parametrize("frames", ["0", "x", "1,", "3-2", "-1", "1;2", "1-2-3"])
async def test_what_is_no_list_of_frames_is_refused(box: Box, client: httpx.AsyncClient, frames: str) -> None:
    stored = await put(box, multi_frame(cells(3)))

    assert (await client.get(path_of(stored, "frames", frames))).status_code == 400


async def test_frames_beyond_the_last_are_not_found(box: Box, client: httpx.AsyncClient) -> None:
    frames = cells(3)
    stored = await put(box, multi_frame(frames))
    report = await put(box, make_instance(PixelData=None))

    none = await client.get(path_of(stored, "frames", "4"))
    some = await client.get(path_of(stored, "frames", "3,4,900000000"))
    without = await client.get(path_of(report, "frames", "1"))

    assert none.status_code == without.status_code == 404
    assert some.status_code == 206
    assert "2 of the frames" in some.headers["warning"]
    assert some.content == frames[2].tobytes()


@pytest.mark.row(91)
@pytest.mark.row(68)
async def test_frames_have_validators_and_ranges(box: Box, client: httpx.AsyncClient) -> None:
    frames = cells(3)
    stored = await put(box, multi_frame(frames))
    path = path_of(stored, "frames", "2")

    whole = await client.get(path)
    again = await client.get(path, headers={"if-none-match": whole.headers["etag"]})
    cut = await client.get(path, headers={"range": "bytes=3-9"})
    other = await client.get(path_of(stored, "frames", "1"))

    assert again.status_code == 304
    assert (cut.status_code, cut.content) == (206, frames[1].tobytes()[3:10])
    assert other.headers["etag"] != whole.headers["etag"]


async def test_a_frame_that_cannot_be_decoded_is_offered_as_stored(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, frames = rle_frames(1)
    stored = await put(box, data.replace(frames[0], frames[0][:64] + bytes([5, 1])))

    response = await client.get(path_of(stored, "frames", "1"))

    assert response.status_code == 406
    assert response.json()["offered"][0] == f"image/dicom-rle; transfer-syntax={RLE}"
