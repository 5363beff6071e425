"""Identifiers of C-FIND: what a request asks for, and responses that pydicom reads back."""

import io
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomweb_box.dicom import identifier, query_options
from dicomweb_box.dicom.identifier import Asked, WrongIdentifier
from dicomweb_box.dicom.identifier_reader import BadIdentifier, elements
from dicomweb_box.dicom.identifier_writer import IdentifierWriter
from dicomweb_box.dicom.matches import Empty, Exact, Pattern, Range, Sounds
from dicomweb_box.dicom.query_options import QueryOptions
from dicomweb_box.errors import BadQuery

RELATIONAL = QueryOptions(relational=True)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, ds)
    return buffer.getvalue()


def request(level: str | None = "STUDY", **attributes: Any) -> Dataset:
    ds = Dataset()
    if level is not None:
        ds.QueryRetrieveLevel = level
    for keyword, value in attributes.items():
        tag = pydicom.datadict.tag_for_keyword(keyword)
        vr = pydicom.datadict.dictionary_VR(keyword)
        # Keys may be what values may not, such as wildcards.
        ds[keyword] = pydicom.DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    return ds


def asked(
    level: str | None = "STUDY",
    root: identifier.Root = "study",
    options: QueryOptions = RELATIONAL,
    **attributes: Any,
) -> Asked:
    return identifier.read(encode(request(level, **attributes)), ExplicitVRLittleEndian, root, options)


def sought(found: Asked) -> dict[str, tuple[Any, ...]]:
    return {str(key.path): key.tests for key in found.query.keys}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_keys_are_read_in_every_transfer_syntax(syntax):
    ds = request(
        PatientName="Doe^J*", StudyDate="20260101-20260201", SeriesNumber="2", NumberOfStudyRelatedSeries=""
    )
    ds.StudyInstanceUID = "1.2"
    item = Dataset()
    item.RequestedProcedureID = "RP1"
    item.ScheduledProcedureStepID = ""
    ds.RequestAttributesSequence = Sequence([item])

    found = identifier.read(encode(ds, syntax), syntax, "study", RELATIONAL)

    assert sought(found) == {
        "00080020": (Range("20260101", "20260201"),),
        "00100010": (Pattern("doe^j*"),),
        "0020000D": (Exact("1.2"),),
        "00200011": (Exact(2),),
        "00400275.00401001": (Exact("RP1"),),
    }


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_of_undefined_length_are_read(syntax):
    ds = request("SERIES")
    item = Dataset()
    item.RequestedProcedureID = "RP1"
    item.is_undefined_length_sequence_item = True
    ds.RequestAttributesSequence = Sequence([item])
    ds["RequestAttributesSequence"].is_undefined_length = True
    ds.SeriesNumber = "4"

    found = identifier.read(encode(ds, syntax), syntax, "study", RELATIONAL)

    assert sought(found) == {"00400275.00401001": (Exact("RP1"),), "00200011": (Exact(4),)}


@pytest.mark.dicom("PS3.4 C.2.2.2")
def test_each_kind_of_matching_is_understood():
    found = asked(
        PatientID="P*",
        StudyInstanceUID=["1.2", "1.3"],
        StudyTime="1000-",
        AccessionNumber="A1",
        PatientSex="*",
        StudyID="",
    )

    assert sought(found) == {
        "00100020": (Pattern("P*"),),
        "0020000D": (Exact("1.2"), Exact("1.3")),
        "00080030": (Range("100000.000000", None),),
        "00080050": (Exact("A1"),),
    }
    returned = [key.tag for key in found.keys]
    assert returned == ["00080030", "00080050", "00100020", "00100040", "0020000D", "00200010"]


@pytest.mark.dicom("PS3.4 C.2.2.2.5.3")
def test_date_and_time_are_one_range_only_where_that_was_agreed_on():
    attributes = {"StudyDate": "20260101-20260103", "StudyTime": "1000-1200"}

    apart = asked(**attributes)
    together = asked(options=QueryOptions(combined=True), **attributes)

    assert (len(apart.query.keys), len(apart.query.combined)) == (2, 0)
    assert (len(together.query.keys), len(together.query.combined)) == (0, 1)


@pytest.mark.dicom("PS3.4 C.2.2.2.7")
def test_an_empty_value_is_matched_only_where_that_was_agreed_on():
    assert sought(asked(StudyDescription='""')) == {"00081030": (Exact('""'),)}
    agreed = asked(options=QueryOptions(empty_values=True), StudyDescription='""', StudyDate='""')
    assert sought(agreed) == {"00081030": (Empty(),), "00080020": (Empty(),)}


@pytest.mark.dicom("PS3.4 C.2.2.2.8")
def test_several_values_must_all_match_only_where_that_was_agreed_on():
    attributes = {"ModalitiesInStudy": ["CT", "PT"], "StudyInstanceUID": ["1.2", "1.3"]}

    either = asked(**attributes)
    both = asked(options=QueryOptions(multiple_values=True), **attributes)

    assert [key.tests for key in either.query.keys] == [
        (Exact("CT"), Exact("PT")),
        (Exact("1.2"), Exact("1.3")),
    ]
    assert [key.tests for key in both.query.keys] == [
        (Exact("CT"),),
        (Exact("PT"),),
        (Exact("1.2"), Exact("1.3")),
    ]


def test_names_sound_alike_only_where_that_was_agreed_on():
    assert sought(asked(PatientName="Meier")) == {"00100010": (Exact("meier"),)}
    fuzzy = sought(asked(options=QueryOptions(fuzzy=True), PatientName="Meier"))
    assert fuzzy == {"00100010": (Exact("meier"), Sounds("meier"))}


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 127", "قباني^لنزار"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("GBK", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
        ("ISO_IR 144", "Люкceмбypг"),
    ],
)
def test_a_name_is_read_in_the_requests_character_set(charset, name):
    in_utf8 = sought(asked(SpecificCharacterSet="ISO_IR 192", PatientName=name))
    assert sought(asked(SpecificCharacterSet=charset, PatientName=name)) == in_utf8
    assert in_utf8["00100010"] != ()


@pytest.mark.dicom("PS3.4 C.4.1.2.1")
@pytest.mark.parametrize(
    ("level", "root", "attributes", "tag"),
    [
        (None, "study", {}, "00080052"),
        ("FRAME", "study", {}, "00080052"),
        ("PATIENT", "study", {"PatientID": "P1"}, "00080052"),
        ("STUDY", "patient", {}, "00100020"),
        ("STUDY", "patient", {"PatientID": "P*"}, "00100020"),
        ("SERIES", "study", {"StudyInstanceUID": ""}, "0020000D"),
        ("SERIES", "patient", {"StudyInstanceUID": "1.2"}, "00100020"),
        ("IMAGE", "study", {"StudyInstanceUID": "1.2"}, "0020000E"),
    ],
)
def test_an_identifier_that_does_not_fit_its_information_model_is_refused(level, root, attributes, tag):
    with pytest.raises(WrongIdentifier) as refused:
        asked(level, root, QueryOptions(), **attributes)

    assert refused.value.tag == tag


def test_unique_keys_of_the_levels_above_suffice_without_relational_queries():
    found = asked(
        "IMAGE",
        "patient",
        QueryOptions(),
        PatientID="P1",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.3",
        SOPInstanceUID="",
    )

    assert (found.query.level, found.query.study_uid, found.query.series_uid) == ("instance", "1.2", "1.3")
    assert sought(found) == {"00100020": (Exact("P1"),)}


@pytest.mark.dicom("PS3.4 C.2.2.1.3")
def test_what_a_level_does_not_hold_is_not_returned_and_said_so():
    found = asked("STUDY", PatientName="", InstitutionName="", RetrieveURL="")

    assert found.unsupported
    assert [key.tag for key in found.keys] == ["00100010"]
    assert not asked("STUDY", PatientName="").unsupported


def test_bad_values_are_refused_without_telling_them():
    with pytest.raises(BadQuery, match="StudyDate is not a date") as refused:
        asked(StudyDate="Smith")
    assert "Smith" not in str(refused.value)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_no_piece_of_an_identifier_does_more_than_be_refused(syntax):
    item = request(None, RequestedProcedureID="RP1")
    data = encode(
        request(PatientName="Doe", RequestAttributesSequence=Sequence([item]), SeriesNumber="1"), syntax
    )
    refused = 0

    for end in range(len(data)):
        try:
            elements(data[:end], syntax)
        except BadIdentifier:
            refused += 1

    assert refused > len(data) // 2


def test_deep_nesting_and_many_elements_are_refused():
    deep = encode(request(PatientName="x"))
    for _ in range(40):
        deep = (
            b"\x40\x00\x75\x02SQ\0\0"
            + (len(deep) + 8).to_bytes(4, "little")
            + (b"\xfe\xff\x00\xe0" + len(deep).to_bytes(4, "little") + deep)
        )
    with pytest.raises(BadIdentifier, match="nested too deeply"):
        elements(deep, ExplicitVRLittleEndian)
    with pytest.raises(BadIdentifier, match="too many"):
        elements(b"\x08\x00\x50\x00SH\0\0" * 20_000, ExplicitVRLittleEndian)


@pytest.mark.dicom("PS3.4 C.5.1.1")
def test_what_is_negotiated_is_what_is_done():
    assert query_options.answer(b"\1") == b"\1"
    assert query_options.answer(b"\1\1\1") == b"\1\1\1"
    assert query_options.answer(b"\1\1\1\1\1\1\1") == b"\1\1\1\0\0\1\1"
    assert query_options.answer(b"\0\1\0\1\0\0\1\1") == b"\0\1\0\0\0\0\1\0"
    assert query_options.agreed(b"\1\1\1\0\0\1\1") == QueryOptions(
        relational=True, combined=True, fuzzy=True, empty_values=True, multiple_values=True
    )
    assert query_options.agreed(b"\1") == QueryOptions(relational=True)
    assert query_options.agreed(None) == QueryOptions()


ROW = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080020": {"vr": "DA", "Value": ["20260105"]},
    "00080050": {"vr": "SH"},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
    "00080061": {"vr": "CS", "Value": ["CT", "PT"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "00200011": {"vr": "IS", "Value": [7]},
    "00201206": {"vr": "IS", "Value": [3]},
    "00280010": {"vr": "US", "Value": [512]},
    "00101030": {"vr": "DS", "Value": [72.5]},
    "00400275": {
        "vr": "SQ",
        "Value": [
            {"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH", "Value": ["R1"]}},
            {"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["R2"]}},
        ],
    },
}


def written(
    found: Asked,
    row: dict[str, Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    charsets: tuple[str, ...] = ("ISO_IR 192",),
) -> Dataset:
    writer = IdentifierWriter(
        found.keys,
        transfer_syntax=syntax,
        charsets=charsets,
        said={"00080052": ("CS", found.word), "00080054": ("AE", "DICOMWEB_BOX")},
    )
    return pydicom.dcmread(io.BytesIO(_with_meta(writer.write(row), syntax)), force=True)


def _with_meta(data: bytes, syntax: str) -> bytes:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    buffer = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(buffer, meta, enforce_standard=False)
    return bytes(128) + b"DICM" + buffer.getvalue() + data


@pytest.mark.dicom("PS3.4 C.4.1.1.3.2")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_response_holds_the_requested_keys_as_pydicom_reads_them(syntax):
    item = Dataset()
    item.ScheduledProcedureStepID = ""
    found = asked(
        "SERIES",
        StudyDate="",
        AccessionNumber="",
        InstanceAvailability="",
        ModalitiesInStudy="",
        PatientName="",
        StudyInstanceUID="",
        SeriesNumber="",
        NumberOfStudyRelatedSeries="",
        PatientWeight="",
        PatientAge="",
        RequestAttributesSequence=Sequence([item]),
    )

    ds = written(found, ROW, syntax=syntax)

    assert [element.tag for element in ds] == sorted(element.tag for element in ds)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert (ds.QueryRetrieveLevel, ds.RetrieveAETitle) == ("SERIES", "DICOMWEB_BOX")
    assert ds.StudyDate == "20260105"
    assert ds["AccessionNumber"].is_empty
    assert ds["PatientAge"].is_empty
    assert ds.InstanceAvailability == "ONLINE"
    assert list(ds.ModalitiesInStudy) == ["CT", "PT"]
    assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎"
    assert ds.StudyInstanceUID == "1.2.3"
    assert (ds.SeriesNumber, ds.NumberOfStudyRelatedSeries, ds.PatientWeight) == (7, 3, 72.5)
    assert "Rows" not in ds
    image = written(asked("IMAGE", Rows=None), ROW, syntax=syntax)
    assert image.Rows == 512
    assert [list(one.keys()) for one in ds.RequestAttributesSequence] == [[0x00400009], [0x00400009]]


@pytest.mark.dicom("PS3.4 C.2.2.2.6")
def test_only_the_items_of_a_sequence_that_match_are_returned():
    item = Dataset()
    item.ScheduledProcedureStepID = "S2"
    item.RequestedProcedureID = "R2"
    crossed = Dataset()
    crossed.ScheduledProcedureStepID = "S1"
    crossed.RequestedProcedureID = "R2"

    found = asked("SERIES", RequestAttributesSequence=Sequence([item]))

    assert found.accepts(ROW)
    assert [one.RequestedProcedureID for one in written(found, ROW).RequestAttributesSequence] == ["R2"]
    assert not asked("SERIES", RequestAttributesSequence=Sequence([crossed])).accepts(ROW)


def test_a_sequence_asked_for_without_items_comes_whole():
    ds = written(asked("SERIES", RequestAttributesSequence=Sequence([])), ROW)

    assert [
        (one.ScheduledProcedureStepID, one.RequestedProcedureID) for one in ds.RequestAttributesSequence
    ] == [
        ("S1", "R1"),
        ("S2", "R2"),
    ]


@pytest.mark.parametrize(
    ("charsets", "said", "name"),
    [
        (("ISO_IR 100", "ISO_IR 192"), "ISO_IR 192", "Yamada^Tarou=山田^太郎"),
        (("\\ISO 2022 IR 87", "ISO_IR 192"), ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (("GB18030",), "GB18030", "Yamada^Tarou=山田^太郎"),
        (("ISO_IR 100",), "ISO_IR 100", "Yamada^Tarou"),
        (("no such set",), "ISO_IR 192", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_the_answer_is_in_a_character_set_that_the_peer_reads(charsets, said, name):
    ds = written(asked(PatientName=""), ROW, charsets=charsets)

    assert ds.SpecificCharacterSet == said
    assert str(ds.PatientName) == name


def test_what_does_not_fit_the_peers_character_set_comes_as_near_as_can_be():
    row = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Łukasz^Ďuriš=", "Ideographic": "山田"}]},
        "00081030": {"vr": "LO", "Value": ["Thorax 山"]},
        "00080020": {"vr": "DA", "Value": ["２０２６"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.é3"]},
    }
    found = asked(PatientName="", StudyDescription="", StudyDate="", StudyInstanceUID="")

    ds = written(found, row, charsets=("ISO_IR 100",))

    assert str(ds.PatientName) == "?ukasz^Duris"
    assert ds.StudyDescription == "Thorax ?"
    assert ds["StudyDate"].is_empty
    assert ds.StudyInstanceUID == "1.2.3"


def test_private_attributes_are_returned_with_their_creator():
    ds = request("IMAGE", SOPInstanceUID="")
    ds.private_block(0x0009, "ACME 1.0", create=True).add_new(0x01, "LO", "")
    found = identifier.read(encode(ds), ExplicitVRLittleEndian, "study", RELATIONAL)
    row = {
        "00090011": {"vr": "LO", "Value": ["ACME 1.0"]},
        "00091101": {"vr": "LO", "Value": ["private"]},
        "00080018": {"vr": "UI", "Value": ["1.2"]},
    }

    answer = written(found, row)

    assert answer.private_block(0x0009, "ACME 1.0")[0x01].value == "private"
