"""WADO-URI, over HTTP."""

import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
)

from dicomweb_box.app import assemble
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from tests.builders import make_dataset, new_uid, part10
from tests.dicomweb.pixel_objects import cells, multi_frame
from tests.dicomweb.retrieving import put

PICTURE = (64, 48)


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(assemble(box), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


def values() -> np.ndarray:
    return np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def ct(syntax: str = ExplicitVRLittleEndian, **attributes: object) -> bytes:
    rows, columns = PICTURE
    ds = make_dataset(Rows=rows, Columns=columns, PixelData=values().tobytes(), **attributes)
    return part10(ds, transfer_syntax=syntax)


def uids(stored: Stored) -> dict[str, str]:
    return {
        "requestType": "WADO", "studyUID": stored.study_uid, "seriesUID": stored.series_uid,
        "objectUID": stored.instance_uid,
    }  # fmt: skip


async def get(client: httpx.AsyncClient, stored: Stored, **parameters: str) -> httpx.Response:
    accept = parameters.pop("accept", "*/*")
    return await client.get("/wado", params=uids(stored) | parameters, headers={"Accept": accept})


def levels_of(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.dicom("PS3.18 9.4")
async def test_an_instance_is_given_as_dicom_in_explicit_little_endian(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, ct(ImplicitVRLittleEndian))

    answer = await get(client, stored, contentType="application/dicom")

    dataset = pydicom.dcmread(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.PixelData == values().tobytes()


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, "*"])
async def test_a_transfer_syntax_can_be_named(box: Box, client: httpx.AsyncClient, syntax: str) -> None:
    data = ct(DeflatedExplicitVRLittleEndian)
    stored = await put(box, data)

    answer = await get(client, stored, contentType="application/dicom", transferSyntax=syntax)

    assert answer.content == data


async def test_a_transfer_syntax_that_cannot_be_given_is_not_acceptable(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, ct())

    answer = await get(
        client, stored, contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.100"
    )

    assert answer.status_code == 406
    assert f"transfer-syntax={ExplicitVRLittleEndian}" in answer.text


@pytest.mark.parametrize(
    ("asked", "accept", "given"),
    [
        ({}, "*/*", "image/jpeg"),
        ({}, "image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5", "image/png"),
        ({}, "application/dicom", "application/dicom"),
        ({"contentType": "image/png"}, "image/jpeg", "image/png"),
        ({"contentType": "image/gif,image/png"}, "*/*", "image/gif"),
        ({"contentType": "image/jp2, image/png, image/jpeg"}, "*/*", "image/png"),
        ({"contentType": "image/png;q=0.2,image/gif;q=0.9"}, "*/*", "image/gif"),
        ({"contentType": "application/dicom"}, "image/png", "application/dicom"),
    ],
)
@pytest.mark.dicom("PS3.18 9.1.2.2.1")
async def test_the_form_is_chosen_by_content_type_and_then_by_accept(
    box: Box, client: httpx.AsyncClient, asked: dict[str, str], accept: str, given: str
) -> None:
    stored = await put(box, ct())

    answer = await get(client, stored, accept=accept, **asked)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == given


async def test_what_cannot_be_given_is_refused_with_what_can(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct())

    answer = await get(client, stored, contentType="application/pdf")

    assert answer.status_code == 406
    assert {"image/jpeg", "image/png", "image/gif", "application/dicom"} <= set(answer.json()["offered"])


@pytest.mark.dicom("PS3.18 9.5.1.2.6")
async def test_a_window_is_right_to_the_grey_level(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct())

    answer = await get(client, stored, contentType="image/png", windowCenter="1000", windowWidth="500")

    expected = np.clip(((values() - 999.5) / 499 + 0.5) * 255, 0, 255)
    assert (levels_of(answer) == np.rint(expected)).all()


@pytest.mark.dicom("PS3.18 9.5.1.2.4")
@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"rows": "32"}, (32, 24)),
        ({"columns": "96"}, (128, 96)),
        ({"rows": "32", "columns": "96"}, (32, 24)),
        ({"rows": "128", "columns": "24"}, (32, 24)),
        ({"rows": "10", "region": "0,0,1,0.5"}, (10, 15)),
        ({"region": "0.5,0.5,1,1"}, (32, 24)),
    ],
)
async def test_rows_and_columns_bound_the_picture_without_distortion(
    box: Box, client: httpx.AsyncClient, asked: dict[str, str], size: tuple[int, int]
) -> None:
    stored = await put(box, ct())

    assert levels_of(await get(client, stored, contentType="image/png", **asked)).shape == size


@pytest.mark.dicom("PS3.18 9.5.1.2.5")
async def test_a_region_is_cut_out_by_fractions(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct(WindowCenter=1500, WindowWidth=3000))

    whole = levels_of(await get(client, stored, contentType="image/png"))
    part = levels_of(await get(client, stored, contentType="image/png", region="0.25,0.5,0.75,1"))

    assert (part == whole[32:, 12:36]).all()


async def test_a_lower_quality_is_a_smaller_jpeg(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct())

    coarse = await get(client, stored, imageQuality="5")
    fine = await get(client, stored, imageQuality="100")

    assert len(coarse.content) < len(fine.content)


@pytest.mark.dicom("PS3.18 9.5.1.2.1")
async def test_a_frame_is_picked_by_number(box: Box, client: httpx.AsyncClient) -> None:
    frames = cells(3)
    stored = await put(box, multi_frame(frames))
    single = await put(box, ct())
    window = {"contentType": "image/png", "windowCenter": "8000", "windowWidth": "16000"}

    second = levels_of(await get(client, stored, frameNumber="2", **window))
    missing = await get(client, stored, frameNumber="4", **window)
    ignored = await get(client, single, frameNumber="4", **window)

    expected = np.clip(((frames[1] - 7999.5) / 15999 + 0.5) * 255, 0, 255)
    assert (second == np.rint(expected)).all()
    assert (missing.status_code, ignored.status_code) == (404, 200)


def report(**attributes: object) -> bytes:
    ds = make_dataset(Modality="SR", Rows=None, Columns=None, PixelData=None, **attributes)
    ds.SOPClassUID = BasicTextSRStorage
    ds.ValueType = "CONTAINER"
    return part10(ds)


def document() -> bytes:
    ds = make_dataset(Modality="DOC", Rows=None, Columns=None, PixelData=None)
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.4 made up"
    return part10(ds)


async def test_reports_are_texts_and_documents_are_what_they_are(box: Box, client: httpx.AsyncClient) -> None:
    sr, pdf = await put(box, report()), await put(box, document())

    html = await get(client, sr)
    plain = await get(client, sr, contentType="text/plain", charset="iso-8859-1, utf-8")
    refused = await get(client, sr, charset="koi8-r")
    enclosed = await get(client, pdf, windowCenter="1", windowWidth="2")

    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in html.headers["content-security-policy"]
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert refused.status_code == 406
    assert enclosed.headers["content-type"] == "application/pdf"
    assert enclosed.content.startswith(b"%PDF-1.4")


UID = "1.2.3"


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"requestType": ""}, 400, "requestType is WADO"),
        ({"requestType": "wado"}, 400, "requestType is WADO"),
        ({"studyUID": ""}, 400, "studyUID must be given"),
        ({"seriesUID": ""}, 400, "seriesUID must be given"),
        ({"objectUID": ""}, 400, "objectUID must be given"),
        ({"objectUID": "1.2.x"}, 400, "objectUID is no UID"),
        ({"objectUID": UID}, 404, "no such"),
        ({"seriesUID": UID}, 404, "no such"),
        ({"anonymize": "yes"}, 400, "no policy of de-identification"),
        ({"anonymize": "no"}, 400, "anonymize is yes"),
        ({"windowCenter": "1"}, 400, "windowCenter is only understood together with windowWidth"),
        ({"windowWidth": "1"}, 400, "windowWidth is only understood together with windowCenter"),
        ({"windowCenter": "x", "windowWidth": "1"}, 400, "decimal numbers"),
        ({"windowCenter": "nan", "windowWidth": "1"}, 400, "decimal numbers"),
        ({"windowCenter": "1", "windowWidth": "0"}, 400, "at least 1"),
        ({"rows": "0"}, 400, "rows is a whole number from 1"),
        ({"columns": "2.5"}, 400, "columns is a whole number from 1"),
        ({"rows": "16384", "columns": "16384"}, 400, "more than"),
        ({"imageQuality": "101"}, 400, "imageQuality is a whole number from 1 to 100"),
        ({"frameNumber": "x"}, 400, "frameNumber is a whole number"),
        ({"region": "0,0,1"}, 400, "region is left,top,right,bottom"),
        ({"region": "0.5,0,0.5,1"}, 400, "region is left,top,right,bottom"),
        ({"region": "0,0,1,nan"}, 400, "region is left,top,right,bottom"),
        ({"imageAnnotation": "everything"}, 400, "imageAnnotation is patient, technique, or both"),
        ({"transferSyntax": "jpeg"}, 400, "transferSyntax is no UID"),
        ({"presentationUID": UID}, 400, "only understood together"),
        ({"presentationSeriesUID": UID}, 400, "only understood together"),
        (
            {"presentationUID": UID, "presentationSeriesUID": UID, "windowCenter": "1", "windowWidth": "2"},
            400,
            "cannot be given together with presentationUID",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_part_and_its_rule(
    box: Box, client: httpx.AsyncClient, changed: dict[str, str], status: int, said: str
) -> None:
    stored = await put(box, ct())

    answer = await client.get("/wado", params=uids(stored) | changed)

    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text


async def test_a_parameter_given_twice_is_refused(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct())

    answer = await client.get("/wado", params=[*uids(stored).items(), ("rows", "1"), ("rows", "2")])

    assert (answer.status_code, answer.json()) == (400, {"error": "rows is given twice"})


async def test_parameters_without_effect_are_named_and_unknown_ones_passed_over(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, ct())

    dicom = await get(client, stored, contentType="application/dicom", rows="5", useOriginal="true")
    picture = await get(client, stored, transferSyntax="1.2.840.10008.1.2.4.90")

    assert "The parameter rows is not for DICOM objects" in dicom.headers["warning"]
    assert "The parameter transferSyntax is for DICOM objects" in picture.headers["warning"]
    assert "useOriginal" not in dicom.headers["warning"]


async def test_an_answer_is_not_sent_again_to_who_has_it(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct())

    for form in ("image/jpeg", "application/dicom"):
        first = await get(client, stored, contentType=form)
        again = await client.get(
            "/wado",
            params=uids(stored) | {"contentType": form},
            headers={"If-None-Match": first.headers["etag"]},
        )
        assert (again.status_code, again.content) == (304, b"")


async def test_only_reading_is_possible(client: httpx.AsyncClient) -> None:
    answer = await client.post("/wado", headers={"Accept": "application/json"})

    assert answer.status_code == 405


@pytest.mark.dicom("PS3.18 9.5.1.2.7")
async def test_a_frame_is_shown_as_a_presentation_state_says(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    shown = await put(box, ct(study=study))
    other = await put(box, ct(study=study))
    reference = Dataset()
    reference.ReferencedSOPClassUID = CTImageStorage
    reference.ReferencedSOPInstanceUID = shown.instance_uid
    series = Dataset()
    series.SeriesInstanceUID = shown.series_uid
    series.ReferencedImageSequence = [reference]
    plain = make_dataset(
        study=study, Modality="PR", PixelData=None, Rows=None, Columns=None, PresentationLUTShape="INVERSE"
    )
    plain.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    plain.ReferencedSeriesSequence = [series]
    state = await put(box, part10(plain))
    named = {"presentationUID": state.instance_uid, "presentationSeriesUID": state.series_uid}

    stated = levels_of(await get(client, shown, contentType="image/png", **named))
    elsewhere = await get(client, other, **named)
    missing = await get(client, shown, presentationUID=UID, presentationSeriesUID=UID)

    assert (stated == 255 - np.rint(values() / 65535 * 255)).all()
    assert (elsewhere.status_code, missing.status_code) == (400, 404)
    assert "refers to this frame" in elsewhere.json()["error"]
