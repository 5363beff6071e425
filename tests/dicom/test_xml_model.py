"""DICOM JSON as Native DICOM Model XML."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomweb_box.dicom.xml_model import NAMESPACE, to_xml

NS = f"{{{NAMESPACE}}}"


def parsed(dataset: dict) -> Xml.Element:
    return Xml.fromstring(to_xml(dataset))


@pytest.mark.dicom("PS3.19 A.1")
@pytest.mark.parametrize(
    ("tag", "element", "attributes", "content"),
    [
        (
            "00080008",
            {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
            {"tag": "00080008", "vr": "CS", "keyword": "ImageType"},
            '<Value number="1">ORIGINAL</Value><Value number="3">AXIAL</Value>',
        ),
        ("00080020", {"vr": "DA"}, {"tag": "00080020", "vr": "DA", "keyword": "StudyDate"}, ""),
        (
            "00100010",
            {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^^Dr^", "Ideographic": "山田"}]},
            {"tag": "00100010", "vr": "PN", "keyword": "PatientName"},
            '<PersonName number="1"><Alphabetic><FamilyName>Doe</FamilyName><GivenName>Jane</GivenName>'
            "<NamePrefix>Dr</NamePrefix></Alphabetic><Ideographic><FamilyName>山田</FamilyName></Ideographic>"
            "</PersonName>",
        ),
        (
            "00280009",
            {"vr": "AT", "Value": ["00181063"]},
            {"tag": "00280009", "vr": "AT", "keyword": "FrameIncrementPointer"},
            '<Value number="1">00181063</Value>',
        ),
        (
            "00280030",
            {"vr": "DS", "Value": [0.5, 2]},
            {"tag": "00280030", "vr": "DS", "keyword": "PixelSpacing"},
            '<Value number="1">0.5</Value><Value number="2">2</Value>',
        ),
        (
            "7FE00010",
            {"vr": "OW", "BulkDataURI": "instances/1/bulkdata/7FE00010?a=1&b=2"},
            {"tag": "7FE00010", "vr": "OW", "keyword": "PixelData"},
            '<BulkData uri="instances/1/bulkdata/7FE00010?a=1&amp;b=2" />',
        ),
        (
            "00420011",
            {"vr": "OB", "InlineBinary": "YWJj"},
            {"tag": "00420011", "vr": "OB", "keyword": "EncapsulatedDocument"},
            "<InlineBinary>YWJj</InlineBinary>",
        ),
        (
            "00204000",
            {"vr": "LT", "Value": ["a<b&c\x01\r\nd"]},
            {"tag": "00204000", "vr": "LT", "keyword": "ImageComments"},
            '<Value number="1">a&lt;b&amp;c\ufffd&#13;\nd</Value>',
        ),
        (
            "00081110",
            {"vr": "SQ", "Value": [{"00200010": {"vr": "SH", "Value": ["1"]}}, {}]},
            {"tag": "00081110", "vr": "SQ", "keyword": "ReferencedStudySequence"},
            '<Item number="1"><DicomAttribute tag="00200010" keyword="StudyID" vr="SH">'
            '<Value number="1">1</Value></DicomAttribute></Item><Item number="2" />',
        ),
    ],
)
def test_each_kind_of_value_has_its_markup(tag: str, element: dict, attributes: dict, content: str) -> None:
    (attribute,) = parsed({tag: element})

    expected = Xml.fromstring(f'<DicomAttribute xmlns="{NAMESPACE}">{content}</DicomAttribute>')
    assert attribute.attrib == attributes
    assert [Xml.tostring(child) for child in attribute] == [Xml.tostring(child) for child in expected]


@pytest.mark.dicom("PS3.19 A.1.5")
def test_a_private_attribute_is_named_by_its_creator_not_its_block() -> None:
    creator, attribute, orphan = parsed(
        {
            "00090010": {"vr": "LO", "Value": ["ACME"]},
            "00091001": {"vr": "SH", "Value": ["x"]},
            "00111002": {"vr": "UN", "InlineBinary": "eA=="},
        }
    )

    assert creator.attrib == {"tag": "00090010", "vr": "LO"}
    assert attribute.attrib == {"tag": "00090001", "vr": "SH", "privateCreator": "ACME"}
    assert orphan.attrib == {"tag": "00111002", "vr": "UN"}


def test_nesting_is_limited_by_memory_alone() -> None:
    dataset: dict = {}
    for _ in range(20_000):
        dataset = {"00081110": {"vr": "SQ", "Value": [dataset]}}

    assert to_xml(dataset).count(b'<Item number="1">') == 20_000


@pytest.mark.skipif(not shutil.which("dcm2xml"), reason="DCMTK is not installed")
def test_it_says_what_dcmtk_says(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName = "Doe^Jane=x^y"
    dataset.PixelSpacing = ["0.5", "0.25"]
    dataset.FrameIncrementPointer = [0x00181063]
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "v")
    item = Dataset()
    item.StudyID = "1"
    dataset.ReferencedStudySequence = [item, Dataset()]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)

    theirs = Xml.fromstring(subprocess.check_output(["dcm2xml", "-nat", str(tmp_path / "a.dcm")]))
    ours = parsed(dataset.to_json_dict())

    def said(element: Xml.Element) -> tuple:
        name = element.tag.removeprefix(NS)
        return (
            name,
            sorted(element.attrib.items()),
            (element.text or "").strip(),
            [said(child) for child in element],
        )

    assert sorted(map(repr, map(said, ours))) == sorted(map(repr, map(said, theirs)))
