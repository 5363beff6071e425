"""Studies, series and instances as DICOM objects, over HTTP."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dicomweb_box.archive import explicit_body
from dicomweb_box.box import Box
from dicomweb_box.dicomweb import wado_instances
from tests.builders import make_dataset, make_instance, new_uid, part10
from tests.dicomweb.doors import serving
from tests.dicomweb.retrieving import AS_STORED, MULTIPART_AS_STORED, client_of, parts_of, path_of, put

MULTIPART = 'multipart/related; type="application/dicom"'
J2K = Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small_jp2klossless.dcm"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.mark.row(46)
@pytest.mark.row(49)
@pytest.mark.dicom("PS3.18 10.4.4")
async def test_an_instance_comes_back_as_it_was_stored(box: Box, client: httpx.AsyncClient) -> None:
    data = part10(make_dataset(), transfer_syntax=ImplicitVRLittleEndian)
    stored = await put(box, data)

    response = await client.get(path_of(stored), headers={"accept": AS_STORED})

    assert response.status_code == 200
    assert response.content == data
    assert response.headers["content-type"] == f"application/dicom; transfer-syntax={ImplicitVRLittleEndian}"
    assert response.headers["content-location"] == "/dicom-web" + path_of(stored)


@pytest.mark.row(48)
@pytest.mark.row(52)
@pytest.mark.row(56)
@pytest.mark.dicom("PS3.18 8.7.3.5.2")
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, JPEG2000Lossless]
)
@pytest.mark.parametrize("accept", [None, "application/dicom", "*/*", MULTIPART])
async def test_without_a_transfer_syntax_the_answer_is_explicit_vr_little_endian(
    box: Box, client: httpx.AsyncClient, syntax: str, accept: str | None
) -> None:
    data = J2K.read_bytes() if syntax == JPEG2000Lossless else part10(make_dataset(), transfer_syntax=syntax)
    stored = await put(box, data)
    client.headers.pop("accept")

    response = await client.get(path_of(stored), headers={"accept": accept} if accept else {})

    content, content_type = response.content, response.headers["content-type"]
    if accept == MULTIPART:
        assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
        [(fields, content)] = parts_of(response)
        content_type = fields["Content-Type"]
        assert fields["Content-Location"] == "/dicom-web" + path_of(stored)
    assert content_type == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert int(response.headers["content-length"]) == len(response.content)
    ds = read(content)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.PatientName == read(data).PatientName
    assert (ds.pixel_array == read(data).pixel_array).all()


@pytest.mark.row(52)
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
async def test_retired_and_implicit_transfer_syntaxes_cannot_be_asked_for_by_name(
    box: Box, client: httpx.AsyncClient, syntax: str
) -> None:
    stored = await put(box, part10(make_dataset(), transfer_syntax=syntax))

    response = await client.get(
        path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={syntax}"}
    )

    assert response.status_code == 406
    assert response.json()["offered"]
    assert not any(one.endswith(f"={syntax}") for one in response.json()["offered"])


@pytest.mark.row(55)
@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.102",
        "multipart/related; type=text/css",
    ],
)
async def test_what_cannot_be_given_is_answered_with_what_can(
    box: Box, client: httpx.AsyncClient, accept: str
) -> None:
    stored = await put(box, make_instance())

    response = await client.get(path_of(stored), headers={"accept": accept})

    assert response.status_code == 406
    assert f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}" in response.json()["offered"]


@pytest.mark.row(53)
@pytest.mark.row(54)
async def test_the_accept_query_parameter_beats_the_header(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, part10(make_dataset(), transfer_syntax=ImplicitVRLittleEndian))

    response = await client.get(
        path_of(stored), params={"accept": AS_STORED}, headers={"accept": "image/png"}
    )

    assert response.headers["content-type"].endswith(f"={ImplicitVRLittleEndian}")


@pytest.mark.row(53)
async def test_the_better_liked_of_several_transfer_syntaxes_is_given(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, J2K.read_bytes())
    one = f"application/dicom; transfer-syntax={JPEG2000Lossless}"
    other = f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"

    first = await client.get(path_of(stored), headers={"accept": f"{one}, {other};q=0.5"})
    second = await client.get(path_of(stored), headers={"accept": f"{one};q=0.2, {other};q=0.5"})

    assert first.content == J2K.read_bytes()
    assert second.headers["content-type"] == other


@pytest.mark.row(44)
@pytest.mark.row(45)
@pytest.mark.dicom("PS3.18 10.4.1.1.1")
async def test_studies_and_series_come_as_parts_in_the_order_of_their_numbers(
    box: Box, client: httpx.AsyncClient
) -> None:
    study, one, two = new_uid(), new_uid(), new_uid()
    objects = [
        make_instance(study=study, series=series, SeriesNumber=number, InstanceNumber=instance)
        for number, series in ((2, two), (1, one))
        for instance in (10, 9)
    ]
    for data in objects:
        await put(box, data)
    wanted = [objects[3], objects[2], objects[1], objects[0]]

    whole = await client.get(f"/studies/{study}", headers={"accept": MULTIPART_AS_STORED})
    part = await client.get(f"/studies/{study}/series/{two}", headers={"accept": MULTIPART})

    assert [body for _, body in parts_of(whole)] == wanted
    assert [body for _, body in parts_of(part)] == wanted[2:]
    assert {fields["Content-Type"] for fields, _ in parts_of(whole)} == {
        f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    }
    assert int(whole.headers["content-length"]) == len(whole.content)


async def test_a_study_of_several_transfer_syntaxes_is_given_in_one(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        await put(box, part10(make_dataset(study=study), transfer_syntax=syntax))

    response = await client.get(f"/studies/{study}", headers={"accept": MULTIPART})

    syntaxes = [read(body).file_meta.TransferSyntaxUID for _, body in parts_of(response)]
    assert syntaxes == [ExplicitVRLittleEndian] * 3


async def test_many_instances_to_rewrite_are_rewritten_while_they_are_sent(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wado_instances, "_MEASURED", 2)
    study = new_uid()
    for _ in range(3):
        await put(box, part10(make_dataset(study=study), transfer_syntax=ImplicitVRLittleEndian))

    response = await client.get(f"/studies/{study}", headers={"accept": MULTIPART})

    assert "content-length" not in response.headers
    assert len([read(body).PatientName for _, body in parts_of(response)]) == 3


@pytest.mark.row(90)
@pytest.mark.dicom("PS3.18 10.4.3.1")
async def test_instances_whose_bytes_are_gone_are_left_out_with_a_warning(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    kept = make_instance(study=study)
    await put(box, kept)
    lost = await put(box, make_instance(study=study))
    key = await box.database.fetch_value(
        "select blob_key from instance where instance_uid = :uid", {"uid": lost.instance_uid}
    )
    box.blobs.delete(key)

    response = await client.get(f"/studies/{study}", headers={"accept": MULTIPART_AS_STORED})
    alone = await client.get(path_of(lost), headers={"accept": AS_STORED})

    assert response.status_code == 206
    assert "1 of 2 instances" in response.headers["warning"]
    assert [body for _, body in parts_of(response)] == [kept]
    assert alone.status_code == 500


@pytest.mark.row(90)
async def test_what_no_codec_can_decode_is_left_out_of_a_decoded_study(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explicit_body.pixels, "decodable", lambda syntax: False)
    ds = pydicom.dcmread(J2K)
    await put(box, J2K.read_bytes())
    await put(box, make_instance(study=ds.StudyInstanceUID))
    single = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"

    response = await client.get(f"/studies/{ds.StudyInstanceUID}", headers={"accept": MULTIPART})
    strict = await client.get(single, headers={"accept": "application/dicom"})
    anything = await client.get(single, headers={"accept": "*/*"})

    assert response.status_code == 206
    assert len(parts_of(response)) == 1
    assert strict.status_code == 406
    assert strict.json()["offered"][0] == f"application/dicom; transfer-syntax={JPEG2000Lossless}"
    assert anything.content == J2K.read_bytes()


@pytest.mark.row(91)
@pytest.mark.row(68)
async def test_representations_have_their_own_validators_and_ranges(
    box: Box, client: httpx.AsyncClient
) -> None:
    data = part10(make_dataset(), transfer_syntax=ImplicitVRLittleEndian)
    stored = await put(box, data)
    whole = await client.get(path_of(stored), headers={"accept": AS_STORED})
    explicit = await client.get(path_of(stored), headers={"accept": "application/dicom"})
    multipart = await client.get(path_of(stored), headers={"accept": MULTIPART_AS_STORED})

    tags = {one.headers["etag"] for one in (whole, explicit, multipart)}
    again = await client.get(
        path_of(stored), headers={"accept": AS_STORED, "if-none-match": whole.headers["etag"]}
    )
    cut = await client.get(path_of(stored), headers={"accept": AS_STORED, "range": "bytes=128-131"})
    part = await client.get(path_of(stored), headers={"accept": MULTIPART_AS_STORED, "range": "bytes=50-"})

    assert len(tags) == 3
    assert again.status_code == 304
    assert (cut.status_code, cut.content) == (206, b"DICM")
    assert part.content == multipart.content[50:]


async def test_a_blob_cut_short_breaks_the_connection_rather_than_end_the_body(box: Box) -> None:
    stored = await put(box, make_instance(Rows=1024, Columns=2048, PixelData=bytes(4 << 20)))
    key = await box.database.fetch_value("select blob_key from instance")
    box.blobs.put(key, [bytes(3 << 20)])

    async with (
        serving(box) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/dicom-web" + path_of(stored), headers={"accept": AS_STORED})
        still = await client.get("/dicom-web" + path_of(stored, "metadata"))

    assert still.status_code == 200


async def test_a_client_that_leaves_in_the_middle_disturbs_nobody(box: Box) -> None:
    stored = await put(box, make_instance(Rows=2048, Columns=4096, PixelData=bytes(16 << 20)))
    path = "/dicom-web" + path_of(stored)

    async with (
        serving(box) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        for _ in range(5):
            async with client.stream("GET", path, headers={"accept": AS_STORED}) as response:
                await anext(response.aiter_raw())
        whole = await client.get(path, headers={"accept": AS_STORED})

    assert len(whole.content) > 16 << 20


async def test_what_is_not_there_is_not_found(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())
    other = await put(box, make_instance())
    mixed = f"/studies/{stored.study_uid}/series/{other.series_uid}/instances/{stored.instance_uid}"

    for path in ("/studies/1.2.3", f"/studies/{stored.study_uid}/series/1.2.3", mixed):
        response = await client.get(path, headers={"accept": MULTIPART_AS_STORED})
        assert response.status_code == 404
        assert "error" in response.json()


@pytest.mark.row(116)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_what_is_deleted_is_gone(box: Box, client: httpx.AsyncClient, level: str) -> None:
    stored = await put(box, make_instance())
    beside = await put(box, make_instance())
    path = {
        "study": f"/studies/{stored.study_uid}",
        "series": f"/studies/{stored.study_uid}/series/{stored.series_uid}",
        "instance": path_of(stored),
    }[level]

    first = await client.delete(path)
    second = await client.delete(path)

    assert (first.status_code, first.content) == (204, b"")
    assert second.status_code == 404
    assert (await client.get(path_of(stored))).status_code == 404
    assert (await client.get(path_of(stored, "metadata"))).status_code == 404
    assert (await client.get(path_of(beside))).status_code == 200


@pytest.mark.row(44)
async def test_each_shared_object_comes_back_bit_for_bit(
    box: Box, client: httpx.AsyncClient, shared_data: Path
) -> None:
    checked = 0
    for path in sorted((shared_data / "pylibjpeg-data").rglob("*.dcm")):
        data = path.read_bytes()
        try:
            stored = await put(box, data, source=f"stow:{path.name}")
        except AssertionError:
            continue  # refused: without the UIDs that name it, or a second one under the same UID
        response = await client.get(path_of(stored), headers={"accept": AS_STORED})
        assert response.content == data
        explicit = await client.get(path_of(stored))
        assert read(explicit.content).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        checked += 1
    assert checked > 5
