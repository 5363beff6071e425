"""The same answers in other forms and at other addresses: XML, tables, archives of files, redirects."""

import csv
import io
import zipfile
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree as Xml

import httpx
import pydicom
import pytest

from conformance.multiparts import parts
from conformance.objects import Object, encode, plain, uid
from conformance.stow import store

Objects = dict[str, Object]
XML = 'multipart/related; type="application/dicom+xml"'
MODEL = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def documents(response: httpx.Response) -> list[Xml.Element]:
    """The documents of a multipart answer; each must be a well-formed Native DICOM Model."""
    assert response.status_code == 200
    found = parts(response)
    assert {part.content_type for part in found} <= {"application/dicom+xml"}
    roots = [Xml.fromstring(part.content) for part in found]
    assert {root.tag for root in roots} <= {f"{MODEL}NativeDicomModel"}
    return roots


def texts(root: Xml.Element) -> dict[str, list[str]]:
    """The plain values of each attribute at the top, by keyword."""
    return {
        str(attribute.get("keyword")): [str(value.text) for value in attribute.findall(f"{MODEL}Value")]
        for attribute in root.findall(f"{MODEL}DicomAttribute")
    }


@pytest.mark.dicom("PS3.18 10.6.3.3")
@pytest.mark.row(9)
@pytest.mark.parametrize("path", ["/studies", "/series", "/instances", f"/studies/{uid('A')}/series"])
def test_it_answers_searches_in_xml(http: httpx.Client, objects: Objects, path: str):
    asked: dict[str, Any] = {"params": {"PatientID": "CONF-A"}}
    rows = http.get(path, **asked, headers={"Accept": "application/dicom+json"}).json()
    found = [texts(root) for root in documents(http.get(path, **asked, headers={"Accept": XML}))]
    assert len(found) == len(rows) > 0
    assert [one["StudyInstanceUID"] for one in found] == [row["0020000D"]["Value"] for row in rows]
    assert [one["PatientID"] for one in found] == [row["00100020"]["Value"] for row in rows]


@pytest.mark.row(9)
def test_it_answers_an_empty_search_in_xml_with_no_part(http: httpx.Client, objects: Objects):
    assert documents(http.get("/studies", params={"PatientID": "NOBODY"}, headers={"Accept": XML})) == []


@pytest.mark.row(10)
def test_it_answers_searches_as_a_table(http: httpx.Client, objects: Objects):
    response = http.get("/studies", params={"PatientID": "CONF-?", "accept": "text/csv"})
    assert response.headers["Content-Type"].startswith("text/csv")
    rows = {row["PatientID"]: row for row in csv.DictReader(io.StringIO(response.text, newline=""))}
    assert set(rows) == {"CONF-A", "CONF-B", "CONF-C", "CONF-D"}
    counted = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
    assert [rows["CONF-A"][name] for name in counted] == ["2", "5"]
    assert rows["CONF-A"]["ModalitiesInStudy"] == "CT\\MR"
    assert rows["CONF-B"]["PatientName"] == "Müller^Jürgen"
    assert all(None not in row and None not in row.values() for row in rows.values())


@pytest.mark.dicom("PS3.18 10.4.1.1.2")
@pytest.mark.row(58)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_it_gives_metadata_in_xml(http: httpx.Client, objects: Objects, level: str):
    wanted = objects["BULK/private"]
    path = {
        "study": f"/studies/{wanted.study_uid}/metadata",
        "series": f"/studies/{wanted.study_uid}/series/{wanted.series_uid}/metadata",
        "instance": wanted.path + "/metadata",
    }[level]
    response = http.get(path, headers={"Accept": XML})
    roots = {texts(root)["SOPInstanceUID"][0]: root for root in documents(response)}
    assert len(roots) == len(http.get(path).json())
    root = roots[wanted.instance_uid]
    name = root.find(f"{MODEL}DicomAttribute[@keyword='PatientName']/{MODEL}PersonName/{MODEL}Alphabetic")
    assert name is not None
    assert [part.text for part in name] == ["Roe", "Richard"]
    word = root.find(f"{MODEL}DicomAttribute[@privateCreator='CONFORMANCE'][@vr='LO']/{MODEL}Value")
    assert word is not None
    assert word.text == "private word"
    inner = root.find(f".//{MODEL}Item[@number='2']/{MODEL}DicomAttribute[@tag='00420011']/{MODEL}BulkData")
    assert inner is not None
    body = http.get(urljoin(str(response.url), inner.attrib["uri"]))
    assert (body.status_code, body.content) == (200, b"\x01\x02\x03\x04" * 1024)


@pytest.mark.dicom("PS3.18 Supplement 211")
@pytest.mark.row(47)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_it_gives_an_archive_of_files(http: httpx.Client, objects: Objects, level: str):
    wanted = objects["ENC/rle"]
    path = {
        "study": f"/studies/{wanted.study_uid}",
        "series": f"/studies/{wanted.study_uid}/series/{wanted.series_uid}",
        "instance": wanted.path,
    }[level]
    response = http.get(path, params={"accept": "application/zip; transfer-syntax=*"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/zip")
    assert response.headers["Content-Disposition"].startswith("attachment; ")
    uids = ("study_uid", "series_uid", "instance_uid")[: ("study", "series", "instance").index(level) + 1]
    below = [o for o in objects.values() if all(getattr(o, u) == getattr(wanted, u) for u in uids)]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert {archive.read(name) for name in archive.namelist()} == {o.data for o in below}


@pytest.mark.row(47)
def test_the_files_of_an_archive_are_in_explicit_little_endian(http: httpx.Client, objects: Objects):
    response = http.get(f"/studies/{uid('ENC')}", headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        read = [pydicom.dcmread(archive.open(name), stop_before_pixels=True) for name in archive.namelist()]
    assert {str(one.file_meta.TransferSyntaxUID) for one in read} == {"1.2.840.10008.1.2.1"}
    assert len(read) == sum(name.startswith("ENC/") for name in objects)


@pytest.mark.dicom("PS3.10 8.6")
@pytest.mark.row(47)
def test_an_archive_can_have_a_dicomdir(http: httpx.Client, objects: Objects):
    response = http.get(
        f"/studies/{uid('A')}", params={"accept": "application/zip; transfer-syntax=*", "dicomdir": "true"}
    )
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        directory = pydicom.dcmread(io.BytesIO(archive.read("DICOMDIR")))
        filed = {
            record.ReferencedSOPInstanceUIDInFile: archive.read("/".join(record.ReferencedFileID))
            for record in directory.DirectoryRecordSequence
            if record.DirectoryRecordType == "IMAGE"
        }
    assert filed == {o.instance_uid: o.data for name, o in objects.items() if name.startswith("A/")}


@pytest.mark.row(7)
def test_it_finds_series_and_instances_by_their_own_uid(http: httpx.Client, objects: Objects):
    wanted = objects["A/ct1"]
    series = http.get(f"/series/{wanted.series_uid}/metadata", follow_redirects=True)
    instance = http.get(f"/instances/{wanted.instance_uid}/metadata", follow_redirects=True)
    frame = http.get(f"/instances/{wanted.instance_uid}/frames/1", follow_redirects=True)
    patients = http.get("/patients", params={"PatientID": "CONF-A"}, follow_redirects=True)
    assert str(instance.url).endswith(wanted.path + "/metadata")
    assert len(series.json()) == 3
    assert instance.json()[0]["00080018"]["Value"] == [wanted.instance_uid]
    assert frame.status_code == 200
    assert patients.json()[0]["00100020"]["Value"] == ["CONF-A"]
    assert http.get("/series/1.2.3.4", follow_redirects=True).status_code == 404


@pytest.mark.dicom("PS3.18 10.4.1.1.5")
@pytest.mark.row(66)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_it_gives_all_bulk_data_with_their_locations(http: httpx.Client, objects: Objects, level: str):
    wanted = objects["BULK/private"]
    path = {
        "study": f"/studies/{wanted.study_uid}",
        "series": f"/studies/{wanted.study_uid}/series/{wanted.series_uid}",
        "instance": wanted.path,
    }[level]
    found = parts(http.get(path + "/bulkdata", headers={"Accept": 'multipart/related; type="*/*"'}))
    by_path = {str(urljoin(str(http.base_url), part.headers["Content-Location"])): part for part in found}
    named = [url for url in by_path if wanted.instance_uid in url]
    assert {url.partition("/bulkdata/")[2] for url in named} >= {"00111002", "7FE00010"}
    for url, part in by_path.items():
        response = http.get(url, headers={"Accept": part.content_type})
        assert (response.status_code, response.content) == (200, part.content)


@pytest.mark.dicom("PS3.18 10.4.1.1.6")
@pytest.mark.row(67)
def test_it_gives_the_pixel_data_of_each_level(http: httpx.Client, objects: Objects):
    accept = {"Accept": 'multipart/related; type="application/octet-stream"'}
    images = sorted((o for name, o in objects.items() if name.startswith("A/")), key=lambda o: o.path)
    study = parts(http.get(f"/studies/{uid('A')}/pixeldata", headers=accept))
    series = parts(http.get(f"/studies/{uid('A')}/series/{uid('A/ct')}/pixeldata", headers=accept))
    single = http.get(images[0].path + "/pixeldata", headers={"Accept": "application/octet-stream"})
    assert sorted(part.content for part in study) == sorted(o.dataset.PixelData for o in images)
    assert len(series) == 3
    assert single.content == images[0].dataset.PixelData
    assert http.get(objects["BULK/pdf"].path + "/pixeldata").status_code == 404


@pytest.mark.row(77)
def test_it_gives_a_document_as_what_it_is_and_as_octets(http: httpx.Client, objects: Objects):
    wanted = objects["BULK/pdf"]
    document = wanted.dataset.EncapsulatedDocument
    path = wanted.path + "/bulkdata/00420011"
    # As a browser asks within <object>, and by the address alone.
    browser = http.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    named = http.get(path, params={"accept": "application/pdf"}, headers={"Accept": "image/png"})
    octets = http.get(path, headers={"Accept": "application/octet-stream"})
    (part,) = parts(http.get(path, headers={"Accept": 'multipart/related; type="application/pdf"'}))
    kinds = [response.headers["Content-Type"].partition(";")[0] for response in (browser, named, octets)]
    assert kinds == ["application/pdf", "application/pdf", "application/octet-stream"]
    assert part.content_type == "application/pdf"
    for content in (browser.content, named.content, octets.content, part.content):
        assert content.rstrip(b"\0") == document.rstrip(b"\0")


@pytest.mark.row(67, 68)
def test_it_gives_a_video_with_ranges(http: httpx.Client):
    stream = bytes(range(256)) * 64
    made = plain("film", study="VIDEO", series="film", modality="OT", NumberOfFrames=25)
    made.dataset.PixelData = pydicom.encaps.encapsulate([stream], has_bot=False)
    made.dataset["PixelData"].VR = "OB"
    made.dataset["PixelData"].is_undefined_length = True
    made.dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    store(http, [encode(made.dataset)])
    for path in ("/pixeldata", "/bulkdata/7FE00010"):
        response = http.get(
            made.path + path, params={"accept": "video/mp4"}, headers={"Range": "bytes=1000-1999"}
        )
        assert (response.status_code, response.content) == (206, stream[1000:2000])
        assert response.headers["Content-Type"].partition(";")[0] == "video/mp4"
        assert response.headers["Content-Range"] == f"bytes 1000-1999/{len(stream)}"
