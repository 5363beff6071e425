"""Bulk data, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)

from dicomweb_box.box import Box
from tests.builders import make_dataset, make_instance, new_uid, part10
from tests.dicomweb.pixel_objects import NATIVE, OHIF, cells, multi_frame, rle_frames
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


@pytest.mark.row(65)
@pytest.mark.row(61)
@pytest.mark.dicom("PS3.18 10.4.1.1.5")
async def test_bulk_data_come_by_their_path_inside_sequences_too(box: Box, client: httpx.AsyncClient) -> None:
    table = bytes(range(256)) * 16
    item = pydicom.Dataset()
    item.LUTDescriptor = [2048, 0, 16]
    item.LUTData = table
    item["LUTData"].VR = "OW"
    ds = make_dataset(ModalityLUTSequence=pydicom.Sequence([item]))
    stored = await put(box, part10(ds))

    [metadata] = (await client.get(path_of(stored, "metadata"))).json()
    uri = metadata["00283000"]["Value"][0]["00283006"]["BulkDataURI"]
    single = await client.get(path_of(stored, uri), headers={"accept": "application/octet-stream"})
    several = await client.get(path_of(stored, uri), headers={"accept": 'multipart/related; type="*/*"'})
    by_study = await client.get(
        f"/studies/{stored.study_uid}/instances/{stored.instance_uid}/bulkdata/00283000/1/00283006"
    )
    cut = await client.get(path_of(stored, uri), headers={"range": "bytes=256-511"})

    assert uri == "bulkdata/00283000/1/00283006"
    assert single.content == by_study.content == table
    assert single.headers["content-type"] == NATIVE
    assert parts_of(several)[0][1] == table
    assert (cut.status_code, cut.content) == (206, bytes(range(256)))


@pytest.mark.row(65)
@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
async def test_bulk_data_come_in_little_endian(box: Box, client: httpx.AsyncClient, syntax: str) -> None:
    frames = cells(3, 20, 20)
    stored = await put(box, multi_frame(frames, syntax))

    response = await client.get(path_of(stored, "bulkdata", "7FE00010"))

    assert response.content == frames.tobytes()


async def test_big_endian_cells_of_32_bits_are_turned_alike_everywhere(
    box: Box, client: httpx.AsyncClient
) -> None:
    frames = cells(3, 20, 20).astype("<u4")
    stored = await put(box, multi_frame(frames, ExplicitVRBigEndian))

    bulk = await client.get(path_of(stored, "bulkdata", "7FE00010"))
    listed = await client.get(path_of(stored, "frames", "1-3"), headers={"accept": OHIF})
    whole = await client.get(path_of(stored))

    assert bulk.content == frames.tobytes() == b"".join(body for _, body in parts_of(listed))
    assert whole.content.endswith(frames.tobytes())


@pytest.mark.row(65)
@pytest.mark.row(68)
async def test_a_document_comes_under_its_own_media_type(box: Box, client: httpx.AsyncClient) -> None:
    pdf = b"%PDF-1.4 " + bytes(4000) + b"%%EOF"
    ds = make_dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        PixelData=None,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=pdf,
    )
    stored = await put(box, part10(ds))
    path = path_of(stored, "bulkdata", "00420011")

    browser = await client.get(path, headers={"accept": "text/html, */*;q=0.8"})
    named = await client.get(path, params={"accept": "application/pdf"}, headers={"accept": "image/png"})
    octets = await client.get(path, headers={"accept": "application/octet-stream"})

    assert browser.headers["content-type"] == named.headers["content-type"] == "application/pdf"
    assert octets.headers["content-type"] == NATIVE
    assert browser.content[: len(pdf)] == octets.content[: len(pdf)] == pdf


@pytest.mark.row(77)
@pytest.mark.parametrize(
    ("said", "sop_class", "served"),
    [
        ("text/XML; charset=utf-8", "1.2.840.10008.5.1.4.1.1.104.2", "text/xml"),
        ("", "1.2.840.10008.5.1.4.1.1.104.3", "model/stl"),
        ("model/obj", "1.2.840.10008.5.1.4.1.1.104.4", "model/obj"),
        # A browser would run it: nobody stores a program into the archive's origin.
        ("text/javascript", "1.2.840.10008.5.1.4.1.1.104.9", "application/octet-stream"),
        ("text/css", "1.2.840.10008.5.1.4.1.1.104.1", "application/pdf"),
        ("image/svg+xml", "1.2.840.10008.5.1.4.1.1.104.1", "image/svg+xml"),
    ],
)
async def test_documents_come_as_what_they_are_and_never_as_scripts(
    box: Box, client: httpx.AsyncClient, said: str, sop_class: str, served: str
) -> None:
    ds = make_dataset(
        SOPClassUID=sop_class, MIMETypeOfEncapsulatedDocument=said, EncapsulatedDocument=b"ab" * 600
    )
    stored = await put(box, part10(ds))

    browser = await client.get(path_of(stored, "bulkdata", "00420011"))

    assert browser.headers["content-type"].partition(";")[0] == served
    assert browser.headers["x-content-type-options"] == "nosniff"
    if served in ("text/xml", "image/svg+xml"):
        assert browser.headers["content-security-policy"].endswith("sandbox")


async def test_compressed_pixel_data_come_as_a_part_for_each_frame_or_decoded_in_one(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, frames = rle_frames(3)
    stored = await put(box, data)
    path = path_of(stored, "bulkdata", "7FE00010")

    parts = await client.get(path, headers={"accept": 'multipart/related; type="*/*"; transfer-syntax=*'})
    whole = await client.get(path, headers={"accept": "application/octet-stream"})
    impossible = await client.get(path, headers={"accept": "image/dicom-rle"})

    assert [body for _, body in parts_of(parts)] == frames
    assert whole.content == b"".join(bytes([number]) * 16 for number in (1, 2, 3))
    assert impossible.status_code == 406


async def test_a_video_has_no_frames_but_bulk_data_with_ranges(box: Box, client: httpx.AsyncClient) -> None:
    stream = bytes(range(200)) * 20
    ds = make_dataset(NumberOfFrames=50, PixelData=b"", study=new_uid())
    ds.PixelData = encapsulate([stream], has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    syntax = "1.2.840.10008.1.2.4.102"
    stored = await put(box, part10(ds, transfer_syntax=syntax))

    frame = await client.get(path_of(stored, "frames", "1"))
    video = await client.get(path_of(stored, "bulkdata", "7FE00010"), headers={"range": "bytes=100-199"})

    assert frame.status_code == 406
    assert "bulkdata" in frame.json()["error"]
    assert video.status_code == 206
    assert video.content == stream[100:200]
    assert video.headers["content-type"] == f"video/mp4; transfer-syntax={syntax}"


@pytest.mark.parametrize("path", ["7FE00011", "0040A730/1/00091001", "nonsense", "a b", "7FE00010/1"])
async def test_bulk_data_that_are_not_there_are_not_found(
    box: Box, client: httpx.AsyncClient, path: str
) -> None:
    stored = await put(box, make_instance())

    assert (await client.get(path_of(stored, "bulkdata", *path.split("/")))).status_code == 404


async def test_a_deflated_data_set_that_cannot_be_inflated_is_an_error_answer(
    box: Box, client: httpx.AsyncClient
) -> None:
    data = part10(make_dataset(), transfer_syntax=DeflatedExplicitVRLittleEndian)
    stored = await put(box, data)
    key = await box.database.fetch_value("select blob_key from instance")
    box.blobs.put(key, [data[:-40]])

    response = await client.get(path_of(stored), headers={"accept": "application/dicom"})

    assert response.status_code in (406, 500)
    assert "error" in response.json()


@pytest.mark.row(68)
async def test_a_range_is_of_the_value_even_where_parts_are_asked(
    box: Box, client: httpx.AsyncClient
) -> None:
    cells_of_it = bytes(range(256)) * 8
    stored = await put(box, make_instance(Rows=32, Columns=32, PixelData=cells_of_it))
    path = path_of(stored, "bulkdata", "7FE00010")
    multipart = {"accept": 'multipart/related; type="application/octet-stream"'}

    cut = await client.get(path, headers=multipart | {"range": "bytes=256-259"})
    whole = await client.get(path, headers=multipart)
    beyond = await client.get(path, headers=multipart | {"range": "bytes=999999-"})

    assert cut.status_code == 206
    assert [body for _, body in parts_of(cut)] == [bytes(range(4))]
    assert beyond.status_code == 416
    assert cut.headers["content-range"] == f"bytes 256-259/{len(cells_of_it)}"
    assert [body for _, body in parts_of(whole)] == [cells_of_it]
