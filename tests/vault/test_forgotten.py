"""What is left of whoever was forgotten, and what reasons must not tell of those whom they are about."""

from pathlib import Path

import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.project_keys import vault_folder
from dicomweb_box.box import Box
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import BadRequest, Conflict
from dicomweb_box.vault import forgetting, lists, lookup, projects
from dicomweb_box.vault.lists import Line
from tests.vault.files import REASON, asked, deidentified, file, held_back, project_of, pseudonym


def _line(patient_id: str, pseudonym: str, number: int = 2) -> Line:
    return Line(number=number, patient=Patient(patient_id=patient_id), pseudonym=pseudonym)


async def test_a_pseudonym_of_the_forgotten_is_given_to_nobody_else(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="S{n}")
    await lists.assign(box, project, [_line("P1", "S1"), _line("P2", "alpha")], actor=SYSTEM)
    for patient_id in ("P1", "P2"):
        assert await forgetting.forget(box, project, patient_id, actor=SYSTEM, reason=REASON) == 1
    for taken in ("S1", "alpha"):
        with pytest.raises(Conflict, match="stands for another patient already, or did"):
            await lists.assign(box, project, [_line("P3", taken)], actor=SYSTEM)
        assert await asked(box, project, taken) == lookup.Answer(known=(), lost=0)
    assert await pseudonym(box, project, file(tmp_path / "in")) == "S2"
    summary = (await projects.every(box))[0]
    assert (summary.patients, summary.entries, summary.forgotten) == (1, 5, 2)
    export = await lookup.export(box, project, actor=SYSTEM, reason=REASON)
    assert len([one async for one in export]) == 5
    assert export.lost == 0
    assert await forgetting.forget(box, project, "P1", actor=SYSTEM, reason=REASON) == 0


NAMING = ["Mrs Doe asked", "about mrn-4711", "JANE is ill", "number 4711", "\u5c71\u7530\u3055\u3093"]


async def test_no_reason_tells_of_the_patient_what_the_vault_knows(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(
        tmp_path / "in",
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Doe^Jane=\u5c71\u7530^\u592a\u90ce",
        AccessionNumber="ACC-9",
    )
    await deidentified(box, project, source, tmp_path / "out")
    given = await pseudonym(box, project, source)
    for reason in NAMING:
        for value in ("MRN-4711", given, "ACC-9"):
            with pytest.raises(BadRequest, match="names whom it is about"):
                await lookup.find(box, project, value, actor=SYSTEM, reason=reason)
        for value in ("MRN-4711", given):
            with pytest.raises(BadRequest, match="names whom it is about"):
                await forgetting.forget(box, project, value, actor=SYSTEM, reason=reason)
    assert (await asked(box, project, given)).known
    assert await box.database.fetch_value("select count(*) from audit where action = 'forget patient'") == 0


async def test_a_list_that_is_refused_leaves_no_keys(box: Box):
    project = await project_of(box)
    await lists.assign(box, project, [_line("P1", "alpha")], actor=SYSTEM)
    for second, why in (
        (_line("P2", "alpha", 3), "stands for another patient"),
        (_line("P1", "beta", 3), "another pseudonym"),
        (_line("P3", "gamma", 3), "stands for another patient"),
    ):
        with pytest.raises(Conflict, match=rf"Line 3 .*{why}"):
            await lists.assign(box, project, [_line("P9", "gamma"), second], actor=SYSTEM)
    assert len(list(vault_folder(box.settings, "north").glob("??/*"))) == 1


async def test_a_number_that_was_tampered_with_holds_back(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="S{n}")
    for content in (b"", b"12\n", b"x", b"\xff", b"9" * 16, b"9" * 5000):
        (vault_folder(box.settings, "north") / "last-number").write_bytes(content)
        reason = await held_back(box, project, file(tmp_path / "in"))
        assert reason == "the project's file last-number does not hold a number", content[:20]
