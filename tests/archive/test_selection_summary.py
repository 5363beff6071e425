"""What a selection comes to, and its instances as one archive."""

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import selection_summary, selections
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.selection_summary import Form
from dicomweb_box.archive.selections import Members
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.archive.test_browse import keep
from tests.builders import make_dataset, new_uid, part10, pieces

ALL = {"scope": EVERYTHING, "actor": ANONYMOUS}


async def test_it_counts_each_series_once(box: Box):
    study, series = new_uid(), new_uid()
    await keep(box, study=study, series=series)
    await keep(box, study=study, Modality="MR")
    other, picked = new_uid(), new_uid()
    await keep(box, study=other, series=picked, PatientID="P2", PatientName="Roe^Rita")
    await keep(box, study=other, PatientID="P2", PatientName="Roe^Rita")
    chosen = Members(studies=(study,), series=((study, series), (other, picked)))
    key = await selections.make(box, chosen, **ALL)

    found = await selection_summary.summary(box, key, **ALL)

    assert (found.patients, found.studies, found.series, found.instances) == (2, 2, 3, 3)
    assert found.modalities == (("CT", 2), ("MR", 1))
    assert found.size == sum(part.size for part in found.parts) > 0
    assert [(part.study_uid, part.whole) for part in found.parts] == [(study, True), (other, False)]
    assert found.parts[1].series == ((picked, "CT", "Axial"),)


async def test_it_tells_the_forms_and_what_to_know(box: Box):
    study, instance = new_uid(), new_uid()
    await keep(box, study=study, instance=instance, PatientName="Doe^Jane")
    await keep(box, study=study, instance=instance, PatientName="Doe^Jane", SeriesDescription="Other")
    implicit = part10(
        make_dataset(study=study, PatientName="Doe^Joan"), transfer_syntax=ImplicitVRLittleEndian
    )
    await store(box, await receive(box, pieces(implicit)), source="test", actor=SYSTEM)
    await keep(box, study=study, Rows=None, Columns=None, PixelData=None, Modality="SR")
    key = await selections.make(box, Members(studies=(study,)), **ALL)

    found = await selection_summary.summary(box, key, **ALL)

    assert found.forms is not None
    assert {form.transfer_syntax_uid: form.instances for form in found.forms} == {
        "1.2.840.10008.1.2.1": 2,
        "1.2.840.10008.1.2": 1,
    }
    assert sum(form.size for form in found.forms) == found.size
    assert all(isinstance(form, Form) for form in found.forms)
    assert (found.disagreements, found.without_pixels) == (1, 1)


async def test_a_held_version_of_an_instance_is_told(make_box):
    async with make_box(duplicates="keep-first") as box:
        study, series, instance = new_uid(), new_uid(), new_uid()
        await keep(box, study=study, series=series, instance=instance)
        other = part10(make_dataset(study=study, series=series, instance=instance, PatientComments="other"))
        await store(box, await receive(box, pieces(other)), source="test", actor=SYSTEM)
        key = await selections.make(box, Members(studies=(study,)), **ALL)

        assert (await selection_summary.summary(box, key, **ALL)).held == 1


async def test_many_instances_are_not_looked_through(box: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection_summary, "MOST_LOOKED_THROUGH", 0)
    key = await selections.make(box, Members(studies=(await keep(box),)), **ALL)

    assert (await selection_summary.summary(box, key, **ALL)).forms is None


async def test_a_scope_sums_up_its_own_part(box: Box):
    mine, theirs = await keep(box), await keep(box, Modality="MR")
    key = await selections.make(box, Members(studies=(mine, theirs)), **ALL)
    own = Scope(studies=frozenset((mine,)))

    found = await selection_summary.summary(box, key, scope=own, actor=ANONYMOUS)

    assert (found.studies, found.modalities) == (1, (("CT", 1),))
    with pytest.raises(NotFound):
        await selection_summary.summary(box, "nothing", **ALL)
