"""ZIP archives of studies, series and instances, over HTTP."""

import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from dicomweb_box.box import Box
from tests.builders import make_dataset, make_instance, new_uid, part10
from tests.dicomweb.pixel_objects import rle_frames
from tests.dicomweb.retrieving import client_of, path_of, put

ZIP = {"accept": "application/zip"}
AS_STORED = {"accept": "application/zip; transfer-syntax=*"}


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def unzipped(response: httpx.Response) -> dict[str, bytes]:
    """The members by name; every checksum is looked at."""
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.row(47)
@pytest.mark.dicom("PS3.18 Supplement 211")
async def test_a_study_a_series_and_an_instance_come_as_files(box: Box, client: httpx.AsyncClient) -> None:
    study, series = new_uid(), new_uid()
    objects = [make_instance(study=study, series=series, SeriesNumber=3, InstanceNumber=n) for n in (2, 1)]
    objects.append(make_instance(study=study, SeriesNumber=None))
    stored = [await put(box, data) for data in objects]

    of_study = await client.get(f"/studies/{study}", headers=AS_STORED)
    of_series = await client.get(f"/studies/{study}/series/{series}", headers=AS_STORED)
    of_instance = await client.get(path_of(stored[0]), headers=AS_STORED)

    names = [f"{study}/3-{series}/{one.instance_uid}.dcm" for one in stored[:2]]
    names.append(f"{study}/{stored[2].series_uid}/{stored[2].instance_uid}.dcm")
    assert unzipped(of_study) == dict(zip(names, objects, strict=True))
    assert list(unzipped(of_series)) == names[1::-1]
    assert unzipped(of_instance) == {names[0]: objects[0]}
    assert of_study.headers["content-disposition"] == f'attachment; filename="{study}.zip"'
    assert of_series.headers["content-disposition"] == f'attachment; filename="{series}.zip"'
    assert b"Doe" not in b"".join(name.encode() for name in unzipped(of_study))


@pytest.mark.row(47)
@pytest.mark.row(48)
async def test_members_are_in_explicit_little_endian_unless_asked_otherwise(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian):
        await put(box, part10(make_dataset(study=study), transfer_syntax=syntax))
    compressed = pydicom.dcmread(io.BytesIO(rle_frames(3)[0]))
    compressed.StudyInstanceUID = study
    await put(box, part10(compressed, transfer_syntax=RLELossless))

    members = unzipped(await client.get(f"/studies/{study}", headers=ZIP))
    as_stored = unzipped(await client.get(f"/studies/{study}", headers=AS_STORED))
    named = await client.get(
        f"/studies/{study}", headers={"accept": f"application/zip; transfer-syntax={RLELossless}"}
    )

    def syntaxes(files: dict[str, bytes]) -> list[str]:
        read = [pydicom.dcmread(io.BytesIO(data)) for data in files.values()]
        return sorted(str(one.file_meta.TransferSyntaxUID) for one in read if one.PixelData)

    assert syntaxes(members) == [ExplicitVRLittleEndian] * 4
    assert len(set(syntaxes(as_stored))) == 4
    assert named.status_code in (200, 206)
    assert RLELossless in syntaxes(unzipped(named))


async def test_a_video_is_in_the_archive_as_it_was_stored(box: Box, client: httpx.AsyncClient) -> None:
    ds = make_dataset(NumberOfFrames=50, PixelData=b"")
    ds.PixelData = pydicom.encaps.encapsulate([bytes(4000)], has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    data = part10(ds, transfer_syntax="1.2.840.10008.1.2.4.102")
    stored = await put(box, data)

    response = await client.get(path_of(stored), headers=ZIP)

    assert list(unzipped(response).values()) == [data]


async def test_an_instance_that_cannot_be_decoded_is_in_the_archive_as_it_was_stored(
    box: Box, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    study = new_uid()
    ds = make_dataset(study=study, PixelData=b"")
    ds.PixelData = pydicom.encaps.encapsulate([b"no codestream at all"])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    data = part10(ds, transfer_syntax=JPEG2000Lossless)
    await put(box, data)
    await put(box, make_instance(study=study))

    response = await client.get(f"/studies/{study}", params={"dicomdir": "true"}, headers=ZIP)

    assert data in unzipped(response).values()
    with extracted(response, tmp_path) as found:
        assert {one.ReferencedTransferSyntaxUIDInFile for one in found} == {
            JPEG2000Lossless,
            ExplicitVRLittleEndian,
        }


async def test_an_archive_is_asked_for_by_name_only(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())

    async def kind(accept: str) -> str:
        answer = await client.get(f"/studies/{stored.study_uid}", headers={"accept": accept})
        return answer.headers["content-type"].partition(";")[0]

    assert await kind("*/*") == "multipart/related"
    assert await kind("application/*") == "application/zip"
    assert (
        await kind('application/zip;q=0.5, multipart/related; type="application/dicom"')
        == "multipart/related"
    )
    assert (
        await kind('application/zip, multipart/related; type="application/dicom";q=0.5') == "application/zip"
    )
    by_query = await client.get(f"/studies/{stored.study_uid}", params={"accept": "application/zip"})
    refused = await client.get(f"/studies/{stored.study_uid}", headers={"accept": "image/png"})
    assert by_query.headers["content-type"] == "application/zip"
    assert "application/zip" in refused.json()["offered"]


@pytest.mark.row(90)
async def test_a_member_whose_bytes_are_gone_is_left_out_with_a_warning(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = new_uid()
    first, second = make_instance(study=study), make_instance(study=study)
    stored = [await put(box, first), await put(box, second)]
    key = await box.database.fetch_value(
        "select blob_key from instance where instance_uid = :uid", {"uid": stored[0].instance_uid}
    )
    box.blobs.delete(key)

    response = await client.get(f"/studies/{study}", headers=AS_STORED)
    gone = await client.get(path_of(stored[0]), headers=AS_STORED)

    assert response.status_code == 206
    assert "1 of 2 instances" in response.headers["warning"]
    assert list(unzipped(response).values()) == [second]
    assert gone.status_code == 500
    assert "error" in gone.json()


async def test_members_are_deflated_where_that_is_asked(box: Box, client: httpx.AsyncClient) -> None:
    data = make_instance(Rows=64, Columns=64, PixelData=bytes(8192))
    stored = await put(box, data)

    small = await client.get(path_of(stored), params={"deflate": "true"}, headers=AS_STORED)
    plain = await client.get(path_of(stored), headers=AS_STORED)
    bad = await client.get(path_of(stored), params={"deflate": "maybe"}, headers=AS_STORED)

    assert list(unzipped(small).values()) == list(unzipped(plain).values()) == [data]
    assert len(small.content) < 4000 < len(plain.content)
    assert small.headers["etag"] != plain.headers["etag"]
    assert bad.status_code == 400


async def test_the_same_ask_gives_the_same_bytes_or_304(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())
    first = await client.get(path_of(stored), headers=ZIP)

    again = await client.get(path_of(stored), headers=ZIP)
    unchanged = await client.get(path_of(stored), headers={**ZIP, "if-none-match": first.headers["etag"]})

    assert first.content == again.content
    assert unchanged.status_code == 304


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
async def test_unzip_finds_nothing_wrong(box: Box, client: httpx.AsyncClient, tmp_path: Path) -> None:
    study = new_uid()
    for number in (1, 2):
        await put(box, make_instance(study=study, InstanceNumber=number))
    response = await client.get(f"/studies/{study}", headers=ZIP)
    (tmp_path / "study.zip").write_bytes(response.content)

    tested = subprocess.run(["unzip", "-t", str(tmp_path / "study.zip")], capture_output=True, check=False)

    assert tested.returncode == 0, tested.stdout


async def test_a_reader_that_leaves_leaves_nothing_behind(box: Box) -> None:
    stored = await put(box, make_instance(Rows=2048, Columns=2048, PixelData=bytes(2048 * 2048 * 2)))

    async with client_of(box) as client, client.stream("GET", path_of(stored), headers=ZIP) as response:
        assert response.status_code == 200


@contextmanager
def extracted(response: httpx.Response, folder: Path) -> Iterator[FileSet]:
    """The archive's file-set, as pydicom reads it from its DICOMDIR."""
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        archive.extractall(folder)
    found = FileSet(folder / "DICOMDIR")
    yield found
    found._stage["t"].cleanup()  # pydicom leaves its folder of changes to the collector, which warns


@pytest.mark.row(47)
@pytest.mark.dicom("PS3.10 8")
async def test_a_study_comes_with_its_dicomdir(box: Box, client: httpx.AsyncClient, tmp_path: Path) -> None:
    study, series = new_uid(), new_uid()
    names = {"PatientName": "Müller^Jürgen", "SpecificCharacterSet": "ISO_IR 192"}
    objects = [make_instance(study=study, series=series, InstanceNumber=n, **names) for n in (1, 2)]
    objects.append(
        make_instance(study=study, SeriesNumber=2, Modality="MR", StudyID=None, InstanceNumber=None, **names)
    )
    stored = [await put(box, data) for data in objects]

    response = await client.get(f"/studies/{study}", params={"dicomdir": "true"}, headers=AS_STORED)

    members = unzipped(response)
    with extracted(response, tmp_path) as found:
        assert {one.SOPInstanceUID: Path(one.path).read_bytes() for one in found} == dict(
            zip((one.instance_uid for one in stored), objects, strict=True)
        )
        assert found.find_values("PatientName") == ["Müller^Jürgen"]
        assert found.find_values("StudyInstanceUID") == [study]
        assert found.find_values("SeriesInstanceUID") == [series, stored[2].series_uid]
        assert [one.InstanceNumber for one in found] == [1, 2, 1]
    assert list(members)[-1] == "DICOMDIR"
    assert all(re.fullmatch(r"[A-Z0-9_]{1,8}(/[A-Z0-9_]{1,8}){0,7}", name) for name in members)
    directory = pydicom.dcmread(tmp_path / "DICOMDIR")
    assert directory.file_meta.MediaStorageSOPClassUID == MediaStorageDirectoryStorage
    assert {record.DirectoryRecordType for record in directory.DirectoryRecordSequence} == {
        "PATIENT",
        "STUDY",
        "SERIES",
        "IMAGE",
    }


async def test_each_kind_of_object_has_its_kind_of_record(
    box: Box, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    study = new_uid()
    classes = {
        "1.2.840.10008.5.1.4.1.1.2": "IMAGE",
        "1.2.840.10008.5.1.4.1.1.104.1": "ENCAP DOC",
        "1.2.840.10008.5.1.4.1.1.88.33": "SR DOCUMENT",
        "1.2.840.10008.5.1.4.1.1.88.59": "KEY OBJECT DOC",
        "1.2.840.10008.5.1.4.1.1.11.1": "PRESENTATION",
        "1.2.840.10008.5.1.4.1.1.481.3": "RT STRUCTURE SET",
        "1.2.840.10008.5.1.4.1.1.66.4": "IMAGE",
        "1.3.6.1.4.1.9999.1": "IMAGE",
    }
    title = pydicom.Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "1", "99X", "Title"
    for number, sop_class in enumerate(classes, 1):
        more = {"ConceptNameCodeSequence": [title]} if ".88." in sop_class else {}
        await put(box, make_instance(study=study, SOPClassUID=sop_class, SeriesNumber=number, **more))

    response = await client.get(f"/studies/{study}", params={"dicomdir": "true"}, headers=ZIP)

    with extracted(response, tmp_path) as found:
        assert len(found) == len(classes)
    records = pydicom.dcmread(tmp_path / "DICOMDIR").DirectoryRecordSequence
    kinds = {
        record.ReferencedSOPClassUIDInFile: record.DirectoryRecordType
        for record in records
        if "ReferencedFileID" in record
    }
    assert kinds == classes
    assert [
        record.ConceptNameCodeSequence[0].CodeMeaning
        for record in records
        if record.DirectoryRecordType == "SR DOCUMENT"
    ] == ["Title"]


async def test_a_record_names_the_transfer_syntax_that_its_file_has(
    box: Box, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    study = new_uid()
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        await put(box, part10(make_dataset(study=study), transfer_syntax=syntax))

    response = await client.get(f"/studies/{study}", params={"dicomdir": "true"}, headers=ZIP)

    with extracted(response, tmp_path) as found:
        for one in found:
            assert one.ReferencedTransferSyntaxUIDInFile == ExplicitVRLittleEndian
            assert pydicom.dcmread(one.path).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
