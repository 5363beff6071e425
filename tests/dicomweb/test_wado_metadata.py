"""Metadata at three levels, over HTTP."""

import asyncio
import gzip
import io
import warnings
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree as Xml

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.uid import ComprehensiveSRStorage

from dicomweb_box.accounts.access import ANONYMOUS, Scope
from dicomweb_box.archive import metadata
from dicomweb_box.archive.derived import DerivedFiles
from dicomweb_box.box import Box
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.errors import NotFound
from tests.builders import make_instance, new_uid
from tests.conftest import MakeBox
from tests.dicomweb.pixel_objects import encapsulated
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

PLAIN = {"accept-encoding": "identity"}
XML_PARTS = 'multipart/related; type="application/dicom+xml"'


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def files(box: Box) -> list[str]:
    return sorted(str(path.relative_to(box.cache)) for path in box.cache.rglob("*") if path.is_file())


@pytest.mark.row(57)
@pytest.mark.dicom("PS3.18 10.4.1.1.2")
async def test_metadata_are_exactly_dicom_json_at_each_level(box: Box, client: httpx.AsyncClient) -> None:
    study, series = new_uid(), new_uid()
    objects = [make_instance(study=study, series=series, InstanceNumber=number) for number in (2, 1)]
    stored = [await put(box, data) for data in objects]
    await put(box, make_instance(study=study, SeriesNumber=2))

    answers = {
        level: await client.get(path, headers={"accept": "application/dicom+json"})
        for level, path in {
            "study": f"/studies/{study}/metadata",
            "series": f"/studies/{study}/series/{series}/metadata",
            "instance": path_of(stored[0], "metadata"),
        }.items()
    }

    assert {one.headers["content-type"] for one in answers.values()} == {"application/dicom+json"}
    assert len(answers["study"].json()) == 3
    assert [one["00200013"]["Value"] for one in answers["series"].json()] == [[1], [2]]
    assert answers["study"].json()[0]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    [only] = answers["instance"].json()
    assert only["00080018"]["Value"] == [stored[0].instance_uid]


@pytest.mark.parametrize("level", ["study", "series"])
async def test_pictures_come_before_what_else_their_series_holds(
    box: Box, client: httpx.AsyncClient, level: str
) -> None:
    study, series = new_uid(), new_uid()
    report = {"SOPClassUID": ComprehensiveSRStorage, "Rows": None, "Columns": None, "PixelData": None}
    await put(box, make_instance(study=study, series=series, InstanceNumber=1, **report))
    pictures = [
        await put(box, make_instance(study=study, series=series, InstanceNumber=number)) for number in (3, 2)
    ]
    path = f"/studies/{study}/metadata" if level == "study" else f"/studies/{study}/series/{series}/metadata"

    answer = (await client.get(path, headers={"accept": "application/dicom+json"})).json()

    assert [one["00200013"]["Value"] for one in answer] == [[2], [3], [1]]
    assert answer[0]["00080018"]["Value"] == [pictures[1].instance_uid]


@pytest.mark.row(64)
@pytest.mark.row(65)
@pytest.mark.dicom("PS3.18 10.4.1.1.2")
@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_bulk_data_are_named_relative_to_the_metadata_of_each_level(
    box: Box, client: httpx.AsyncClient, level: str
) -> None:
    pixels = bytes(range(256)) * 32
    stored = await put(box, make_instance(Rows=64, Columns=64, PixelData=pixels))
    path = {
        "study": f"/dicom-web/studies/{stored.study_uid}/metadata",
        "series": f"/dicom-web/studies/{stored.study_uid}/series/{stored.series_uid}/metadata",
        "instance": "/dicom-web" + path_of(stored, "metadata"),
    }[level]
    base = f"http://localhost:8080{path}"

    [answer] = (await client.get(base)).json()
    uri = answer["7FE00010"]["BulkDataURI"]
    response = await client.get(urljoin(base, uri), headers={"accept": "application/octet-stream"})

    assert not uri.startswith(("http", "/"))
    assert response.content == pixels


@pytest.mark.row(59)
@pytest.mark.row(92)
@pytest.mark.parametrize("level", ["study", "series"])
async def test_gzip_is_given_to_who_takes_it_as_one_stream(
    box: Box, client: httpx.AsyncClient, level: str
) -> None:
    study, series = new_uid(), new_uid()
    for _ in range(3):
        await put(box, make_instance(study=study, series=series))
    path = f"/studies/{study}/metadata" if level == "study" else f"/studies/{study}/series/{series}/metadata"

    plain = await client.get(path, headers=PLAIN)
    async with client.stream("GET", path, headers={"accept-encoding": "br, gzip;q=0.8"}) as response:
        packed = b"".join([piece async for piece in response.aiter_raw()])

    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == response.headers["vary"] == "Accept, Accept-Encoding"
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) == len(packed)
    engine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert engine.decompress(packed) + engine.flush() == plain.content == gzip.decompress(packed)
    assert engine.unused_data == b""
    assert plain.headers["etag"] != response.headers["etag"]


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("deflate", False),
    ],
)
async def test_accept_encoding_is_read_as_http_says(
    box: Box, client: httpx.AsyncClient, coding: str, packed: bool
) -> None:
    stored = await put(box, make_instance())
    path = f"/studies/{stored.study_uid}/metadata"

    async with client.stream("GET", path, headers={"accept-encoding": coding}) as response:
        assert ("content-encoding" in response.headers) == packed


@pytest.mark.row(91)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_unchanged_metadata_are_not_sent_twice_and_changed_ones_are(
    box: Box, client: httpx.AsyncClient, level: str
) -> None:
    stored = await put(box, make_instance())
    path = {
        "study": f"/studies/{stored.study_uid}/metadata",
        "series": f"/studies/{stored.study_uid}/series/{stored.series_uid}/metadata",
        "instance": path_of(stored, "metadata"),
    }[level]

    first = await client.get(path, headers=PLAIN)
    again = await client.get(path, headers={**PLAIN, "if-none-match": first.headers["etag"]})
    await put(box, make_instance(study=stored.study_uid, series=stored.series_uid))
    changed = await client.get(path, headers={**PLAIN, "if-none-match": first.headers["etag"]})

    assert again.status_code == 304
    assert changed.status_code == (304 if level == "instance" else 200)
    if level != "instance":
        assert len(changed.json()) == 2


@pytest.mark.row(59)
async def test_earlier_revisions_leave_the_cache(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())
    path = f"/studies/{stored.study_uid}/metadata"
    await client.get(path, headers=PLAIN)
    before = files(box)
    await put(box, make_instance(study=stored.study_uid))

    await client.get(path, headers=PLAIN)

    after = files(box)
    assert len(before) == len(after) == 1
    assert before != after


async def test_a_study_that_is_deleted_and_sent_again_is_not_served_from_the_cache(
    box: Box, client: httpx.AsyncClient
) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    names = {"study": study, "series": series, "instance": instance}
    await put(box, make_instance(**names, PatientID="before"))
    path = f"/studies/{study}/metadata"
    await client.get(path, headers=PLAIN)
    await client.delete(f"/studies/{study}")

    await put(box, make_instance(**names, PatientID="after"))

    [answer] = (await client.get(path, headers=PLAIN)).json()
    assert answer["00100020"]["Value"] == ["after"]


async def test_many_who_ask_at_once_make_one_file(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await put(box, make_instance())
    written = []
    write = DerivedFiles._write

    def counted(self: DerivedFiles, path: Path, make: Any) -> Any:
        written.append(path)
        return write(self, path, make)

    monkeypatch.setattr(DerivedFiles, "_write", counted)

    answers = await asyncio.gather(
        *(client.get(f"/studies/{stored.study_uid}/metadata", headers=PLAIN) for _ in range(20))
    )

    assert len({answer.content for answer in answers}) == 1
    assert len(written) == 1


async def test_the_cache_stays_within_its_bound(make_box: MakeBox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_box() as box:
        cache = DerivedFiles(box)
        cache._most = 3 << 20

        async def prepare() -> Any:
            return lambda file: file.write(bytes(1 << 20))

        for number in range(12):
            await cache.get(f"folder/file-{number}.x", prepare)

        kept = files(box)
        assert 1 <= len(kept) <= 4
        assert "folder/file-11.x" in kept
        assert (await cache.get("folder/file-0.x", prepare)).size == 1 << 20


async def test_a_file_that_cannot_be_made_leaves_nothing_behind(box: Box) -> None:
    cache = DerivedFiles(box)

    async def prepare() -> Any:
        def make(file: Any) -> None:
            file.write(b"half")
            raise NotFound("gone")

        return make

    with pytest.raises(NotFound):
        await cache.get("folder/file.x", prepare)

    assert files(box) == []


async def test_an_actor_sees_only_what_its_sources_sent(box: Box) -> None:
    study, series = new_uid(), new_uid()
    await put(box, make_instance(study=study, series=series), source="stow:one")
    await put(box, make_instance(study=study), source="stow:two")
    one, two = (Scope(sources=frozenset({name})) for name in ("stow:one", "stow:two"))
    nobody = Scope(studies=frozenset({"1.2.3"}))

    async def count(scope: Scope) -> int:
        found = await metadata.of_study(box, study, gzip=False, scope=scope, actor=ANONYMOUS)
        return found.file.path.read_bytes().count(b'"00080018"')

    assert [await count(scope) for scope in (Scope(), one, two, Scope())] == [2, 1, 1, 2]
    await metadata.of_series(box, study, series, gzip=False, scope=one, actor=ANONYMOUS)
    for scope in (two, nobody, Scope(realm="elsewhere")):
        with pytest.raises(NotFound):
            await metadata.of_series(box, study, series, gzip=False, scope=scope, actor=ANONYMOUS)


async def test_json_and_xml_are_offered(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())

    refused = await client.get(path_of(stored, "metadata"), headers={"accept": "text/html"})
    mixed = await client.get(
        path_of(stored, "metadata"),
        headers={
            "accept": "application/dicom+json,"
            " multipart/related; type=application/octet-stream; transfer-syntax=*"
        },
    )

    assert refused.status_code == 406
    assert refused.json()["offered"] == [
        "application/dicom+json",
        'multipart/related; type="application/dicom+xml"',
        "application/dicom+xml",
    ]
    assert mixed.status_code == 200


@pytest.mark.row(58)
@pytest.mark.dicom("PS3.18 8.6.1.2.1")
@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_metadata_are_a_document_of_xml_for_each_instance(
    box: Box, client: httpx.AsyncClient, level: str, coding: str
) -> None:
    study, series = new_uid(), new_uid()
    pixels = bytes(range(256)) * 32
    image = {"Rows": 64, "Columns": 64, "PixelData": pixels, "PatientName": "Doe^Jane=山田"}
    data = [
        make_instance(
            study=study, series=series, InstanceNumber=number, SpecificCharacterSet="ISO_IR 192", **image
        )
        for number in (2, 1)
    ]
    stored = [await put(box, one) for one in data]
    path = {
        "study": f"/studies/{study}/metadata",
        "series": f"/studies/{study}/series/{series}/metadata",
        "instance": path_of(stored[0], "metadata"),
    }[level]

    answer = await client.get(path, headers={"accept": XML_PARTS, "accept-encoding": coding})
    json = (await client.get(path)).json()
    again = await client.get(
        path,
        headers={"accept": XML_PARTS, "accept-encoding": coding, "if-none-match": answer.headers["etag"]},
    )

    parts = parts_of(answer)
    assert answer.headers["content-type"].startswith(f"{XML_PARTS}; boundary=")
    assert {head["Content-Type"] for head, _ in parts} == {"application/dicom+xml"}
    assert [body for _, body in parts] == [to_xml(one) for one in json]
    uris = [Xml.fromstring(body).find(".//{*}BulkData").attrib["uri"] for _, body in parts]
    assert [(await client.get(urljoin(path, uri))).content for uri in uris] == [pixels] * len(json)
    assert again.status_code == 304


async def test_metadata_of_one_instance_can_be_a_document_of_its_own(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, make_instance())
    accept = {"accept": "application/dicom+xml"}

    alone = await client.get(path_of(stored, "metadata"), headers=accept)
    several = await client.get(f"/studies/{stored.study_uid}/metadata", headers=accept)

    assert alone.headers["content-type"] == "application/dicom+xml"
    assert alone.content == to_xml((await client.get(path_of(stored, "metadata"))).json()[0])
    assert several.status_code == 406


async def test_an_attribute_nested_too_deeply_does_not_take_the_study_s_xml_away(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    # Referenced Study Sequence within itself, in undefined lengths.
    begin = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    before, name, after = make_instance(study=study).partition(b"\x10\x00\x10\x00PN")
    data = before + begin * 600 + end * 600 + name + after
    for one in (data, make_instance(study=study)):
        await put(box, one)

    answer = await client.get(f"/studies/{study}/metadata", headers={"accept": XML_PARTS})

    documents = [Xml.fromstring(body) for _, body in parts_of(answer)]
    assert [one.find(".//{*}DicomAttribute[@tag='00080018']") is not None for one in documents] == [
        True,
        True,
    ]


@pytest.mark.row(93)
@pytest.mark.dicom("PS3.18 8.8.2")
async def test_metadata_equal_what_pydicom_reads(
    box: Box, client: httpx.AsyncClient, shared_data: Path
) -> None:
    checked = 0
    for path in sorted((shared_data / "highdicom").rglob("*.dcm")):
        data = path.read_bytes()
        try:
            stored = await put(box, data, source=f"stow:{path.name}")
        except AssertionError:
            continue
        [answer] = (await client.get(path_of(stored, "metadata"))).json()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(io.BytesIO(data))
            wanted = {f"{element.tag:08X}" for element in ds if element.tag.element}
            assert set(answer) == wanted
            assert answer["00080060"].get("Value", [""])[0] == ds.Modality
        checked += 1
    assert checked


async def test_metadata_of_a_video_say_that_it_is_one(box: Box, client: httpx.AsyncClient) -> None:
    video = "1.2.840.10008.1.2.4.102"
    film = encapsulated([b"\0\0\0\x18ftypisom"], np.zeros((4, 4), np.uint8), video, SeriesNumber=7)
    stored = await put(box, film)
    picture = await put(box, make_instance())

    (of_one,) = (await client.get(path_of(stored, "metadata"))).json()
    (of_study,) = (await client.get(f"/studies/{stored.study_uid}/metadata")).json()
    (other,) = (await client.get(path_of(picture, "metadata"))).json()

    for found in (of_one, of_study):
        assert found["00083002"] == {"vr": "UI", "Value": [video]}
        assert list(found) == sorted(found)
        assert found["00200011"]["Value"] == [7]
    assert "00083002" not in other
