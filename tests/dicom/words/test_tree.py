"""A data set as rows of a tree."""

from dicomweb_box.dicom.words.difference import side_by_side
from dicomweb_box.dicom.words.tree import MOST_DEPTH, MOST_ROWS, tree

NAME = {
    "vr": "PN",
    "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}],
}
CODE = {"00080100": {"vr": "SH", "Value": ["T-A0100"]}, "00080104": {"vr": "LO", "Value": ["Brain"]}}
DATASET = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00082218": {"vr": "SQ", "Value": [CODE, {}]},
    "00090010": {"vr": "LO", "Value": ["GEMS_IDEN_01"]},
    "00091001": {"vr": "LO", "Value": ["GE_GENESIS_FF"]},
    "00100010": NAME,
    "00200013": {"vr": "IS", "Value": [1]},
    "00290010": {"vr": "LO", "Value": ["SOMEONE"]},
    "00291001": {"vr": "UN", "InlineBinary": "AAEC"},
    "7FE00010": {"vr": "OW", "BulkDataURI": "instances/1.2/bulkdata/7FE00010"},
}


def test_each_row_says_what_people_look_for() -> None:
    rows = {row.path: row for row in tree(DATASET, {"00100010": 34}).rows}

    name = rows["00100010"]
    assert (name.tag, name.name, name.keyword, name.vr, name.length) == (
        "(0010,0010)", "Patient's Name", "PatientName", "PN", 34,
    )  # fmt: skip
    assert name.value == "Yamada, Tarou (山田, 太郎) (やまだ, たろう)"
    assert rows["00080016"].value == "1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)"
    assert rows["7FE00010"].bulk == "instances/1.2/bulkdata/7FE00010"
    assert rows["00291001"].value == "00 01 02"


def test_private_attributes_name_who_defines_them() -> None:
    rows = {row.path: row for row in tree(DATASET).rows}

    assert rows["00091001"].creator == "GEMS_IDEN_01"
    assert rows["00091001"].name == "Full fidelity"
    assert rows["00291001"].name == "Private attribute of SOMEONE"
    assert rows["00290010"].name == "Private Creator"


def test_every_level_that_opens_is_closed() -> None:
    rows = tree(DATASET).rows

    opened = sum(row.opens for row in rows)
    assert opened == 2
    assert sum(row.closes for row in rows) == opened
    assert [row.path for row in rows if row.opens] == ["00082218", "00082218/1"]
    assert next(row for row in rows if row.path == "00082218/2").value == "empty"


def test_what_is_wanted_keeps_what_is_above_and_below_it() -> None:
    assert [row.path for row in tree(DATASET, wanted="brain").rows] == [
        "00082218",
        "00082218/1",
        "00082218/1/00080104",
    ]
    assert len(tree(DATASET, wanted="anatomic region").rows) == 5
    assert [row.path for row in tree(DATASET, wanted="00100010").rows] == ["00100010"]
    assert tree(DATASET, wanted="brain tarou").rows == []


def test_very_deep_and_very_long_data_sets_are_cut_and_say_so() -> None:
    deep = {"00080104": {"vr": "LO", "Value": ["bottom"]}}
    for _ in range(MOST_DEPTH * 2):
        deep = {"00082218": {"vr": "SQ", "Value": [deep]}}
    long = {"00082218": {"vr": "SQ", "Value": [CODE] * MOST_ROWS}}

    assert tree(deep).cut
    assert max(row.depth for row in tree(deep).rows) == MOST_DEPTH
    assert (len(tree(long).rows), tree(long).cut) == (MOST_ROWS, True)
    assert not tree(DATASET).cut


def test_two_data_sets_differ_where_one_says_something_else() -> None:
    other = {**DATASET, "00200013": {"vr": "IS", "Value": [2]}, "00080050": {"vr": "SH", "Value": ["A1"]}}
    del other["00290010"], other["00291001"]

    pairs = side_by_side(tree(DATASET), tree(other))

    assert [(pair.row.path, pair.left is None, pair.right is None) for pair in pairs] == [
        ("00080050", True, False), ("00200013", False, False), ("00290010", False, True),
        ("00291001", False, True),
    ]  # fmt: skip
    assert len(side_by_side(tree(DATASET), tree(DATASET), everything=True)) == len(tree(DATASET).rows)
    assert side_by_side(tree(DATASET), tree(DATASET)) == []
