"""Table E.1-1 as data, and what a policy makes of each of its rows."""

import csv
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicomweb_box.deid import table as tables
from dicomweb_box.deid.policy import BASIC, BUILT_IN, OFFERED, Dates, Policy
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.deid.rules import explained
from dicomweb_box.deid.table import OPTIONS, Option, Row, table
from dicomweb_box.errors import BadSetting
from tests.deid.planted import KEY, NUMERIC, Planted, deid, instance, plant, read, vr_of, written

CONTENT = files("dicomweb_box.deid").joinpath("table_e1_1.tsv").read_bytes()
# What another row's test needs, or what makes an instance one that is held back.
APART = {0x00080018, 0x0020000D, 0x0020000E, 0x00420011, 0x0040A730}
ROWS = [row for row in table().rows if (vr := vr_of(row)) and int(row.mask, 16) >> 16 not in {0, 2, 4}]


def test_a1_the_table_has_the_actions_of_edition_2026d():
    assert table().edition == "2026d"
    assert table().digest == "8821813388d923190e7a8ddcbed61505b38b3644ef14fb54a0feebc6447c4e92"
    assert Counter(row.basic for row in table().rows) == {
        "X": 417, "D": 93, "U": 55, "Z": 42, "X/D": 23, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2,
    }  # fmt: skip


@pytest.mark.dicom("PS3.15 Table E.1-1")
def test_a1_the_table_is_the_reference_row_by_row():
    reference = Path(__file__).parents[3] / "shared" / "design" / "ps3_15_e1_1.csv"
    if not reference.is_file():
        pytest.skip("no reference of PS3.15 Table E.1-1")
    columns = (
        "rtn_safe_priv", "rtn_uids", "rtn_dev_id", "rtn_inst_id", "rtn_pat_chars", "rtn_long_full",
        "rtn_long_modif", "clean_desc", "clean_struct_cont", "clean_graph",
    )  # fmt: skip
    with reference.open(newline="") as file:
        wanted = {
            row["tag"]: (row["basic"], tuple(row[one] for one in columns)) for row in csv.DictReader(file)
        }
    found = {
        row.mask: (row.basic, tuple(row.options.get(option, "") for option in OPTIONS))
        for row in table().rows
    }
    assert found == wanted


def test_a1_another_edition_or_another_content_is_refused():
    with pytest.raises(BadSetting, match="2019a"):
        tables.parsed(CONTENT, "2019a")
    with pytest.raises(BadSetting, match="not what"):
        tables.parsed(CONTENT.replace(b"00100010\tZ", b"00100010\tX"), "2026d")


@pytest.mark.parametrize("group", [0x5000, 0x501E, 0x6000, 0x601E])
def test_a1_masks_hold_for_every_repeated_group_and_all_of_it(group: int):
    for element in (0x0010, 0x0022, 0x3000, 0x4000):
        row = table().find(group << 16 | element)
        assert row is not None
        assert row.basic == "X"


def outcomes(policy: Policy) -> dict[str, str]:
    """What became of each row's attribute, all of them in one instance."""
    planted = Planted(instance())
    rows = [row for row in ROWS if int(row.mask, 16) not in APART]
    for row in rows:
        plant(planted.ds, int(row.mask, 16), vr_of(row) or "", planted, row.mask)
    before = written(planted.ds)
    out = deid(before, policy)
    old, new = read(before), read(out)
    return {row.mask: _outcome(row, old, new) for row in rows}


def _outcome(row: Row, before: Dataset, after: Dataset) -> str:
    tag, vr = int(row.mask, 16), vr_of(row)
    element = after.get(tag)
    if element is None:
        return "X"
    if element.is_empty:
        return "Z"
    if vr == "SQ":
        return "kept" if len(element.value) == 1 and 0x00080060 in element.value[0] else "D"
    if vr in NUMERIC:
        return "kept" if element.value == before[tag].value else "D"
    return "kept" if element.value == before[tag].value else "replaced"


def wanted(row: Row, policy: Policy) -> set[str]:
    """What the table says of it: several where it leaves a choice or the VR is not known."""
    tag, vr = int(row.mask, 16), vr_of(row)
    codes = {row.options[option] for option in policy.options if option in row.options}
    if "C" in codes and "modify-dates" in policy.options and "modify-dates" in row.options:
        if vr in {"DA", "DT", "TM"}:
            return {"replaced", "kept"} if vr == "TM" else {"replaced"}
        if tag == 0x00080201:
            return {"kept"}
    elif codes == {"K"}:
        return {"X"} if vr in {"UN", "PN"} else {"kept"}
    if tag in {0x00080050, 0x00100010, 0x00100020, 0x00200010}:
        return {"replaced"}
    last = {"X/Z/U*": "kept"}.get(row.basic, row.basic.rpartition("/")[2])
    if last == "D" and vr == "UN":
        return {"X"}
    return {"D": {"D", "replaced"}, "U": {"replaced"}}.get(last, {last})


@pytest.mark.dicom("PS3.15 E.3")
@pytest.mark.parametrize("options", [(), *((option,) for option in sorted(OFFERED))])
def test_a1_every_row_is_treated_as_the_table_says(options: tuple[Option, ...]):
    policy = Policy(name="rows", options=frozenset(options))
    found = outcomes(policy)
    assert len(found) > 630
    assert not {
        row.mask: found[row.mask] for row in ROWS if found.get(row.mask, "") not in {"", *wanted(row, policy)}
    }


def test_a_policy_refuses_what_cannot_be_meant():
    for options in (("retain-full-dates", "modify-dates"), ("retain-everything",), ("clean-descriptors",)):
        with pytest.raises(BadSetting):
            Policy(name="one", options=frozenset(options))  # type: ignore[arg-type]
    for more in (
        {"pixels": "allow"},
        {"pattern": "anonymous"},
        {"pattern": "{token}^{token}"},
        {"pattern": "{token}" + 33 * "A"},
        {"dates": Dates(most_days=0)},
        {"dates": Dates(most_days=6, whole_weeks=True)},
    ):
        with pytest.raises(BadSetting):
            Policy(name="one", **more)  # type: ignore[arg-type]


def test_explained_rules_say_who_decided_and_why():
    birth, study_date = explained(BASIC, 0x00100030), explained(BUILT_IN["research"], 0x00080020)
    assert (birth.action.name, birth.option) == ("EMPTY", "")
    assert birth.rule == "PS3.15 Table E.1-1 edition 2026d: Z"
    assert (study_date.action.name, study_date.option) == ("DATE", "modify-dates")
    assert explained(BASIC, 0x00080005 + 0x60000).action.name == "REMOVE"
    assert "no dictionary" in explained(BASIC, 0x00100999).why


@pytest.mark.parametrize("weeks", [False, True])
def test_a5_days_are_never_none_and_within_what_the_policy_says(weeks: bool):
    dates = Dates(most_days=14, whole_weeks=weeks)
    found = {KEY.days(Patient(patient_id=str(number)), dates) for number in range(500)}
    assert found == ({-14, -7, 7, 14} if weeks else {*range(-14, 15)} - {0})
