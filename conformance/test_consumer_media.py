"""STOW-RS of consumer media: PS3.18 10.5.2, a photo and a report join a study."""

import io
import json

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.encaps import generate_frames

from conformance.objects import Object, plain, uid
from conformance.stow import failures, post, store, stored

BOUNDARY = "conformance-part"
RELATED = f'multipart/related; type="application/dicom+json"; boundary={BOUNDARY}'
PDF = b"%PDF-1.4\n% synthetic\n%%EOF\n"


def picture(kind: str, **options: object) -> bytes:
    """A file of that kind with a picture of no one."""
    x, y = np.meshgrid(np.arange(48) * 5, np.arange(32) * 7)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([x, y, x]).astype(np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def body(metadata: object, kind: str, data: bytes) -> bytes:
    """Metadata with one bulk part at `medium`."""
    parts = [
        f"--{BOUNDARY}\r\nContent-Type: application/dicom+json\r\n\r\n{json.dumps([metadata])}".encode(),
        f"--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Location: medium\r\n\r\n".encode() + data,
        f"--{BOUNDARY}--\r\n".encode(),
    ]
    return b"\r\n".join(parts)


def study(http: httpx.Client, name: str) -> Object:
    """A stored instance, whose study is to be joined."""
    made = plain("first", study=name, series="s")
    store(http, [made.data])
    return made


def retrieved(http: httpx.Client, answer: httpx.Response) -> pydicom.Dataset:
    """The instance that was stored, as it is stored."""
    assert answer.status_code == 200, answer.text
    item = answer.json()["00081199"]["Value"][0]
    url = httpx.URL(str(answer.url)).join(item["00081190"]["Value"][0])
    got = http.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    return pydicom.dcmread(io.BytesIO(got.content))


@pytest.mark.dicom("PS3.18 10.5.2")
@pytest.mark.row(103)
def test_a_photo_joins_a_study_and_is_kept_bit_for_bit(client: DICOMwebClient, http: httpx.Client):
    first, photo = study(http, "PHOTO"), picture("JPEG")
    answer = post(http, photo, path=f"/studies/{first.study_uid}", content_type="image/jpeg")
    made = retrieved(http, answer)
    assert (made.PatientID, made.StudyDate) == (first.dataset.PatientID, first.dataset.StudyDate)
    (frame,) = generate_frames(made.PixelData)
    assert frame[: len(photo)] == photo
    assert (made.Rows, made.Columns, made.BitsAllocated, made.SamplesPerPixel) == (32, 48, 8, 3)
    found = client.search_for_instances(first.study_uid)
    assert {one["00080018"]["Value"][0] for one in found} == {first.instance_uid, made.SOPInstanceUID}


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/png", picture("PNG")),
        ("image/gif", picture("GIF")),
        ("image/jpeg", picture("JPEG", progressive=True)),
    ],
)
def test_media_that_no_transfer_syntax_holds_become_native_pixels(
    client: DICOMwebClient, http: httpx.Client, kind: str, data: bytes
):
    first = study(http, "NATIVE")
    answer = post(http, data, path=f"/studies/{first.study_uid}", content_type=kind)
    made = retrieved(http, answer)
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.allclose(made.pixel_array, wanted, atol=2)
    (frame,) = client.retrieve_instance_frames(
        made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID, [1]
    )
    assert frame == made.pixel_array.tobytes()


@pytest.mark.row(103)
def test_a_report_joins_a_study_by_its_metadata(http: httpx.Client):
    first = study(http, "REPORT")
    metadata = {
        "00420010": {"vr": "ST", "Value": ["Report"]},
        "00420011": {"vr": "OB", "BulkDataURI": "medium"},
    }
    path = f"/studies/{first.study_uid}"
    answer = post(http, body(metadata, "application/pdf", PDF), path=path, content_type=RELATED)
    made = retrieved(http, answer)
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert (made.DocumentTitle, made.PatientID) == ("Report", first.dataset.PatientID)
    bulk = http.get(f"{path}/instances/{made.SOPInstanceUID}/bulkdata/00420011", headers={"Accept": "*/*"})
    assert bulk.content[: len(PDF)] == PDF


@pytest.mark.row(103, 105)
def test_a_medium_that_is_none_or_has_no_study_is_refused(http: httpx.Client):
    first = study(http, "NOMEDIUM")
    path = f"/studies/{first.study_uid}"
    broken = post(http, picture("JPEG")[:400], path=path, content_type="image/jpeg")
    assert (broken.status_code, failures(broken.json())) == (409, [0xC000])
    assert (
        post(http, PDF, path=f"/studies/{uid('nowhere')}", content_type="application/pdf").status_code == 404
    )
    assert post(http, PDF, content_type="application/pdf").status_code == 400


@pytest.mark.dicom("PS3.3 C.12.1.1.9")
@pytest.mark.row(108)
def test_what_is_replaced_is_told_and_kept_in_the_instance(http: httpx.Client):
    metadata = plain("coerced", study="COERCED", series="s", pixels=False).dataset.to_json_dict()
    metadata["00280010"] = {"vr": "US", "Value": [1]}
    metadata["7FE00010"] = {"vr": "OB", "BulkDataURI": "medium"}
    answer = post(http, body(metadata, "image/jpeg", picture("JPEG")), content_type=RELATED)
    made = retrieved(http, answer)
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]
    assert made.Rows == 32
    (item,) = made.OriginalAttributesSequence
    assert item.ModifiedAttributesSequence[0].Rows == 1
    assert item.ReasonForTheAttributeModification == "COERCE"


@pytest.mark.row(108)
def test_what_is_left_out_is_told(http: httpx.Client):
    made = plain("discarded", study="DISCARDED", series="s", pixels=False)
    metadata = made.dataset.to_json_dict() | {"00081190": {"vr": "UR", "Value": ["http://elsewhere"]}}
    answer = post(http, body(metadata, "image/x-unknown", b"x"), content_type=RELATED)
    assert stored(answer.json()) == [made.instance_uid]
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB006]
    assert "1 parts of bulk data were named by no metadata" in answer.headers["Warning"]
