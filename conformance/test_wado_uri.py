"""WADO-URI as viewers of its time ask it: by one address, compared with what pydicom reads (PS3.18 9)."""

import io

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from conformance.objects import Object

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def wado(http: httpx.Client) -> str:
    """The address of the service: beside /dicom-web."""
    return str(http.base_url).rstrip("/").removesuffix("/dicom-web") + "/wado"


def asked(stored: Object, **more: str) -> dict[str, str]:
    return {
        "requestType": "WADO", "studyUID": stored.study_uid, "seriesUID": stored.series_uid,
        "objectUID": stored.instance_uid, **more,
    }  # fmt: skip


def picture(http: httpx.Client, wado: str, stored: Object, **more: str) -> np.ndarray:
    answer = http.get(wado, params=asked(stored, contentType="image/png", **more))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def grey(stored: Object) -> Object:
    assert stored.dataset.PhotometricInterpretation == "MONOCHROME2"
    return stored


@pytest.mark.row(96)
@pytest.mark.dicom("PS3.18 9.4")
def test_every_kind_of_instance_is_given_as_dicom(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    given = 0
    for stored in objects.values():
        answer = http.get(wado, params=asked(stored, contentType="application/dicom"))
        if answer.status_code == 406:  # no decoder: it is given as it was stored, where that is asked for
            continue
        got = pydicom.dcmread(io.BytesIO(answer.content))
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
        assert got.file_meta.TransferSyntaxUID == EXPLICIT
        assert got.SOPInstanceUID == stored.instance_uid
        given += 1
    assert given > len(objects) / 2


@pytest.mark.row(97)
@pytest.mark.dicom("PS3.18 9.5")
def test_a_picture_has_the_size_the_region_and_the_window_asked_for(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    stored = grey(objects["ENC/explicit"])
    window = {"windowCenter": "600", "windowWidth": "1600"}
    values = stored.dataset.pixel_array.astype(float)

    whole = picture(http, wado, stored, **window)
    part = picture(http, wado, stored, region="0.5,0.25,1,0.75", **window)
    small = picture(http, wado, stored, rows="16", **window)

    expected = np.rint(np.clip(((values - 599.5) / 1599 + 0.5) * 255, 0, 255))
    assert (whole == expected).all()
    assert (part == expected[16:48, 32:]).all()
    assert small.shape == (16, 16)


@pytest.mark.row(97)
def test_a_frame_is_picked_and_the_quality_of_a_jpeg_is_chosen(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    stored = objects["ENC/cine"]
    frames = int(stored.dataset.NumberOfFrames)

    answers = [
        http.get(wado, params=asked(stored, frameNumber=str(number), imageQuality=quality))
        for number, quality in ((1, "10"), (1, "100"), (frames, "100"), (frames + 1, "100"))
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert {answer.headers["content-type"] for answer in answers[:3]} == {"image/jpeg"}
    assert len(answers[0].content) < len(answers[1].content)


@pytest.mark.row(97)
def test_conflicting_parameters_are_refused(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    stored = objects["ENC/explicit"]
    for wrong in (
        {"windowCenter": "40"},
        {"region": "0,0,2,2"},
        {"rows": "none"},
        {"presentationUID": "1.2"},
        {"imageQuality": "0"},
    ):
        answer = http.get(wado, params=asked(stored, **wrong))
        assert answer.status_code == 400
        assert next(iter(wrong)) in answer.json()["error"]


@pytest.mark.row(98)
def test_a_transfer_syntax_is_given_as_named_or_refused(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    stored = objects["ENC/explicit"]
    dicom = {"contentType": "application/dicom"}

    kept = http.get(wado, params=asked(stored, **dicom, transferSyntax="*"))
    named = http.get(
        wado, params=asked(stored, **dicom, transferSyntax=str(stored.dataset.file_meta.TransferSyntaxUID))
    )
    implicit = http.get(wado, params=asked(stored, **dicom, transferSyntax="1.2.840.10008.1.2"))

    assert kept.content == named.content == stored.data
    assert implicit.status_code == 406  # PS3.18 8.7.3.5.2: never Implicit VR Little Endian


@pytest.mark.row(98)
def test_anonymize_is_refused_rather_than_left_undone(
    http: httpx.Client, wado: str, objects: dict[str, Object]
) -> None:
    answer = http.get(wado, params=asked(objects["ENC/explicit"], anonymize="yes"))

    assert answer.status_code == 400
    assert "de-identification" in answer.json()["error"]
