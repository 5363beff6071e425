"""C-GET and C-MOVE over the wire: DCMTK, pynetdicom and Orthanc take instances, each in what it accepts."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from pynetdicom import AE, _config, evt
from pynetdicom.presentation import build_context, build_role

from bench.servers import orthanc_program, start_orthanc
from conformance.dimse import AE_TITLE, association, dataset_of, dcmtk, part10, program, pynetdicom_app
from conformance.objects import encode, plain
from conformance.server import Server, free_port, started
from tests.outbound.receiver import receiving
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("dimse"), pytest.mark.filterwarnings("ignore::UserWarning")]

STUDY_GET, STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_GET, PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.3", "1.2.840.10008.5.1.4.1.2.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, with DIMSE on a free port."""
    with started(tmp_path_factory.mktemp("retrieve") / "data", dimse=True) as one:
        yield one


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """The server's pages and services."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def store(http: httpx.Client, *files: bytes) -> None:
    """Brings objects by STOW-RS."""
    head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + one + b"\r\n" for one in files) + b"--frontier--"
    kind = 'multipart/related; type="application/dicom"; boundary=frontier'
    answer = http.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (200, 202, 409), answer.text


class Study:
    """A study of CT instances in one series, as files and by name."""

    def __init__(self, name: str, count: int) -> None:
        made = [plain(f"{name}{n}", study=name, series=name, InstanceNumber=n) for n in range(1, count + 1)]
        self.files = [encode(one.dataset) for one in made]
        self.uid, self.series_uid = made[0].study_uid, made[0].series_uid
        self.patient = str(made[0].dataset.PatientID)
        self.uids = [one.instance_uid for one in made]

    @property
    def data_sets(self) -> dict[str, bytes]:
        """Bytes of the data sets by SOP Instance UID."""
        return dict(zip(self.uids, map(dataset_of, self.files), strict=True))

    def identifier(self, level: str = "STUDY", *uids: str) -> Dataset:
        """What names it, or these instances of it."""
        ds = Dataset()
        ds.QueryRetrieveLevel = level
        ds.StudyInstanceUID = self.uid
        if uids:
            ds.SeriesInstanceUID, ds.SOPInstanceUID = self.series_uid, list(uids)
        return ds


@pytest.fixture(scope="module")
def study(http: httpx.Client) -> Study:
    """A stored study of twenty instances."""
    made = Study("retrieve", 20)
    store(http, *made.files)
    return made


def keys(*pairs: str) -> list[str]:
    """Arguments of DCMTK and pynetdicom for the keys of an identifier."""
    return [text for pair in pairs for text in ("-k", pair)]


def peer(http: httpx.Client, title: str, port: int, **more: Any) -> None:
    """Makes a peer on this machine, or lets it be as told."""
    told = {"name": title, "ae_title": title, "host": "127.0.0.1", "port": port, **more}
    known = http.get(f"/peers/{title}.json").status_code == 200
    answer = http.post(f"/peers/{title}" if known else "/peers", json=told)
    assert answer.status_code in (200, 201, 303), answer.text
    time.sleep(1.2)  # after which every process has heard of it


def got(folder: Path) -> dict[str, bytes]:
    """Bytes of the data sets of a folder's files by SOP Instance UID."""
    found = (part10(path) for path in folder.iterdir())
    return {one.instance_uid: one.dataset for one in found}


def moved(
    port: int, identifier: Dataset, to: str, root: str = STUDY_MOVE, *, calling: str = "WORKSTATION"
) -> list[tuple[Dataset, Dataset | None]]:
    """The responses to a C-MOVE of pynetdicom's."""
    with association(port, [(root, IMPLICIT)], calling=calling) as made:
        assert made.is_established
        return list(made.send_c_move(identifier, to, root))


def last(responses: list[tuple[Dataset, Dataset | None]]) -> tuple[int, int, int, int]:
    """Status and counts of the last response: completed, failed, warning."""
    status = responses[-1][0]
    return (
        status.Status,
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )


# C-GET


@pytest.mark.dicom("PS3.4 C.4.3")
def test_getscu_of_dcmtk_gets_a_study_bit_for_bit(server: Server, study: Study, tmp_path: Path) -> None:
    asked = keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study.uid}")

    said = dcmtk("getscu", server.dimse, "-S", "+B", "-od", tmp_path, *asked)

    assert "Number of Completed Suboperations : 20" in said
    assert got(tmp_path) == study.data_sets


def test_getscu_of_dcmtk_gets_a_patient(server: Server, study: Study, tmp_path: Path) -> None:
    asked = keys("QueryRetrieveLevel=PATIENT", f"PatientID={study.patient}")

    dcmtk("getscu", server.dimse, "-P", "+B", "-od", tmp_path, *asked)

    assert got(tmp_path) == study.data_sets


def test_getscu_of_pynetdicom_gets_one_instance(server: Server, study: Study, tmp_path: Path) -> None:
    wanted = study.uids[4]
    asked = keys(
        "QueryRetrieveLevel=IMAGE",
        f"StudyInstanceUID={study.uid}",
        f"SeriesInstanceUID={study.series_uid}",
        f"SOPInstanceUID={wanted}",
    )

    pynetdicom_app("getscu", server.dimse, "-S", *asked, "-od", tmp_path)

    (path,) = tmp_path.iterdir()
    assert pydicom.dcmread(path).SOPInstanceUID == wanted


def gets(
    port: int,
    identifier: Dataset,
    syntaxes: Sequence[str],
    *,
    together: bool = False,
    status: int = 0x0000,
    cancel_after: int = 0,
) -> tuple[list[tuple[Dataset, Dataset | None]], dict[str, tuple[str, bytes]]]:
    """The responses to a C-GET of pynetdicom's, and what came by UID: transfer syntax and data set."""
    taken: dict[str, tuple[str, bytes]] = {}
    ae = AE("GETTER")
    stored = [build_context(CT, list(syntaxes))] if together else [build_context(CT, one) for one in syntaxes]
    ae.requested_contexts = [build_context(STUDY_GET), *stored]

    def take(event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        taken[uid] = str(event.context.transfer_syntax), event.request.DataSet.getvalue()
        if len(taken) == cancel_after:
            event.assoc.send_c_cancel(7, query_model=STUDY_GET)
        return status

    made = ae.associate(
        "127.0.0.1",
        port,
        ae_title=AE_TITLE,
        ext_neg=[build_role(CT, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    assert made.is_established
    try:
        return list(made.send_c_get(identifier, STUDY_GET, msg_id=7)), taken
    finally:
        made.release()


def test_who_takes_implicit_vr_alone_gets_that(server: Server, study: Study) -> None:
    responses, taken = gets(server.dimse, study.identifier(), [IMPLICIT])

    assert last(responses) == (0x0000, 20, 0, 0)
    for uid, (syntax, data) in taken.items():
        found = pydicom.filereader.read_dataset(io.BytesIO(data), True, True)
        wanted = pydicom.filereader.read_dataset(io.BytesIO(study.data_sets[uid]), False, True)
        assert syntax == IMPLICIT
        assert found == wanted


def test_what_is_compressed_goes_out_as_it_is_to_who_takes_it_and_decoded_to_who_does_not(
    server: Server, http: httpx.Client
) -> None:
    native = plain("compressed", study="compressed", series="compressed").dataset
    native.compress(RLELossless)
    data = encode(native)
    store(http, data)
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", native.StudyInstanceUID

    _, as_it_is = gets(server.dimse, asked, [EXPLICIT, str(RLELossless), IMPLICIT])
    _, decoded = gets(server.dimse, asked, [IMPLICIT])

    assert as_it_is == {native.SOPInstanceUID: (RLELossless, dataset_of(data))}
    ((syntax, plainly),) = decoded.values()
    found = pydicom.filereader.read_dataset(io.BytesIO(plainly), True, True)
    assert syntax == IMPLICIT
    assert found.PixelData == plain("compressed", study="compressed", series="compressed").dataset.PixelData


def test_one_context_of_several_syntaxes_is_accepted_in_one_that_all_can_be_given_in(
    server: Server, study: Study
) -> None:
    responses, taken = gets(
        server.dimse, study.identifier(), [str(JPEG2000Lossless), EXPLICIT], together=True
    )

    assert last(responses)[:2] == (0x0000, 20)
    assert {syntax for syntax, _ in taken.values()} == {EXPLICIT}


@pytest.mark.dicom("PS3.4 C.4.3.1.4")
def test_what_the_getter_refuses_is_listed_and_the_rest_goes_on(server: Server, study: Study) -> None:
    responses, _ = gets(server.dimse, study.identifier(), [EXPLICIT], status=0xA700)

    assert last(responses) == (0xA702, 0, 20, 0)
    assert responses[-1][1] is not None
    assert sorted(responses[-1][1].FailedSOPInstanceUIDList) == sorted(study.uids)


@pytest.mark.dicom("PS3.4 C.4.3.3")
def test_a_cancelled_c_get_ends_at_once_with_counts(server: Server, study: Study) -> None:
    responses, taken = gets(server.dimse, study.identifier(), [EXPLICIT], cancel_after=5)

    status = responses[-1][0]
    assert status.Status == 0xFE00
    assert status.NumberOfCompletedSuboperations == len(taken) < 20
    assert status.NumberOfRemainingSuboperations == 20 - len(taken)


# C-MOVE


@pytest.mark.dicom("PS3.4 C.4.2")
def test_movescu_of_dcmtk_moves_to_itself_bit_for_bit(
    server: Server, http: httpx.Client, study: Study, tmp_path: Path
) -> None:
    port = free_port()
    peer(http, "MOVESCU", port)
    asked = keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study.uid}")

    said = dcmtk(
        "movescu", server.dimse, "-S", "-aet", "MOVESCU", "-aem", "MOVESCU", "+P", str(port), "-od", tmp_path,
        *asked,
    )  # fmt: skip

    assert "Received Final Move Response (Success)" in said
    assert got(tmp_path) == study.data_sets


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def storescp(folder: Path, *flags: str) -> Iterator[int]:
    """DCMTK's receiver; gives its port."""
    port = free_port()
    process = subprocess.Popen(
        [program("storescp"), "-aet", "STORESCP", "+B", "-od", str(folder), "-uf", *flags, str(port)],
        env={**os.environ, "TCP_NODELAY": "1"},
    )
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_movescu_of_dcmtk_moves_to_storescp(
    server: Server, http: httpx.Client, study: Study, tmp_path: Path
) -> None:
    uids = f"StudyInstanceUID={study.uid}", f"SeriesInstanceUID={study.series_uid}"
    asked = keys("QueryRetrieveLevel=SERIES", *uids)
    with storescp(tmp_path) as port:
        peer(http, "STORESCP", port)

        dcmtk("movescu", server.dimse, "-S", "-aem", "STORESCP", *asked)

    assert got(tmp_path) == study.data_sets


def test_movescu_of_dcmtk_moves_a_patient_to_a_receiver_of_implicit_vr_alone(
    server: Server, http: httpx.Client, study: Study, tmp_path: Path
) -> None:
    asked = keys("QueryRetrieveLevel=PATIENT", f"PatientID={study.patient}")
    with storescp(tmp_path, "+xi") as port:
        peer(http, "STORESCP", port)

        dcmtk("movescu", server.dimse, "-P", "-aem", "STORESCP", *asked)

    found = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, tmp_path.iterdir())}
    assert {one.file_meta.TransferSyntaxUID for one in found.values()} == {ImplicitVRLittleEndian}
    for data in study.files:
        wanted = pydicom.dcmread(io.BytesIO(data))
        assert found[wanted.SOPInstanceUID] == wanted


def test_movescu_of_pynetdicom_moves_to_storescp(
    server: Server, http: httpx.Client, study: Study, tmp_path: Path
) -> None:
    asked = keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study.uid}")
    with storescp(tmp_path) as port:
        peer(http, "STORESCP", port)

        pynetdicom_app("movescu", server.dimse, "-S", "-aem", "STORESCP", *asked)

    assert got(tmp_path) == study.data_sets


def test_pending_responses_tell_how_far_a_slow_move_is(
    server: Server, http: httpx.Client, study: Study
) -> None:
    heard: list[Dataset] = []

    def told_again() -> bool:
        done = [one.get("NumberOfCompletedSuboperations") for one in heard]
        return len(set(done)) < len(done)

    def slow(number: int, event: evt.Event) -> int:
        if number == 3:
            until(told_again)  # though nothing more is done
        return 0x0000

    with receiving(answer=slow) as receiver:
        peer(http, "RECEIVER", receiver.port, associations=1)
        with association(server.dimse, [(STUDY_MOVE, IMPLICIT)], calling="WORKSTATION") as made:
            for status, _ in made.send_c_move(study.identifier(), "RECEIVER", STUDY_MOVE):
                heard.append(status)

    pending = heard[:-1]
    assert {one.Status for one in pending} == {0xFF00}
    assert [one.NumberOfRemainingSuboperations for one in pending] == sorted(
        (20 - one.NumberOfCompletedSuboperations for one in pending), reverse=True
    )
    assert (heard[-1].Status, heard[-1].NumberOfCompletedSuboperations) == (0x0000, 20)
    assert len(receiver.taken) == 20
    assert {one.originator[0] for one in receiver.taken} == {"WORKSTATION"}


@pytest.mark.dicom("PS3.4 C.4.2.1.5")
def test_a_move_that_fails_in_part_goes_on_and_lists_what_failed(
    server: Server, http: httpx.Client, study: Study
) -> None:
    refused: list[str] = []

    def answer(number: int, event: evt.Event) -> int:
        if number % 10 == 0:
            refused.append(str(event.request.AffectedSOPInstanceUID))
            return 0xA700
        return 0x0000

    with receiving(answer=answer) as receiver:
        peer(http, "RECEIVER", receiver.port, associations=8)
        responses = moved(server.dimse, study.identifier(), "RECEIVER")

    assert last(responses) == (0xB000, 18, 2, 0)
    assert responses[-1][1] is not None
    assert sorted(responses[-1][1].FailedSOPInstanceUIDList) == sorted(refused)


def test_a_receiver_that_is_not_there_is_said_with_all_that_it_did_not_get(
    server: Server, http: httpx.Client, study: Study
) -> None:
    peer(http, "NOBODY", free_port())

    responses = moved(server.dimse, study.identifier(), "NOBODY")

    assert last(responses) == (0xA702, 0, 20, 0)
    assert responses[-1][1] is not None
    assert len(responses[-1][1].FailedSOPInstanceUIDList) == 20


@pytest.mark.dicom("PS3.4 C.4.2.3.1")
def test_a_cancelled_move_stops_the_sending(server: Server, http: httpx.Client, study: Study) -> None:
    def slow(number: int, event: evt.Event) -> int:
        time.sleep(0.2)
        return 0x0000

    with receiving(answer=slow) as receiver:
        peer(http, "RECEIVER", receiver.port, associations=1)
        with association(server.dimse, [(STUDY_MOVE, IMPLICIT)]) as made:
            responses = []
            for status, _ in made.send_c_move(study.identifier(), "RECEIVER", STUDY_MOVE, msg_id=9):
                responses.append(status)
                if len(responses) == 2:
                    made.send_c_cancel(9, query_model=STUDY_MOVE)

    assert responses[-1].Status == 0xFE00
    assert responses[-1].NumberOfCompletedSuboperations == len(receiver.taken) < 20
    assert responses[-1].NumberOfRemainingSuboperations == 20 - len(receiver.taken)


@pytest.mark.parametrize(
    ("level", "more", "root", "destination", "status"),
    [
        ("STUDY", {"StudyInstanceUID": "1.2.3"}, STUDY_MOVE, "STRANGER", 0xA801),
        ("STUDY", {"StudyInstanceUID": "1.2.3"}, STUDY_MOVE, "NOBODY", 0x0000),
        ("STUDY", {}, STUDY_MOVE, "NOBODY", 0xA900),
        ("PATIENT", {"PatientID": "P"}, STUDY_MOVE, "NOBODY", 0xA900),
        ("PATIENT", {"PatientID": "nobody"}, PATIENT_MOVE, "NOBODY", 0x0000),
        ("FRAME", {"StudyInstanceUID": "1.2.3"}, STUDY_MOVE, "NOBODY", 0xA900),
    ],
)
def test_what_comes_to_nothing_is_said(
    server: Server,
    http: httpx.Client,
    level: str,
    more: dict[str, str],
    root: str,
    destination: str,
    status: int,
) -> None:
    peer(http, "NOBODY", free_port())
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in more.items():
        setattr(asked, keyword, value)

    responses = moved(server.dimse, asked, destination, root)

    assert [one.Status for one, _ in responses] == [status]
    if status == 0x0000:
        assert last(responses) == (0x0000, 0, 0, 0)


# Orthanc


def test_orthanc_fetches_from_the_box_by_c_move_and_by_c_get(
    server: Server, http: httpx.Client, study: Study, tmp_path: Path
) -> None:
    orthanc_is = orthanc_program()
    if orthanc_is is None:
        pytest.skip("Orthanc with DICOMweb is not installed")
    orthanc = start_orthanc(tmp_path, orthanc_is, plugins=("DicomWeb",))
    try:
        port = json.loads((tmp_path / "orthanc.json").read_text())["DicomPort"]
        peer(http, "ORTHANC", port)
        with httpx.Client(base_url=f"http://127.0.0.1:{orthanc.port}", timeout=60) as client:
            box = {"AET": AE_TITLE, "Host": "127.0.0.1", "Port": server.dimse}
            assert client.put("/modalities/box", json=box).status_code == 200
            for service in ("move", "get"):
                what = {"Level": "Study", "Resources": [{"StudyInstanceUID": study.uid}]}
                asked = client.post(f"/modalities/box/{service}", json={**what, "Synchronous": True})
                if service == "get" and asked.status_code == 404:
                    continue  # Orthanc asks by C-GET from version 1.12.6 on
                assert asked.status_code == 200, asked.text
                held = client.get("/instances").json()
                files = [client.get(f"/instances/{one}/file").content for one in held]
                kept = {
                    str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID): dataset_of(data) for data in files
                }
                assert kept == study.data_sets
                for one in client.get("/studies").json():
                    client.delete(f"/studies/{one}")
    finally:
        orthanc.stop()


# Each shared file


@pytest.mark.dicom("PS3.4 B.2.1")
def test_each_shared_file_goes_out_with_the_bytes_of_its_data_set(
    server: Server, http: httpx.Client, test_data: Path
) -> None:
    for path in sorted(test_data.rglob("*.dcm")):
        if path.stat().st_size < 20_000_000:
            store(http, path.read_bytes())
    studies = [
        (one["0020000D"]["Value"][0]) for one in http.get("/dicom-web/studies", params={"limit": 5000}).json()
    ]
    instances = http.get(
        "/dicom-web/instances", params={"limit": 10000, "includefield": "AvailableTransferSyntaxUID"}
    ).json()
    classes: dict[str, list[str]] = {}
    for one in instances:
        own = classes.setdefault(one["00080016"]["Value"][0], [EXPLICIT])
        own += [syntax for syntax in one["00083002"]["Value"] if syntax not in own]
    assert len(instances) > 200

    before, _config.UNRESTRICTED_STORAGE_SERVICE = _config.UNRESTRICTED_STORAGE_SERVICE, True
    try:
        with receiving(classes) as receiver:
            peer(http, "RECEIVER", receiver.port, associations=2)
            for uid in studies:
                asked = Dataset()
                asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", uid
                status = moved(server.dimse, asked, "RECEIVER")[-1][0]
                assert (uid, status.Status) == (uid, 0x0000)
    finally:
        _config.UNRESTRICTED_STORAGE_SERVICE = before

    came = {one.instance_uid: one.dataset for one in receiver.taken}
    for one in instances:
        path = "/".join(one[tag]["Value"][0] for tag in ("0020000D",))
        uid = one["00080018"]["Value"][0]
        file = http.get(
            f"/dicom-web/studies/{path}/series/{one['0020000E']['Value'][0]}/instances/{uid}",
            headers=AS_STORED,
        )
        assert came[uid] == dataset_of(file.content), uid
