"""Transfer syntaxes that are not the stored one: PS3.18 8.7.3, 8.7.8."""

import io

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import encapsulate

from conformance import reading
from conformance.multiparts import parts
from conformance.objects import Object, encode, plain
from conformance.stow import store

Objects = dict[str, Object]
EXPLICIT = "1.2.840.10008.1.2.1"
UID = "1.2.840.10008.1.2."
MPEG4 = UID + "4.102"
READ_BY_PYDICOM = {
    UID + "5": "image/dicom-rle",
    UID + "4.90": "image/jp2",
    UID + "4.201": "image/jphc",
    UID + "4.202": "image/jphc",
}
OTHERS = {UID + "4.80": "image/jls", UID + "4.70": "image/jpeg", UID + "4.110": "image/jxl"}


def native(made: Object) -> list[bytes]:
    return reading.native(pydicom.dcmread(io.BytesIO(made.data)))


@pytest.mark.row(51, 71, 72)
@pytest.mark.parametrize("syntax", [*READ_BY_PYDICOM, *OTHERS])
def test_it_encodes_frames_and_instances(http: httpx.Client, objects: Objects, syntax: str):
    made = objects["A/ct1"]
    named = f"{(READ_BY_PYDICOM | OTHERS)[syntax]}; transfer-syntax={syntax}"
    frame = http.get(f"{made.path}/frames/1", headers={"Accept": named})
    whole = http.get(made.path, headers={"Accept": f"application/dicom; transfer-syntax={syntax}"})
    assert (frame.status_code, frame.headers["Content-Type"]) == (200, named)
    assert (whole.status_code, whole.headers["Content-Type"]) == (
        200,
        f"application/dicom; transfer-syntax={syntax}",
    )
    found = pydicom.dcmread(io.BytesIO(whole.content))
    assert str(found.file_meta.TransferSyntaxUID) == syntax
    assert found.SOPInstanceUID == made.instance_uid
    assert frame.content in found.PixelData
    if syntax in READ_BY_PYDICOM:
        assert np.array_equal(found.pixel_array, made.dataset.pixel_array)


@pytest.mark.dicom("PS3.18 8.7.8")
@pytest.mark.row(50)
def test_it_gives_the_transfer_syntax_that_is_liked_best(http: httpx.Client, objects: Objects):
    made = objects["A/ct1"]
    for best in (UID + "5", UID + "4.90", EXPLICIT):
        liked = {one: 1.0 if one == best else 0.5 for one in (UID + "5", UID + "4.90", EXPLICIT)}
        accept = ", ".join(f"application/dicom; transfer-syntax={one}; q={q}" for one, q in liked.items())
        response = http.get(made.path, headers={"Accept": accept})
        assert response.headers["Content-Type"] == f"application/dicom; transfer-syntax={best}"


@pytest.mark.row(50, 51)
def test_it_encodes_a_series_for_a_client(client: DICOMwebClient, objects: Objects):
    made = objects["A/ct1"]
    found = client.retrieve_series(
        made.study_uid, made.series_uid, media_types=(("application/dicom", UID + "4.90"),)
    )
    assert {str(one.file_meta.TransferSyntaxUID) for one in found} == {UID + "4.90"}
    assert {str(one.SOPInstanceUID) for one in found} >= {made.instance_uid}


@pytest.mark.row(75)
def test_it_gives_all_frames_and_ranges_of_them(http: httpx.Client, objects: Objects):
    made = objects["ENC/native8"]
    expected = native(made)
    accept = {"Accept": 'multipart/related; type="application/octet-stream"'}
    everything = parts(http.get(f"{made.path}/frames", headers=accept))
    some = parts(http.get(f"{made.path}/frames/2-4", headers=accept))
    assert [part.content for part in everything] == expected
    assert [part.content for part in some] == expected[1:4]


@pytest.mark.dicom("PS3.3 C.7.6.3.1.2")
@pytest.mark.row(78)
@pytest.mark.parametrize("name", ["cine", "jpeg"])
def test_decoded_colour_is_rgb_and_the_instance_says_so(http: httpx.Client, objects: Objects, name: str):
    made = objects[f"ENC/{name}"]
    whole = http.get(made.path, headers={"Accept": f"application/dicom; transfer-syntax={EXPLICIT}"})
    found = pydicom.dcmread(io.BytesIO(whole.content))
    frame = http.get(f"{made.path}/frames/1", headers={"Accept": "application/octet-stream"}).content
    assert found.PixelData.startswith(frame)
    if found.SamplesPerPixel == 3:
        assert (found.PhotometricInterpretation, found.PlanarConfiguration) == ("RGB", 0)
        assert len(frame) == 3 * found.Rows * found.Columns


@pytest.mark.row(55, 76)
def test_a_video_is_given_as_stored_or_refused_with_a_hint(http: httpx.Client):
    made = plain("video", study="VIDEO", series="v", BitsAllocated=8, BitsStored=8, HighBit=7)
    made.dataset.file_meta.TransferSyntaxUID = MPEG4
    made.dataset.PixelData = encapsulate([b"\0\0\0\x18ftypmp42" * 10])
    made.dataset["PixelData"].VR = "OB"
    store(http, [encode(made.dataset)])
    frame = http.get(f"{made.path}/frames/1", headers={"Accept": "image/jls"})
    whole = http.get(made.path, headers={"Accept": f"application/dicom; transfer-syntax={UID}4.80"})
    stored = http.get(made.path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert (frame.status_code, whole.status_code, stored.status_code) == (406, 406, 200)
    assert "bulkdata/7FE00010" in frame.json()["error"]
    assert any(MPEG4 in one for one in whole.json()["offered"])
    assert stored.content == encode(made.dataset)
