"""All bulk data and all pixel data of a study, series or instance, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pydicom
import pytest
from pydicom.encaps import encapsulate

from dicomweb_box.accounts.access import ANONYMOUS, Scope
from dicomweb_box.archive.bulk_paths import bulk_paths
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.builders import make_dataset, make_instance, new_uid, part10
from tests.dicomweb.pixel_objects import NATIVE, rle_frames
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

EVERYTHING = {"accept": 'multipart/related; type="*/*"; transfer-syntax=*'}
VIDEO = "1.2.840.10008.1.2.4.102"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def locations(response: httpx.Response) -> list[str]:
    return [head["Content-Location"] for head, _ in parts_of(response)]


def below(stored: Stored, *more: str) -> str:
    return "/dicom-web" + path_of(stored, *more)


async def put_table(box: Box, study: str, number: int) -> Stored:
    """An image with bulk data within a sequence, and a text that looks like a URI of bulk data."""
    item = pydicom.Dataset()
    item.LUTDescriptor = [2048, 0, 16]
    item.LUTData = bytes(range(256)) * 16
    item["LUTData"].VR = "OW"
    comment = '"BulkDataURI":"instances/1.2/bulkdata/7FE00010"'
    ds = make_dataset(study=study, InstanceNumber=number, ModalityLUTSequence=pydicom.Sequence([item]))
    ds.ImageComments = comment
    return await put(box, part10(ds))


async def put_video(box: Box, stream: bytes, **attributes: object) -> Stored:
    ds = make_dataset(NumberOfFrames=50, PixelData=b"", **attributes)
    ds.PixelData = encapsulate([stream], has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return await put(box, part10(ds, transfer_syntax=VIDEO))


async def put_pdf(box: Box, pdf: bytes, **attributes: object) -> Stored:
    ds = make_dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        PixelData=None,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=pdf,
        **attributes,
    )
    return await put(box, part10(ds))


@pytest.mark.row(66)
@pytest.mark.dicom("PS3.18 10.4.1.1.5")
async def test_all_bulk_data_of_each_level_come_with_their_locations(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    one = await put_table(box, study, 1)
    two = await put_pdf(box, b"%PDF-1.4 " + bytes(4000), study=study, SeriesNumber=2)
    series = f"/studies/{study}/series/{one.series_uid}"

    of_study = await client.get(f"/studies/{study}/bulkdata")
    of_series = await client.get(f"{series}/bulkdata")
    of_instance = await client.get(path_of(one, "bulkdata"))

    table = [below(one, "bulkdata", path) for path in ("00283000/1/00283006", "7FE00010")]
    assert locations(of_study) == [*table, below(two, "bulkdata", "00420011")]
    assert locations(of_series) == locations(of_instance) == table
    for head, body in parts_of(of_study):
        path = head["Content-Location"].removeprefix("/dicom-web")
        single = await client.get(path, headers={"accept": head["Content-Type"]})
        assert (single.headers["content-type"], single.content) == (head["Content-Type"], body)
    assert parts_of(of_study)[2][0]["Content-Type"] == "application/pdf"
    assert of_series.headers["content-type"].startswith('multipart/related; type="application/octet-stream"')


@pytest.mark.row(67)
@pytest.mark.dicom("PS3.18 10.4.1.1.6")
async def test_pixel_data_of_a_study_leave_other_bulk_data_out(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    one = await put_table(box, study, 1)
    await put_pdf(box, b"%PDF-1.4 " + bytes(4000), study=study)

    of_study = await client.get(f"/studies/{study}/pixeldata")
    of_series = await client.get(f"/studies/{study}/series/{one.series_uid}/pixeldata")
    several = await client.get(
        path_of(one, "pixeldata"), headers={"accept": 'multipart/related; type="application/octet-stream"'}
    )
    single = await client.get(path_of(one, "pixeldata"), headers={"range": "bytes=4-7"})

    assert parts_of(of_study) == parts_of(of_series) == parts_of(several)
    [(head, body)] = parts_of(of_study)
    assert (head["Content-Location"], head["Content-Type"]) == (below(one, "bulkdata", "7FE00010"), NATIVE)
    assert body == bytes(range(32))
    assert (single.status_code, single.content) == (206, bytes(range(4, 8)))
    assert single.headers["content-location"] == below(one, "bulkdata", "7FE00010")


@pytest.mark.row(66)
@pytest.mark.row(67)
@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
async def test_compressed_pixel_data_come_frame_by_frame(
    box: Box, client: httpx.AsyncClient, resource: str
) -> None:
    data, frames = rle_frames(3)
    stored = await put(box, data)
    path = f"/studies/{stored.study_uid}/{resource}"

    as_stored = await client.get(path, headers=EVERYTHING)
    native = await client.get(path)
    rle = await client.get(path, headers={"accept": 'multipart/related; type="image/dicom-rle"'})

    assert [body for _, body in parts_of(as_stored)] == [body for _, body in parts_of(rle)] == frames
    assert locations(as_stored) == [below(stored, "frames", str(number)) for number in (1, 2, 3)]
    assert [body for _, body in parts_of(native)] == [bytes([number]) * 16 for number in (1, 2, 3)]
    assert {head["Content-Type"] for head, _ in parts_of(native)} == {NATIVE}


@pytest.mark.row(67)
@pytest.mark.row(68)
async def test_a_video_can_be_played_from_its_pixel_data(box: Box, client: httpx.AsyncClient) -> None:
    stream = bytes(range(200)) * 20
    stored = await put_video(box, stream)

    played = await client.get(
        path_of(stored, "pixeldata"),
        params={"accept": "video/mp4"},
        headers={"accept": "*/*", "range": "bytes=0-"},
    )
    octets = await client.get(
        path_of(stored, "pixeldata"), headers={"accept": "application/octet-stream; transfer-syntax=*"}
    )
    collected = await client.get(f"/studies/{stored.study_uid}/pixeldata", headers=EVERYTHING)

    assert (played.status_code, played.content) == (206, stream)
    assert played.headers["content-range"] == "bytes 0-3999/4000"
    assert played.headers["content-type"] == f"video/mp4; transfer-syntax={VIDEO}"
    assert octets.content == stream
    assert [body for _, body in parts_of(collected)] == [stream]


async def test_what_is_not_acceptable_is_left_out_with_a_warning(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    stored = await put_pdf(box, b"%PDF-1.4 " + bytes(4000), study=study)
    await put(box, make_instance(study=study))
    path = f"/studies/{study}/bulkdata"

    pdfs = await client.get(path, headers={"accept": 'multipart/related; type="application/pdf"'})
    nothing = await client.get(path, headers={"accept": "image/png"})

    assert pdfs.status_code == 206
    assert "1 of 2 values" in pdfs.headers["warning"]
    assert locations(pdfs) == [below(stored, "bulkdata", "00420011")]
    assert nothing.status_code == 406


@pytest.mark.row(90)
async def test_values_whose_bytes_are_gone_are_left_out_with_a_warning(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    gone, kept = [await put(box, make_instance(study=study)) for _ in range(2)]
    key = await box.database.fetch_value(
        "select blob_key from instance where instance_uid = :uid", {"uid": gone.instance_uid}
    )
    box.blobs.delete(key)

    some = await client.get(f"/studies/{study}/pixeldata")
    none = await client.get(path_of(gone, "bulkdata"))

    assert some.status_code == 206
    assert locations(some) == [below(kept, "bulkdata", "7FE00010")]
    assert none.status_code == 500


@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
async def test_where_there_is_none_the_answer_is_404(
    box: Box, client: httpx.AsyncClient, resource: str
) -> None:
    stored = await put(box, make_instance(PixelData=None))

    for path in (f"/studies/{stored.study_uid}", path_of(stored), "/studies/1.2.3"):
        assert (await client.get(f"{path}/{resource}")).status_code == 404


async def test_the_same_ask_is_not_answered_again(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())
    path = f"/studies/{stored.study_uid}/bulkdata"
    first = await client.get(path)

    again = await client.get(path, headers={"if-none-match": first.headers["etag"]})

    assert again.status_code == 304


async def test_a_scope_sees_its_own_bulk_data_only(box: Box) -> None:
    study = new_uid()
    await put(box, make_instance(study=study), source="stow:one")
    mine = await put(box, make_instance(study=study), source="stow:two")

    seen = await bulk_paths(box, study, scope=Scope(sources=frozenset({"stow:two"})), actor=ANONYMOUS)

    assert seen == {mine.instance_uid: ["7FE00010"]}
    with pytest.raises(NotFound):
        await bulk_paths(box, study, scope=Scope(sources=frozenset({"stow:three"})), actor=ANONYMOUS)
