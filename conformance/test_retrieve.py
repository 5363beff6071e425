"""WADO-RS, studies, series and instances: PS3.18 10.4."""

import io
from collections.abc import Callable

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from conformance.multiparts import parts
from conformance.objects import Object, plain, uid
from conformance.reading import decoded
from conformance.stow import store

Objects = dict[str, Object]
EXPLICIT = "1.2.840.10008.1.2.1"
MULTIPART = 'multipart/related; type="application/dicom"'
ENCODED = [
    "explicit",
    "implicit",
    "bigendian",
    "deflated",
    "rle",
    "j2k",
    "jls",
    "jpeg",
    "rle2",
    "onebit",
    "cine",
]


def uids(objects: Objects, prefix: str) -> set[str]:
    return {o.instance_uid for name, o in objects.items() if name.startswith(prefix)}


@pytest.mark.dicom("PS3.18 10.4.1.1.1")
@pytest.mark.row(44)
def test_it_retrieves_a_study(client: DICOMwebClient, objects: Objects):
    found = client.retrieve_study(uid("A"))
    assert {d.SOPInstanceUID for d in found} == uids(objects, "A/")
    assert {d.SOPInstanceUID for d in client.iter_study(uid("A"))} == uids(objects, "A/")


@pytest.mark.row(44)
def test_it_retrieves_a_series(client: DICOMwebClient, objects: Objects):
    found = client.retrieve_series(uid("A"), uid("A/ct"))
    assert {d.SOPInstanceUID for d in found} == uids(objects, "A/ct")
    assert {d.SOPInstanceUID for d in client.iter_series(uid("A"), uid("A/ct"))} == uids(objects, "A/ct")


@pytest.mark.row(45)
def test_it_retrieves_an_instance(client: DICOMwebClient, objects: Objects):
    wanted = objects["A/ct2"]
    found = client.retrieve_instance(wanted.study_uid, wanted.series_uid, wanted.instance_uid)
    assert found == wanted.dataset


@pytest.mark.row(46)
@pytest.mark.parametrize("transfer_syntax", ["", "; transfer-syntax=*", f"; transfer-syntax={EXPLICIT}"])
def test_it_retrieves_an_instance_as_a_single_part(
    http: httpx.Client, objects: Objects, transfer_syntax: str
):
    wanted = objects["A/ct1"]
    response = http.get(wanted.path, headers={"Accept": "application/dicom" + transfer_syntax})
    assert (response.status_code, response.content) == (200, wanted.data)
    assert response.headers["Content-Type"].startswith("application/dicom")
    assert int(response.headers["Content-Length"]) == len(wanted.data)


@pytest.mark.dicom("PS3.18 8.7.3")
@pytest.mark.row(48, 52)
@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize(
    "accept", [MULTIPART, f"{MULTIPART}; transfer-syntax={EXPLICIT}", "*/*", "application/dicom"]
)
def test_it_gives_explicit_little_endian_unless_asked_otherwise(
    http: httpx.Client, objects: Objects, name: str, accept: str
):
    wanted = objects[f"ENC/{name}"]
    response = http.get(wanted.path, headers={"Accept": accept})
    assert response.status_code == 200
    content_type, content = one_object(response)
    got = pydicom.dcmread(io.BytesIO(content))
    assert got.file_meta.TransferSyntaxUID == EXPLICIT
    assert EXPLICIT in content_type
    same_pixels(got, wanted.dataset)
    same_elements(got, wanted.dataset)


@pytest.mark.row(49)
@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize(
    "accept",
    [f"{MULTIPART}; transfer-syntax=*", "multipart/related; type=application/dicom;transfer-syntax=*"],
)
def test_it_gives_the_bytes_as_stored(http: httpx.Client, objects: Objects, name: str, accept: str):
    wanted = objects[f"ENC/{name}"]
    (part,) = parts(http.get(wanted.path, headers={"Accept": accept}))
    assert part.content == wanted.data
    assert str(wanted.dataset.file_meta.TransferSyntaxUID) in part.content_type


@pytest.mark.row(49)
def test_it_gives_a_series_of_several_transfer_syntaxes_as_stored(http: httpx.Client, objects: Objects):
    response = http.get(f"/studies/{uid('ENC')}", headers={"Accept": f"{MULTIPART}; transfer-syntax=*"})
    assert {part.content for part in parts(response)} == {
        o.data for n, o in objects.items() if n.startswith("ENC/")
    }


@pytest.mark.dicom("PS3.18 8.7.3.5.2")
@pytest.mark.row(52)
@pytest.mark.parametrize("refused", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_it_never_sends_implicit_or_big_endian_on_request(http: httpx.Client, objects: Objects, refused: str):
    response = http.get(objects["A/ct1"].path, headers={"Accept": f"{MULTIPART}; transfer-syntax={refused}"})
    assert response.status_code == 406


ACCEPTED = [
    'multipart/related; type="application/dicom"',
    "multipart/related; type=application/dicom",
    "multipart/related;type=application/dicom;transfer-syntax=*",
    'multipart/related; transfer-syntax=*; type="application/dicom"',
    'multipart/related; type="application/dicom"; transfer-syntax="1.2.840.10008.1.2.1"',
    'image/png;q=0.9, multipart/related; type="application/dicom";q=0.5',
    'multipart/related; type="image/jpeg", multipart/related; type="application/dicom"',
    "Multipart/Related; TYPE=application/dicom",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "*/*",
    "multipart/related",
    'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.81;q=0.9, '
    'multipart/related; type="application/dicom"; transfer-syntax=*;q=0.1',
    'multipart/related; type="application/dicom", */*;q=0.1',
]


@pytest.mark.dicom("PS3.18 8.7.8.1")
@pytest.mark.row(53)
@pytest.mark.parametrize("accept", ACCEPTED)
def test_it_understands_the_accept_headers_of_clients(http: httpx.Client, objects: Objects, accept: str):
    response = http.get(objects["A/ct1"].path, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    assert one_object(response)[1] == objects["A/ct1"].data


@pytest.mark.row(53)
def test_it_prefers_what_the_client_prefers(http: httpx.Client, objects: Objects):
    single = http.get(
        objects["A/ct1"].path, headers={"Accept": f"{MULTIPART};q=0.3, application/dicom;q=0.9"}
    )
    assert single.headers["Content-Type"].startswith("application/dicom")


@pytest.mark.dicom("PS3.18 8.3.3.1")
@pytest.mark.row(54)
@pytest.mark.parametrize("given", ["application/dicom", "application/dicom; transfer-syntax=*"])
def test_the_accept_parameter_beats_the_header(http: httpx.Client, objects: Objects, given: str):
    response = http.get(objects["A/ct1"].path, params={"accept": given}, headers={"Accept": "text/html"})
    assert (response.status_code, response.content) == (200, objects["A/ct1"].data)


@pytest.mark.dicom("PS3.18 8.7.5")
@pytest.mark.row(55)
@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        ("", "text/html"),
        ("", "application/dicom+json"),
        ("/metadata", "application/dicom"),
        ("/frames/1", "video/mp4"),
        ("", "*/*;q=0"),
    ],
)
def test_it_answers_406_with_what_it_offers(http: httpx.Client, objects: Objects, tail: str, accept: str):
    response = http.get(objects["A/ct1"].path + tail, headers={"Accept": accept})
    assert response.status_code == 406
    answer = response.json()
    assert answer["error"]
    offered = next(value for value in answer.values() if isinstance(value, list))
    assert all("/" in media_type for media_type in offered)
    assert offered


@pytest.mark.row(56)
@pytest.mark.parametrize(
    ("tail", "expected"), [("", "application/dicom"), ("/metadata", "application/dicom+json")]
)
def test_without_accept_it_gives_the_default_media_type(
    http: httpx.Client, objects: Objects, tail: str, expected: str
):
    request = http.build_request("GET", objects["A/ct1"].path + tail)
    del request.headers["Accept"]
    response = http.send(request)
    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, expected)


@pytest.mark.row(68)
@pytest.mark.parametrize(
    ("asked", "cut"),
    [("bytes=0-99", slice(0, 100)), ("bytes=100-", slice(100, None)), ("bytes=-50", slice(-50, None))],
)
def test_it_gives_ranges_of_an_instance(http: httpx.Client, objects: Objects, asked: str, cut: slice):
    wanted = objects["A/ct1"]
    headers = {"Accept": "application/dicom; transfer-syntax=*", "Range": asked}
    response = http.get(wanted.path, headers=headers)
    assert (response.status_code, response.content) == (206, wanted.data[cut])
    assert response.headers["Content-Range"].endswith(f"/{len(wanted.data)}")


@pytest.mark.row(68)
def test_it_answers_416_to_a_range_past_the_end(http: httpx.Client, objects: Objects):
    headers = {"Accept": "application/dicom; transfer-syntax=*", "Range": "bytes=99999999-"}
    assert http.get(objects["A/ct1"].path, headers=headers).status_code == 416


@pytest.mark.row(91)
@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        ("", "application/dicom; transfer-syntax=*"),
        ("", MULTIPART),
        ("/metadata", "application/dicom+json"),
        ("/frames/1", "application/octet-stream"),
    ],
)
def test_it_gives_strong_entity_tags_and_304(http: httpx.Client, objects: Objects, tail: str, accept: str):
    first = http.get(objects["A/ct1"].path + tail, headers={"Accept": accept})
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert {d.strip() for d in first.headers["Cache-Control"].split(",")} == {"private", "no-cache"}
    again = http.get(objects["A/ct1"].path + tail, headers={"Accept": accept, "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.row(91)
def test_an_entity_tag_changes_with_the_instance(http: httpx.Client):
    headers = {"Accept": "application/dicom; transfer-syntax=*"}
    first = plain("tag", study="TAG", series="s", SeriesDescription="first")
    store(http, [first.data])
    before = http.get(first.path, headers=headers).headers["ETag"]
    store(http, [plain("tag", study="TAG", series="s", SeriesDescription="second").data])
    assert http.get(first.path, headers=headers | {"If-None-Match": before}).status_code == 200


@pytest.mark.row(44, 45)
@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{uid('nothing')}",
        f"/studies/{uid('A')}/series/2.25.9",
        "/studies/1.2.3/series/4.5/instances/6.7",
    ],
)
def test_it_answers_404_where_there_is_nothing(http: httpx.Client, objects: Objects, path: str):
    for tail in ("", "/metadata"):
        response = http.get(path + tail)
        assert response.status_code == 404
        assert response.json()["error"]


@pytest.mark.row(95)
def test_head_tells_the_length_without_the_body(http: httpx.Client, objects: Objects):
    wanted = objects["A/ct1"]
    response = http.head(wanted.path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(wanted.data)


def one_object(response: httpx.Response) -> tuple[str, bytes]:
    """Content type and bytes of an answer of one instance, whichever form the server gave it."""
    if response.headers["Content-Type"].startswith("application/dicom"):
        return response.headers["Content-Type"], response.content
    (part,) = parts(response)
    return part.content_type, part.content


def same_pixels(got: Dataset, wanted: Dataset) -> None:
    """Their pixels are equal: decoded by pydicom where `wanted` is compressed."""
    a, b = got.pixel_array, decoded(wanted)
    if wanted.PhotometricInterpretation != got.PhotometricInterpretation:
        b = pydicom.pixels.pixel_array(_fresh(wanted), raw=False)
    lossy = str(wanted.file_meta.TransferSyntaxUID) == "1.2.840.10008.1.2.4.50"
    # Decoders of lossy JPEG may round apart by a step or two.
    assert np.abs(a.astype(int) - b.astype(int)).max() <= (3 if lossy else 0)


def same_elements(got: Dataset, wanted: Dataset) -> None:
    """Their other elements are equal, but for those that describe how pixels are held."""
    held = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration", "LossyImageCompression"}
    names: Callable[[Dataset], dict[int, object]] = lambda d: {  # noqa: E731
        int(e.tag): e.value for e in d if e.keyword not in held and e.tag.element != 0
    }
    assert names(got) == names(wanted)


def _fresh(dataset: Dataset) -> Dataset:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset)
    buffer.seek(0)
    return pydicom.dcmread(buffer)
