"""C-FIND over the wire: DCMTK's findscu and pynetdicom's ask for what came over HTTP."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from conformance.dimse import association, dcmtk, program, pynetdicom_app, run
from conformance.objects import multipart
from conformance.server import Server, started
from tests.builders import make_instance

pytestmark = [pytest.mark.xdist_group("dimse"), pytest.mark.filterwarnings("ignore::UserWarning")]

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
WORKLIST, PERFORMED_STEP = "1.2.840.10008.5.1.4.31", "1.2.840.10008.3.1.2.3.3"
SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
PARTS = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part'}
MANY = 400
NAMES = {
    "ISO_IR 126": "Διονυσιος",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "GB18030": "Wang^XiaoDong=王^小东",
    "GBK": "Zhang^XiaoDong=张^小东",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 192": "Li^Na=李^娜",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with studies of people of many scripts, and a patient with many studies."""
    with started(tmp_path_factory.mktemp("find") / "data", dimse=True) as one:
        objects = [
            make_instance(
                study=f"1.2.9.{number}",
                SpecificCharacterSet="ISO_IR 192",
                PatientName=name,
                PatientID=f"N{number}",
            )
            for number, name in enumerate(NAMES.values())
        ]
        objects += [
            make_instance(
                study=f"1.2.7.{number}",
                series=f"1.2.7.{number}.{series}",
                instance=f"1.2.7.{number}.{series}.1",
                SeriesNumber=series,
                Modality=("CT", "PT")[series - 1],
                PatientName="Doe^Jane",
                PatientID="MANY",
                StudyDate=f"2025{number % 12 + 1:02}{number % 28 + 1:02}",
            )
            for number in range(MANY)
            for series in ((1, 2) if number < 3 else (1,))
        ]
        with httpx.Client(base_url=one.dicomweb, timeout=120) as client:
            assert client.post("/studies", content=multipart(objects), headers=PARTS).status_code == 200
        yield one


def responses(said: str) -> list[dict[str, str]]:
    """The attributes of each response that findscu shows, by keyword."""
    parts = re.split(r"Find Response: \d+ \(Pending", said)[1:]
    line = re.compile(r"\) \w\w (?:\[(.*?)[\s\0]*\]|(\d+)|\S.*?)\s+#.* (\w+)$", re.MULTILINE)
    return [{keyword: text or number for text, number, keyword in line.findall(part)} for part in parts]


def find(server: Server, model: str, *keys: str, more: tuple[str, ...] = ()) -> list[dict[str, str]]:
    given = [one for key in keys for one in ("-k", key)]
    return responses(dcmtk("findscu", server.dimse, model, *more, *given))


@pytest.mark.dicom("PS3.4 C.4.1")
def test_findscu_walks_down_both_information_models(server: Server) -> None:
    patients = find(
        server, "-P", "QueryRetrieveLevel=PATIENT", "PatientID=MA*", "NumberOfPatientRelatedStudies"
    )
    assert [(one["PatientID"], one["NumberOfPatientRelatedStudies"]) for one in patients] == [
        ("MANY", str(MANY))
    ]

    studies = find(server, "-P", "QueryRetrieveLevel=STUDY", "PatientID=MANY", "StudyInstanceUID")
    assert len({one["StudyInstanceUID"] for one in studies}) == MANY

    for model in ("-S", "-P"):
        above = ["PatientID=MANY"] if model == "-P" else []
        series = find(
            server,
            model,
            "QueryRetrieveLevel=SERIES",
            *above,
            "StudyInstanceUID=1.2.7.1",
            "SeriesInstanceUID",
            "Modality",
        )
        assert [(one["SeriesInstanceUID"], one["Modality"]) for one in series] == [
            ("1.2.7.1.1", "CT"),
            ("1.2.7.1.2", "PT"),
        ]
        instances = find(
            server,
            model,
            "QueryRetrieveLevel=IMAGE",
            *above,
            "StudyInstanceUID=1.2.7.1",
            "SeriesInstanceUID=1.2.7.1.2",
            "SOPInstanceUID",
            "SOPClassUID",
        )
        assert [one["SOPInstanceUID"] for one in instances] == ["1.2.7.1.2.1"]
        assert instances[0]["RetrieveAETitle"] == "DICOMWEB_BOX"


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        (["PatientName=doe^*"], MANY),
        (["PatientName=*JANE"], MANY),
        (["PatientName=D?e^Jane", "StudyInstanceUID=1.2.7.5"], 1),
        (["StudyInstanceUID=1.2.7.5\\1.2.7.6"], 2),
        (["StudyDate=20250101-20250131"], MANY // 12 + 1),
        (["StudyDate=-20250101", "PatientID=MANY"], 5),
        (["ModalitiesInStudy=PT"], 3),
        (["PatientID=none"], 0),
    ],
)
def test_findscu_finds_by_every_kind_of_matching(server: Server, keys: list[str], count: int) -> None:
    assert len(find(server, "-S", "QueryRetrieveLevel=STUDY", *keys)) == count


@pytest.mark.parametrize("syntax", ["-xe", "-xi", "-xb"])
def test_findscu_reads_answers_in_every_transfer_syntax(server: Server, syntax: str) -> None:
    (one,) = find(
        server,
        "-S",
        "QueryRetrieveLevel=IMAGE",
        "StudyInstanceUID=1.2.7.1",
        "SeriesInstanceUID=1.2.7.1.2",
        "Rows",
        "InstanceNumber",
        more=(syntax,),
    )
    assert (one["Rows"], one["InstanceNumber"]) == ("4", "1")


def test_findscu_is_told_what_cannot_be(server: Server) -> None:
    said = dcmtk(
        "findscu", server.dimse, "-S", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID", expected=None
    )
    assert "DataSetDoesNotMatchSOPClass" in said


def test_findscu_cancels(server: Server) -> None:
    said = dcmtk(
        "findscu",
        server.dimse,
        "-S",
        "--cancel",
        "5",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        "StudyInstanceUID",
    )
    assert "MatchingTerminatedDueToCancelRequest" in said
    assert 5 <= len(responses(said)) < MANY


def test_pynetdicoms_application_finds_a_study(server: Server) -> None:
    said = pynetdicom_app(
        "findscu",
        server.dimse,
        "-S",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        "StudyInstanceUID=1.2.7.5",
        "-k",
        "PatientName",
    )
    assert "Doe^Jane" in said
    assert "0x0000 (Success)" in said


def identifier(level: str, **keys: Any) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


def ask(
    server: Server, ds: Dataset, *, root: str = STUDY_ROOT, extended: bytes | None = None
) -> tuple[list[Dataset], int]:
    """What pynetdicom gets, and the final status."""
    more = {}
    if extended is not None:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = root
        item.service_class_application_information = extended
        more = {"ext_neg": [item]}
    with association(server.dimse, [(root, SYNTAXES)], **more) as made:
        assert made.is_established
        answers = list(made.send_c_find(ds, root))
    return [found for _, found in answers if found is not None], answers[-1][0].Status


@pytest.mark.dicom("PS3.3 C.12.1.1.2")
@pytest.mark.parametrize(("charset", "name"), NAMES.items(), ids=[name.replace("\\", "") for name in NAMES])
def test_a_name_is_found_in_its_own_character_set_and_answered_in_it(
    server: Server, charset: str, name: str
) -> None:
    ds = identifier("STUDY", SpecificCharacterSet=charset.split("\\"), PatientName=name, PatientID="")

    found, status = ask(server, ds)

    assert status == 0
    assert [str(one.PatientName) for one in found] == [name]
    assert (
        "\\".join([found[0].SpecificCharacterSet] if "\\" not in charset else found[0].SpecificCharacterSet)
        == charset
    )


def test_a_greek_name_is_answered_readable_to_who_says_no_character_set(server: Server) -> None:
    (one,) = find(server, "-S", "QueryRetrieveLevel=STUDY", "PatientID=N0", "PatientName")
    assert (one["SpecificCharacterSet"], one["PatientName"]) == ("ISO_IR 192", NAMES["ISO_IR 126"])


def test_dcmtk_reads_an_answer_in_the_character_set_of_its_own_query(server: Server, tmp_path: Path) -> None:
    dump, query = tmp_path / "query.dump", tmp_path / "query.dcm"
    name = NAMES["ISO_IR 144"]
    text = (
        f"(0008,0005) CS [ISO_IR 144]\n(0008,0052) CS [STUDY]\n(0010,0010) PN [{name[:4]}*]\n(0010,0020) LO\n"
    )
    dump.write_bytes(text.encode("iso8859_5"))
    run(program("dump2dcm"), dump, query)

    said = dcmtk("findscu", server.dimse, "-S", "-X", "-od", tmp_path, query)

    assert "Success" in said
    (answer,) = tmp_path.glob("rsp*.dcm")
    shown = run(program("dcmdump"), "+U8", answer)
    assert name in shown


@pytest.mark.dicom("PS3.4 C.5.1.1")
def test_extended_negotiation_says_what_is_done(server: Server) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = STUDY_ROOT
    item.service_class_application_information = b"\1\1\1\1\1\1\1"
    with association(server.dimse, [(STUDY_ROOT, SYNTAXES)], ext_neg=[item]) as made:
        answered = made.acceptor.sop_class_extended
    assert answered == {STUDY_ROOT: b"\1\1\1\0\0\1\1"}

    relational = identifier("SERIES", Modality="PT", SeriesInstanceUID="")
    assert ask(server, relational) == ([], 0xA900)
    found, status = ask(server, relational, extended=b"\1")
    assert (len(found), status) == (3, 0)
    both = identifier("STUDY", ModalitiesInStudy=["CT", "PT"], StudyInstanceUID="")
    assert len(ask(server, both)[0]) == MANY + len(NAMES)
    assert len(ask(server, both, extended=b"\0\0\0\0\0\0\1")[0]) == 3


def test_a_cancel_during_a_long_answer_is_heeded(server: Server) -> None:
    with association(server.dimse, [(STUDY_ROOT, SYNTAXES)]) as made:
        count, status = 0, None
        for answer, found in made.send_c_find(identifier("STUDY", StudyInstanceUID=""), STUDY_ROOT, msg_id=3):
            status = answer.Status
            if found is not None:
                count += 1
                if count == 2:
                    made.send_c_cancel(3, None, STUDY_ROOT)
        assert status == 0xFE00
        assert count < MANY
        # The association is as good as before.
        again = list(made.send_c_find(identifier("STUDY", StudyInstanceUID="1.2.7.5"), STUDY_ROOT, msg_id=4))
        assert [one.Status for one, _ in again] == [0xFF00, 0]


@pytest.mark.dicom("PS3.4 K.6.1")
def test_a_modality_asks_for_its_work_does_it_and_says_so(server: Server) -> None:
    told = {
        "patient_name": "Müller^Jörg",
        "patient_id": "W1",
        "modality": "CT",
        "ae_title": "MODALITY1",
        "start_date": "2026-01-05",
        "start_time": "09:30",
        "step_id": "STEP1",
    }
    with httpx.Client(base_url=server.url, headers={"Accept": "application/json"}, timeout=60) as client:
        address = client.post("/worklist", json=told).raise_for_status().headers["location"]
        said = dcmtk(
            "findscu", server.dimse, "-W", "-k", "PatientName", "-k", "StudyInstanceUID",
            "-k", "ScheduledProcedureStepSequence[0].ScheduledStationAETitle=MODALITY1",
            "-k", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate=20260105",
            "-k", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepID",
        )  # fmt: skip
        (one,) = responses(said)
        assert one["PatientName"] == "Müller^Jörg"
        assert one["ScheduledProcedureStepID"] == "STEP1"
        assert one["StudyInstanceUID"].startswith("2.25.")

        step, item = Dataset(), Dataset()
        item.ScheduledProcedureStepID = "STEP1"
        item.StudyInstanceUID = one["StudyInstanceUID"]
        step.ScheduledStepAttributesSequence = [item]
        step.PerformedProcedureStepStatus = "IN PROGRESS"
        end = Dataset()
        end.PerformedProcedureStepStatus = "COMPLETED"
        with association(server.dimse, [(PERFORMED_STEP, SYNTAXES)]) as made:
            begun, _ = made.send_n_create(step, PERFORMED_STEP, "1.2.3.4")
            assert (begun.Status, client.get(address).json()["status"]) == (0, "STARTED")
            twice, _ = made.send_n_create(step, PERFORMED_STEP, "1.2.3.4")
            assert twice.Status == 0x0111
            ended, _ = made.send_n_set(end, PERFORMED_STEP, "1.2.3.4")
            assert (ended.Status, client.get(address).json()["status"]) == (0, "COMPLETED")
            again, _ = made.send_n_set(end, PERFORMED_STEP, "1.2.3.4")
            assert again.Status == 0x0110
            unknown, _ = made.send_n_set(end, PERFORMED_STEP, "1.2.3.5")
            assert unknown.Status == 0x0112
        assert find(server, "-W", "PatientName", "ScheduledProcedureStepSequence[0].Modality=CT") == []
