"""C-ECHO and C-STORE over the wire: DCMTK, pynetdicom and Orthanc bring instances; HTTP gives them back."""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from bench.servers import orthanc_program, start_orthanc
from conformance.dimse import (
    VERIFICATION,
    Part10,
    association,
    dataset_of,
    dcmtk,
    part10,
    pynetdicom_app,
    store_as_it_is,
    with_meta,
)
from conformance.objects import encode, plain
from conformance.server import Server, started

pytestmark = [pytest.mark.xdist_group("dimse"), pytest.mark.filterwarnings("ignore::UserWarning")]

AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}
PRIVATE_CLASS = "1.2.826.0.1.3680043.10.1511.77"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, with DIMSE on a free port."""
    with started(tmp_path_factory.mktemp("dimse") / "data", dimse=True) as one:
        yield one


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """Its DICOMweb."""
    with httpx.Client(base_url=server.dicomweb, timeout=60, headers=AS_STORED) as client:
        yield client


def stored(http: httpx.Client, instance_uid: str) -> bytes:
    """The instance as the archive has it."""
    found = http.get("/instances", params={"SOPInstanceUID": instance_uid}, headers={"Accept": "*/*"})
    assert found.status_code == 200, found.text
    (one,) = found.json()
    study, series = (one[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    answer = http.get(f"/studies/{study}/series/{series}/instances/{instance_uid}")
    assert answer.status_code == 200, answer.text
    return answer.content


def made(tmp_path: Path, name: str, **attributes: object) -> Path:
    """A file of a small CT instance."""
    dataset = plain(name, study=name, series=name).dataset
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path = tmp_path / f"{name}.dcm"
    path.write_bytes(encode(dataset))
    return path


# C-ECHO


def test_it_says_where_dimse_listens(server: Server) -> None:
    assert server.dimse > 0
    assert server.dimse_tls == 0


def test_echoscu_is_answered(server: Server) -> None:
    assert "Received Echo Response (Success)" in dcmtk("echoscu", server.dimse)


def test_pynetdicoms_echoscu_is_answered(server: Server) -> None:
    assert "Received Echo Response (Status: 0x0000 - Success)" in pynetdicom_app("echoscu", server.dimse)


@pytest.mark.dicom("PS3.8 9.3.4")
def test_who_calls_somebody_else_is_told_so(server: Server) -> None:
    with association(server.dimse, [(VERIFICATION, ImplicitVRLittleEndian)], called="SOMEBODY") as made:
        assert made.is_rejected
        rejected = made.acceptor.primitive
    assert (rejected.result, rejected.result_source, rejected.diagnostic) == (1, 1, 7)


# C-STORE by other people's programs


def test_storescu_brings_a_file(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    path = made(tmp_path, "storescu")

    said = dcmtk("storescu", server.dimse, path)

    assert "Received Store Response (Success)" in said
    kept = stored(http, part10(path).instance_uid)
    assert dataset_of(kept) == part10(path).dataset
    meta = pydicom.dcmread(httpx_file(kept)).file_meta
    assert meta.SourceApplicationEntityTitle == meta.SendingApplicationEntityTitle == "STORESCU"
    assert meta.ReceivingApplicationEntityTitle == "DICOMWEB_BOX"


def httpx_file(content: bytes) -> pydicom.filebase.DicomBytesIO:
    return pydicom.filebase.DicomBytesIO(content)


def test_storescu_in_each_order_of_syntaxes_is_given_the_first(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    for flag, syntax in (
        ("-xe", ExplicitVRLittleEndian),
        ("-xb", ExplicitVRBigEndian),
        ("-xi", ImplicitVRLittleEndian),
    ):
        path = made(tmp_path, f"order{flag}")

        # All in one presentation context, else there would be one for each.
        dcmtk("storescu", server.dimse, flag, "+C", path)

        kept = pydicom.dcmread(httpx_file(stored(http, part10(path).instance_uid)))
        assert kept.file_meta.TransferSyntaxUID == syntax
        assert kept.PixelData == pydicom.dcmread(path).PixelData or syntax == ExplicitVRBigEndian


def test_dcmsend_brings_a_folder_in_one_association(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    paths = [made(folder, f"dcmsend{number}") for number in range(5)]

    said = dcmtk("dcmsend", server.dimse, "+sd", folder)

    assert "with status SUCCESS  : 5" in said
    assert [dataset_of(stored(http, part10(path).instance_uid)) for path in paths] == [
        part10(path).dataset for path in paths
    ]


def test_pynetdicoms_storescu_brings_a_file(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    path = made(tmp_path, "pynetdicom")

    said = pynetdicom_app("storescu", server.dimse, path)

    assert "Received Store Response (Status: 0x0000 - Success)" in said
    assert dataset_of(stored(http, part10(path).instance_uid)) == part10(path).dataset


def test_orthanc_brings_what_it_holds(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    orthanc_is = orthanc_program()
    if orthanc_is is None:
        pytest.skip("Orthanc with DICOMweb is not installed")
    paths = [made(tmp_path, f"orthanc{number}") for number in range(3)]
    folder = tmp_path / "orthanc"
    folder.mkdir()
    orthanc = start_orthanc(folder, orthanc_is, plugins=("DicomWeb",))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{orthanc.port}", timeout=60) as client:
            ids = [client.post("/instances", content=path.read_bytes()).json()["ID"] for path in paths]
            box = {"AET": "DICOMWEB_BOX", "Host": "127.0.0.1", "Port": server.dimse}
            assert client.put("/modalities/box", json=box).status_code == 200
            assert client.post("/modalities/box/echo", json={}).status_code == 200
            answer = client.post("/modalities/box/store", json={"Resources": ids, "Synchronous": True})
            assert answer.json()["FailedInstancesCount"] == 0, answer.text
    finally:
        orthanc.stop()

    for path in paths:
        kept = pydicom.dcmread(httpx_file(stored(http, part10(path).instance_uid)))
        assert kept == pydicom.dcmread(path)


# Each shared file


@pytest.fixture(scope="module")
def files(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Part10]:
    """Those of the shared files that a C-STORE can carry."""
    folder = tmp_path_factory.mktemp("meta")
    with (test_data / "manifest.csv").open(newline="") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["parse"] != "fail"]
    found = []
    for row in rows:
        path = test_data / row["file"]
        one = carried(path, folder)
        # A directory is of media alone.
        if one is not None and one.sop_class_uid not in ("", MediaStorageDirectoryStorage):
            found.append(one)
    return found


def carried(path: Path, folder: Path) -> Part10 | None:
    """The file as a request can carry it; None without the UIDs that a request must say."""
    for read in (part10, lambda path: with_meta(path, folder)):
        with contextlib.suppress(Exception):  # pydicom may raise anything on such files
            return read(path)
    return None


@pytest.mark.dicom("PS3.4 B.2.2")
def test_each_shared_file_comes_back_with_the_bytes_of_its_data_set(
    server: Server, http: httpx.Client, files: list[Part10]
) -> None:
    assert len(files) > 300
    refused: dict[str, str] = {}
    wrong: list[str] = []
    # Of one UID there are several: those of a round are asked for before the next one takes their place.
    for batch in rounds(files):
        for one, response in zip(batch, store_as_it_is(server.dimse, batch), strict=True):
            if not has_its_uids(one):
                assert response.Status in {0xA900, 0xC000}, one.path.name
            elif response.Status != 0:
                refused[one.path.name] = f"{response.Status:04X} {response.get('ErrorComment')}"
            elif dataset_of(stored(http, one.instance_uid)) != one.dataset:
                wrong.append(one.path.name)
    cut_off = {name for name in refused if "trunc" in name or "too_short" in name}
    assert {name: why for name, why in refused.items() if name not in cut_off} == {}
    assert all(refused[name].startswith("C000 the data set is cut off") for name in cut_off)
    assert wrong == []


def has_its_uids(one: Part10) -> bool:
    """Whether its data set has the identifiers that an instance must have, and those of its file meta."""
    found = pydicom.dcmread(one.path, stop_before_pixels=True)
    return bool(
        found.get("StudyInstanceUID")
        and found.get("SeriesInstanceUID")
        and found.get("SOPInstanceUID") == one.instance_uid
        and found.get("SOPClassUID") == one.sop_class_uid
    )


def rounds(files: list[Part10]) -> Iterator[list[Part10]]:
    """The files in rounds in which no SOP Instance UID comes twice, each for one association."""
    left = files
    while left:
        batch: dict[str, Part10] = {}
        for one in left:
            if len(batch) < 60:
                batch.setdefault(one.instance_uid, one)
        taken = {id(one) for one in batch.values()}
        left = [one for one in left if id(one) not in taken]
        yield list(batch.values())
