"""Rendered pictures and thumbnails (PS3.18 10.4.1.1.3, 8.3.5); their levels by formulas of the standard."""

import io

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from conformance.multiparts import parts
from conformance.objects import Object, encode, plain, uid
from conformance.stow import store

Objects = dict[str, Object]
PNG = {"Accept": "image/png"}
RAMP = np.arange(48 * 64, dtype="<i2").reshape(48, 64) - 1400


def array(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def item(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def exact(values: np.ndarray, low: float, high: float) -> np.ndarray:
    clipped: np.ndarray = np.clip((values - low) / (high - low), 0, 1) * 255
    return clipped


def are(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether each level is the nearest to what is wanted."""
    return got.shape == wanted.shape and bool(np.abs(got - wanted).max() <= 0.5 + 1e-9)


@pytest.fixture(scope="module")
def ct(http: httpx.Client) -> Object:
    """A CT image of which stored values are negative, in Hounsfield units 24 below what is stored."""
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -24, "RescaleType": "HU"}
    window = {"WindowCenter": 40, "WindowWidth": 400}
    made = plain("rendered", study="REN", series="ct", Rows=48, Columns=64, BitsStored=16, HighBit=15,
                 PixelRepresentation=1, PixelData=RAMP.tobytes(), KVP="120", **rescale, **window)  # fmt: skip
    store(http, [made.data])
    return made


def levels(http: httpx.Client, made: Object, **parameters: str) -> np.ndarray:
    """The instance as it is rendered, without loss."""
    response = http.get(f"{made.path}/rendered", params=parameters, headers=PNG)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "image/png"
    return array(response.content)


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
@pytest.mark.row(79)
def test_it_renders_a_study_and_a_series_with_all_of_their_instances(http: httpx.Client, objects: Objects):
    series = [made for made in objects.values() if made.series_uid == objects["A/ct1"].series_uid]
    study = [made for made in objects.values() if made.study_uid == objects["A/ct1"].study_uid]
    for members, path in (
        (series, series[0].path.rpartition("/instances/")[0]),
        (study, f"/studies/{study[0].study_uid}"),
    ):
        response = http.get(f"{path}/rendered", headers={"Accept": 'multipart/related; type="image/png"'})
        found = parts(response)
        assert {part.content_type for part in found} == {"image/png"}
        assert sorted(str(part.headers["Content-Location"]).split("/")[-2] for part in found) == sorted(
            made.instance_uid for made in members
        )


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
@pytest.mark.row(80)
def test_it_renders_instances_and_frames(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    made = objects["ENC/native8"]
    uids = (made.study_uid, made.series_uid, made.instance_uid)
    png = ("image/png",)
    each = [
        np.asarray(
            Image.open(io.BytesIO(client.retrieve_instance_frames_rendered(*uids, [n], media_types=png)))
        )
        for n in (1, 5, 8)
    ]
    several = http.get(
        f"{made.path}/frames/1,5,8/rendered", headers={"Accept": 'multipart/related; type="image/png"'}
    )
    assert all((array(part.content) == one).all() for part, one in zip(parts(several), each, strict=True))
    assert not (each[0] == each[1]).all()
    alone = array(client.retrieve_instance_rendered(*uids, media_types=png))
    assert (alone == each[0]).all()


@pytest.mark.dicom("PS3.18 Table 8.7.4-1")
@pytest.mark.row(81)
def test_it_renders_in_each_media_type(http: httpx.Client, objects: Objects, ct: Object):
    by_default = http.get(f"{ct.path}/rendered")
    assert by_default.headers["Content-Type"] == "image/jpeg"
    for kind in ("jpeg", "png", "gif"):
        response = http.get(f"{ct.path}/rendered", headers={"Accept": f"image/{kind}"})
        assert response.headers["Content-Type"] == f"image/{kind}"
        picture = Image.open(io.BytesIO(response.content))
        assert (picture.format or "").lower() == kind
        assert np.abs(np.asarray(picture.convert("L")).astype(int) - levels(http, ct)).mean() < 2
    film = http.get(f"{objects['ENC/native8'].path}/rendered", headers={"Accept": "image/gif"})
    assert getattr(Image.open(io.BytesIO(film.content)), "n_frames", 0) == 8
    refused = http.get(f"{ct.path}/rendered", headers={"Accept": "image/tiff"})
    assert refused.status_code == 406
    assert "image/jpeg" in refused.json()["offered"]


@pytest.mark.dicom("PS3.18 8.3.5.1.3")
@pytest.mark.row(82)
def test_it_fits_a_viewport(http: httpx.Client, ct: Object):
    whole = levels(http, ct)
    assert levels(http, ct, viewport="32,32").shape == (24, 32)
    assert levels(http, ct, viewport="128,200").shape == (96, 128)
    assert (levels(http, ct, viewport="20,10,8,4,20,10") == whole[4:14, 8:28]).all()
    assert (levels(http, ct, viewport="64,48,,,-64,-48") == whole[::-1, ::-1]).all()
    assert http.get(f"{ct.path}/rendered", params={"viewport": "20"}).status_code == 400


@pytest.mark.dicom("PS3.18 8.3.5.1.4")
@pytest.mark.dicom("PS3.3 C.11.2.1.2")
@pytest.mark.row(83)
def test_it_applies_a_window_right_to_the_grey_level(http: httpx.Client, ct: Object):
    units = RAMP.astype(float) - 24
    assert are(levels(http, ct, window="40,400,linear"), np.clip(((units - 39.5) / 399 + 0.5) * 255, 0, 255))
    assert are(levels(http, ct, window="40,400,linear-exact"), exact(units, -160, 240))
    assert are(levels(http, ct, window="40,400,sigmoid"), 255 / (1 + np.exp(-4 * (units - 40) / 400)))
    assert http.get(f"{ct.path}/rendered", params={"window": "40,400,gamma"}).status_code == 400


@pytest.mark.dicom("PS3.18 8.3.5.1.2")
@pytest.mark.row(84)
def test_it_renders_in_the_quality_asked_for(http: httpx.Client, ct: Object):
    sizes = [
        len(http.get(f"{ct.path}/rendered", params={"quality": str(quality)}).content)
        for quality in (5, 50, 95)
    ]
    assert sizes == sorted(set(sizes))
    assert http.get(f"{ct.path}/rendered", params={"quality": "0"}).status_code == 400


@pytest.mark.dicom("PS3.18 8.3.5.1.1")
@pytest.mark.row(85)
def test_it_burns_in_annotations_that_are_asked_for(http: httpx.Client, ct: Object):
    size = {"viewport": "512,512"}
    without = levels(http, ct, **size)
    patient, technique = (levels(http, ct, annotation=one, **size) for one in ("patient", "technique"))
    middle = slice(150, 230)
    assert (without[middle] == patient[middle]).all()
    assert not (without[:150] == patient[:150]).all()
    assert not (without[230:] == technique[230:]).all()
    unknown = http.get(f"{ct.path}/rendered", params={"annotation": "patient,weather"})
    assert "weather" in unknown.headers["Warning"]


@pytest.mark.dicom("PS3.18 8.3.5.1.6")
@pytest.mark.row(86)
def test_it_gives_a_colour_profile_where_it_is_asked_for(http: httpx.Client, objects: Objects):
    made = objects["ENC/jpeg"]
    for profile, there in (
        ("no", False),
        ("yes", True),
        ("srgb", True),
        ("adobergb", True),
        ("rommrgb", True),
    ):
        for kind in ("image/png", "image/jpeg"):
            response = http.get(
                f"{made.path}/rendered", params={"iccprofile": profile}, headers={"Accept": kind}
            )
            assert ("icc_profile" in Image.open(io.BytesIO(response.content)).info) is there
    assert http.get(f"{made.path}/rendered", params={"iccprofile": "cmyk"}).status_code == 400


@pytest.mark.dicom("PS3.4 N.2")
@pytest.mark.row(87)
def test_it_applies_all_transformations_of_an_instance(http: httpx.Client):
    cells = np.arange(48 * 64, dtype="<u2").reshape(48, 64)
    table = item(LUTDescriptor=[3072, 0, 12], LUTData=[int(value) for value in 3071 - np.arange(3072)])
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    groups = item(
        PixelValueTransformationSequence=Sequence(
            [item(RescaleSlope=2, RescaleIntercept=0, RescaleType="US")]
        ),
        FrameVOILUTSequence=Sequence(
            [item(WindowCenter=3072, WindowWidth=6144, VOILUTFunction="LINEAR_EXACT")]
        ),
    )
    given = {"Rows": 48, "Columns": 64, "BitsStored": 16, "HighBit": 15, "PixelData": cells.tobytes()}
    with_table = plain("table", study="REN", series="lut", VOILUTSequence=Sequence([table]), **given)
    with_groups = plain(
        "groups", study="REN", series="lut", SharedFunctionalGroupsSequence=Sequence([groups]), **given
    )
    voi = {"WindowCenter": 1536, "WindowWidth": 3072, "VOILUTFunction": "LINEAR_EXACT"}
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    padded = plain("padded", study="REN", series="lut", **voi, **inverse, **given)
    covered = plain("covered", study="REN", series="lut", WindowCenter=60000, WindowWidth=10, **given)
    plane = {0x0010: ("US", 48), 0x0011: ("US", 64), 0x0040: ("CS", "G"), 0x0050: ("SS", [1, 1])}
    plane |= {0x0100: ("US", 1), 0x0102: ("US", 0), 0x3000: ("OW", b"\x01" * (48 * 8))}
    for element, (vr, value) in plane.items():
        covered.dataset.add_new((0x6000, element), vr, value)
    store(http, [with_table.data, with_groups.data, padded.data, encode(covered.dataset)])

    assert are(levels(http, with_table), (3071 - cells) / 4095 * 255)
    assert are(levels(http, with_groups), exact(cells * 2.0, 0, 6144))
    inverted = 255 - exact(cells.astype(float), 0, 3072)
    inverted[0, 0] = 0
    assert are(levels(http, padded), inverted)
    assert are(levels(http, covered), np.where(np.arange(64) % 8 == 0, 255, 0) + np.zeros((48, 1)))


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
@pytest.mark.row(88)
def test_it_renders_a_presentation_state_by_the_images_it_is_for(http: httpx.Client, ct: Object):
    state = plain("state", study="REN", series="states", modality="PR", pixels=False)
    reference = item(ReferencedSOPClassUID=ct.dataset.SOPClassUID, ReferencedSOPInstanceUID=ct.instance_uid)
    series = item(SeriesInstanceUID=ct.series_uid, ReferencedImageSequence=Sequence([reference]))
    voi = item(WindowCenter=0, WindowWidth=2000, VOILUTFunction="LINEAR_EXACT")
    for keyword, value in {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1",
        "SOPInstanceUID": uid("REN/states/state"),
        "ReferencedSeriesSequence": Sequence([series]),
        "SoftcopyVOILUTSequence": Sequence([voi]),
        "RescaleSlope": 1,
        "RescaleIntercept": -24,
        "PresentationLUTShape": "INVERSE",
        "ImageRotation": 90,
        "ImageHorizontalFlip": "N",
    }.items():
        setattr(state.dataset, keyword, value)
    state.dataset.file_meta.MediaStorageSOPClassUID = state.dataset.SOPClassUID
    state.dataset.file_meta.MediaStorageSOPInstanceUID = state.dataset.SOPInstanceUID
    store(http, [encode(state.dataset)])

    wanted = 255 - exact(np.rot90(RAMP, -1).astype(float) - 24, -1000, 1000)
    assert are(levels(http, state), wanted)


@pytest.mark.dicom("PS3.18 10.4.1.1.5")
@pytest.mark.row(89)
def test_it_gives_thumbnails_at_every_level(http: httpx.Client, objects: Objects, ct: Object):
    study = f"/studies/{ct.study_uid}"
    for path in (study, f"{study}/series/{ct.series_uid}", ct.path, f"{ct.path}/frames/1"):
        response = http.get(f"{path}/thumbnail")
        assert response.headers["Content-Type"] == "image/jpeg"
        assert max(array(response.content).shape) == 256
        small = http.get(f"{path}/thumbnail", params={"viewport": "32,32"}, headers=PNG)
        assert array(small.content).shape == (24, 32)
    icon = http.get(f"{objects['BULK/pdf'].path}/thumbnail")
    assert array(icon.content).shape == (256, 256)
    assert http.get(f"{study}/series/2.25.404/thumbnail").status_code == 404


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
@pytest.mark.row(76)
def test_it_says_what_can_be_had_of_a_video_instead_of_frames(http: httpx.Client, test_data):
    made = pydicom.dcmread(test_data / "synthetic" / "video_h264.dcm")
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = (
        uid("VID"),
        uid("VID/1"),
        uid("VID/1/1"),
    )
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    store(http, [encode(made)])
    path = f"/studies/{uid('VID')}/series/{uid('VID/1')}/instances/{uid('VID/1/1')}"
    for frame in ("frames/1", "frames/1/rendered"):
        refused = http.get(f"{path}/{frame}", headers={"Accept": "image/jpeg"})
        assert refused.status_code == 406
        assert any("video/mp4" in offer for offer in refused.json()["offered"])
    whole = http.get(f"{path}/rendered", headers={"Accept": "video/mp4", "Range": "bytes=0-99"})
    assert (whole.status_code, len(whole.content)) == (206, 100)
