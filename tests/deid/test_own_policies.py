"""Policies that people write: what their rules do, what may then be claimed, and what is said of bad ones."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomweb_box.deid.own_rules import OwnRule
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.policy_files import mask_of, parsed_policy, read_policy
from dicomweb_box.errors import BadSetting
from tests.deid import referee
from tests.deid.planted import KEY, OTHER, deid, instance, read, written
from tests.deid.test_engine import SYNTAXES, everywhere, inflated
from tests.deid.test_real_files import BUNDLED, files

TRIAL = """
name = "north"
version = "2"
base = "research"
options = ["retain-device-identity"]
pattern = "N-{token}"

[dates]
most_days = 70
whole_weeks = true

[trial]
ClinicalTrialSponsorName = "North"
ClinicalTrialProtocolID = "NORTH-7"
ClinicalTrialSubjectID = "{pseudonym}"

[[rule]]
attribute = "SeriesDescription"
action = "keep"
reason = "the protocol needs it, and modalities fill it alone"

[[rule]]
attribute = "0019,xx0C"
creator = "SIEMENS MR HEADER"
action = "keep"
reason = "b values are of the machine"

[[rule]]
attribute = "PatientWeight"
action = "remove"
when = { Modality = ["CT", "XA"] }

[[rule]]
attribute = "StationName"
action = "replace"
value = "SCANNER"

[[rule]]
attribute = "InstitutionName"
action = "hash"
reason = "sites are compared"
"""


def own(*rules: dict[str, Any], **more: Any) -> Policy:
    return parsed_policy({"rule": list(rules), **more}, "own")


def codes(ds: Dataset) -> set[str]:
    return {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}


@pytest.fixture
def north(tmp_path: Path) -> Policy:
    (tmp_path / "north.toml").write_text(TRIAL)
    return read_policy(tmp_path / "north.toml")


def planted(**more: object) -> Dataset:
    ds = instance(
        SeriesDescription="t1 axial", PatientWeight="80", StationName="MR-7", InstitutionName="St. Elsewhere",
        ClinicalTrialSponsorName="Another", **more,
    )  # fmt: skip
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "CS", "NONE")
    other = ds.private_block(0x0019, "QZX", create=True)
    other.add_new(0x0C, "IS", "2000")
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_policy_of_ones_own_does_what_it_says(north: Policy, syntax: str):
    out = read(deid(written(planted(), syntax), north))
    assert out.SeriesDescription == "t1 axial"
    assert "PatientWeight" not in out
    assert out.StationName == "SCANNER"
    assert out.InstitutionName == KEY.token("attribute 00080080", "St. Elsewhere")
    assert out.PatientID.startswith("N-")
    assert (out.ClinicalTrialSponsorName, out.ClinicalTrialProtocolID) == ("North", "NORTH-7")
    assert out.ClinicalTrialSubjectID == out.PatientID
    assert out[0x00190010].value == "SIEMENS MR HEADER"
    assert str(out[0x0019100C].value) == "1000"
    assert [one.tag for one in out if one.tag.is_private] == [0x00190010, 0x0019100C]


def test_conditions_decide_by_instance(north: Policy):
    assert "PatientWeight" in read(deid(written(planted(Modality="MR")), north))
    rule = {"attribute": "PatientSex", "action": "empty", "when": {"ImageType": "AXIAL"}}
    ds = instance(PatientSex="F", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    policy = own(rule, base="research")
    assert read(deid(written(ds), policy)).PatientSex == ""
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    assert read(deid(written(ds), policy)).PatientSex == "F"


@pytest.mark.dicom("PS3.16 CID 7050")
def test_no_code_is_written_that_a_rule_contradicts(north: Policy):
    out = read(deid(written(planted()), north))
    # The description and the private element are beyond the profile, the weight is no more a characteristic,
    # and the station no more a device's.
    assert codes(out) == {"113107"}
    assert codes(read(deid(written(planted(Modality="MR")), north))) == {"113107", "113108"}
    methods = list(out.DeidentificationMethod)
    assert methods[0] == "dicomweb_box north 2: PS3.15 2026d, deviating"
    assert methods[1:] == [
        "Own rule: keep (0008,103E)",
        "Own rule: keep (0019,xx0C) of SIEMENS MR HEADER",
        "Own rule: hash (0008,0080)",
    ]
    stricter = own({"attribute": "Manufacturer", "action": "remove"})
    out = read(deid(written(instance(Manufacturer="Acme")), stricter))
    assert ("Manufacturer" in out, codes(out)) == (False, {"113100"})
    assert out.DeidentificationMethod == "dicomweb_box own 1: PS3.15 2026d Basic Profile"


@pytest.mark.parametrize(
    ("action", "wanted"), [("keep", "UNMODIFIED"), ("date", "MODIFIED"), ("remove", "REMOVED")]
)
def test_what_becomes_of_dates_is_said_truly(action: str, wanted: str):
    policy = own({"attribute": "SeriesDate", "action": action, "reason": "a test"})
    out = read(deid(written(instance(SeriesDate="20240301")), policy))
    assert out.LongitudinalTemporalInformationModified == wanted
    found = out.get("SeriesDate")
    assert {"keep": found == "20240301", "date": found not in {None, "20240301"}, "remove": found is None}[
        action
    ]


@pytest.mark.parametrize("attribute", ["ProtocolName", "0018,1030", "(0018,103x)"])
def test_what_a_rule_keeps_goes_all_the_same_where_it_names_the_patient(attribute: str):
    policy = own({"attribute": attribute, "action": "keep", "reason": "a test"})
    assert read(deid(written(instance(ProtocolName="head routine")), policy)).ProtocolName == "head routine"
    assert b"JANE" not in deid(written(instance(ProtocolName="head of JANE")), policy)


def test_rules_reach_into_sequences_and_private_blocks_end_with_their_item():
    item, last = Dataset(), Dataset()
    item.SeriesDescription = "kept"
    item.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    last.add_new(0x0019100C, "IS", "3000")  # an orphan: its block has no creator
    ds = instance(ReferencedSeriesSequence=Sequence([item, last]))
    ds.add_new(0x0019100C, "IS", "4000")
    policy = own(
        {"attribute": "SeriesDescription", "action": "keep", "reason": "a test"},
        {"attribute": "0019,xx0C", "creator": "SIEMENS MR HEADER", "action": "keep", "reason": "a test"},
    )
    out = read(deid(written(ds), policy))
    first, second = out.ReferencedSeriesSequence
    assert first.SeriesDescription == "kept"
    assert first[0x0019100C].value == 1000
    assert not [one for one in (*second, *out) if one.tag.is_private]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_nothing_else_planted_is_found(syntax: str):
    found = everywhere()
    out = inflated(deid(written(found.ds, syntax), OPEN))
    allowed = ("00081010", "0008103E")  # Station Name, Series Description
    left = {where for where, value in found.sentinels.items() if value in out}
    assert {where.split(" ")[1] for where in left} == set(allowed)


OPEN = own(
    {"attribute": "StationName", "action": "keep", "reason": "a test"},
    {"attribute": "SeriesDescription", "action": "keep", "reason": "a test"},
    {"attribute": "0009,xx01", "creator": "ANOTHER CREATOR", "action": "keep", "reason": "a test"},
)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_referee_agrees(north: Policy, syntax: str):
    source = written(planted(), syntax)
    found = referee.plain(referee.opened(deid(source, north)))
    trial = {tag for tag, _ in north.trial}
    assert trial <= found.keys()
    assert {tag: value for tag, value in found.items() if tag not in trial} == referee.deidentified(
        source, north, KEY
    )


def test_the_referee_agrees_on_bundled_files():
    policy = own(
        {"attribute": "0018,1xxx", "action": "keep", "reason": "a test"},
        {"attribute": "0043,xx1E", "creator": "GEMS_PARM_01", "action": "keep", "reason": "a test"},
        {"attribute": "0009,xx04", "creator": "GEMS_IDEN_01", "action": "hash", "reason": "a test"},
        {"attribute": "Manufacturer", "action": "empty", "when": {"Modality": "MR"}},
        {"attribute": "SeriesDate", "action": "date", "reason": "a test"},
    )
    wrong, kept = [], 0
    for path in files(BUNDLED):
        if path.name not in {
            "CT_small.dcm",
            "MR_small.dcm",
            "MR_small_bigendian.dcm",
            "MR_small_implicit.dcm",
        }:
            continue
        source = path.read_bytes()
        found = referee.plain(referee.opened(deid(source, policy)))
        kept += sum(tag >> 16 & 1 for tag in found)
        if not referee.same(found, referee.deidentified(source, policy, KEY)):
            wrong.append(path.name)
    assert not wrong
    assert kept > 1


def test_another_key_gives_other_hashes(north: Policy):
    one, other = (read(deid(written(planted()), north, key)) for key in (KEY, OTHER))
    assert one.InstitutionName != other.InstitutionName


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"attribute": "StationName", "action": "keep"}, "(0008,1010) leaves more than the profile"),
        ({"attribute": "0019,xx0C", "creator": "A", "action": "hash"}, "takes a reason"),
        ({"attribute": "PatientName", "action": "keep", "reason": "r"}, "(PatientName): (0010,0010) names"),
        ({"attribute": "SOPInstanceUID", "action": "uid"}, "says what the instance is"),
        ({"attribute": "Rows", "action": "empty"}, "says what the instance is"),
        ({"attribute": "0008,xxxx", "action": "remove"}, "says what the instance is"),
        ({"attribute": "xxxx,0010", "action": "remove"}, "only the groups 50xx and 60xx"),
        ({"attribute": "7FE0,0010", "action": "remove"}, "for no rule"),
        ({"attribute": "Nothing", "action": "remove"}, "rule 1 (Nothing): Nothing is neither"),
        ({"attribute": "StudyDate", "action": "shift"}, "'shift' is none of keep, remove"),
        ({"attribute": "StudyDate", "action": "replace"}, "takes a value"),
        ({"attribute": "StudyDate", "action": "empty", "value": "x"}, "takes a value"),
        ({"attribute": "StudyDate", "action": "replace", "value": "x"}, "VR DA, which replace is not for"),
        ({"attribute": "StudyDate", "action": "hash", "reason": "r"}, "VR DA, which hash is not for"),
        ({"attribute": "StationName", "action": "date", "reason": "r"}, "which date is not for"),
        ({"attribute": "StationName", "action": "uid", "reason": "r"}, "which uid is not for"),
        ({"attribute": "0019,100C", "creator": "A", "action": "keep"}, "xx for the block"),
        ({"attribute": "0019,xx0C", "action": "keep"}, "named by its creator"),
        ({"attribute": "StationName", "creator": "A", "action": "remove"}, "odd group alone"),
        ({"attribute": "0019,xx0C", "creator": "A", "action": "replace", "value": "x"}, "not replaced"),
        ({"attribute": "StationName", "action": "remove", "if": 1}, "no part 'if'"),
        ({"attribute": "StationName"}, "a rule has action"),
        ({"attribute": "StationName", "action": "remove", "when": {"0019,1010": "x"}}, "when: 0019,1010"),
        ({"attribute": "StationName", "action": "remove", "when": {"Modality": []}}, "lists no value"),
        ({"attribute": "StationName", "action": "remove", "when": {"Modality": 3}}, "list of texts"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused_by_its_part(rule: dict[str, Any], sentence: str):
    with pytest.raises(BadSetting) as caught:
        own(rule)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"base": "nothing"}, "base is one of basic, research"),
        ({"name": "basic"}, "no name of a policy that is built in"),
        ({"name": "a name"}, "name, version"),
        ({"name": "n" * 22}, "22 characters"),
        ({"options": "retain-uids"}, "options: it is a list"),
        ({"options": ["retain-nothing"]}, "retain-nothing is no option"),
        ({"pixels": "allow"}, "takes a reason"),
        ({"pixels": "alow", "reason": "r"}, "pixels is one of refuse"),
        ({"dates": {"days": 3}}, "dates has no part 'days'"),
        ({"dates": {"most_days": True}}, "most_days is a number"),
        ({"trial": {"PatientName": "x"}}, "(0010,0010) is no clinical trial attribute"),
        ({"trial": {"ClinicalTrialProtocolID": ""}}, "or up to 64"),
        ({"trial": {"ClinicalTrialSubjectID": "S-{pseudonym}"}}, "takes {pseudonym} alone"),
        ({"trial": {"ClinicalTrialProtocolID": 3}}, "trial: ClinicalTrialProtocolID is one line"),
        ({"rule": {}}, "[[rule]]"),
        ({"profile": "x"}, "no part 'profile'"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_by_its_part(more: dict[str, Any], sentence: str):
    with pytest.raises(BadSetting) as caught:
        parsed_policy(more, "own")
    assert sentence in str(caught.value)


def test_a_policy_without_its_reason_de_identifies_nothing():
    bare = Policy(name="bare", rules=(OwnRule(mask=mask_of("StationName"), action="keep"),))
    with pytest.raises(BadSetting, match="takes a reason"):
        deid(written(instance()), bare)


def test_a_file_that_is_none_is_said(tmp_path: Path):
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(BadSetting, match=r"bad\.toml is no TOML"):
        read_policy(tmp_path / "bad.toml")
    with pytest.raises(BadSetting, match="cannot be read"):
        read_policy(tmp_path / "none.toml")
