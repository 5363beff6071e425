"""Pseudonyms that lists choose do not name their patients; what is worked out or counted is nobody's name."""

from pathlib import Path

import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import BadRequest
from dicomweb_box.vault import lists
from dicomweb_box.vault.lists import Line
from dicomweb_box.vault.telling import TELLING
from tests.vault.files import file, held_back, project_of, pseudonym, told


def _line(patient_id: str, pseudonym: str) -> Line:
    return Line(number=2, patient=Patient(patient_id=patient_id), pseudonym=pseudonym)


@pytest.mark.parametrize(
    ("patient_id", "given"),
    [("ZZ4711", "ZZ4711"), ("ZZ4711", "x-zz4711-y"), ("47", "47"), ("A1\\ZZ4711", "zz4711")],
)
async def test_a_list_does_not_give_a_patient_its_own_id(box: Box, patient_id: str, given: str):
    project = await project_of(box, listed=True)
    with pytest.raises(BadRequest, match=r"Line 2 .* Patient ID"):
        await lists.assign(box, project, [_line(patient_id, given)], actor=SYSTEM)
    assert await told(box, project, patient_id) == []


@pytest.mark.parametrize("pattern", [None, "S{n}", "{hash:8}", "X{service}"])
async def test_who_was_given_a_name_as_pseudonym_is_held_back(box: Box, tmp_path: Path, pattern: str | None):
    project = await project_of(box, pattern=pattern)
    await lists.assign(box, project, [_line("MRN-4711", "x-JANE")], actor=SYSTEM)
    assert await held_back(box, project, file(tmp_path / "in")) == TELLING
    other = file(tmp_path / "in", 2, PatientName="Roe^Richard")
    assert await pseudonym(box, project, other) == "x-JANE"


async def test_one_run_looks_at_the_name_in_each_instance(box: Box, tmp_path: Path):
    from dicomweb_box.deid.doubt import Doubt
    from dicomweb_box.deid.originals import originals
    from dicomweb_box.vault.entering import Run

    project = await project_of(box, listed=True)
    await lists.assign(box, project, [_line("MRN-4711", "x-JANE")], actor=SYSTEM)
    run = Run(box, project)
    await run.begin(originals(file(tmp_path / "in", PatientName="Roe^Richard")), "{token}")
    with pytest.raises(Doubt, match="names the patient"):
        await run.begin(originals(file(tmp_path / "in", 2)), "{token}")


async def test_what_is_counted_or_worked_out_is_no_name_by_chance(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, pattern, given in (
        ("north", "DOE-{n:04}", "DOE-0001"),
        ("south", "{hash:8}", "JANE2345"),
        ("west", None, "JANE234567ABCDEF"),
    ):
        project = await project_of(box, name, pattern=pattern)
        monkeypatch.setattr(project.keys.pseudonyms, "token", lambda kind, original: "JANE234567ABCDEF")
        source = file(tmp_path / "in", PatientID="0001")
        assert await pseudonym(box, project, source) == given
        assert await held_back(box, project, source) == ""
