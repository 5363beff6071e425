"""Structured Reports as HTML and plain text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, KeyObjectSelectionDocumentStorage

from dicomweb_box.dicom.header import read_header
from dicomweb_box.dicom.words.document import plain
from dicomweb_box.dicom.words.document_html import CONTENT_SECURITY_POLICY, html
from dicomweb_box.dicom.words.report import is_report, report
from tests.builders import make_dataset, part10

VOID = {"meta", "br"}


class Page(HTMLParser):
    """The text and the identifiers of a page; fails where its markup is not nested."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def coded(meaning: str, value: str = "C1", scheme: str = "99TEST") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def item(value_type: str, name: str | None = None, *below: Dataset, **values: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", value_type
    if name is not None:
        made.ConceptNameCodeSequence = [coded(name)]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    if below:
        made.ContentSequence = list(below)
    return made


def measured(number: str, unit: Dataset, qualifier: str | None = None) -> Dataset:
    value = Dataset()
    value.NumericValue, value.MeasurementUnitsCodeSequence = number, [unit]
    made = item("NUM", "Diameter", MeasuredValueSequence=[value])
    if qualifier:
        made.NumericValueQualifierCodeSequence = [coded(qualifier)]
    return made


def pointing(*place: int) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ReferencedContentItemIdentifier = "INFERRED FROM", list(place)
    return made


def read(*content: Dataset, title: str = "Findings", **values: Any) -> dict[str, Any]:
    """The report as the archive's metadata say it."""
    ds = make_dataset(Modality="SR", SOPClassUID=BasicTextSRStorage, **values)
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, name)
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(title)]
    ds.ContentSequence = list(content)
    return dict(orjson.loads(read_header(part10(ds)).json))


def of_file(path: Path) -> dict[str, Any]:
    return dict(orjson.loads(read_header(path.read_bytes()).json))


def text_of(dataset: dict[str, Any]) -> str:
    return plain(report(dataset)).decode()


def page_of(dataset: dict[str, Any]) -> Page:
    return Page(html(report(dataset)))


FILES = (
    "highdicom/data/test_files/sr_document.dcm",
    "highdicom/data/test_files/sr_document_with_multiple_groups.dcm",
    "pydicom/test_files/reportsi.dcm",
    "pydicom/test_files/reportsi_with_empty_number_tags.dcm",
    "pydicom/test_files/test-SR.dcm",
    "dcmqi/data/sr-example/sr.dcm",
)


def said_by(dataset: Dataset) -> set[str]:
    """Every word of the values in a report's content items, as pydicom reads them."""
    said: set[str] = set()
    wanted = ("TextValue", "CodeMeaning", "UID", "ReferencedSOPInstanceUID", "NumericValue")
    for content in dataset.get("ContentSequence", []):
        for element in content.iterall():
            if element.keyword in wanted and element.value not in (None, ""):
                said.update(str(element.value).split())
    return said


@pytest.mark.dicom("PS3.18 8.7.4")
@pytest.mark.parametrize("name", FILES)
def test_it_says_in_html_and_in_text_all_that_a_report_says(shared_data: Path, name: str) -> None:
    dataset = of_file(shared_data / name)
    wanted = said_by(pydicom.dcmread(shared_data / name))
    # Units are written by their symbols and what they mean; everything else as it is.
    units = {"millimeter", "cubic", "centimeter", "no", "units", "Standardized", "Uptake", "Value"}

    assert is_report(dataset)
    page, text = page_of(dataset), text_of(dataset)

    assert len(wanted) > 2
    for shown in (page.text, text):
        missing = {word for word in wanted if word not in shown} - units
        assert len(missing) <= len(wanted) // 50, missing


def test_it_shows_names_values_units_codes_dates_and_references() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.3.9",
    )
    reference.ReferencedFrameNumber = [2, 5]
    text = text_of(
        read(
            measured("12.5", coded("millimeter", "mm", "UCUM"), "Approximate"),
            measured("1", coded("no units", "1", "UCUM")),
            measured("3", coded("per field", "{field}", "UCUM")),
            measured("-700", coded("Hounsfield unit", "[hnsf'U]", "UCUM")),
            item("NUM", "Weight", MeasuredValueSequence=[]),
            item("CODE", "Site", ConceptCodeSequence=[coded("Lung", "39607008", "SCT")]),
            item("DATE", "Seen", Date="20240102"),
            item("TIME", "At", Time="101112.5"),
            item("DATETIME", "Done", DateTime="20240102101112.25+0100"),
            item("PNAME", "Reader", PersonName="Smith^Ann^Mary^Dr.^MD"),
            item("UIDREF", "Study", UID="1.2.3.4"),
            item("IMAGE", None, ReferencedSOPSequence=[reference]),
            item("SCOORD", "Region", GraphicType="POLYLINE", GraphicData=[1, 2, 3.5, 4]),
            item("TCOORD", "When", TemporalRangeType="POINT", ReferencedTimeOffsets=["1.5"]),
        )
    )

    for line in (
        "Diameter: 12.5 mm\n  (Approximate (C1, 99TEST))\n",
        "Diameter: 1\n",
        "Diameter: 3 per field\n",
        "Diameter: -700 Hounsfield unit\n",
        "Weight: no value\n",
        "Site: Lung (39607008, SCT)\n",
        "Seen: 2024-01-02\n",
        "At: 10:11:12.5\n",
        "Done: 2024-01-02 10:11:12.25 +0100\n",
        "Reader: Smith, Dr. Ann Mary, MD\n",
        "Study: 1.2.3.4\n",
        "Image: CT Image Storage 1.2.3.9, frame 2, 5\n",
        "Region: POLYLINE (1, 2) (3.5, 4)\n",
        "When: POINT seconds 1.5\n",
    ):
        assert f"\n{line}" in text


def test_a_page_is_nested_as_the_report_is_with_headings_for_its_containers() -> None:
    page = html(report(read(item("CONTAINER", "Lungs", item("TEXT", "Left", TextValue="clear"))))).decode()

    assert re.search(
        r'<li id="item-1\.1"><h2 dir="auto">Lungs</h2>\s*<ul>\s*<li id="item-1\.1\.1"><b><bdi>Left:?', page
    )
    assert Page(page.encode()).tags.count("h1") == 1


def test_no_text_of_a_report_becomes_markup() -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=y>\"'&"
    dataset = read(
        item("TEXT", hostile, TextValue=hostile),
        item("PNAME", "Who", PersonName=hostile),
        item("CODE", "What", ConceptCodeSequence=[coded(hostile, "<b>", "<i>")]),
        item("UIDREF", "Which", UID="1.2"),
        pointing(1, 1),
        title=hostile,
        PatientName=hostile,
        PatientID=hostile,
        StudyDescription=hostile,
    )
    dataset["0040A730"]["Value"][3]["0040A124"]["Value"] = [hostile]

    page = page_of(dataset)

    assert not {"script", "img", "b>", "i"} & set(page.tags)
    assert {name for name, _ in page.attributes} <= {
        "lang", "charset", "name", "content", "dir", "id", "href", "class", "role",
    }  # fmt: skip
    assert page.text.count("<script>alert(1)</script>") >= 7


def test_a_page_allows_its_own_style_alone() -> None:
    page = html(report(read(item("TEXT", "a", TextValue="b")))).decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)

    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert " style=" not in page


@pytest.mark.dicom("PS3.3 C.17.3.2.5")
def test_a_by_reference_relationship_leads_to_the_item_it_names() -> None:
    dataset = read(
        item("CONTAINER", "Measurements", item("TEXT", "First", TextValue="ten"), item("TEXT", "Second")),
        item("TEXT", "Conclusion", pointing(1, 1, 1), pointing(1, 7), pointing(1), TextValue="large"),
    )

    page, text = page_of(dataset), text_of(dataset)

    assert page.values("href") == ["#item-1.1.1", "#item-1"]
    assert set(page.values("href")) <= {f"#{identifier}" for identifier in page.values("id")}
    assert "see First: ten [1.1.1]" in text
    assert "refers to item 1.7, which this report does not hold" in text


def test_an_empty_item_does_not_move_the_places_of_those_after_it() -> None:
    dataset = read(Dataset(), item("TEXT", "Second", TextValue="found"), pointing(1, 2))

    assert "see Second: found [1.2]" in text_of(dataset)


@pytest.mark.dicom("PS3.3 C.17.2")
def test_it_says_first_that_a_report_is_not_final() -> None:
    dataset = read(
        item("TEXT", "a", TextValue="b"),
        CompletionFlag="PARTIAL",
        VerificationFlag="UNVERIFIED",
        PreliminaryFlag="PRELIMINARY",
    )

    notices = report(dataset).notices
    page = html(report(dataset)).decode()

    assert notices == (
        "This report is not complete", "This report is preliminary.", "This report is not verified.",
    )  # fmt: skip
    assert page.index("not verified") < page.index("<dl>")


def test_it_names_who_wrote_and_who_verified_a_report() -> None:
    verifier, author = Dataset(), Dataset()
    verifier.VerifyingObserverName, verifier.VerificationDateTime = "Grey^Meredith", "20240102101500"
    verifier.VerifyingOrganization = "Seattle"
    author.PersonName, author.InstitutionName = "House^Gregory", "Princeton"

    facts = dict(
        report(
            read(
                item("TEXT", "a", TextValue="b"),
                VerificationFlag="VERIFIED",
                VerifyingObserverSequence=[verifier],
                AuthorObserverSequence=[author],
            )
        ).facts
    )

    assert facts["Verified by"] == "Grey, Meredith, Seattle, on 2024-01-02 10:15:00"
    assert facts["Author"] == "House, Gregory, Princeton"
    assert facts["Patient's Name"] == "Doe, Jane"
    assert facts["Patient ID"] == "P1"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Müller^Jürgen"),
    ],
)
def test_names_of_every_character_set_are_readable(charset: Any, name: str) -> None:
    dataset = read(item("PNAME", "Who", PersonName=name), SpecificCharacterSet=charset, PatientName=name)

    for group in name.split("="):
        for word in group.split("^"):
            assert text_of(dataset).count(word) == 2
            assert page_of(dataset).text.count(word) == 2


def test_controls_of_a_report_reach_no_terminal_and_no_browser() -> None:
    dataset = read(item("TEXT", "a", TextValue="one"))
    dataset["0040A730"]["Value"][0]["0040A160"]["Value"] = ["\x1b[31mred\r\ntwo\0\x07\ud800"]

    text, page = text_of(dataset), html(report(dataset)).decode()

    assert "a: \ufffd[31mred\n  two" in text
    assert "\ufffd[31mred<br>\ntwo" in page
    assert not re.search("[\0-\x08\x0b-\x1f]", text + page)


def test_a_report_nested_beyond_reason_is_shown_to_its_depth() -> None:
    below = item("TEXT", "deepest", TextValue="here")
    for _ in range(220):
        below = item("CONTAINER", "level", below)
    dataset = read(below)

    page = page_of(dataset)

    assert "here" in page.text
    assert page.tags.count("ul") == 221
    assert "deepest: here" in text_of(dataset)


def test_an_item_of_an_unknown_value_type_is_listed_by_its_attributes() -> None:
    dataset = read(item("TABLE", "Grid", TextValue="kept", NumberOfTableRows=3))

    assert "Grid" in text_of(dataset)
    assert "Text Value (0040,A160): kept" in text_of(dataset)
    assert "Number of Table Rows (0040,A802): 3" in text_of(dataset)


def test_a_key_object_selection_is_a_report() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.4",
        "1.2.3.7",
    )
    dataset = read(
        item("TEXT", "Key Object Description", TextValue="for teaching"),
        item("IMAGE", None, ReferencedSOPSequence=[reference]),
        title="Of Interest",
    )
    dataset["00080016"]["Value"] = [str(KeyObjectSelectionDocumentStorage)]

    text = text_of(dataset)

    assert text.startswith("Of Interest\n")
    assert "for teaching" in text
    assert "MR Image Storage 1.2.3.7" in text


def test_a_page_says_the_language_of_its_report() -> None:
    german = coded("German", "de-DE", "RFC5646")

    assert 'lang="de-DE"' in html(report(read(item("TEXT"), LanguageCodeSequence=[german]))).decode()
    german.CodeValue = '"><x'
    assert 'lang="en"' in html(report(read(item("TEXT"), LanguageCodeSequence=[german]))).decode()
