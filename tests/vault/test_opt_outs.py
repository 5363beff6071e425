"""Opt-outs that hold: without an issuer, for each of several IDs, however letters are composed."""

from pathlib import Path

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.vault import lists, projects
from dicomweb_box.vault.lists import Line
from dicomweb_box.vault.naming import OPTED_OUT
from tests.vault.files import file, held_back, project_of, pseudonym, told


def _listed(patient_id: str, issuer: str = "") -> list[Line]:
    return [Line(number=2, patient=Patient(patient_id=patient_id, issuer=issuer))]


CASES = [
    ("P2", "EAST", "P2", "", OPTED_OUT),
    ("P2", "EAST", "P2", "EAST", OPTED_OUT),
    ("P2", "EAST", "P2", "WEST", ""),
    ("P2", "EAST", "P22", "", ""),
    ("P2", "", "P1\\P2", "", OPTED_OUT),
    ("P2", "", "P1\\ P2", "EAST", OPTED_OUT),
    ("P2", "EAST", "P1\\P2", "", OPTED_OUT),
    ("P2", "EAST", "P1\\P2", "EAST", OPTED_OUT),
    ("P2", "EAST", "P1\\P2", "WEST", ""),
    ("Mu\u0308ller-1", "", "M\u00fcller-1", "", OPTED_OUT),
    ("M\u00fcller-1", "EAST", "Mu\u0308ller-1", "EAST", OPTED_OUT),
    ("P2", "Mu\u0308nchen", "P2", "M\u00fcnchen", OPTED_OUT),
]
"""Patient ID and issuer of the list, and of the file; why the file is held back."""


async def test_who_opted_out_is_held_back_however_the_file_says_it(box: Box, tmp_path: Path):
    for number, (listed, issuer, patient_id, from_whom, reason) in enumerate(CASES):
        project = await project_of(box, f"p{number:02}")
        lines = _listed(listed, issuer)
        assert await lists.opt_out(box, project, lines, actor=SYSTEM) == 1
        assert await lists.opt_out(box, project, lines, actor=SYSTEM) == 0
        assert (await projects.every(box))[number].opted_out == 1
        source = file(
            tmp_path / "in",
            SpecificCharacterSet="ISO_IR 192",
            PatientID=patient_id.split("\\"),
            **({"IssuerOfPatientID": from_whom} if from_whom else {}),
        )
        assert await held_back(box, project, source) == reason, number
        assert await lists.opt_out(box, project, lines, lift=True, actor=SYSTEM) == 1
        assert await held_back(box, project, source) == "", number


async def test_an_id_is_the_same_however_its_letters_are_composed(box: Box, tmp_path: Path):
    project = await project_of(box)
    given = [
        await pseudonym(box, project, file(tmp_path / "in", SpecificCharacterSet="ISO_IR 192", PatientID=one))
        for one in ("M\u00fcller-1", "Mu\u0308ller-1")
    ]
    assert given[0] == given[1]
    assert await told(box, project, "Mu\u0308ller-1") == [("patient", "M\u00fcller-1", given[0])]


async def test_who_has_more_ids_than_are_looked_up_is_held_back(box: Box, tmp_path: Path):
    project = await project_of(box)
    for many, reason in ((16, ""), (17, "its Patient ID has more values than are looked up")):
        source = file(tmp_path / "in", many, PatientID=[f"P{number}" for number in range(many)])
        assert await held_back(box, project, source) == reason
