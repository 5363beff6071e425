"""Reports, enclosed documents and what has no pixels, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from dicomweb_box.box import Box
from dicomweb_box.dicom.words.document_html import CONTENT_SECURITY_POLICY
from tests.builders import make_dataset, part10
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

NAVIGATION = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
PDF = b"%PDF-1.4\n" + b"% page\n" * 300 + b"%%EOF"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def document(content: bytes, media_type: str, sop_class: str, **said: object) -> bytes:
    padded = content + b"\0" * (len(content) % 2)
    ds = make_dataset(
        SOPClassUID=sop_class, MIMETypeOfEncapsulatedDocument=media_type, EncapsulatedDocument=padded,
        EncapsulatedDocumentLength=len(content),
    )  # fmt: skip
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return part10(ds)


@pytest.mark.dicom("PS3.18 8.7.4")
@pytest.mark.parametrize(
    ("accept", "kind", "begins"),
    [
        ("*/*", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        (NAVIGATION, "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("text/plain", "text/plain; charset=utf-8", b"Imaging Measurement Report\n"),
        ("text/xml", "text/xml; charset=utf-8", b"<?xml"),
    ],
)
async def test_a_report_comes_in_words(
    box: Box, client: httpx.AsyncClient, shared_data: Path, accept: str, kind: str, begins: bytes
) -> None:
    stored = await put(box, (shared_data / "dcmqi/data/sr-example/sr.dcm").read_bytes())

    response = await client.get(path_of(stored, "rendered"), headers={"accept": accept})

    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert response.content.startswith(begins)
    assert b"Fluorodeoxyglucose" in response.content
    policy = response.headers.get("content-security-policy")
    if kind.startswith("text/html"):
        assert policy == CONTENT_SECURITY_POLICY


async def test_a_report_as_a_picture_is_not_acceptable(
    box: Box, client: httpx.AsyncClient, shared_data: Path
) -> None:
    stored = await put(box, (shared_data / "dcmqi/data/sr-example/sr.dcm").read_bytes())

    response = await client.get(path_of(stored, "rendered"), headers={"accept": "image/jpeg"})

    assert response.status_code == 406
    assert "text/html" in response.json()["offered"]


@pytest.mark.parametrize("name", ["pydicom/test_files/waveform_ecg.dcm", "pydicom/test_files/rtplan.dcm"])
async def test_what_has_no_pixels_is_listed(
    box: Box, client: httpx.AsyncClient, shared_data: Path, name: str
) -> None:
    stored = await put(box, (shared_data / name).read_bytes())

    response = await client.get(path_of(stored, "rendered"), headers={"accept": "text/plain"})

    assert response.status_code == 200
    assert f"SOP Instance UID (0008,0018): {stored.instance_uid}" in response.text


@pytest.mark.parametrize(
    ("content", "media_type", "sop_class"),
    [
        (PDF, "application/pdf", "1.2.840.10008.5.1.4.1.1.104.1"),
        (b"<ClinicalDocument>\xc3\xa9</ClinicalDocument>", "text/xml", "1.2.840.10008.5.1.4.1.1.104.2"),
        (b"solid x\nendsolid x", "model/stl", "1.2.840.10008.5.1.4.1.1.104.3"),
        (b"v 0 0 0\nv 1 1 1", "model/obj", "1.2.840.10008.5.1.4.1.1.104.4"),
    ],
)
@pytest.mark.parametrize("odd", [False, True])
async def test_an_enclosed_document_comes_as_it_was_put_in(
    box: Box, client: httpx.AsyncClient, content: bytes, media_type: str, sop_class: str, odd: bool
) -> None:
    content = content + b"\n" * ((len(content) + odd) % 2)
    stored = await put(box, document(content, media_type, sop_class))
    ask = path_of(stored, "rendered")

    plain = await client.get(ask, headers={"accept": "*/*"})
    named = await client.get(ask, params={"accept": media_type}, headers={"accept": "image/png"})
    several = await client.get(ask, headers={"accept": f'multipart/related; type="{media_type}"'})
    cut = await client.get(ask, params={"accept": media_type}, headers={"range": "bytes=-4"})

    assert len(content) % 2 == odd
    for response in (plain, named):
        assert response.headers["content-type"].partition(";")[0] == media_type
        assert response.content == content
        assert "charset" not in response.headers["content-type"]
    assert [body for _, body in parts_of(several)] == [content]
    assert (cut.status_code, cut.content) == (206, content[-4:])


async def test_a_document_in_a_frame_of_a_browser_is_the_document(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, document(PDF, "application/pdf", "1.2.840.10008.5.1.4.1.1.104.1"))

    response = await client.get(path_of(stored, "rendered"), headers={"accept": NAVIGATION})

    assert response.headers["content-type"] == "application/pdf"
    assert "content-security-policy" not in response.headers


async def test_a_document_can_be_had_as_a_listing_by_those_who_read_texts_alone(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(
        box, document(PDF, "application/pdf", "1.2.840.10008.5.1.4.1.1.104.1", DocumentTitle="A letter")
    )

    response = await client.get(path_of(stored, "rendered"), headers={"accept": "text/plain"})

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Document Title (0042,0010): A letter" in response.text


async def test_a_document_whose_length_is_said_wrongly_loses_nothing(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(
        box,
        document(PDF, "application/pdf", "1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocumentLength=10),
    )

    response = await client.get(path_of(stored, "rendered"))

    assert response.content.startswith(PDF)
