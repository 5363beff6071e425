"""Frames and instances in transfer syntaxes they are not stored in, over HTTP."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomweb_box.archive.decoding import Decoding
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.dicom import transcode
from tests.builders import make_dataset, make_instance, part10
from tests.dicom import lent_codecs
from tests.dicomweb.pixel_objects import NATIVE, cells, encapsulated, multi_frame
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

lent_codecs.lend()
JLS, J2K, RLE = transcode.JPEG_LS, transcode.JPEG_2000_LOSSLESS, transcode.RLE
VIDEO = "1.2.840.10008.1.2.4.102"
MEDIA_TYPES = {
    transcode.JPEG_LS: "image/jls",
    transcode.JPEG_2000_LOSSLESS: "image/jp2",
    transcode.HTJ2K_LOSSLESS: "image/jphc",
    transcode.HTJ2K_RPCL: "image/jphc",
    transcode.JPEG_LOSSLESS: "image/jpeg",
    transcode.RLE: "image/dicom-rle",
    transcode.JPEG_XL_LOSSLESS: "image/jxl",
}


@pytest.fixture
def dialect() -> str:
    """One database is enough: none of this depends on it."""
    return "sqlite"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def slices(frames: int = 3) -> np.ndarray[Any, Any]:
    return cells(frames, 16, 20)


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def parts_by_uid(response: httpx.Response) -> dict[str, tuple[str, pydicom.Dataset]]:
    return {
        fields["Content-Location"].rpartition("/")[2]: (fields["Content-Type"], read(body))
        for fields, body in parts_of(response)
    }


@pytest.mark.row(51)
@pytest.mark.row(71)
@pytest.mark.row(72)
@pytest.mark.dicom("PS3.18 8.7.3.5.3")
@pytest.mark.parametrize("target", sorted(MEDIA_TYPES))
@pytest.mark.parametrize("stored_as", [ExplicitVRLittleEndian, J2K])
async def test_frames_are_encoded_as_asked(
    box: Box, client: httpx.AsyncClient, stored_as: str, target: str
) -> None:
    frames = slices()
    encoded = [bytes(imagecodecs.jpeg2k_encode(one, level=0, codecformat="J2K")) for one in frames]
    data = encapsulated(encoded, frames[0], J2K) if stored_as == J2K else multi_frame(frames)
    stored = await put(box, data)
    named = f"{MEDIA_TYPES[target]}; transfer-syntax={target}"

    single = await client.get(path_of(stored, "frames", "2"), headers={"accept": named})
    several = await client.get(
        path_of(stored, "frames", "1-3"),
        headers={"accept": f'multipart/related; type="{MEDIA_TYPES[target]}"; transfer-syntax={target}'},
    )

    assert (single.status_code, single.headers["content-type"]) == (200, named)
    bodies = [body for _, body in parts_of(several)]
    assert {fields["Content-Type"] for fields, _ in parts_of(several)} == {named}
    assert bodies[1] == single.content
    if target != stored_as:
        image = {"photometric": "MONOCHROME2", "bits": 16}
        assert [by_codec(target, body, image).tolist() for body in bodies] == frames.tolist()


def by_codec(target: str, body: bytes, image: dict[str, Any]) -> np.ndarray[Any, Any]:
    if target == RLE:
        native = imagecodecs.dicomrle_decode(body, dtype=f"<u{image['bits'] // 8}")
        return np.frombuffer(native, f"<u{image['bits'] // 8}").reshape(16, 20)
    decoders = {
        "image/jls": imagecodecs.jpegls_decode,
        "image/jp2": imagecodecs.jpeg2k_decode,
        "image/jphc": imagecodecs.htj2k_decode,
        "image/jpeg": imagecodecs.jpegsof3_decode,
        "image/jxl": imagecodecs.jpegxl_decode,
    }
    decoded: np.ndarray[Any, Any] = decoders[MEDIA_TYPES[target]](body)
    return decoded


@pytest.mark.row(50)
@pytest.mark.dicom("PS3.18 8.7.8")
@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (f"image/jls; q=0.5, image/jp2; q=0.9, {NATIVE}; q=0.1", f"image/jp2; transfer-syntax={J2K}"),
        (f"image/jls; q=0.9, image/jp2; q=0.5, {NATIVE}; q=0.1", f"image/jls; transfer-syntax={JLS}"),
        (f"image/jls, {NATIVE}", NATIVE),
        (f"image/jls; q=0.3, {NATIVE}; q=0.3", NATIVE),
        (f"image/jls; q=0, image/jp2; q=0.1, {NATIVE}; q=0", f"image/jp2; transfer-syntax={J2K}"),
        ("image/x-jls, */*; q=0.1", f"image/jls; transfer-syntax={JLS}"),
        ("image/*", f"image/jls; transfer-syntax={JLS}"),
        ("image/jpeg", f"image/jpeg; transfer-syntax={transcode.JPEG_LOSSLESS}"),
    ],
)
async def test_the_best_liked_is_given_and_what_is_there_before_what_is_made(
    box: Box, client: httpx.AsyncClient, accept: str, given: str
) -> None:
    stored = await put(box, multi_frame(slices()))

    response = await client.get(path_of(stored, "frames", "1"), headers={"accept": accept})

    assert response.headers["content-type"] == given


@pytest.mark.row(50)
@pytest.mark.row(51)
@pytest.mark.dicom("PS3.18 8.7.3.3.2")
@pytest.mark.parametrize(
    ("stored_as", "target"),
    [
        (stored_as, target)
        for target in MEDIA_TYPES
        for stored_as in (
            ExplicitVRLittleEndian,
            ImplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
            J2K,
        )
        if target != stored_as
    ],
)
async def test_instances_are_encoded_frame_by_frame(
    box: Box, client: httpx.AsyncClient, stored_as: str, target: str
) -> None:
    frames = slices()
    encoded = [bytes(imagecodecs.jpeg2k_encode(one, level=0, codecformat="J2K")) for one in frames]
    data = encapsulated(encoded, frames[0], J2K) if stored_as == J2K else multi_frame(frames, stored_as)
    stored = await put(box, data)

    response = await client.get(
        path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={target}"}
    )

    found, before = read(response.content), read(data)
    assert response.headers["content-type"] == f"application/dicom; transfer-syntax={target}"
    assert found.file_meta.TransferSyntaxUID == target
    assert found.SOPInstanceUID == before.SOPInstanceUID
    assert [one.tag for one in found] == [one.tag for one in before]
    assert all(found[one.tag].value == one.value for one in before if one.keyword != "PixelData")
    encoded = list(generate_frames(found.PixelData, number_of_frames=3))
    got = [by_codec(target, one, {"bits": 16}) for one in encoded]
    assert np.array_equal(np.stack(got), frames)
    if target != transcode.JPEG_XL_LOSSLESS:
        assert np.array_equal(found.pixel_array, frames)


def colour(planar: int = 0, **attributes: Any) -> tuple[bytes, np.ndarray[Any, Any]]:
    ramp = np.linspace(0, 255, 32 * 24 * 3).reshape(32, 24, 3).astype(np.uint8)
    ds = make_dataset(
        **{
            "Rows": 32,
            "Columns": 24,
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "ImageType": ["ORIGINAL", "PRIMARY", "COLOR"],
            "PixelData": (ramp.transpose(2, 0, 1) if planar else ramp).tobytes(),
        }
        | attributes
    )
    ds.PlanarConfiguration = planar
    ds["PixelData"].VR = "OB"
    return part10(ds, transfer_syntax=ExplicitVRLittleEndian), ramp


@pytest.mark.row(51)
@pytest.mark.dicom("PS3.5 8.2")
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(
    ("target", "photometric"),
    [
        (transcode.JPEG_BASELINE, "YBR_FULL_422"),
        (transcode.JPEG_2000, "YBR_ICT"),
        (J2K, "YBR_RCT"),
        (transcode.HTJ2K_LOSSLESS, "YBR_RCT"),
        (JLS, "RGB"),
        (RLE, "RGB"),
        (transcode.JPEG_LOSSLESS, "RGB"),
    ],
)
async def test_the_label_follows_the_bytes_of_colour(
    box: Box, client: httpx.AsyncClient, target: str, photometric: str, planar: int
) -> None:
    data, ramp = colour(planar)
    stored = await put(box, data)

    response = await client.get(
        path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={target}"}
    )

    found = read(response.content)
    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == (photometric, 0)
    difference = np.abs(found.pixel_array.astype(int) - ramp).max()
    assert difference <= (6 if target in transcode.LOSSY else 0)


@pytest.mark.dicom("PS3.3 C.7.6.1.1.5")
async def test_lossy_frames_are_only_given_by_name_and_the_instance_says_so(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, _ = colour()
    stored = await put(box, data)
    lossy = f"application/dicom; transfer-syntax={transcode.JPEG_BASELINE}"

    found = read((await client.get(path_of(stored), headers={"accept": lossy})).content)
    unnamed = await client.get(path_of(stored, "frames", "1"), headers={"accept": "image/jpeg"})
    anything = await client.get(path_of(stored), headers={"accept": "application/dicom; transfer-syntax=*"})

    assert found.LossyImageCompression == "01"
    assert found.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(found.LossyImageCompressionRatio) > 1
    assert list(found.ImageType) == ["DERIVED", "PRIMARY", "COLOR"]
    assert found.SOPInstanceUID == stored.instance_uid
    assert unnamed.headers["content-type"].endswith(transcode.JPEG_LOSSLESS)
    assert anything.content == data


@pytest.mark.row(55)
@pytest.mark.parametrize(
    ("attributes", "target"),
    [
        ({"BitsStored": 12, "HighBit": 11}, transcode.JPEG_BASELINE),
        ({"BitsStored": 12, "HighBit": 15}, JLS),
    ],
)
async def test_what_cannot_be_expressed_is_not_acceptable(
    box: Box, client: httpx.AsyncClient, attributes: dict[str, Any], target: str
) -> None:
    stored = await put(box, make_instance(**attributes))

    frame = await client.get(
        path_of(stored, "frames", "1"), headers={"accept": f"*/*; transfer-syntax={target}"}
    )
    whole = await client.get(
        path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={target}"}
    )

    assert frame.status_code == whole.status_code == 406
    assert NATIVE in frame.json()["offered"]
    assert not any(target in one for one in frame.json()["offered"] + whole.json()["offered"])


def video(**attributes: Any) -> bytes:
    return encapsulated([b"\0\0\0\x01" * 20], np.zeros((8, 8, 3), np.uint8), VIDEO, **attributes)


@pytest.mark.row(55)
@pytest.mark.row(76)
async def test_a_video_is_given_as_stored_or_not_at_all(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, video())

    encoded = await client.get(
        path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={JLS}"}
    )
    frame = await client.get(path_of(stored, "frames", "1"), headers={"accept": "image/jls"})
    as_stored = await client.get(path_of(stored), headers={"accept": "application/dicom; transfer-syntax=*"})

    assert encoded.status_code == frame.status_code == 406
    assert any(VIDEO in one for one in encoded.json()["offered"])
    assert "bulkdata/7FE00010" in frame.json()["error"]
    assert as_stored.status_code == 200


@pytest.mark.row(50)
@pytest.mark.dicom("PS3.18 10.4.3.1")
async def test_a_study_is_encoded_and_what_cannot_be_is_named(box: Box, client: httpx.AsyncClient) -> None:
    first = await put(box, multi_frame(slices()))
    ds = read(video())
    ds.StudyInstanceUID, ds.SeriesInstanceUID = first.study_uid, first.series_uid
    buffer = BytesIO()
    ds.save_as(buffer)
    second = await put(box, buffer.getvalue())
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={JLS}'

    response = await client.get(f"/studies/{first.study_uid}", headers={"accept": accept})

    assert response.status_code == 206
    assert second.instance_uid in response.headers["warning"]
    [(content_type, found)] = parts_by_uid(response).values()
    assert content_type == f"application/dicom; transfer-syntax={JLS}"
    assert np.array_equal(found.pixel_array, slices())


@pytest.mark.row(75)
async def test_all_frames_come_without_a_list(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, multi_frame(slices(5)))

    response = await client.get(path_of(stored, "frames"))

    assert response.status_code == 200
    assert [body for _, body in parts_of(response)] == [one.tobytes() for one in slices(5)]


async def test_a_frame_is_encoded_once(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await put(box, multi_frame(slices()))
    decoding = box.resource(Decoding, Decoding)
    encoded: list[int] = []
    original = decoding._encoded

    def counting(*arguments: Any) -> bytes:
        encoded.append(1)
        return original(*arguments)

    monkeypatch.setattr(decoding, "_encoded", counting)
    answers = [
        await client.get(path_of(stored, "frames", "1"), headers={"accept": "image/jls"}) for _ in range(3)
    ]

    assert len({answer.content for answer in answers}) == 1
    assert len(encoded) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1


@pytest.mark.row(66)
async def test_pixel_data_as_bulk_data_is_encoded_too(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, multi_frame(slices()))

    response = await client.get(
        path_of(stored, "bulkdata", "7FE00010"), headers={"accept": 'multipart/related; type="image/jls"'}
    )

    assert response.status_code == 200
    got = [imagecodecs.jpegls_decode(body) for _, body in parts_of(response)]
    assert np.array_equal(np.stack(got), slices())


async def test_a_damaged_frame_is_offered_as_stored(box: Box, client: httpx.AsyncClient) -> None:
    frames = slices(1)
    broken = bytes(imagecodecs.jpeg2k_encode(frames[0], level=0, codecformat="J2K"))[:60]
    stored: Stored = await put(box, encapsulated([broken], frames[0], J2K))

    frame = await client.get(path_of(stored, "frames", "1"), headers={"accept": "image/jls"})
    whole = await client.get(path_of(stored), headers={"accept": f"application/dicom; transfer-syntax={JLS}"})

    assert frame.status_code == whole.status_code == 406
    assert f"image/jp2; transfer-syntax={J2K}" in frame.json()["offered"]
    assert f"application/dicom; transfer-syntax={J2K}" in whole.json()["offered"]
