"""Data sets as comma-separated values."""

import csv
import io
from typing import Any

import pytest

from dicomweb_box.dicom.csv_form import to_csv


def read(datasets: list[dict[str, Any]]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(to_csv(datasets).decode(), newline="")))


def test_the_columns_are_the_keywords_of_all_data_sets_in_ascending_order() -> None:
    table = read(
        [
            {"00100020": {"vr": "LO", "Value": ["P1"]}},
            {"00080020": {"vr": "DA"}, "00201206": {"vr": "IS", "Value": [3]}},
        ]
    )

    assert table == [
        ["StudyDate", "PatientID", "NumberOfStudyRelatedSeries"],
        ["", "P1", ""],
        ["", "", "3"],
    ]


def test_private_attributes_sequences_and_binary_values_are_left_out() -> None:
    table = read(
        [
            {
                "00090010": {"vr": "LO", "Value": ["ACME"]},
                "00091001": {"vr": "LO", "Value": ["x"]},
                "00400275": {"vr": "SQ", "Value": [{}]},
                "00420011": {"vr": "OB", "InlineBinary": "AAAA"},
                "60003000": {"vr": "OW", "BulkDataURI": "bulkdata/60003000"},
                "00080060": {"vr": "CS", "Value": ["CT"]},
            }
        ]
    )

    assert table == [["Modality"], ["CT"]]


def test_several_values_are_joined_and_names_keep_their_groups() -> None:
    name = {"Alphabetic": "Yamada^Tarou", "Phonetic": "やまだ^たろう"}
    table = read(
        [
            {
                "00080061": {"vr": "CS", "Value": ["CT", None, "MR"]},
                "00100010": {"vr": "PN", "Value": [name]},
                "00280030": {"vr": "DS", "Value": [0.5, -2]},
            }
        ]
    )

    assert table[1] == ["CT\\\\MR", "Yamada^Tarou==やまだ^たろう", "0.5\\-2"]


@pytest.mark.parametrize("value", ['a "quoted", word', "two\r\nlines", "comma, only", "semi;colon"])
def test_every_text_comes_back_as_it_was(value: str) -> None:
    assert read([{"00081030": {"vr": "LO", "Value": [value]}}])[1] == [value]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_is_made_harmless(value: str) -> None:
    assert read([{"00081030": {"vr": "LO", "Value": [value]}}])[1] == ["'" + value]


def test_no_other_value_is_changed() -> None:
    values = ["a=b", "1-2", "Doe^Jane", "'x"]
    table = read([{"00081030": {"vr": "LO", "Value": [one]}} for one in values])

    assert [row for [row] in table[1:]] == values
    assert read([{"00181063": {"vr": "DS", "Value": [-1.5]}}])[1] == ["-1.5"]


def test_no_data_sets_are_an_empty_header() -> None:
    assert to_csv([]) == b"\r\n"
