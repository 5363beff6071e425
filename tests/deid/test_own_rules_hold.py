"""What no rule of a policy may do: say of an instance what is not so, or hand on what names the patient."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomweb_box.deid.pixel_rules import read_rules
from dicomweb_box.deid.policy import BASIC, Policy
from dicomweb_box.deid.policy_files import mask_of, parsed_policy, read_policy
from dicomweb_box.deid.rules import explained
from dicomweb_box.errors import BadSetting
from tests.deid.planted import deid, instance, read, written

KEPT = {"action": "keep", "reason": "a test"}


def own(*rules: dict[str, Any], **more: Any) -> Policy:
    return parsed_policy({"rule": list(rules), **more}, "own")


@pytest.mark.parametrize("action", [{"action": "replace", "value": "NO"}, {"action": "remove"}, KEPT])
@pytest.mark.parametrize(
    "attribute",
    [
        "BurnedInAnnotation", "RecognizableVisualFeatures", "LossyImageCompression",
        "LossyImageCompressionRatio", "LossyImageCompressionMethod", "SpecimenLabelInImage", "ImageType",
        "FrameType", "0028,030x", "0028,211x", "PatientIdentityRemoved",
    ],
)  # fmt: skip
def test_no_rule_says_what_pixels_show_and_have_lost(attribute: str, action: dict[str, str]):
    with pytest.raises(BadSetting, match="says what the instance is or shows"):
        own({"attribute": attribute, **action})


@pytest.mark.parametrize(
    "attribute",
    [
        "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation", "ResponsiblePerson",
        "PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "0010,21xx",
    ],
)  # fmt: skip
def test_no_rule_keeps_where_a_patient_lives_or_who_answers_for_them(attribute: str):
    with pytest.raises(BadSetting, match="names the patient"):
        own({"attribute": attribute, **KEPT})
    assert own({"attribute": attribute, "action": "remove"}).rules


@pytest.mark.parametrize("group", [0x5001, 0x6001])
@pytest.mark.dicom("PS3.5 7.8.1")
def test_a_mask_over_groups_is_of_no_private_attribute(group: int):
    ds = instance()
    ds.add_new(group << 16 | 0x0010, "LO", "ACME")
    ds.add_new(group << 16 | 0x1001, "LO", "call 555-0199")
    ds.add_new((group - 1) << 16 | 0x0010, "US", 8)
    out = read(deid(written(ds), own({"attribute": f"{group >> 8:02X}xx,xxxx", **KEPT})))
    assert [one.tag for one in out if one.tag.group in {group, group - 1}] == [(group - 1) << 16 | 0x0010]


@pytest.mark.parametrize("vr", ["OB", "OW", "OF", "OD", "OL", "UN"])
@pytest.mark.parametrize("hidden", ["Doe^Jane", "mrn-4711", "JANE".encode("utf-16-le")])
def test_bytes_that_a_rule_keeps_go_where_they_repeat_the_patient(vr: str, hidden: str | bytes):
    text = hidden.encode() if isinstance(hidden, str) else hidden
    found = []
    for value in (b"\1\2\3\4" * 4, b"\1\2\3\4" + text + b"\5" * (-len(text) % 8 + 4)):
        ds = instance()
        ds.private_block(0x0019, "ACME", create=True).add_new(0x0C, vr, value)
        out = deid(written(ds), own({"attribute": "0019,xx0C", "creator": "ACME", **KEPT}))
        found.append((value in out, text in out))
    assert found == [(vr != "UN", False), (False, False)]


def test_public_bytes_that_a_rule_keeps_are_searched_too():
    policy = own({"attribute": "60xx,3000", **KEPT})
    for value, stays in ((b"\1\2\3\4", True), (b"\1DOE\1\2", False)):
        ds = instance()
        ds.add_new(0x60003000, "OW", value)
        assert (0x60003000 in read(deid(written(ds), policy))) == stays


@pytest.mark.dicom("PS3.3 C.12.1.1.7")
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"attribute": "0008,002x", **KEPT}, "UNMODIFIED"),
        ({"attribute": "0018,1xxx", **KEPT}, "UNMODIFIED"),
        ({"attribute": "0019,xx0C", "creator": "QZX", **KEPT}, "UNMODIFIED"),
        ({"attribute": "0019,xx0C", "creator": "SIEMENS MR HEADER", **KEPT}, "REMOVED"),
        ({"attribute": "60xx,3000", **KEPT}, "REMOVED"),
        ({"attribute": "SeriesDescription", **KEPT}, "REMOVED"),
        ({"attribute": "0008,002x", "action": "date", "reason": "a test"}, "MODIFIED"),
    ],
)
def test_dates_that_may_stay_are_not_said_to_be_removed(rule: dict[str, str], said: str):
    out = read(deid(written(instance()), own(rule)))
    assert out.LongitudinalTemporalInformationModified == said


def test_what_is_written_as_a_date_where_its_creator_means_none_is_removed():
    ds = instance()
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "DA", "20240229")
    rule = {"attribute": "0019,xx0C", "creator": "SIEMENS MR HEADER", **KEPT}
    assert b"20240229" not in deid(written(ds), own(rule))


@pytest.mark.parametrize("text", ["notadate", "20241332", "2024"])
def test_a_date_of_a_trial_is_a_date(text: str):
    attribute = "EthicsCommitteeApprovalEffectivenessStartDate"
    with pytest.raises(BadSetting, match="YYYYMMDD"):
        own(trial={attribute: text})
    out = read(deid(written(instance()), own(trial={attribute: "20240229"})))
    assert out[attribute].value == "20240229"


RULES = '[[rule]]\nname = "n"\nmodality = "US"\nblank = "outside-ultrasound-regions"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = " + "[" * 20_000, "nested too deep"),
        ("x = " + "1" * 5_000, "too many digits"),
        ("a." * 100_000 + "a = 1", "dots in line 1"),
        ("# " + "x" * (1 << 18), "longer than"),
        ("x = \xff", "not UTF-8"),
    ],
)
def test_a_file_that_no_one_can_have_meant_is_refused_by_a_sentence(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="latin-1")
    for reading in (lambda: read_policy(path), lambda: read_rules([path])):
        with pytest.raises(BadSetting, match=sentence):
            reading()


def test_a_byte_order_mark_before_a_file_is_passed_over(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text('base = "research"', encoding="utf-8-sig")
    assert read_policy(path).name == "own"
    path.write_text(RULES, encoding="utf-8-sig")
    assert [rule.name for rule in read_rules([path]).rules] == ["n"]


@pytest.mark.parametrize("keyword", ["ImageType", "FrameType", "BurnedInAnnotation", "LossyImageCompression"])
def test_it_explains_that_redaction_tells_of_itself(keyword: str):
    tag = int(mask_of(keyword), 16)
    assert "made black" in explained(replace(BASIC, pixels="redact"), tag).why
    assert "made black" not in explained(BASIC, tag).why
