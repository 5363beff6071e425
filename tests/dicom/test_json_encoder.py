"""DICOM JSON written as Explicit VR Little Endian."""

import csv
import io
import math
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomweb_box.dicom.encoded_values import encoded
from dicomweb_box.dicom.header import read_header
from dicomweb_box.dicom.json_encoder import BulkValue, encode
from dicomweb_box.dicom.json_model import array_items
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.pieces import Stretch
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.dicom.xml_reader import from_xml
from dicomweb_box.errors import UnreadableInstance
from tests.dicom.generated import instance
from tests.dicom.test_xml_reader import comparable

META = written_meta(sop_class_uid="1.2", instance_uid="1.3", transfer_syntax_uid="1.2.840.10008.1.2.1")


def written(dataset: dict[str, Any], bulk: bytes = b"") -> bytes:
    def find(tag: str, uri: str, top: bool) -> BulkValue:
        return BulkValue([Stretch(0, len(bulk))])

    pieces = encode(dataset, find)
    return META + b"".join(piece if isinstance(piece, bytes) else bulk for piece in pieces)


@pytest.mark.dicom("PS3.18 F.2")
@pytest.mark.parametrize("seed", range(60))
def test_metadata_written_and_read_again_are_the_same(seed: int) -> None:
    dataset = orjson.loads(read_header(instance(seed), bulk_threshold=1 << 30).json)
    dataset.pop("7FE00010", None)

    again = orjson.loads(read_header(written(dataset), bulk_threshold=1 << 30).json)

    # Character set of items: the one of the whole data set.
    assert without_sets(again) == without_sets(dataset)


def test_metadata_of_real_instances_survive_json_and_xml(shared_data: Path) -> None:
    with (shared_data / "manifest.csv").open() as manifest:
        files = [row["file"] for row in csv.DictReader(manifest) if int(row["bytes"]) < 400_000]
    compared = 0
    for file in files:
        with suppress(UnreadableInstance):
            dataset = orjson.loads(
                read_header((shared_data / file).read_bytes(), bulk_threshold=1 << 30).json
            )
            for tag in ("7FE00008", "7FE00009", "7FE00010"):
                dataset.pop(tag, None)
            dataset["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
            for read in (dataset, from_xml(to_xml(dataset))):
                again = orjson.loads(read_header(written(read), bulk_threshold=1 << 30).json)
                assert comparable(without_sets(again)) == comparable(without_sets(dataset)), file
            compared += 1
    assert compared > 100


def without_sets(dataset: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for tag, element in dataset.items():
        if tag == "00080005":
            continue
        if element["vr"] == "SQ" and "Value" in element:
            element = element | {"Value": [without_sets(item) for item in element["Value"]]}
        made[tag] = element
    return made


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_a_decimal_is_written_as_near_as_its_sixteen_characters_allow(number: float) -> None:
    text = encoded("DS", [number]).decode().strip()

    assert len(text) <= 16
    assert math.isclose(float(text), number, rel_tol=1e-8)


@pytest.mark.parametrize(
    ("vr", "values", "wanted"),
    [
        ("FD", ["NaN", "-Infinity", "inf", 0.5], struct.pack("<4d", math.nan, -math.inf, math.inf, 0.5)),
        ("UV", ["18446744073709551615", 2**53 + 1], struct.pack("<2Q", 2**64 - 1, 2**53 + 1)),
        ("PN", [{"Alphabetic": "A^B", "Phonetic": "C"}, None, "D^E"], b"A^B==C\\\\D^E "),
        ("UI", ["1.2", "1.34"], b"1.2\\1.34"),
        ("UI", ["1.2"], b"1.2\0"),
        ("IS", [5.0, "7", None], b"5\\7\\"),
        ("AT", ["00280010"], b"\x28\0\x10\0"),
        ("LO", ["ü"], "ü".encode()),
    ],
)
def test_values_are_written_as_their_vr_wants(vr: str, values: list[Any], wanted: bytes) -> None:
    assert encoded(vr, values) == wanted + (b" " if len(wanted) % 2 else b"")


def test_a_vr_that_is_not_given_is_the_dictionarys() -> None:
    dataset = {
        "00280106": {"Value": [-5]},
        "00280107": {"Value": [5]},
        "00281201": {"InlineBinary": "AAE="},
        "00100010": {"Value": [{"Alphabetic": "A"}]},
    }

    found = orjson.loads(read_header(written(dataset | UIDS), bulk_threshold=1 << 30).json)

    assert [found[tag]["vr"] for tag in sorted(dataset)] == ["PN", "SS", "US", "OW"]


UIDS = {tag: {"vr": "UI", "Value": ["1.2"]} for tag in ("00080016", "00080018", "0020000D", "0020000E")}


def test_a_value_too_long_for_its_vr_is_written_as_un() -> None:
    text = "x" * 70_000

    data = written(
        UIDS | {"00081030": {"vr": "LO", "Value": [text]}, "00281199": {"vr": "US", "BulkDataURI": "a"}},
        bytes(80_000),
    )

    found = pydicom.dcmread(io.BytesIO(data))
    assert found.get_item("StudyDescription").VR == "UN"
    assert found.get_item("StudyDescription").value == text.encode()
    assert found.get_item(0x00281199).value == bytes(80_000)


def test_an_attribute_of_the_deepest_item_is_written() -> None:
    dataset: dict[str, Any] = {"00100010": {"vr": "PN", "Value": ["A"]}}
    for _ in range(3000):
        dataset = {"00081140": {"vr": "SQ", "Value": [dataset]}}

    assert b"PN\x02\0A " in written(dataset)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (b'[{"a":"]}\\""},{"b":[{}]}]', [b'{"a":"]}\\""}', b'{"b":[{}]}']),
        (b' {"a":[1]}', [b' {"a":[1]}']),
        (b"[5]", [b"[5]"]),
        (b'[{"a":1},{"b"', [b'{"a":1}', b'{"b"']),
        (b'[{"a":1}', [b'{"a":1}', b""]),
        (b"[[],{}]", [b"[]", b"{}"]),
        (b"x", [b"x"]),
    ],
)
def test_an_array_is_taken_apart_without_being_read(text: bytes, items: list[bytes]) -> None:
    assert [bytes(one) for one in array_items(text)] == items


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
WILD = st.dictionaries(
    st.sampled_from(["00080018", "00081140", "00280030", "00280010", "7fe00010", "00091001", "Rows"]),
    st.fixed_dictionaries(
        {},
        optional={
            "vr": st.sampled_from(["UI", "SQ", "DS", "US", "OB", "PN", "AT", "FL", "UN", 5]),
            "Value": JSON,
            "InlineBinary": JSON,
            "BulkDataURI": JSON,
        },
    )
    | JSON,
)


@settings(max_examples=500, deadline=None)
@given(WILD)
def test_whatever_the_json_holds_it_is_written_or_refused(dataset: dict[str, Any]) -> None:
    with suppress(UnreadableInstance):
        assert written(dataset).startswith(META)
