"""An upload that breaks off and goes on, as a plain client sends it; what it brought, by dicomweb-client."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import plain

PROGRAM = {"Accept": "application/json"}


@pytest.fixture
def pages(http: httpx.Client) -> Iterator[httpx.Client]:
    """The pages of the service, as a program asks them."""
    origin = str(http.base_url).partition("/dicom-web")[0]
    with httpx.Client(base_url=origin, timeout=60, headers=PROGRAM) as client:
        yield client


def send(pages: httpx.Client, address: str, offset: int, chunk: bytes, digest: bytes) -> httpx.Response:
    value = base64.b64encode(digest).decode()
    headers = {"Upload-Offset": str(offset), "Content-Digest": f"sha-256=:{value}:"}
    return pages.patch(address, content=chunk, headers=headers)


def digest_of(chunk: bytes) -> bytes:
    return hashlib.sha256(chunk).digest()


@pytest.mark.row(115)
def test_an_upload_goes_on_where_it_stopped(pages: httpx.Client, client: DICOMwebClient) -> None:
    made = plain("resumed", study="UPLOAD", series="resumed")
    half = len(made.data) // 2
    session = pages.post("/upload", data={"name": "resumed"}).json()["address"]
    told: dict[str, Any] = {"files": [{"path": "a.dcm", "size": len(made.data), "modified": "1"}]}
    address = pages.post(f"{session}/files", json=told).json()["files"][0]["address"]

    first = send(pages, address, 0, made.data[:half], digest_of(made.data[:half]))
    spoilt = send(pages, address, half, made.data[half:], digest_of(b"other bytes"))
    misplaced = send(pages, address, half + 1, made.data[half + 1 :], digest_of(made.data[half + 1 :]))
    (again,) = pages.post(f"{session}/files", json=told).json()["files"]
    last = send(pages, address, again["received"], made.data[half:], digest_of(made.data[half:]))

    assert [first.status_code, spoilt.status_code, misplaced.status_code, last.status_code] == [
        204,
        400,
        409,
        200,
    ]
    assert misplaced.headers["Upload-Offset"] == str(half)
    assert (again["address"], again["received"]) == (address, half)
    assert last.json()["state"] == "stored"
    found = client.search_for_instances(str(made.dataset.StudyInstanceUID))
    assert [one["00080018"]["Value"] for one in found] == [[made.dataset.SOPInstanceUID]]


@pytest.mark.row(115)
def test_what_arrived_is_not_sent_twice(pages: httpx.Client) -> None:
    made = plain("once", study="UPLOAD-ONCE", series="once")
    session = pages.post("/upload", data={"name": "once"}).json()["address"]
    told = {"files": [{"path": "a.dcm", "size": len(made.data), "modified": "1"}]}
    address = pages.post(f"{session}/files", json=told).json()["files"][0]["address"]
    assert send(pages, address, 0, made.data, digest_of(made.data)).json()["state"] == "stored"

    (again,) = pages.post(f"{session}/files", json=told).json()["files"]

    assert (again["state"], again["received"]) == ("stored", len(made.data))
