"""Frames: PS3.18 10.4.1.1.6, 8.7.3.3."""

import io
import shutil
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import generate_frames

from conformance import reading
from conformance.multiparts import parts
from conformance.objects import Object, plain
from conformance.server import started
from conformance.stow import store

Objects = dict[str, Object]
OCTETS = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"

# Media types of Table 8.7.3-5 by the name of the encoding.
COMPRESSED = {
    "rle": "image/dicom-rle",
    "rle2": "image/dicom-rle",
    "j2k": "image/jp2",
    "jls": "image/jls",
    "jpeg": "image/jpeg",
    "cine": "image/jpeg",
}


def native(made: Object) -> list[bytes]:
    """Each frame's bytes as native little endian, by pydicom."""
    return reading.native(pydicom.dcmread(io.BytesIO(made.data)))


def encapsulated(made: Object) -> list[bytes]:
    """Each frame's bytes as stored, by pydicom."""
    count = int(made.dataset.get("NumberOfFrames") or 1)
    return list(generate_frames(made.dataset.PixelData, number_of_frames=count))


@pytest.mark.dicom("PS3.18 10.4.1.1.6")
@pytest.mark.row(69)
def test_it_gives_frames_by_list(client: DICOMwebClient, objects: Objects):
    made = objects["ENC/native8"]
    uids = (made.study_uid, made.series_uid, made.instance_uid)
    expected = native(made)
    assert client.retrieve_instance_frames(*uids, frame_numbers=[1, 3, 8]) == [expected[n] for n in (0, 2, 7)]
    assert list(client.iter_instance_frames(*uids, frame_numbers=[2])) == [expected[1]]
    assert client.retrieve_instance_frames(*uids, frame_numbers=[3, 1]) == [expected[2], expected[0]]


@pytest.mark.row(69)
@pytest.mark.parametrize(
    ("frames", "status"), [("9", 404), ("0", 400), ("x", 400), ("1,,2", 400), ("-1", 400)]
)
def test_it_refuses_frames_that_are_not_there(http: httpx.Client, objects: Objects, frames: str, status: int):
    response = http.get(f"{objects['ENC/native8'].path}/frames/{frames}")
    assert response.status_code in {status, 404}
    assert response.json()["error"]


@pytest.mark.row(70)
@pytest.mark.parametrize(
    "accept", [OCTETS, f"{OCTETS}; transfer-syntax={EXPLICIT}", f"{OCTETS}; transfer-syntax=*"]
)
def test_it_gives_a_frame_as_a_single_part(http: httpx.Client, objects: Objects, accept: str):
    made = objects["ENC/native8"]
    response = http.get(f"{made.path}/frames/5", headers={"Accept": accept})
    assert (response.status_code, response.content) == (200, native(made)[4])
    assert response.headers["Content-Type"].startswith(OCTETS)


@pytest.mark.dicom("PS3.18 8.7.3.3.2")
@pytest.mark.row(71, 72, 73)
@pytest.mark.parametrize(("name", "media_type"), sorted(COMPRESSED.items()))
@pytest.mark.parametrize("syntax", ["*", "own"])
def test_it_gives_compressed_frames_as_stored(
    http: httpx.Client, objects: Objects, name: str, media_type: str, syntax: str
):
    made = objects[f"ENC/{name}"]
    own = str(made.dataset.file_meta.TransferSyntaxUID)
    expected = encapsulated(made)
    numbers = range(1, len(expected) + 1)
    accept = f'multipart/related; type="{media_type}"; transfer-syntax={"*" if syntax == "*" else own}'
    response = http.get(f"{made.path}/frames/{','.join(map(str, numbers))}", headers={"Accept": accept})
    assert response.status_code == 200, response.text
    answer = parts(response)
    assert [part.content for part in answer] == expected
    for part in answer:
        assert part.content_type.split(";")[0] == media_type
        assert f"transfer-syntax={own}" in part.content_type


@pytest.mark.row(71)
@pytest.mark.parametrize("name", sorted(COMPRESSED))
def test_it_gives_compressed_frames_as_octets_with_their_transfer_syntax(
    http: httpx.Client, objects: Objects, name: str
):
    made = objects[f"ENC/{name}"]
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    (part,) = parts(http.get(f"{made.path}/frames/1", headers={"Accept": accept}))
    assert part.content == encapsulated(made)[0]
    assert str(made.dataset.file_meta.TransferSyntaxUID) in part.content_type


@pytest.mark.row(48, 69, 72)
@pytest.mark.parametrize(
    "name", ["explicit", "implicit", "bigendian", "deflated", "rle", "j2k", "jls", "rle2", "onebit"]
)
def test_it_gives_native_frames_in_little_endian(
    client: DICOMwebClient, http: httpx.Client, objects: Objects, name: str
):
    made = objects[f"ENC/{name}"]
    expected = native(made)
    numbers = list(range(1, len(expected) + 1))
    got = client.retrieve_instance_frames(
        made.study_uid, made.series_uid, made.instance_uid, frame_numbers=numbers
    )
    assert [len(frame) for frame in got] == [len(frame) for frame in expected]
    assert got == expected
    response = http.get(f"{made.path}/frames/1", headers={"Accept": f'multipart/related; type="{OCTETS}"'})
    assert f"transfer-syntax={EXPLICIT}" in parts(response)[0].content_type


@pytest.mark.row(68, 74)
def test_it_gives_ranges_of_a_frame(http: httpx.Client, objects: Objects):
    made = objects["ENC/native8"]
    response = http.get(f"{made.path}/frames/2", headers={"Accept": OCTETS, "Range": "bytes=10-19"})
    assert (response.status_code, response.content) == (206, native(made)[1][10:20])


@pytest.mark.row(74)
def test_the_last_of_many_frames_costs_no_more_than_the_first(http: httpx.Client):
    made = plain("many", study="MANY", series="s")
    count, size = 4000, 32 * 48 * 2
    made.dataset.NumberOfFrames = count
    made.dataset.PixelData = b"".join(n.to_bytes(4, "little") * (size // 4) for n in range(count))
    store(http, [Object(name="many", data=_encoded(made), dataset=made.dataset).data])
    for n in (1, 2000, count):
        body = http.get(f"{made.path}/frames/{n}", headers={"Accept": OCTETS}).content
        assert body == (n - 1).to_bytes(4, "little") * (size // 4)


@pytest.mark.dicom("PS3.18 10.4.3.2")
@pytest.mark.row(90)
def test_a_study_with_an_unreadable_instance_is_206_with_the_others(
    request: pytest.FixtureRequest, tmp_path: Path
):
    if request.config.getoption("--base-url"):
        pytest.skip("damages its server's files, so only one of its own")
    made = [plain(f"i{n}", study="LOST", series="s", InstanceNumber=n) for n in range(3)]
    with started(tmp_path / "data") as server, httpx.Client(base_url=server.dicomweb, timeout=60) as http:
        store(http, [o.data for o in made])
        blob = next(
            p for p in (tmp_path / "data").rglob("*") if p.is_file() and p.read_bytes() == made[1].data
        )
        shutil.move(blob, tmp_path / "taken away")
        accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        response = http.get(f"/studies/{made[0].study_uid}", headers=accept)
        assert response.status_code == 206
        assert {part.content for part in parts(response)} == {made[0].data, made[2].data}
        assert response.headers["Warning"].startswith("299 ")
        assert http.get(made[1].path, headers=accept).status_code in {404, 410, 500}


def _encoded(made: Object) -> bytes:
    from conformance.objects import encode

    return encode(made.dataset)
