"""Metadata and bulk data: PS3.18 10.4.1.1.2, 10.4.1.1.5 and Annex F; pydicom's reading is the truth."""

import base64
import gzip
import json
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.multiparts import parts
from conformance.objects import Object, plain, uid
from conformance.reading import differences
from conformance.stow import store

Objects = dict[str, Object]
JSON = "application/dicom+json"
PLAIN = ["A/ct1", "B/mr", "C/us", "D/ot", "BULK/pdf", "ENC/native8"]


def by_instance(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["00080018"]["Value"][0]: item for item in found}


@pytest.mark.dicom("PS3.18 10.4.1.1.2")
@pytest.mark.row(57)
def test_it_gives_the_metadata_of_a_study_a_series_and_an_instance(client: DICOMwebClient, objects: Objects):
    wanted = objects["A/ct1"]
    study = by_instance(client.retrieve_study_metadata(uid("A")))
    series = by_instance(client.retrieve_series_metadata(uid("A"), uid("A/ct")))
    instance = client.retrieve_instance_metadata(wanted.study_uid, wanted.series_uid, wanted.instance_uid)
    assert (len(study), len(series)) == (5, 3)
    assert instance["00080018"]["Value"] == [wanted.instance_uid]
    for level in (study, series):
        same = level[wanted.instance_uid]
        assert {tag: item for tag, item in same.items() if "BulkDataURI" not in item} == {
            tag: item for tag, item in instance.items() if "BulkDataURI" not in item
        }


@pytest.mark.row(57, 62, 93)
@pytest.mark.parametrize("name", PLAIN)
def test_metadata_equals_what_pydicom_reads(http: httpx.Client, objects: Objects, name: str):
    wanted = objects[name]
    response = http.get(wanted.path + "/metadata", headers={"Accept": JSON})
    assert response.headers["Content-Type"] == JSON
    (item,) = response.json()
    assert differences(item, wanted.data, str(response.url), http) == []


@pytest.mark.row(59)
def test_metadata_is_there_with_the_answer_to_the_store(http: httpx.Client):
    made = [plain(f"i{n}", study="READY", series="s", InstanceNumber=n) for n in range(20)]
    store(http, [o.data for o in made])
    response = http.get(f"/studies/{made[0].study_uid}/metadata")
    assert [item["00200013"]["Value"][0] for item in response.json()] == list(range(20))


@pytest.mark.row(61, 64)
def test_large_values_are_by_relative_uri_and_none_is_dropped(http: httpx.Client, objects: Objects):
    wanted = objects["BULK/private"]
    levels = (
        f"/studies/{wanted.study_uid}/metadata",
        f"/studies/{wanted.study_uid}/series/{wanted.series_uid}/metadata",
        wanted.path + "/metadata",
    )
    for path in levels:
        response = http.get(path)
        item = by_instance(response.json())[wanted.instance_uid]
        for tag, expected in (("7FE00010", wanted.dataset.PixelData), ("00111002", bytes(range(256)) * 16)):
            address = item[tag]["BulkDataURI"]
            assert "://" not in address
            assert not address.startswith("/")
            body = http.get(
                urljoin(str(response.url), address), headers={"Accept": "application/octet-stream"}
            )
            assert (body.status_code, body.content) == (200, expected)


def nested(item: dict[str, Any]) -> str:
    """The address of the bulk value two sequences deep."""
    middle = item["00081110"]["Value"][0]
    inner = middle["00081115"]["Value"][1]
    return str(inner["00420011"]["BulkDataURI"])


@pytest.mark.dicom("PS3.18 10.4.1.1.5")
@pytest.mark.row(65)
def test_it_gives_bulk_data_within_sequences(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    response = http.get(objects["BULK/private"].path + "/metadata")
    address = urljoin(str(response.url), nested(response.json()[0]))
    expected = b"\x01\x02\x03\x04" * 1024
    single = http.get(address, headers={"Accept": "application/octet-stream"})
    assert (single.content, single.headers["Content-Type"].split(";")[0]) == (
        expected,
        "application/octet-stream",
    )
    several = http.get(address, headers={"Accept": 'multipart/related; type="application/octet-stream"'})
    assert [part.content for part in parts(several)] == [expected]
    assert client.retrieve_bulkdata(address) == [expected]
    assert list(client.iter_bulkdata(address)) == [expected]


@pytest.mark.row(65)
def test_it_answers_404_to_bulk_data_that_is_not_there(http: httpx.Client, objects: Objects):
    response = http.get(objects["BULK/private"].path + "/metadata")
    address = urljoin(str(response.url), response.json()[0]["7FE00010"]["BulkDataURI"])
    for tail in ("00111099", "00081110/9/00420011", "nonsense"):
        assert http.get(address.replace("7FE00010", tail)).status_code in {400, 404}


@pytest.mark.row(68)
def test_it_gives_ranges_of_bulk_data(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    wanted = objects["BULK/pdf"]
    response = http.get(wanted.path + "/metadata")
    address = urljoin(str(response.url), response.json()[0]["00420011"]["BulkDataURI"])
    piece = http.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=0-7"})
    assert (piece.status_code, piece.content) == (206, b"%PDF-1.4")


@pytest.mark.dicom("PS3.18 F.2")
@pytest.mark.row(63)
def test_values_that_json_has_no_numbers_for_are_still_there(http: httpx.Client, objects: Objects):
    response = http.get(objects["BULK/private"].path + "/metadata")
    item = json.loads(response.content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))[0]
    assert item["00180050"]["Value"] == ["1,25"]
    doubles = item["00189073"]
    assert "Value" not in doubles
    if "InlineBinary" in doubles:
        raw = base64.b64decode(doubles["InlineBinary"])
    else:
        raw = http.get(urljoin(str(response.url), doubles["BulkDataURI"])).content
    assert raw.hex() == "000000000000f87f" + "000000000000f07f" + "000000000000f83f"


@pytest.mark.row(92)
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_it_gives_metadata_in_the_coding_asked_for(base_url: str, objects: Objects, coding: str):
    path = f"/studies/{uid('A')}/series/{uid('A/ct')}/metadata"
    with (
        httpx.Client(base_url=base_url, timeout=60) as plain_client,
        plain_client.stream("GET", path, headers={"Accept": JSON, "Accept-Encoding": coding}) as response,
    ):
        raw = b"".join(response.iter_raw())
    assert response.headers.get("Content-Encoding", "identity") == coding
    assert len(json.loads(gzip.decompress(raw) if coding == "gzip" else raw)) == 3
    assert "Accept-Encoding" in response.headers["Vary"]


CHARACTER_SETS = [
    (["ISO_IR 100"], "Müller^Jürgen"),
    (["ISO_IR 101"], "Wałęsa^Łucja"),
    (["ISO_IR 144"], "Люкceмбypг"),
    (["ISO_IR 126"], "Διονυσιος"),
    (["ISO_IR 138"], "שרון^דבורה"),
    (["ISO_IR 127"], "قباني^لنزار"),
    (["ISO_IR 13"], "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (["ISO_IR 166"], "นามสกุล^ชื่อ"),
    (["ISO_IR 192"], "Wang^XiaoDong=王^小东"),
    (["GB18030"], "Wang^XiaoDong=王^小东"),
    (["GBK"], "Wang^XiaoDong=王^小东"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
]


@pytest.mark.dicom("PS3.18 8.8.1")
@pytest.mark.row(93)
@pytest.mark.parametrize(
    ("character_sets", "name"), CHARACTER_SETS, ids=lambda value: "-".join(value).strip("-")[:24]
)
def test_text_of_every_character_set_comes_as_utf8(http: httpx.Client, character_sets: list[str], name: str):
    words = "-".join(character_sets)
    made = plain(
        words,
        study=f"TEXT{CHARACTER_SETS.index((character_sets, name))}",
        series="s",
        SpecificCharacterSet=character_sets,
        PatientName=name,
    )
    store(http, [made.data])
    item = http.get(made.path + "/metadata").json()[0]
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False))
    assert item["00100010"]["Value"] == [groups]
    assert item["00080005"]["Value"] == ["ISO_IR 192"]
