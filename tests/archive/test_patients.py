"""Patients as views over the studies that share an ID and its issuer."""

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import opaque, patients
from dicomweb_box.archive.browse_words import words_of
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.archive.test_browse import keep

ALL = {"scope": EVERYTHING, "actor": ANONYMOUS}


async def test_a_patient_is_who_shares_id_and_issuer(box: Box):
    await keep(box, PatientID="A", PatientName="Old^Name", StudyDate="20250101")
    await keep(box, PatientID="A", PatientName="New^Name", StudyDate="20260101")
    await keep(box, PatientID="A", IssuerOfPatientID="Elsewhere", PatientName="Other^One")
    await keep(box, PatientID=None)

    found = (await patients.page(box, **ALL)).patients

    assert [(one.id, one.issuer, one.study_count) for one in found] == [("A", "", 2), ("A", "Elsewhere", 1)]
    assert found[0].study["00100010"]["Value"] == [{"Alphabetic": "New^Name"}]
    assert (found[0].first_date, found[0].last_date) == ("20250101", "20260101")
    assert found[0].instance_count == 2


async def test_pages_go_on_behind_an_id(box: Box):
    for number in (3, 1, 2):
        await keep(box, PatientID=f"P{number}")

    first = await patients.page(box, limit=2, **ALL)
    second = await patients.page(box, limit=2, after=first.patients[-1].id, **ALL)

    assert ([one.id for one in first.patients], first.more) == (["P1", "P2"], True)
    assert ([one.id for one in second.patients], second.more) == (["P3"], False)


@pytest.mark.parametrize("few", [patients.FEW, 1])
async def test_words_find_the_patients_of_studies(box: Box, few: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patients, "FEW", few)
    await keep(box, PatientID="A", StudyDescription="Knee", StudyDate="20260102")
    await keep(box, PatientID="B", StudyDescription="Knee", StudyDate="20260101")
    await keep(box, PatientID="C", StudyDescription="Chest")

    found = await patients.page(box, words=words_of("doe knee"), **ALL)

    assert [one.id for one in found.patients] == ["A", "B"]
    # Where more studies match than are looked at, it is said.
    assert found.cut == (few == 1)


async def test_a_key_tells_nothing_and_stays_the_same(box: Box):
    await keep(box, PatientID="SECRET-1", IssuerOfPatientID="Hospital")
    (one,) = (await patients.page(box, **ALL)).patients

    again = await patients.key_of(box, "Hospital", "SECRET-1")

    assert one.key == again
    assert "SECRET" not in one.key
    assert (await patients.named(box, one.key, **ALL)).id == "SECRET-1"
    assert await patients.key_of(box, "", "SECRET-1") != one.key


@pytest.mark.parametrize("wrong", ["", "x", "nonsense", "ümlaut", "A" * 40])
async def test_what_is_no_key_is_not_found(box: Box, wrong: str):
    with pytest.raises(NotFound):
        await patients.named(box, wrong, **ALL)


async def test_a_seal_serves_its_own_purpose_alone(box: Box):
    sealed = await opaque.seal(box, "one", "text")

    assert await opaque.unseal(box, "one", sealed) == "text"
    with pytest.raises(NotFound):
        await opaque.unseal(box, "other", sealed)
    with pytest.raises(NotFound):
        await opaque.unseal(box, "one", sealed[:-2] + ("AA" if sealed[-2:] != "AA" else "BB"))


async def test_another_box_seals_otherwise(make_box):
    async with make_box() as one, make_box() as other:
        assert await opaque.seal(one, "a", "text") != await opaque.seal(other, "a", "text")


async def test_a_partial_scope_sees_its_own_patients(box: Box):
    await keep(box, PatientID="A", source="mine")
    await keep(box, PatientID="B", source="theirs")
    scope = Scope(sources=frozenset(("mine",)))

    page = await patients.page(box, scope=scope, actor=ANONYMOUS)
    hidden = await patients.key_of(box, "", "B")

    assert [one.id for one in page.patients] == ["A"]
    assert [
        one.id for one in (await patients.page(box, words=("doe",), scope=scope, actor=ANONYMOUS)).patients
    ] == ["A"]
    with pytest.raises(NotFound):
        await patients.named(box, hidden, scope=scope, actor=ANONYMOUS)
