"""dicomweb-client's rendering calls, whole slide tiles, and what whole slide viewers ask, in their order."""

import io
import re

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image

from conformance.multiparts import parts
from conformance.objects import Object
from conformance.shown_objects import TILE, TILES

AS_STORED = "multipart/related; type=application/octet-stream; transfer-syntax=*"
EXPLICIT = "1.2.840.10008.1.2.1"


def names(one: Object) -> tuple[str, str, str]:
    return one.study_uid, one.series_uid, one.instance_uid


def tiles_of(one: Object) -> list[bytes]:
    data, size = one.dataset.PixelData, TILE * TILE * 3
    return [data[n * size : (n + 1) * size] for n in range(TILES)]


@pytest.mark.row(80, 81)
@pytest.mark.parametrize(
    ("media_types", "signature"),
    [
        (None, b"\xff\xd8\xff"),
        (("image/jpeg",), b"\xff\xd8\xff"),
        (("image/png",), b"\x89PNG"),
        (("image/gif",), b"GIF8"),
        (("image/png", "image/gif"), b"\xff\xd8\xff"),  # of several the client says */*
        (("image/*",), b"\xff\xd8\xff"),
    ],
)
def test_dicomweb_client_retrieves_a_rendered_instance_in_each_media_type(
    client: DICOMwebClient, shown: dict[str, Object], media_types: tuple[str, ...] | None, signature: bytes
):
    got = client.retrieve_instance_rendered(*names(shown["image"]), media_types=media_types)

    assert got.startswith(signature)
    with Image.open(io.BytesIO(got)) as picture:
        assert picture.size == (48, 32)


@pytest.mark.row(82, 83, 84)
def test_dicomweb_client_retrieves_a_rendering_with_its_parameters(
    client: DICOMwebClient, shown: dict[str, Object]
):
    got = client.retrieve_instance_rendered(
        *names(shown["image"]),
        media_types=("image/png",),
        params={"viewport": "24,16", "window": "0,2000,linear", "quality": 80},
    )

    with Image.open(io.BytesIO(got)) as picture:
        assert picture.size == (24, 16)


@pytest.mark.row(77, 81)
@pytest.mark.parametrize(
    ("name", "media_type", "signature"),
    [
        ("report", "text/html", b"<!DOCTYPE html>"),
        ("report", "text/plain", b"R\xc3\xb6ntgen <report>\n="),
        ("report", "text/xml", b"<?xml"),
        ("pdf", "application/pdf", b"%PDF-1.4"),
        ("cda", "text/xml", b'<?xml version="1.0"?>\n<ClinicalDocument'),
        ("cine", "image/gif", b"GIF89a"),
        ("cine", "image/webp", b"RIFF"),
        ("video", "video/mp4", b"\0\0\0\x18ftyp"),
    ],
)
def test_what_is_no_picture_is_rendered_as_what_it_is(
    http: httpx.Client, shown: dict[str, Object], name: str, media_type: str, signature: bytes
):
    by_header = http.get(f"{shown[name].path}/rendered", headers={"Accept": media_type})
    by_parameter = http.get(f"{shown[name].path}/rendered", params={"accept": media_type})
    cut = http.get(
        f"{shown[name].path}/rendered", params={"accept": media_type}, headers={"Range": "bytes=2-5"}
    )

    assert by_header.headers["Content-Type"].partition(";")[0] == media_type
    assert by_header.content.startswith(signature)
    assert by_parameter.content == by_header.content
    assert (cut.status_code, cut.content) == (206, by_header.content[2:6])


@pytest.mark.row(77, 81)
@pytest.mark.parametrize(
    ("name", "media_types", "signature"),
    [
        ("report", ("text/html",), b"<!DOCTYPE html>"),
        ("report", ("text/plain",), b"R\xc3\xb6ntgen"),
        ("report", ("text/xml",), b"<?xml"),
        ("report", ("text/*",), b"<!DOCTYPE html>"),
        ("pdf", ("application/pdf",), b"%PDF-1.4"),
        ("video", ("video/mp4",), b"\0\0\0\x18ftyp"),
        ("video", ("video/*",), b"\0\0\0\x18ftyp"),
    ],
)
def test_dicomweb_client_retrieves_texts_documents_and_videos(
    client: DICOMwebClient,
    shown: dict[str, Object],
    name: str,
    media_types: tuple[str, ...],
    signature: bytes,
):
    got = client.retrieve_instance_rendered(*names(shown[name]), media_types=media_types)

    assert got.startswith(signature)


@pytest.mark.row(81)
def test_a_rendered_report_shows_its_content_and_no_markup_of_it(
    http: httpx.Client, shown: dict[str, Object]
):
    page = http.get(f"{shown['report'].path}/rendered", headers={"Accept": "text/html"})

    assert "Röntgen &lt;report&gt;" in page.text
    assert "no &lt;b&gt;finding&lt;/b&gt; ≥ 3 mm" in page.text
    assert "This report is not verified." in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "unsafe" not in policy


@pytest.mark.row(81)
def test_a_cine_becomes_a_film_that_plays_at_its_own_speed(http: httpx.Client, shown: dict[str, Object]):
    av = pytest.importorskip("av")
    film = http.get(f"{shown['cine'].path}/rendered", params={"accept": "video/mp4"})
    gif = http.get(f"{shown['cine'].path}/rendered", params={"accept": "image/gif"})

    if film.status_code == 406:
        pytest.skip("the server under test has no video encoder")
    with av.open(io.BytesIO(film.content)) as video:
        pictures = list(video.decode(video=0))
        assert len(pictures) == 6
        assert [round(picture.time * 1000) for picture in pictures] == [0, 40, 80, 120, 160, 200]
        assert (pictures[0].width, pictures[0].height) == (16, 24)
    with Image.open(io.BytesIO(gif.content)) as animated:
        assert (animated.n_frames, animated.info["duration"]) == (6, 40)


@pytest.mark.row(80)
def test_dicomweb_client_retrieves_rendered_frames(client: DICOMwebClient, shown: dict[str, Object]):
    jpeg = client.retrieve_instance_frames_rendered(*names(shown["cine"]), frame_numbers=[3])
    png = client.retrieve_instance_frames_rendered(
        *names(shown["rle"]), frame_numbers=[2], media_types=("image/png",), params={"viewport": "8,12"}
    )

    assert jpeg.startswith(b"\xff\xd8\xff")
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (8, 12)


@pytest.mark.row(79)
@pytest.mark.parametrize("level", ["study", "series"])
def test_a_rendered_study_and_series_hold_every_instance(
    http: httpx.Client, shown: dict[str, Object], level: str
):
    one = shown["cine"]
    path = f"/studies/{one.study_uid}" + (f"/series/{one.series_uid}" if level == "series" else "")

    response = http.get(f"{path}/rendered", headers={"Accept": 'multipart/related; type="*/*"'})

    found = parts(response)
    places = {str(part.headers["Content-Location"]) for part in found}
    wanted = [one] if level == "series" else list(shown.values())
    for each in wanted:
        assert any(each.instance_uid in place for place in places), each.name
    assert len([place for place in places if one.instance_uid in place]) == 6


@pytest.mark.row(89)
def test_dicomweb_client_and_viewers_retrieve_thumbnails_at_every_level(
    http: httpx.Client, shown: dict[str, Object]
):
    one = shown["image"]
    study = f"/studies/{one.study_uid}"
    for path in (study, f"{study}/series/{one.series_uid}", one.path, f"{shown['rle'].path}/frames/2"):
        response = http.get(f"{path}/thumbnail", params={"viewport": "20,20"})

        assert response.status_code == 200, path
        with Image.open(io.BytesIO(response.content)) as picture:
            assert max(picture.size) <= 20


@pytest.mark.row(65, 66, 68)
@pytest.mark.parametrize(
    "media_types",
    [
        None,
        ("application/octet-stream",),
        (("application/octet-stream", EXPLICIT),),
    ],
)
def test_dicomweb_client_retrieves_bulk_data_in_each_media_type(
    client: DICOMwebClient, shown: dict[str, Object], media_types: tuple[str, ...] | None
):
    address = f"{client.base_url}{shown['pdf'].path}/bulkdata/00420011"
    whole = shown["pdf"].dataset.EncapsulatedDocument

    got = client.retrieve_bulkdata(address, media_types=media_types)

    assert got == [whole]
    assert list(client.iter_bulkdata(address, media_types=media_types)) == [whole]


@pytest.mark.row(68)
def test_dicomweb_client_retrieves_a_range_of_bulk_data(client: DICOMwebClient, shown: dict[str, Object]):
    address = f"{client.base_url}{shown['pdf'].path}/bulkdata/00420011"
    octets = ("application/octet-stream",)

    got = client.retrieve_bulkdata(address, media_types=octets, byte_range=(0, 7))

    assert got == [b"%PDF-1.4"]


@pytest.mark.row(69, 70, 74)
def test_the_tiles_of_a_slide_come_by_one_list_and_one_by_one(http: httpx.Client, shown: dict[str, Object]):
    slide = shown["tiles"]
    numbers = ",".join(str(number) for number in range(1, TILES + 1))

    listed = http.get(f"{slide.path}/frames/{numbers}", headers={"Accept": AS_STORED})
    alone = [
        http.get(
            f"{slide.path}/frames/{number}",
            headers={"Accept": "application/octet-stream; transfer-syntax=*"},
        )
        for number in range(1, TILES + 1)
    ]

    wanted = tiles_of(slide)
    assert [part.content for part in parts(listed)] == wanted
    assert [response.content for response in alone] == wanted
    assert {response.status_code for response in alone} == {200}
    heads = {part.content_type for part in parts(listed)}
    assert heads == {f"application/octet-stream; transfer-syntax={EXPLICIT}"}


@pytest.mark.row(69)
def test_dicomweb_client_retrieves_the_tiles_of_a_slide_in_any_order(
    client: DICOMwebClient, shown: dict[str, Object]
):
    numbers = [140, 1, 77, 2]

    got = client.retrieve_instance_frames(*names(shown["tiles"]), frame_numbers=numbers)

    assert got == [tiles_of(shown["tiles"])[number - 1] for number in numbers]


@pytest.mark.row(12, 40, 55, 69)
def test_wsidicom_finds_a_slide_probes_its_syntaxes_and_reads_its_tiles(
    http: httpx.Client, shown: dict[str, Object]
):
    slide = shown["tiles"]
    study = f"/studies/{slide.study_uid}"

    found = http.get(
        f"{study}/instances",
        params={
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6",
            "SeriesInstanceUID": f"{slide.series_uid},1.2.3.4",
            "Modality": "SM",
            "includefield": "AvailableTransferSyntaxUID",
        },
        headers={"Accept": "application/dicom+json, application/json"},
    ).json()
    header = http.get(f"{slide.path}/metadata").json()[0]
    probed = {
        syntax: http.get(
            f"{slide.path}/frames/1",
            headers={"Accept": f'multipart/related; type="{kind}"; transfer-syntax={syntax}'},
        ).status_code
        for kind, syntax in (
            ("application/octet-stream", EXPLICIT),
            ("video/mp4", "1.2.840.10008.1.2.4.102"),
            ("application/octet-stream", "1.2.840.10008.1.2.2"),
        )
    }
    read = http.get(
        f"{slide.path}/frames/1,15,29",
        headers={"Accept": f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}'},
    )

    assert [one["00080018"]["Value"] for one in found] == [[slide.instance_uid]]
    assert found[0]["00083002"]["Value"] == [EXPLICIT]
    assert header["00480006"]["Value"] == [14 * TILE]
    assert list(probed.values()) == [200, 406, 406]
    assert [part.content for part in parts(read)] == [tiles_of(slide)[n] for n in (0, 14, 28)]


@pytest.mark.row(5, 12, 61, 64, 80)
def test_slim_lists_slides_reads_the_profile_shows_the_overview_and_the_tiles(
    http: httpx.Client, shown: dict[str, Object]
):
    slide = shown["tiles"]
    json = {"Accept": "application/dicom+json"}

    studies = http.get("/studies", params={"ModalitiesInStudy": "SM", "fuzzymatching": "true"}, headers=json)
    series = http.get("/series", params={"Modality": "SM", "StudyInstanceUID": slide.study_uid}, headers=json)
    notes = http.get(f"/studies/{slide.study_uid}/series", params={"Modality": "ANN"}, headers=json)
    states = http.get(f"/studies/{slide.study_uid}/instances", params={"Modality": "SR"}, headers=json)
    metadata = http.get(f"/studies/{slide.study_uid}/series/{slide.series_uid}/metadata", headers=json)
    uri = metadata.json()[0]["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    profile = http.get(
        metadata.url.join(uri), headers={"Accept": "multipart/related; type=application/octet-stream"}
    )
    overview = http.get(
        f"{slide.path}/frames/1/rendered",
        params={"viewport": "8,8", "iccprofile": "no"},
        headers={"Accept": "image/png"},
    )
    tile = http.get(
        f"{slide.path}/frames/5", headers={"Accept": "application/octet-stream; transfer-syntax=*"}
    )
    missing = http.get("/studies/1.2.3.4/series/1.2.3/metadata", headers=json)

    assert slide.study_uid in {one["0020000D"]["Value"][0] for one in studies.json()}
    assert [one["0020000E"]["Value"][0] for one in series.json()] == [slide.series_uid]
    assert (notes.status_code, notes.json()) == (200, [])
    assert [one["00080018"]["Value"][0] for one in states.json()] == [shown["report"].instance_uid]
    assert [part.content for part in parts(profile)] == [b"\0" * 2048]
    with Image.open(io.BytesIO(overview.content)) as picture:
        assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == [0, 255, 0]
    assert tile.content == tiles_of(slide)[4]
    assert missing.status_code == 404


@pytest.mark.row(44, 69, 77)
def test_a_viewer_reads_what_it_was_given_by_the_first_parts_header_alone(
    http: httpx.Client, shown: dict[str, Object]
):
    # dcmjs and Cornerstone3D find "Content-Type:" by its letters within the first 1000 bytes, and take the
    # first part's for all.
    response = http.get(f"{shown['rle'].path}/frames/1,2,3", headers={"Accept": AS_STORED})

    head = response.content[:1000]
    boundary = re.match(rb"--(\S+)\r\n", head)
    assert boundary is not None
    assert b"\r\nContent-Type: image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5\r\n" in head or (
        b"\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5\r\n" in head
    )
    assert head.index(b"\r\n\r\n") < 1000
    assert len({part.content_type for part in parts(response)}) == 1
    stored = list(pydicom.encaps.generate_frames(shown["rle"].dataset.PixelData, number_of_frames=6))
    assert [part.content.rstrip(b"\0") for part in parts(response)] == [
        frame.rstrip(b"\0") for frame in stored[:3]
    ]
