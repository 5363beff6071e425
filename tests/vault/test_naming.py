"""How patients of a project are named: by patterns, by lists; and who is held back."""

import asyncio
import shutil
from pathlib import Path

import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.project_keys import vault_folder
from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest, BadSetting, Conflict
from dicomweb_box.vault import forgetting, lists, projects
from dicomweb_box.vault.lists import Line
from dicomweb_box.vault.patterns import parsed
from tests.vault.files import REASON, file, held_back, project_of, pseudonym, told


def test_a_pattern_fills_in_a_number_a_token_or_a_part_of_it():
    assert parsed("STUDY-{n:04}").with_number(17) == "STUDY-0017"
    assert parsed("STUDY-{n}-x").with_number(17) == "STUDY-17-x"
    assert parsed("{n:02}").with_number(117) == "117"
    assert parsed("a{token}b").with_token("ABCDEFGHIJKLMNOP") == "aABCDEFGHIJKLMNOPb"
    assert parsed("{hash:8}").with_token("ABCDEFGHIJKLMNOP") == "ABCDEFGH"


@pytest.mark.parametrize(
    "pattern",
    [
        "", "plain", "{n}{n}", "{token}-{n}", "{hash:5}", "{hash:17}", "{hash}", "{n:0}", "{m}", "{n}^x",
        "{n}\\x", "{n}=x", "é{n}", "{n}\n", " {n}", "{n} ", "{", "{{n}}", "x" * 49 + "{n}",
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(pattern: str):
    with pytest.raises(BadSetting):
        parsed(pattern)


async def test_numbers_are_given_once_to_each_by_many_at_once(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="S{n:02}")
    files = [file(tmp_path / "in", number, PatientID=f"P{number % 5}") for number in range(15)]
    other = await projects.opened(box, "north")
    given = await asyncio.gather(
        *(pseudonym(box, (project, other)[number % 2], path) for number, path in enumerate(files))
    )
    assert sorted(set(given)) == ["S01", "S02", "S03", "S04", "S05"]
    assert all(given[number] == given[number + 5] == given[number + 10] for number in range(5))


async def test_a_number_is_not_given_again_by_a_database_from_a_backup(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="S{n}")
    assert await pseudonym(box, project, file(tmp_path / "in")) == "S1"
    await box.database.write(lambda w: w.execute("delete from pseudonym"))
    await box.database.write(lambda w: w.execute("update vault set last_number = 0"))
    assert await pseudonym(box, project, file(tmp_path / "in", 2, PatientID="P2")) == "S2"


async def test_two_patients_with_the_same_part_of_a_token_are_not_mixed(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = await project_of(box, pattern="{hash:6}")
    monkeypatch.setattr(project.keys.pseudonyms, "token", lambda kind, original: "ABCDEFGHIJKLMNOP")
    assert await pseudonym(box, project, file(tmp_path / "in")) == "ABCDEF"
    second = file(tmp_path / "in", 2, PatientID="P2")
    assert (
        await held_back(box, project, second) == "the pseudonym of its patient stands for another one already"
    )


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


async def test_a_list_names_its_patients_and_holds_the_others_back(box: Box, tmp_path: Path):
    project = await project_of(box, listed=True)
    lines = lists.read(
        listed(tmp_path, "pseudonym,patient_id,issuer\nalpha,MRN-4711,\nbeta,P2,EAST\n"), pseudonyms=True
    )
    assert await lists.assign(box, project, lines, actor=SYSTEM) == 2
    assert await lists.assign(box, project, lines, actor=SYSTEM) == 0
    assert await pseudonym(box, project, file(tmp_path / "in")) == "alpha"
    assert (
        await pseudonym(box, project, file(tmp_path / "in", 2, PatientID="P2", IssuerOfPatientID="EAST"))
        == "beta"
    )
    for number, more in enumerate(({"PatientID": "P2"}, {"PatientID": "P3"}, {"PatientID": ""})):
        path = file(tmp_path / "in", number, **more)
        assert await held_back(box, project, path) == "its patient is not on the project's list", more
    assert await told(box, project, "P3") == []
    assert len(list(vault_folder(box.settings, "north").glob("??/*"))) == 2


async def test_a_list_and_numbers_do_not_meet(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="S{n}")
    await lists.assign(box, project, [Line(number=2, patient=_patient("P1"), pseudonym="S1")], actor=SYSTEM)
    assert await pseudonym(box, project, file(tmp_path / "in")) == "S2"


def _patient(patient_id: str):
    from dicomweb_box.deid.pseudonyms import Patient

    return Patient(patient_id=patient_id)


async def test_a_list_that_disagrees_changes_nothing(box: Box, tmp_path: Path):
    project = await project_of(box)
    given = await pseudonym(box, project, file(tmp_path / "in"))
    await pseudonym(box, project, file(tmp_path / "in", 2, PatientID="P2"))
    await forgetting.forget(box, project, "P2", actor=SYSTEM, reason=REASON)
    for second, why in (
        ("MRN-4711,other", "another pseudonym"),
        (f"P3,{given}", "another patient"),
        ("P2,new", "was forgotten"),
        ("P4,fresh", "another patient"),
    ):
        lines = lists.read(listed(tmp_path, f"patient_id,pseudonym\nP9,fresh\n{second}\n"), pseudonyms=True)
        with pytest.raises(Conflict, match=f"Line 3 .*{why}"):
            await lists.assign(box, project, lines, actor=SYSTEM)
        assert await told(box, project, "P9") == []


@pytest.mark.parametrize(
    "text",
    [
        "", "patient_id\nP1\n", "patient_id,pseudonym,note\nP1,a,b\n", "patient_id,pseudonym\nP1\n",
        "patient_id,pseudonym\nP1,a,b\n", "patient_id,pseudonym\n,a\n", "patient_id,pseudonym\nP1,\n",
        "patient_id,patient_id,pseudonym\nP1,P2,a\n",
        "patient_id,pseudonym\nP1,a^b\n", "patient_id,pseudonym\nP1,a\nP1,b\n", 'patient_id,pseudonym\nP1,"a',
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused_without_telling_what_is_in_it(tmp_path: Path, text: str):
    with pytest.raises(BadRequest) as refused:
        lists.read(listed(tmp_path, text), pseudonyms=True)
    assert "P1" not in str(refused.value)


async def test_who_opted_out_is_held_back_before_and_after_being_known(box: Box, tmp_path: Path):
    project = await project_of(box)
    known = file(tmp_path / "in")
    await pseudonym(box, project, known)
    new = file(tmp_path / "in", 2, PatientID="P2", IssuerOfPatientID="EAST")
    other = file(tmp_path / "in", 3, PatientID="P2", IssuerOfPatientID="WEST")
    lines = lists.read(listed(tmp_path, "patient_id,issuer\nMRN-4711,\nP2,EAST\n"), pseudonyms=False)
    assert await lists.opt_out(box, project, lines, actor=SYSTEM) == 2
    for path in (known, new):
        assert await held_back(box, project, path) == "its patient is on the project's opt-out list"
    assert await held_back(box, project, other) == ""
    assert await told(box, project, "1.2.3.2") == []
    assert await lists.opt_out(box, project, lines, lift=True, actor=SYSTEM) == 2
    assert await held_back(box, project, new) == ""
    abouts = await box.database.fetch_all("select about from audit where action = 'change vault'")
    assert len(abouts) == 3
    assert "4711" not in str([row["about"] for row in abouts])


async def test_who_opts_out_or_is_forgotten_during_a_run_is_held_back_from_then_on(box: Box, tmp_path: Path):
    from dicomweb_box.deid.doubt import Doubt
    from dicomweb_box.deid.originals import originals
    from dicomweb_box.vault.entering import Run

    project = await project_of(box)
    run = Run(box, project)
    found = originals(file(tmp_path / "in"))
    noted = await run.begin(found, "{token}")
    lines = [Line(number=2, patient=found.patient)]
    await lists.opt_out(box, project, lines, actor=SYSTEM)
    with pytest.raises(Doubt, match="opt-out"):
        await run.enter(found, noted)
    await lists.opt_out(box, project, lines, lift=True, actor=SYSTEM)
    await forgetting.forget(box, project, "MRN-4711", actor=SYSTEM, reason=REASON)
    with pytest.raises(Doubt, match="forgotten"):
        await run.enter(found, noted)


async def test_a_key_half_written_by_a_process_that_was_killed_is_made_anew(box: Box, tmp_path: Path):
    project = await project_of(box)
    patient = project.keys.whose(_patient("MRN-4711"))
    key = project.data_keys.have(patient)
    path = vault_folder(box.settings, "north") / patient[:2] / patient
    path.write_bytes(path.read_bytes()[:17])
    assert project.data_keys.have(patient) != key
    await pseudonym(box, project, file(tmp_path / "in"))
    shutil.rmtree(path.parent)
    assert await held_back(box, project, file(tmp_path / "in")) == "the data key of its patient is not here"
