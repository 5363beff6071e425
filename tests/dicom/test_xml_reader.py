"""Native DICOM Model XML as DICOM JSON."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomweb_box.dicom.header import read_header
from dicomweb_box.dicom.xml_model import NAMESPACE, to_xml
from dicomweb_box.dicom.xml_reader import from_xml
from dicomweb_box.errors import UnreadableInstance
from tests.dicom.generated import instance

HEAD = f'<NativeDicomModel xmlns="{NAMESPACE}">'

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=9)
NAME = st.text(st.characters(categories=("Lu", "Ll", "Lo")), min_size=1, max_size=5)
FLOAT = st.floats(allow_nan=False, allow_infinity=False, width=32)


def element(vr: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An element with values; the last one is there, for nothing in XML says that it is empty."""
    values = st.builds(lambda some, last: [*some, last], st.lists(st.none() | value, max_size=3), value)
    return st.just({"vr": vr}) | st.builds(lambda found: {"vr": vr, "Value": found}, values)


PERSON = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]),
    st.builds("^".join, st.lists(NAME, min_size=1, max_size=5)),
    min_size=1,
)
ELEMENTS = {
    "00080060": element("CS", st.from_regex(r"[A-Z]{1,8}", fullmatch=True)),
    "00081030": element("LO", TEXT),
    "00091001": st.just({"vr": "UN", "InlineBinary": "AAE="}),
    "00100010": element("PN", PERSON),
    "00104000": element("LT", TEXT),
    "00181151": element("IS", st.integers(-(2**31), 2**31 - 1)),
    "00280009": element("AT", st.from_regex(r"[0-9A-F]{8}", fullmatch=True)),
    "00280010": element("US", st.integers(0, 65535)),
    "00280030": element("DS", FLOAT | st.integers(-(10**9), 10**9)),
    "00720026": element("AT", st.just("00100010")),
    "00720074": element("FD", FLOAT),
    "00720082": element("SV", st.integers(-(2**63), 2**63 - 1)),
    "7FE00010": st.just({"vr": "OW", "BulkDataURI": "instances/1?a=1&b=<2>"}),
}


def creators(dataset: dict[str, Any]) -> dict[str, Any]:
    """The data set with the private creator that its private attributes need."""
    if "00091001" in dataset:
        dataset = dataset | {"00090010": {"vr": "LO", "Value": ["MAKER & SON"]}}
    return dict(sorted(dataset.items()))


FLAT = st.fixed_dictionaries({}, optional=ELEMENTS).map(creators)
DATASET = st.recursive(
    FLAT,
    lambda inner: st.builds(
        lambda flat, items: dict(sorted((flat | {"00081140": {"vr": "SQ", "Value": items}}).items())),
        FLAT,
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@pytest.mark.dicom("PS3.19 A.1")
@settings(max_examples=300, deadline=None)
@given(DATASET)
def test_what_was_written_is_read_again(dataset: dict[str, Any]) -> None:
    assert from_xml(to_xml(dataset)) == dataset


@pytest.mark.parametrize("seed", range(40))
def test_metadata_of_made_instances_survives_the_way_through_xml(seed: int) -> None:
    dataset = orjson.loads(read_header(instance(seed)).json)

    assert comparable(from_xml(to_xml(dataset))) == comparable(dataset)


def comparable(dataset: dict[str, Any]) -> dict[str, Any]:
    """Without what XML cannot say: empty values at the end, empty components of names."""
    made = {}
    for tag, element in dataset.items():
        values = [comparable(one or {}) if element["vr"] == "SQ" else one for one in element.get("Value", ())]
        if element["vr"] == "PN":
            values = [
                {k: v.rstrip("^") for k, v in (one or {}).items() if v.strip("^")} or None for one in values
            ]
        while values and values[-1] is None:
            values.pop()
        made[tag] = {k: v for k, v in element.items() if k != "Value"} | ({"Value": values} if values else {})
    return made


def test_attributes_may_stand_in_any_order_and_values_go_by_their_numbers() -> None:
    document = (
        f'{HEAD} <DicomAttribute vr="CS" keyword="ImageType" tag="00080008">\n'
        '<Value number="3">AXIAL</Value> <Value number="1">ORIGINAL</Value></DicomAttribute>'
        '<DicomAttribute tag="00090001" vr="LO" privateCreator="A"><Value>of A</Value></DicomAttribute>'
        '<DicomAttribute privateCreator="B" vr="LO" tag="00090001"><Value>of B</Value></DicomAttribute>'
        "</NativeDicomModel>"
    )

    assert from_xml(document.encode()) == {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00090010": {"vr": "LO", "Value": ["A"]},
        "00090011": {"vr": "LO", "Value": ["B"]},
        "00091001": {"vr": "LO", "Value": ["of A"]},
        "00091101": {"vr": "LO", "Value": ["of B"]},
    }


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"", "not well-formed"),
        (b"<NativeDicomModel>", "not well-formed"),
        (b"<html/>", "no NativeDicomModel"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel>&b;</NativeDicomModel>', "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><NativeDicomModel/>', "document type"),
        (b"<NativeDicomModel>&b;</NativeDicomModel>", "not well-formed"),
        (b"<NativeDicomModel><DicomAttribute/></NativeDicomModel>", "without a tag"),
        (b"<NativeDicomModel><Value>1</Value></NativeDicomModel>", "outside of any"),
        (
            b'<NativeDicomModel><DicomAttribute tag="00080008"><Value number="999999999"/></DicomAttribute>'
            b"</NativeDicomModel>",
            "number cannot be",
        ),
        (
            b"<NativeDicomModel>"
            + b'<DicomAttribute tag="00081140" vr="SQ"><Item number="1">' * 2000
            + b"</Item></DicomAttribute>" * 2000
            + b"</NativeDicomModel>",
            "nests sequences",
        ),
        (b'<?xml version="1.0" encoding="utf-7"?><NativeDicomModel/>', "encoding that is not known"),
        (b'<?xml version="1.0" encoding="shift_jis"?><NativeDicomModel/>', "encoding that is not known"),
    ],
)
def test_what_is_no_such_document_or_declares_anything_is_refused(document: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableInstance, match=sentence):
        from_xml(document)
