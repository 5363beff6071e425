"""The vault from the outside: commands beside `deidentify`."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from conformance.server import command, environment
from dicomweb_box.accounts import key_memory
from dicomweb_box.cli import main
from tests.deid.planted import instance, written

WHY = ("--reason", "a finding")
Vault = Callable[..., tuple[int, str, str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        ds = instance(
            SOPInstanceUID=f"1.2.3.{number}", PatientID=f"QZX-{number % 3}", PatientName="Qzxname^Q"
        )
        (folder / f"{number}.dcm").write_bytes(written(ds))
    return folder


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Told of by each command that keeps its memory to itself, instead of doing that to this process."""
    told: list[str] = []
    monkeypatch.setattr(key_memory, "keep_memory_to_ourselves", lambda: told.append("kept"))
    return told


@pytest.fixture
def vault(tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: list[str]) -> Vault:
    """Runs a command of the vault, in this process; its code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["vault", *arguments, "--data", str(tmp_path / "data")])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


def deidentifying(source: Path, out: Path, data: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("deidentify", str(source), "--project", "north", "--out", str(out)),
        env=environment({"DICOMWEB_BOX_DATA": str(data)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_number_patients_alike_and_all_is_found_exported_and_forgotten(
    vault: Vault, source: Path, tmp_path: Path
):
    data = tmp_path / "data"
    assert vault("create", "north", "--pattern", "STUDY-{n:04}") == (0, "", "")
    for one in [deidentifying(source, tmp_path / out, data) for out in ("one", "two")]:
        out, errors = one.communicate(timeout=300)
        assert (one.returncode, errors) == (0, ""), out
    written_by = [
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "two")
    ]
    assert written_by[0] == written_by[1]
    named = {str(dcmread(path).PatientID) for path in (tmp_path / "one").iterdir()}
    assert len(named) == 3
    assert all(name.startswith("STUDY-00") for name in named)

    _, found, _ = vault("find", "north", min(named), "--json", *WHY)
    patient = next(one["original"] for one in json.loads(found) if one["kind"] == "patient")
    assert patient.startswith("QZX-")
    _, exported, _ = vault("export", "north", *WHY)
    table = list(csv.DictReader(io.StringIO(exported)))
    assert sum(row["kind"] == "instance" for row in table) == 6
    assert {row["patient_pseudonym"] for row in table} == named

    shutil.copy(data / "index.db", tmp_path / "backup.db")
    assert vault("forget", "north", patient, *WHY) == (0, "forgotten: entries 6\n", "")
    shutil.copy(tmp_path / "backup.db", data / "index.db")
    assert vault("find", "north", patient, *WHY) == (1, "", "dicomweb-box: nothing was found\n")
    _, told, _ = vault("projects", "--json")
    assert [(one["project"], one["forgotten"]) for one in json.loads(told)] == [("north", 1)]
    for path in (*data.rglob("*"), tmp_path / "backup.db"):
        if path.is_file():
            assert b"QZX-" not in path.read_bytes(), path.name
            assert b"Qzxname" not in path.read_bytes(), path.name


def test_a_project_with_a_vault_is_never_deidentified_past_it(
    vault: Vault, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    vault("create", "north")
    for path in (tmp_path / "data").glob("index.db*"):
        path.unlink()
    out = tmp_path / "out"
    code = main(
        ["deidentify", str(source), "--project", "north", "--out", str(out), "--data", str(tmp_path / "data")]
    )
    assert code == 2
    assert "is not in this database" in capsys.readouterr().err
    assert not out.exists()


def test_lists_are_read_from_files_and_an_export_is_for_our_eyes_alone(
    vault: Vault, source: Path, tmp_path: Path, kept: list[str]
):
    vault("create", "north", "--listed")
    listed, out = tmp_path / "list.csv", tmp_path / "export.csv"
    listed.write_text("patient_id,pseudonym\nQZX-0,alpha\n=QZX,beta\n")
    assert vault("assign", "north", str(listed)) == (0, "new 2 of 2\n", "")
    listed.write_text("patient_id\nQZX-0\n")
    assert vault("opt-out", "north", str(listed)) == (0, "changed 1 of 1\n", "")
    assert vault("opt-out", "north", str(listed), "--lift") == (0, "changed 1 of 1\n", "")
    assert vault("export", "north", "--out", str(out), *WHY) == (0, "", "")
    assert out.stat().st_mode & 0o077 == 0
    assert sorted(row["original"] for row in csv.DictReader(out.open())) == ["'=QZX", "QZX-0"]
    assert vault("export", "north", "--out", str(out), *WHY)[0] == 2
    assert len(kept) == 6


def test_whom_to_look_for_can_be_said_out_of_sight(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    vault("create", "north")
    (tmp_path / "list.csv").write_text("patient_id,pseudonym\nQZX-0,alpha\n")
    vault("assign", "north", str(tmp_path / "list.csv"))
    monkeypatch.setattr("sys.stdin", io.StringIO("QZX-0\n"))
    code, found, _ = vault("find", "north", "-", *WHY)
    assert code == 0
    assert "alpha" in found


def test_what_a_terminal_would_obey_is_not_printed(vault: Vault, tmp_path: Path):
    vault("create", "north")
    (tmp_path / "list.csv").write_text("patient_id,pseudonym\nQZX\x1b[2J\x9b1,alpha\n")
    assert vault("assign", "north", str(tmp_path / "list.csv"))[0] == 0
    code, found, _ = vault("find", "north", "alpha", *WHY)
    assert code == 0
    assert "QZX\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}1" in found
    assert not {"\x1b", "\x9b"} & set(found)


@pytest.mark.parametrize(
    ("attribute", "action"),
    [
        ("PatientID", 'replace"\nvalue = "ANON'),
        ("PatientName", "hash"),
        ("AccessionNumber", "hash"),
        ("0020,001x", "hash"),
    ],
)
def test_a_policy_that_writes_pseudonyms_past_the_vault_is_refused(
    vault: Vault,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    attribute: str,
    action: str,
):
    vault("create", "north")
    policy, out = tmp_path / "own.toml", tmp_path / "out"
    policy.write_text(f'[[rule]]\nattribute = "{attribute}"\naction = "{action}"\nreason = "so"\n')
    asked = ["deidentify", str(source), "--project", "north", "--policy", str(policy), "--out", str(out)]
    assert main([*asked, "--data", str(tmp_path / "data")]) == 2
    assert "what the project's vault does not know" in capsys.readouterr().err
    assert not list(out.glob("*"))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("create", "North"), 2, "a project's name has up to 64"),
        (("create", "south", "--pattern", "x"), 2, "a pattern holds one of"),
        (("create", "south", "--pattern", "{n}", "--listed"), 2, "not by both"),
        (("create", "north"), 1, "has a vault already"),
        (("find", "north", "x"), 2, "--reason"),
        (("find", "north", "x", "--reason", " "), 2, "with a reason only"),
        (("find", "south", "x", *WHY), 1, "has no vault"),
        (("forget", "north", "x", *WHY), 1, "no such patient"),
        (("assign", "north", "nowhere.csv"), 1, "nowhere.csv"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    vault: Vault, arguments: tuple[str, ...], code: int, sentence: str
):
    vault("create", "north")
    ended, printed, said = vault(*arguments)
    assert (ended, printed) == (code, "")
    assert sentence in said
    assert said.count("\n") == 1
