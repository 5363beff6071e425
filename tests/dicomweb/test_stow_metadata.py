"""STOW-RS of metadata with bulk data, on the real archive."""

import io
import struct
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from dicomweb_box.box import Box
from dicomweb_box.dicom.xml_model import to_xml
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces
from tests.conftest import MakeBox
from tests.dicomweb.doors import client_of, post
from tests.dicomweb.metadata_bodies import (
    JSON_RELATED,
    XML_RELATED,
    Part,
    body,
    bulk,
    inline,
    joined,
    json_part,
    taken_apart,
)
from tests.dicomweb.test_stow import held, reasons, stored, values

JPEG_LS = "1.2.840.10008.1.2.4.80"


async def back(box: Box, answer: httpx.Response, number: int = 0) -> pydicom.Dataset:
    """The stored instance of an answer's item, as the server gives it back."""
    item = values(answer.json(), "00081199")[number]
    url = "http://localhost" + values(item, "00081190")[0]
    async with client_of(box) as client:
        got = await client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert got.status_code == 200
    return pydicom.dcmread(io.BytesIO(got.content))


def spooled(box: Box) -> list[str]:
    """Names of the spool files there are."""
    with box.blobs.spool() as probe:
        names = [one.name for one in probe.path.parent.iterdir()]
        return [name for name in names if name != probe.path.name]


async def post_json(box: Box, content: Any, **more: Any) -> httpx.Response:
    return await post(box, content, content_type=JSON_RELATED, **more)


@pytest.mark.row(101)
@pytest.mark.dicom("PS3.18 10.5.1")
async def test_json_metadata_and_its_bulk_data_make_the_instance_they_were(box: Box) -> None:
    sent = make_dataset(
        PatientName="Doe^Jane^^Dr=山田^花子", PatientWeight="70.25", ImagePositionPatient=[0.1, -2, 1e-7]
    )
    sent.SpecificCharacterSet = "ISO_IR 192"
    block = sent.private_block(0x0009, "SYNTHETIC MAKER", create=True)
    block.add_new(1, "UN", b"\1\2\3\4" * 20)
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    item.PixelPaddingValue = 5
    item.EncapsulatedDocument = b"in a sequence" * 2
    sent.ReferencedImageSequence = [item, pydicom.Dataset()]
    metadata, parts = taken_apart(part10(sent))
    assert len(parts) == 3

    answer = await post_json(box, pieces(body([metadata], reversed(parts)), 7))

    assert answer.status_code == 200, answer.text
    assert "00081196" not in values(answer.json(), "00081199")[0]
    found = await back(box, answer)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found == sent


@pytest.mark.row(102)
async def test_xml_metadata_has_one_part_for_each_instance(box: Box) -> None:
    study = new_uid()
    made = [taken_apart(make_instance(study=study, InstanceNumber=n)) for n in (1, 2)]
    documents: list[Part] = [("application/dicom+xml", {}, to_xml(metadata)) for metadata, _ in made]
    content = joined([*documents, *[part for _, parts in made for part in parts]])

    answer = await post(box, content, content_type=XML_RELATED)

    assert answer.status_code == 200, answer.text
    for number, (metadata, _) in enumerate(made):
        assert (await back(box, answer, number)).to_json_dict() == {
            **metadata,
            "7FE00010": {"vr": "OW", "InlineBinary": inline(bytes(range(32)))},
        }


@pytest.mark.row(101)
@pytest.mark.parametrize(
    ("uri", "headers"),
    [
        ("http://pacs.example/bulk/1?x=1", {"content_location": "http://pacs.example/bulk/1?x=1"}),
        ("/bulk/1", {"content_location": "http://elsewhere/bulk/1"}),
        ("http://elsewhere/bulk/1", {"content_location": "bulk/1"}),
        ("./a%20b", {"content_location": "a b"}),
        ("cid:pixels@a", {"content_id": "<pixels@a>"}),
        ("pixels", {"content_id": "other", "content_location": "pixels"}),
        ("urn:uuid:5", {"content_location": "urn:uuid:5"}),
    ],
)
async def test_bulk_data_is_found_by_location_and_by_content_id(
    box: Box, uri: str, headers: dict[str, str]
) -> None:
    metadata, _ = taken_apart(make_instance())
    metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": uri}

    answer = await post_json(box, body([metadata], [("application/octet-stream", headers, bytes(32))]))

    assert answer.status_code == 200, answer.text
    assert (await back(box, answer)).PixelData == bytes(32)


@pytest.mark.row(101, 107)
async def test_bulk_data_that_did_not_come_refuses_its_instance_alone(box: Box) -> None:
    made = [taken_apart(make_instance(PatientName="Secret^Name")) for _ in range(3)]

    answer = await post_json(box, body([one for one, _ in made], made[0][1] + made[2][1]))

    assert answer.status_code == 202
    assert len(stored(answer)) == 2
    assert reasons(answer) == [0xA922]
    assert "PixelData (7FE0,0010) names bulk data that no part of the request brought" in answer.text
    assert "Secret" not in answer.text


@pytest.mark.row(101, 106)
@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        ({"00080018": {"vr": "UI"}}, 0xA900, "SOPInstanceUID (0008,0018) is missing"),
        ({"0020000D": {"vr": "UI", "Value": ["not a uid"]}}, 0xA900, "StudyInstanceUID (0020,000D)"),
        ({"0020000E": {"vr": "UI", "Value": "1.2"}}, 0xA900, "SeriesInstanceUID (0020,000E)"),
        ({"00080016": {"vr": "UI", "Value": [5]}}, 0xA900, "SOPClassUID (0008,0016)"),
        ({"00100010": {"vr": "XX", "Value": ["Secret"]}}, 0xC000, "PatientName (0010,0010) has no VR"),
        ({"00100010": {"vr": "PN", "Value": "Secret"}}, 0xC000, "PatientName (0010,0010)"),
        ({"00100010": {"vr": "PN", "Value": [["Secret"]]}}, 0xC000, "PatientName (0010,0010)"),
        ({"00100010": "Secret"}, 0xC000, "no JSON object"),
        ({"PatientName": {"vr": "PN"}}, 0xC000, "no tag of eight hexadecimal digits"),
        ({"00280106": {"vr": "US", "Value": [70000]}}, 0xC000, "(0028,0106) of VR US"),
        ({"00280010": {"vr": "US", "Value": ["Secret"]}}, 0xC000, "Rows (0028,0010) of VR US"),
        ({"00181151": {"vr": "IS", "Value": [1.5]}}, 0xC000, "XRayTubeCurrent (0018,1151) of VR IS"),
        ({"00091001": {"vr": "UN", "InlineBinary": "%"}}, 0xC000, "(0009,1001) has an InlineBinary"),
        ({"00091001": {"vr": "UN", "Value": [1]}}, 0xC000, "(0009,1001) of VR UN has Value"),
        ({"00081140": {"vr": "SQ", "Value": ["x"]}}, 0xC000, "ReferencedImageSequence (0008,1140)"),
        ({"00280009": {"vr": "AT", "Value": ["1"]}}, 0xC000, "FrameIncrementPointer (0028,0009)"),
        ({"00280010": {"vr": "US", "Value": [5]}}, 0xA900, "PixelData (7FE0,0010) has 32 bytes where 40"),
    ],
)
async def test_bad_metadata_refuses_its_instance_by_a_sentence_that_names_the_attribute(
    box: Box, change: dict[str, Any], reason: int, sentence: str
) -> None:
    (bad, parts), (good, more) = taken_apart(make_instance()), taken_apart(make_instance())

    answer = await post_json(box, body([bad | change, good], parts + more))

    assert answer.status_code == 202, answer.text
    assert (len(stored(answer)), reasons(answer)) == (1, [reason])
    assert sentence in answer.text
    assert "Secret" not in answer.text


@pytest.mark.row(101, 105)
@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (joined([bulk("a", b"x"), bulk("b", b"y")]), JSON_RELATED, 400),
        (joined([("application/octet-stream", {}, b"x")]), XML_RELATED, 400),
        (joined([("image/png", {}, b"x")]), JSON_RELATED, 400),
        (joined([("application/dicom+json", {}, b"{")]), JSON_RELATED, 409),
        (joined([("application/dicom+json", {}, b"5")]), JSON_RELATED, 409),
        (joined([("application/dicom+json", {}, b"[]")]), JSON_RELATED, 400),
        (joined([("application/dicom+xml", {}, b"<a/>")]), XML_RELATED, 409),
        (joined([json_part({})])[:-20], JSON_RELATED, 400),
        (joined([json_part({})]), JSON_RELATED.replace("+json", "+yaml"), 415),
    ],
)
async def test_a_body_that_cannot_be_meant_is_refused(
    box: Box, content: bytes, content_type: str, status: int
) -> None:
    answer = await post(box, content, content_type=content_type)

    assert answer.status_code == status, answer.text
    assert await held(box) == 0


@pytest.mark.row(101)
async def test_metadata_beyond_the_limit_is_refused_before_it_is_kept(make_box: MakeBox) -> None:
    async with make_box(metadata_limit="1KiB") as box:
        answer = await post_json(box, body([{"00104000": {"vr": "LT", "Value": ["x" * 2000]}}], []))

        assert answer.status_code == 413
        assert "metadata_limit" in answer.text


@pytest.mark.row(101)
@pytest.mark.dicom("PS3.18 10.5.1")
async def test_frames_may_come_as_a_part_each_in_the_transfer_syntax_that_they_name(box: Box) -> None:
    frames = [b"\xff\xd8first\xff\xd9", b"\xff\xd8 second\xff\xd9", b"\xff\xd83\xff\xd9"]
    metadata, _ = taken_apart(make_instance(NumberOfFrames=3))
    metadata["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}
    kind = f"image/jls; transfer-syntax={JPEG_LS}"

    answer = await post_json(box, body([metadata], [bulk("pixels", frame, kind) for frame in frames]))

    assert answer.status_code == 200, answer.text
    found = await back(box, answer)
    assert found.file_meta.TransferSyntaxUID == JPEG_LS
    assert [
        frame[: len(sent)] for frame, sent in zip(generate_frames(found.PixelData), frames, strict=True)
    ] == frames


@pytest.mark.row(101)
async def test_fewer_frames_than_are_described_refuse_the_instance(box: Box) -> None:
    metadata, _ = taken_apart(make_instance(NumberOfFrames=3))
    metadata["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}

    answer = await post_json(box, body([metadata], [bulk("pixels", b"\xff\xd8", "image/jls")]))

    assert (answer.status_code, reasons(answer)) == (409, [0xA900])


@pytest.mark.row(101)
@pytest.mark.parametrize("apart", [True, False])
async def test_an_encapsulated_value_as_it_stands_in_a_file_is_taken(box: Box, apart: bool) -> None:
    value = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, 8) + b"JPEG-LS."
    metadata, _ = taken_apart(make_instance())
    metadata["00083002"] = {"vr": "UI", "Value": [JPEG_LS]}
    parts = [bulk("pixels", value)] if apart else []
    metadata["7FE00010"] = (
        {"vr": "OB", "BulkDataURI": "pixels"} if apart else {"vr": "OB", "InlineBinary": inline(value)}
    )

    answer = await post_json(box, body([metadata], parts))

    assert answer.status_code == 200, answer.text
    found = await back(box, answer)
    assert found.file_meta.TransferSyntaxUID == JPEG_LS
    assert list(generate_frames(found.PixelData)) == [b"JPEG-LS."]
    assert "AvailableTransferSyntaxUID" not in found


@pytest.mark.row(101)
async def test_two_instances_with_one_image_are_both_refused(box: Box) -> None:
    made = [taken_apart(make_instance())[0] for _ in range(2)]
    for host, metadata in zip(("", "http://elsewhere/"), made, strict=True):
        metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": f"{host}bulkdata/7FE00010"}

    answer = await post_json(box, body(made, [bulk("bulkdata/7FE00010", bytes(32))]))

    assert (answer.status_code, reasons(answer)) == (409, [0xA900, 0xA900])
    assert "another instance of the request names too" in answer.text


@pytest.mark.row(101)
async def test_a_document_that_two_instances_name_is_neithers(box: Box) -> None:
    made = [taken_apart(make_instance(PixelData=None))[0] for _ in range(2)]
    for metadata in made:
        metadata["00420011"] = {"vr": "OB", "BulkDataURI": "report"}

    answer = await post_json(box, body(made, [bulk("report", b"%PDF-1.4")]))

    assert (answer.status_code, reasons(answer)) == (409, [0xA900, 0xA900])
    assert "EncapsulatedDocument (0042,0011) names bulk data that another" in answer.text


@pytest.mark.row(101)
async def test_native_frames_may_come_as_a_part_each(box: Box) -> None:
    frames = [bytes([number]) * 32 for number in range(3)]
    metadata, _ = taken_apart(make_instance(NumberOfFrames=3))
    metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}

    answer = await post_json(box, body([metadata], [bulk("pixels", frame) for frame in frames]))

    assert (await back(box, answer)).PixelData == b"".join(frames)


@pytest.mark.row(108)
async def test_what_is_said_about_an_instance_is_no_part_of_it(box: Box) -> None:
    metadata, parts = taken_apart(make_instance())
    metadata |= {
        "00081190": {"vr": "UR", "Value": ["http://elsewhere/studies/1"]},
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
        "00080000": {"vr": "UL", "Value": [500]},
    }

    answer = await post_json(box, body([metadata], parts))

    item = values(answer.json(), "00081199")[0]
    assert values(item, "00081196") == [0xB006]
    assert "RetrieveURL (0008,1190)" in values(item, "00091003")[0]
    assert "RetrieveURL" not in await back(box, answer)


@pytest.mark.row(101)
async def test_a_whole_instance_may_come_among_them(box: Box) -> None:
    metadata, parts = taken_apart(make_instance())

    answer = await post_json(box, body([metadata], [("application/dicom", {}, make_instance()), *parts]))

    assert (answer.status_code, len(stored(answer))) == (200, 2)


@pytest.mark.row(101, 111)
async def test_large_bulk_data_passes_through_the_disk(box: Box) -> None:
    pixels = np.arange(1 << 23, dtype="<u4").tobytes()
    metadata, _ = taken_apart(make_instance(Rows=4096, Columns=4096))
    metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}

    answer = await post_json(box, pieces(body([metadata], [bulk("pixels", pixels)]), 300_001))

    assert answer.status_code == 200, answer.text
    assert (await back(box, answer)).PixelData == pixels
    assert spooled(box) == []


async def test_a_body_that_breaks_off_leaves_no_spool_file(box: Box) -> None:
    metadata, _ = taken_apart(make_instance())
    content = body([metadata], [bulk("pixels", bytes(3 << 20))])

    answer = await post_json(box, pieces(content[:-9]))

    assert answer.status_code == 400
    assert spooled(box) == []
    assert await held(box) == 0
