"""What is said of changes and of likeness."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_box.deid.changes import Compared, compared
from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.likeness import Patients
from dicomweb_box.deid.policy import BASIC, BUILT_IN, Policy, keeping
from dicomweb_box.deid.rules import explained
from dicomweb_box.errors import BadSetting
from tests.deid.planted import KEY, deid, instance, written
from tests.deid.test_engine import SYNTAXES


def compare(ds: Dataset, policy: Policy = BASIC, syntax: str = SYNTAXES[0]) -> Compared:
    source = written(ds, syntax)
    return compared(source, len(source), deidentify(source, len(source), policy, KEY))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_changes_are_counted_at_every_depth(syntax: str):
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.SeriesDescription = "head"
    item.Modality = "CT"
    removed = Dataset()
    removed.CodeMeaning = "of no interest: its sequence is removed whole"
    ds = instance(
        ReferencedImageSequence=Sequence([item, item]), AdmittingDiagnosesCodeSequence=Sequence([removed])
    )
    found = compare(ds, syntax=syntax).changes()
    assert found[0x00081155, "replaced"] == 2
    assert found[0x0008103E, "removed"] == 2
    assert found[0x00081084, "removed"] == 1
    assert found[0x00080104, "removed"] == 0
    assert found[0x00120064, "added"] == 1
    assert not [tag for tag, _ in found if tag in {0x00081140, 0x00080060, 0x7FE00010, 0x00280010}]


def test_only_what_stays_makes_patients_alike():
    patients = Patients()
    for number, sex in enumerate("FFM"):
        ds = instance(PatientID=f"P-{number}", PatientSex=sex, StudyDate="20240101", StationName=f"S{number}")
        patients.add(compare(ds, BUILT_IN["research"]))
        patients.add(compare(ds, BUILT_IN["research"]))
    assert patients.classes() == [(1, (0x00100040,)), (2, (0x00100040,))]
    full = Patients()
    for number in range(3):
        day = instance(PatientID=f"P-{number}", StudyDate=f"2024010{number + 1}")
        full.add(compare(day, Policy(name="dates", options=frozenset(("retain-full-dates",)))))
    assert full.classes() == [(1, (0x00080020,))] * 3


@pytest.mark.dicom("PS3.15 E.1.1")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_policy_keep_changes_nothing_and_claims_nothing(syntax: str):
    source = written(instance(BurnedInAnnotation="YES", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22"), syntax)
    assert deid(source, keeping("own archive")) == source
    assert not compare(instance(), keeping("own archive"), syntax).changes()
    assert explained(keeping("own archive"), 0x00100010).why == "identities are kept"


def test_identities_are_not_kept_without_a_reason():
    for more in ({"reason": " "}, {"reason": "r", "options": frozenset(("retain-uids",))}):
        with pytest.raises(BadSetting):
            Policy(name="keep", keeps=True, **more)  # type: ignore[arg-type]
