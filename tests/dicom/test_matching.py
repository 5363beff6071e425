"""QIDO-RS parameters become a query."""

import pytest

from dicomweb_box.dicom.attribute_path import AttributePath, Step, parse, project, standard
from dicomweb_box.dicom.matches import Combined, Empty, Exact, Match, Pattern, Range, Sounds
from dicomweb_box.dicom.matching import Order, Query, from_parameters
from dicomweb_box.errors import BadQuery


def query(*pairs: tuple[str, str], level: str = "study") -> Query:
    return from_parameters(level, pairs)[0]  # type: ignore[arg-type]


def read_as(name: str, value: str, *more: tuple[str, str]) -> tuple[object, ...]:
    return query((name, value), *more).keys[0].tests


def test_keyword_and_tag_name_the_same_attribute() -> None:
    assert (
        query(("PatientID", "1")).keys[0].path
        == query(("00100020", "1")).keys[0].path
        == standard("00100020")
    )


@pytest.mark.row(19)
@pytest.mark.parametrize("text", ["1.2,1.3", "1.2\\1.3", "1.2\\\\1.3", "1.2, 1.3"])
def test_a_uid_list_is_separated_by_commas_or_backslashes(text: str) -> None:
    assert read_as("StudyInstanceUID", text) == (Exact("1.2"), Exact("1.3"))


@pytest.mark.row(19)
def test_a_repeated_parameter_widens_the_first() -> None:
    assert read_as("StudyInstanceUID", "1.2", ("StudyInstanceUID", "1.3")) == (Exact("1.2"), Exact("1.3"))


@pytest.mark.row(20)
def test_commas_are_part_of_text_unless_multiple_values_are_asked_for() -> None:
    assert read_as("StudyDescription", "a,b") == (Exact("a,b"),)
    assert read_as("StudyDescription", "a,b", ("multiplevaluematching", "true")) == (Exact("a"), Exact("b"))
    assert read_as("ModalitiesInStudy", "CT,MR") == (Exact("CT"), Exact("MR"))


@pytest.mark.row(21)
def test_two_quotation_marks_ask_for_empty_values_only_where_that_is_switched_on() -> None:
    assert read_as("StudyID", '""', ("emptyvaluematching", "true")) == (Empty(),)
    assert read_as("StudyID", '""') == (Exact('""'),)


@pytest.mark.dicom("PS3.4 C.2.2.2.3")
@pytest.mark.parametrize("text", ["", "*", "**"])
def test_no_value_and_a_lone_asterisk_match_everything(text: str) -> None:
    assert read_as("IssuerOfPatientID", text) == ()


@pytest.mark.dicom("PS3.4 C.2.2.2.5")
@pytest.mark.parametrize(
    ("name", "text", "test"),
    [
        ("StudyDate", "20250101", Exact("20250101")),
        ("StudyDate", "2025.01.01", Exact("20250101")),
        ("StudyDate", "20250101-20250131", Range("20250101", "20250131")),
        ("StudyDate", "20250101-", Range("20250101", None)),
        ("StudyDate", "-20250131", Range(None, "20250131")),
        ("StudyTime", "101500.5", Range("101500.500000", "101500.599999", one=True)),
        ("StudyTime", "10", Range("100000.000000", "105959.999999", one=True)),
        ("StudyTime", "10:15-1030", Range("101500.000000", "103059.999999")),
        ("AcquisitionDateTime", "202501", Range("20250101000000.000000", "20250131235959.999999", one=True)),
        ("AcquisitionDateTime", "2025-", Range("20250101000000.000000", None)),
        ("PatientName", "MÜL*", Pattern("mul*")),
        ("SeriesNumber", "07", Exact(7)),
    ],
)
def test_values_are_read_by_their_vr(name: str, text: str, test: object) -> None:
    assert query((name, text), level="instance").keys[0].tests == (test,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("StudyDate", "yesterday"),
        ("StudyDate", "20251301"),
        ("StudyTime", "25"),
        ("SeriesNumber", "x"),
        ("limit", "-1"),
        ("limit", "1.5"),
        ("offset", "x"),
        ("fuzzymatching", "perhaps"),
        ("RequestAttributesSequence", "x"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_parameters_name_alone(name: str, text: str) -> None:
    with pytest.raises(BadQuery, match=name) as refused:
        query((name, text))
    assert len(text) == 1 or text not in str(refused.value)


@pytest.mark.row(38)
def test_unknown_parameters_are_passed_over_with_a_sentence() -> None:
    found, warnings = from_parameters("study", [("", ""), ("bogus", "1"), ("Doe^Jane, 5551", "x")])

    assert found == Query(level="study")
    assert warnings[0].startswith("bogus")
    assert "Doe" not in warnings[1]
    with pytest.raises(BadQuery, match="bogus"):
        query(("bogus", "1"), ("strict", "1"))


@pytest.mark.row(29)
def test_modality_of_studies_means_modalities_in_study() -> None:
    assert query(("00080060", "CT"), ("includefield", "00080060")).keys[0].path == standard("00080061")


@pytest.mark.row(15)
def test_private_attributes_are_named_with_their_creator() -> None:
    path = AttributePath((Step("0009xx01", "ACME 1.0"),), "")

    assert query(("00091001", "v"), ("00090010", "ACME 1.0")).keys[0].path == path
    assert parse("0009xx01:ACME 1.0") == path
    assert parse(str(path)) == path
    assert parse("00091001:A.B.PatientID").steps == (Step("0009xx01", "A.B"), Step("00100020"))


@pytest.mark.row(16)
def test_dotted_paths_lead_into_sequences() -> None:
    path = parse("RequestAttributesSequence.00400009")
    dataset = {
        "00400275": {
            "vr": "SQ",
            "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}, "00400007": {"vr": "LO"}}],
        }
    }

    assert Match(path, (Exact("S1"),), "x").accepts(dataset)
    assert not Match(path, (Exact("S2"),), "x").accepts(dataset)
    assert project(dataset, [path]) == {
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}]}
    }


def test_fuzzy_matching_widens_person_names_alone() -> None:
    fuzzy = ("fuzzymatching", "true")

    assert read_as("PatientName", "Doe", fuzzy) == (Exact("doe"), Sounds("doe"))
    assert read_as("PatientID", "Doe", fuzzy) == (Exact("Doe"),)


@pytest.mark.dicom("PS3.4 C.2.2.2.5.3")
def test_two_ranges_of_one_moment_are_one_and_a_single_time_stays_apart() -> None:
    both = query(("StudyDate", "20250101-20250102"), ("StudyTime", "10-12"))
    single = query(("StudyDate", "20250101-20250102"), ("StudyTime", "10"))

    assert both.keys == ()
    assert isinstance(both.combined[0], Combined)
    assert (both.combined[0].low, both.combined[0].high) == ("20250101100000.000000", "20250102125959.999999")
    assert len(single.keys) == 2


@pytest.mark.row(37)
def test_orderby_and_page_are_read() -> None:
    found = query(("orderby", "-StudyDate,PatientName"), ("limit", "10"), ("offset", "20"))

    assert found.order == (Order("00080020", descending=True), Order("00100010"))
    assert (found.limit, found.offset) == (10, 20)
