"""The command that de-identifies, from the outside."""

import fcntl
import json
import os
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSLossless

from tests.deid.drawn import RULES, blanked, capture, compressed, drawn
from tests.deid.planted import instance, written
from tests.test_cli import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with two instances, and one whose pixels show a name."""
    folder = tmp_path / "in" / "Doe^Jane"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"Doe-{number}.dcm").write_bytes(written(instance(SOPInstanceUID=f"1.2.3.{number}")))
    (folder / "screen").write_bytes(written(instance(BurnedInAnnotation="YES")))
    return tmp_path / "in"


def deidentify(source: Path, out: Path, *more: str, data: Path) -> subprocess.CompletedProcess[str]:
    return run("deidentify", str(source), "--out", str(out), *more, data=data)


def test_what_is_beyond_doubt_is_written_and_the_rest_held_back(source: Path, tmp_path: Path):
    done = deidentify(source, tmp_path / "out", "--policy", "basic", data=tmp_path / "data")
    assert done.returncode == 1, done.stderr
    assert "written 2" in done.stdout
    assert "held back 1" in done.stdout
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == [f"{dcmread(path).SOPInstanceUID}.dcm" for path in files]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert not any(b"Jane" in path.read_bytes() for path in files)


def test_a3_a_project_gives_the_same_whenever_it_is_asked(source: Path, tmp_path: Path):
    data = tmp_path / "data"
    for out, project in (("one", "north"), ("two", "north"), ("three", "south"), ("four", "south")):
        deidentify(source, tmp_path / out, "--project", project, "--policy", "research", data=data)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()}
        for out in ("one", "two", "three", "four")
    ]
    assert contents[0] == contents[1]
    assert contents[2] == contents[3]
    assert len(contents[0]) == 2
    assert not contents[0].keys() & contents[2].keys()
    keys = sorted((data / "keys" / "projects").iterdir())
    assert [path.name for path in keys] == ["north.key", "south.key"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)


def test_without_a_project_nothing_can_be_joined(source: Path, tmp_path: Path):
    for out in ("one", "two"):
        deidentify(source, tmp_path / out, data=tmp_path / "data")
    names = [{path.name for path in (tmp_path / out).iterdir()} for out in ("one", "two")]
    assert not names[0] & names[1]
    assert not (tmp_path / "data").exists()


def test_the_report_is_for_programs_too(source: Path, tmp_path: Path):
    done = deidentify(
        source,
        tmp_path / "out",
        "--json",
        "--option",
        "retain-uids",
        "--allow-pixels",
        "phantoms",
        data=tmp_path / "data",
    )
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["written"], report["held_back"]) == (3, [])
    assert (report["edition"], report["options"], report["pixels"]) == ("2026d", ["retain-uids"], "allow")
    assert report["reason"] == "phantoms"


def test_two_instances_of_one_uid_are_not_written_over_each_other(tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(written(instance()))
    done = deidentify(folder, tmp_path / "out", data=tmp_path / "data")
    assert done.returncode == 1
    assert "1 × another instance of this run has the same SOP Instance UID" in done.stdout


def test_a12_pixels_are_redacted_by_rules_of_a_file(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "rules.toml").write_text(RULES)
    cells = drawn()
    frames = [bytes(imagecodecs.jpegls_encode(frame)) for frame in cells]
    (tmp_path / "in" / "a").write_bytes(written(compressed(cells, frames), JPEGLSLossless))
    (tmp_path / "in" / "b").write_bytes(written(capture(cells, SOPInstanceUID="1.2.3", Manufacturer="B")))
    redact = ("--pixels", "redact", "--pixel-rules", str(tmp_path / "rules.toml"))
    done = deidentify(tmp_path / "in", tmp_path / "out", *redact, "--json", data=tmp_path / "data")
    report = json.loads(done.stdout)
    assert (report["pixels"], report["written"], report["redacted"]) == ("redact", 1, {"north": 1})
    assert [Path(one["file"]).name for one in report["held_back"]] == ["b"]
    out = dcmread(next((tmp_path / "out").iterdir()))
    found = [imagecodecs.jpegls_decode(frame) for frame in generate_frames(out.PixelData, number_of_frames=3)]
    np.testing.assert_array_equal(found, blanked(cells, 0))


@pytest.mark.parametrize("given", ["PatientBirthDate", "00100030", "(0010,0030)"])
def test_it_explains_what_becomes_of_an_attribute(given: str, tmp_path: Path):
    done = run("deidentify", "--explain", given, data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(0010,0030) Patient's Birth Date",
        "action empty",
        "rule PS3.15 Table E.1-1 edition 2026d: Z",
        "option none",
        "why the Basic Profile empties it",
    ]


POLICY = """
[trial]
ClinicalTrialProtocolID = "NORTH-7"
[[rule]]
attribute = "StudyDescription"
action = "keep"
reason = "terms of the protocol"
when = { Modality = "CT" }
[[rule]]
attribute = "StationName"
action = "empty"
"""


def test_a_policy_of_the_data_folder_or_of_a_file_is_followed(source: Path, tmp_path: Path):
    policies = tmp_path / "data" / "policies"
    policies.mkdir(parents=True)
    (policies / "north.toml").write_text(POLICY)
    for name, policy in (("one", "north"), ("two", str(policies / "north.toml"))):
        done = deidentify(
            source, tmp_path / name, "--policy", policy, "--json", data=tmp_path / "data"
        )  # fmt: skip
        report = json.loads(done.stdout)
        assert (report["policy"], report["written"]) == ("north", 2)
        assert report["rules"][0] == {
            "attribute": "(0008,1030)",
            "action": "keep",
            "when": "Modality is CT",
            "reason": "terms of the protocol",
        }
        files = list((tmp_path / name).iterdir())
        assert {dcmread(path).ClinicalTrialProtocolID for path in files} == {"NORTH-7"}


def test_keep_gives_what_there_was_bit_for_bit_and_says_why(source: Path, tmp_path: Path):
    asked = ("--policy", "keep", "--reason", "own archive", "--json")
    done = deidentify(source, tmp_path / "out", *asked, data=tmp_path / "data")
    report = json.loads(done.stdout)
    # The screen has the SOP Instance UID of no other one here.
    assert (done.returncode, report["written"], report["reason"]) == (0, 3, "own archive")
    before = {path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert {path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_dry_run_says_what_would_change_and_no_value_and_writes_nothing(source: Path, tmp_path: Path):
    done = run("deidentify", str(source), "--dry-run", "--json", data=tmp_path / "data")
    report = json.loads(done.stdout)
    assert (done.returncode, report["written"], report["would_be_written"]) == (1, 0, 2)
    assert len(report["held_back"]) == 1
    (study,) = report["studies"]
    assert study["instances"] == 2
    found = {(one["name"], one["change"]): (one["count"], one["rule"]) for one in study["changes"]}
    assert found["PatientID", "replaced"] == (2, "PS3.15 Table E.1-1 edition 2026d: Z/D")
    assert found["StudyDate", "emptied"] == (2, "PS3.15 Table E.1-1 edition 2026d: Z")
    assert found["PatientIdentityRemoved", "added"] == (2, "PS3.15 E.1.1")
    assert ("Modality", "replaced") not in found
    assert "4711" not in done.stdout
    assert "20240229" not in done.stdout
    assert not (tmp_path / "data").exists()
    shown = run("deidentify", str(source), "--dry-run", data=tmp_path / "data").stdout
    assert "would be written 2" in shown
    assert "2 × replaced (0010,0020) PatientID: PS3.15" in shown


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Five patients: three men of 40 years, two women, one of them of 90."""
    folder = tmp_path / "patients"
    folder.mkdir()
    for number, (sex, age) in enumerate([("M", "040Y")] * 3 + [("F", "040Y"), ("F", "090Y")]):
        ds = instance(
            PatientID=f"P-{number}00", PatientSex=sex, PatientAge=age, SOPInstanceUID=f"1.2.{number}",
            StudyInstanceUID=f"1.3.{number}",
        )  # fmt: skip
        (folder / str(number)).write_bytes(written(ds))
    return folder


def test_k_anonymity_is_a_gate(patients: Path, tmp_path: Path):
    asked = ("--policy", "research", "--k-anonymity", "2", "--json")
    done = deidentify(patients, tmp_path / "out", *asked, data=tmp_path / "data")
    report = json.loads(done.stdout)
    assert (done.returncode, report["written"], (tmp_path / "out").exists()) == (1, 0, False)
    alone = {"patients": 1, "attributes": ["PatientSex", "PatientAge"]}
    assert report["k_anonymity"] == {"threshold": 2, "k": 1, "patients": 5, "smaller": [alone, alone]}
    asked = ("--policy", "basic", "--k-anonymity", "5", "--project", "north", "--json")
    done = deidentify(patients, tmp_path / "out", *asked, data=tmp_path / "data")
    report = json.loads(done.stdout)
    assert (done.returncode, report["written"], report["k_anonymity"]["k"]) == (0, 5, 5)
    assert len(report["key_id"]) == 16


def test_it_explains_by_which_rule_of_a_policy(tmp_path: Path):
    (tmp_path / "north.toml").write_text(POLICY)
    named = ("--policy", str(tmp_path / "north.toml"), "--explain")
    done = run("deidentify", *named, "StudyDescription", data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:4] == [
        "where Modality is CT: keep, because terms of the protocol",
        "action remove",
        "rule PS3.15 Table E.1-1 edition 2026d: X",
    ]
    done = run("deidentify", *named, "StationName", data=tmp_path / "data")
    assert "rule the policy north 1: empty" in done.stdout


def test_a_bad_policy_is_said_by_its_part(tmp_path: Path):
    (tmp_path / "bad.toml").write_text(POLICY.replace('"terms of the protocol"', '""'))
    done = run("deidentify", "--policy", str(tmp_path / "bad.toml"), "--explain", "Modality", data=tmp_path)
    assert done.returncode == 2
    assert "bad.toml: the rule keep of (0008,1030) leaves more than the profile" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--explain", "Nothing"], "a keyword, or a tag"),
        (["--policy", "none", "--explain", "00100010"], "no policy none: there are basic, research, keep"),
        (["--policy", "keep", "--explain", "00100010"], "takes --reason REASON"),
        (["--policy", "keep", "--reason", " ", "--explain", "00100010"], "takes a reason"),
        (["--reason", "r", "--explain", "00100010"], "--reason goes with the policy keep alone"),
        (
            ["--policy", "keep", "--reason", "r", ".", "--dry-run", "--project", "p"],
            "takes neither --project",
        ),
        (["--policy", "keep", "--reason", "r", "--pixels", "redact", "--explain", "00100010"], "no --pixels"),
        (
            ["--policy", "keep", "--reason", "r", "--option", "retain-uids", "--explain", "00100010"],
            "no options",
        ),
        ([".", "--dry-run", "--k-anonymity", "1"], "from 2"),
        (["--option", "clean-graphics", "--explain", "00100010"], "not carried out by this version"),
        (
            ["--policy", "research", "--option", "retain-full-dates", "--explain", "00100010"],
            "exclude each other",
        ),
        (["--allow-pixels", " ", "--explain", "00100010"], "takes a reason"),
        (["--pixels", "allow", "--explain", "00100010"], "takes --allow-pixels REASON"),
        (["--pixels", "redact", "--allow-pixels", "no", "--explain", "00100010"], "exclude each other"),
        (["--pixel-rules", "rules.toml", "--explain", "00100010"], "goes with --pixels redact"),
        (["--pixels", "redact", "--pixel-rules", "rules.toml", "--explain", "00100010"], "cannot be read"),
        ([], "name files or folders"),
        (["nowhere", "--out", "there"], "nowhere is not there"),
        ([".", "--out", "./there"], "--out is within"),
        (["nowhere", "--out", "there", "--project", "../north"], "a project's name has up to 64"),
    ],
)
def test_what_cannot_be_meant_is_said(arguments: list[str], sentence: str, tmp_path: Path):
    done = run("deidentify", *arguments, data=tmp_path / "data")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "there").exists()


def test_what_a_killed_run_left_half_written_is_swept_away(source: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".deid-left").write_bytes(b"half")
    with (out / ".deid-busy").open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        deidentify(source, out, data=tmp_path / "data")
    assert not (out / ".deid-left").exists()
    assert (out / ".deid-busy").exists()


def test_it_writes_over_no_original_and_reads_no_pipe(source: Path, tmp_path: Path):
    original = next(path for path in source.rglob("*.dcm"))
    done = deidentify(original, original.parent, data=tmp_path / "data")
    assert (done.returncode, "--out is the folder" in done.stderr) == (2, True)
    os.mkfifo(tmp_path / "pipe")
    done = deidentify(tmp_path / "pipe", tmp_path / "out", data=tmp_path / "data")
    assert (done.returncode, "neither" in done.stderr) == (2, True)
