"""`query`, `retrieve` and `send` where no worker runs: the command does the transfer itself."""

import json
from pathlib import Path

import pytest

from dicomweb_box.cli import main
from dicomweb_box.outbound import worker
from tests.outbound.keeper import TITLE as KEEPER
from tests.outbound.keeper import keeping
from tests.outbound.pacs import TITLE, pacs
from tests.outbound.test_dimse_scu import dataset, study
from tests.outbound.test_sending import receiving


@pytest.fixture
def data(tmp_path: Path) -> str:
    folder = tmp_path / "data"
    assert main(["migrate", "--data", str(folder)]) == 0
    return str(folder)


def know(data: str, port: int) -> None:
    assert main(["peer", "add", "north", "--dimse", f"{TITLE}@127.0.0.1:{port}", "--data", data]) == 0


def test_it_prints_what_a_peer_answers(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pacs(dataset(PatientName="Doe^Jane"), dataset(PatientName="Roe^\x1b[2JRick")) as there:
        know(data, there.port)
        capsys.readouterr()
        assert main(["query", "north", "PatientName=*", "--data", data]) == 0
        table = capsys.readouterr().out
        assert main(["query", "north", "PatientName=Doe*", "--json", "--data", data]) == 0
        found = json.loads(capsys.readouterr().out)

    assert "Doe^Jane" in table
    assert "\x1b" not in table
    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in found["answers"]] == ["Doe^Jane"]


def test_it_brings_a_study_and_sends_it_on(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    theirs: list = study(3)
    with pacs(*theirs) as there:
        know(data, there.port)
        code = main(["retrieve", "north", theirs[0].StudyInstanceUID, "--json", "--data", data])
    told = json.loads(capsys.readouterr().out.partition("\n")[2])

    assert code == 0
    assert (told["state"], told["delivered"]) == ("delivered", 1)
    with receiving() as receiver:
        south = f"NORTHPACS@127.0.0.1:{receiver.port}"
        assert main(["peer", "remove", "north", "--data", data]) == 0
        assert main(["peer", "add", "south", "--dimse", south, "--data", data]) == 0
        assert main(["send", theirs[0].StudyInstanceUID, "--to", "south", "--data", data]) == 0
    assert len(receiver.got) == 3
    assert "3 of 3 delivered" in capsys.readouterr().out


def test_what_does_not_come_is_told_and_is_no_success(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pacs() as there:
        know(data, there.port)
        capsys.readouterr()
        assert main(["retrieve", "north", "1.2.3", "--data", data]) == 1
    gone = main(["retrieve", "north", "1.2.4", "--wait", "--data", data])

    told = capsys.readouterr().out
    assert "failed 1.2.3 The peer does not have this study." in told
    assert gone == 1
    assert "could not be reached" in told


@pytest.mark.dicom("PS3.4 J.3")
def test_it_says_how_much_of_what_was_sent_the_peer_keeps(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs: list = study(3)
    with pacs(*theirs) as there:
        know(data, there.port)
        assert main(["retrieve", "north", theirs[0].StudyInstanceUID, "--data", data]) == 0
    with keeping() as keeper:
        south = f"{KEEPER}@127.0.0.1:{keeper.port}"
        assert main(["peer", "remove", "north", "--data", data]) == 0
        assert main(["peer", "add", "south", "--dimse", south, "--may", "commit", "--data", data]) == 0
        capsys.readouterr()
        assert main(["send", theirs[0].StudyInstanceUID, "--to", "south", "--wait", "--data", data]) == 0
        plain = capsys.readouterr().out
        keeper.lost = {keeper.got[0]: 0x0112}
        sent = main(["send", theirs[0].StudyInstanceUID, "--to", "south", "--json", "--data", data])
        told = json.loads(capsys.readouterr().out)

    assert "3 of 3 confirmed to be kept." in plain
    assert sent == 1
    assert (told["verified"], told["failed"]) == (2, 1)
    assert told["confirmation"]["reason"] == "The peer does not keep 1 of 3 instances."


def test_a_running_worker_is_left_to_do_it(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pacs() as there, worker.announced(Path(data)):
        know(data, there.port)
        assert main(["retrieve", "north", "1.2.3", "--data", data]) == 0
    assert not worker.is_running(Path(data))

    assert "queued: 0 of 1 delivered" in capsys.readouterr().out
    assert there.asked == []


def code_of(arguments: list[str]) -> object:
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize(
    "wrong", [["query", "north", "PatientName"], ["query", "north", "Nonsense=1"], ["send", "1.2.3"]]
)
def test_a_command_line_that_cannot_be_meant_is_refused(data: str, wrong: list[str]) -> None:
    assert code_of([*wrong, "--data", data]) == 2
