"""STOW-RS: PS3.18 10.5, by dicomweb-client, plain HTTP and plain sockets."""

import hashlib
import io
import socket
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import Object, encode, multipart, plain
from conformance.stow import RELATED, failures, post, store, stored

NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def as_stored(http: httpx.Client, made: Object) -> bytes:
    """The instance back as one part in its own transfer syntax."""
    response = http.get(made.path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert response.status_code == 200
    return response.content


@pytest.mark.dicom("PS3.18 10.5")
@pytest.mark.row(99)
def test_it_stores_what_dicomweb_client_sends(client: DICOMwebClient, http: httpx.Client):
    made = [plain(f"c{n}", study="CLIENT", series="s", InstanceNumber=n) for n in range(3)]
    answer = client.store_instances([o.dataset for o in made])
    assert [i.ReferencedSOPInstanceUID for i in answer.ReferencedSOPSequence] == [
        o.instance_uid for o in made
    ]
    assert "FailedSOPSequence" not in answer
    assert hashlib.sha256(as_stored(http, made[0])).digest()


@pytest.mark.row(99)
def test_it_stores_to_the_study_the_address_names(client: DICOMwebClient):
    made = plain("named", study="NAMED", series="s")
    answer = client.store_instances([made.dataset], study_instance_uid=made.study_uid)
    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == made.instance_uid
    assert answer.RetrieveURL.endswith(f"/studies/{made.study_uid}")


@pytest.mark.row(99, 105, 107)
def test_it_refuses_an_instance_of_another_study_than_the_address_names(http: httpx.Client):
    made = plain("stray", study="STRAY", series="s")
    response = post(http, multipart([made.data]), path="/studies/2.25.1")
    assert response.status_code == 409
    assert [reason & 0xFF00 for reason in failures(response.json())] == [0xA900]


@pytest.mark.row(100)
def test_it_stores_a_single_part(http: httpx.Client):
    made = plain("single", study="SINGLE", series="s")
    response = post(http, made.data, content_type="application/dicom")
    assert (response.status_code, stored(response.json())) == (200, [made.instance_uid])
    assert as_stored(http, made) == made.data


@pytest.mark.dicom("PS3.18 10.5.3.2")
@pytest.mark.row(104)
def test_it_answers_with_the_response_module_in_json(http: httpx.Client):
    made = plain("json", study="MODULE", series="s")
    response = post(http, multipart([made.data]))
    assert response.headers["Content-Type"] == "application/dicom+json"
    item = response.json()["00081199"]["Value"][0]
    assert item["00081150"]["Value"] == [str(made.dataset.SOPClassUID)]
    assert item["00081190"]["Value"][0].endswith(made.path)
    address = urljoin(str(response.url), item["00081190"]["Value"][0])
    assert http.get(address + "/metadata").status_code == 200


@pytest.mark.row(104)
@pytest.mark.parametrize(
    "accept", ["application/dicom+xml", "application/dicom+json;q=0.2, application/dicom+xml"]
)
def test_it_answers_with_the_response_module_in_xml(http: httpx.Client, accept: str):
    made = plain("xml", study="MODULE", series="s")
    response = post(http, multipart([made.data]), accept=accept)
    assert response.headers["Content-Type"].startswith("application/dicom+xml")
    root = ElementTree.fromstring(response.content)
    assert root.tag in {NATIVE + "NativeDicomModel", "NativeDicomModel"}
    assert made.instance_uid in [element.text for element in root.iter() if element.tag.endswith("Value")]


@pytest.mark.row(105)
@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b"x", None], 202),
        ([b"no DICOM at all"], 409),
        ([None], 200),
    ],
)
def test_its_status_says_whether_all_some_or_none_were_stored(
    http: httpx.Client, parts: list[bytes | None], status: int
):
    made = plain("status", study="STATUS", series="s")
    response = post(http, multipart([made.data if part is None else part for part in parts]))
    assert response.status_code == status
    assert stored(response.json()) == [made.instance_uid] * (status != 409)


@pytest.mark.row(105)
@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", RELATED, 400),
        (b"garbage without any boundary", RELATED, 400),
        (b"{}", "application/json", 415),
        (b"x", "text/plain", 415),
        (multipart([b"x"]), 'multipart/related; type="application/dicom"', 400),
    ],
)
def test_it_refuses_a_request_it_cannot_understand(
    http: httpx.Client, content: bytes, content_type: str, status: int
):
    response = post(http, content, content_type=content_type)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.row(106, 107)
def test_it_reports_every_part_also_the_unreadable_ones(http: httpx.Client):
    good = [plain(f"g{n}", study="EVERY", series="s", InstanceNumber=n) for n in range(2)]
    truncated = good[0].data[:200]
    response = post(http, multipart([good[0].data, b"", b"text", truncated, good[1].data]))
    assert response.status_code == 202
    assert sorted(stored(response.json())) == sorted(o.instance_uid for o in good)
    reasons = failures(response.json())
    assert len(reasons) == 3
    assert all(reason & 0xF000 == 0xC000 for reason in reasons)


@pytest.mark.row(106, 107)
def test_it_says_what_an_instance_without_uids_lacks(http: httpx.Client):
    made = plain("nouid", study="NOUID", series="s")
    del made.dataset.StudyInstanceUID
    response = post(http, multipart([encode(made.dataset)]))
    assert response.status_code == 409
    assert [reason & 0xF000 for reason in failures(response.json())] in ([0xA000], [0xC000])
    assert "Study" in response.text


@pytest.mark.row(109)
def test_storing_an_equal_instance_again_is_a_success_without_a_second_one(
    client: DICOMwebClient, http: httpx.Client
):
    made = plain("twice", study="TWICE", series="s")
    store(http, [made.data])
    store(http, [made.data, made.data])
    assert len(client.search_for_instances(study_instance_uid=made.study_uid)) == 1
    assert as_stored(http, made) == made.data


@pytest.mark.row(109)
def test_other_bytes_from_the_same_source_become_the_served_version(
    client: DICOMwebClient, http: httpx.Client
):
    first = plain("other", study="OTHER", series="s", SeriesDescription="first")
    second = plain("other", study="OTHER", series="s", SeriesDescription="second")
    store(http, [first.data])
    store(http, [second.data])
    assert as_stored(http, second) == second.data
    found = client.search_for_series(study_instance_uid=first.study_uid)
    assert [s["0008103E"]["Value"] for s in found] == [["second"]]
    assert found[0]["00201209"]["Value"] == [1]


@pytest.mark.row(111)
def test_it_stores_a_chunked_body(http: httpx.Client):
    made = plain("chunked", study="CHUNKED", series="s")
    body = multipart([made.data])

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 97):
            yield body[start : start + 97]

    response = post(http, pieces())
    assert stored(response.json()) == [made.instance_uid]
    assert as_stored(http, made) == made.data


def odd_bodies(data: bytes) -> dict[str, tuple[bytes, str]]:
    """Bodies that senders really write, with their Content-Type."""
    b = b"conformance-part"
    head, usual = b"--" + b + b"\r\nContent-Type: application/dicom\r\n\r\n", RELATED
    syntax = b'Content-Type: application/dicom; transfer-syntax="1.2.840.10008.1.2.1"\r\n'
    return {
        "leading line break": (b"\r\n" + head + data + b"\r\n--" + b + b"--\r\n", usual),
        "no last line break": (head + data + b"\r\n--" + b + b"--", usual),
        "preamble and epilogue": (b"ignore me\r\n" + head + data + b"\r\n--" + b + b"--\r\nand me", usual),
        "bare line feeds": (
            b"--" + b + b"\nContent-Type: application/dicom\n\n" + data + b"\n--" + b + b"--\n",
            usual,
        ),
        "transfer syntax in the part": (
            b"--" + b + b"\r\n" + syntax + b"\r\n" + data + b"\r\n--" + b + b"--\r\n",
            usual,
        ),
        "no headers in the part": (b"--" + b + b"\r\n\r\n" + data + b"\r\n--" + b + b"--\r\n", usual),
        "white space after the boundary": (
            b"--"
            + b
            + b" \t\r\nContent-Type: application/dicom\r\n\r\n"
            + data
            + b"\r\n--"
            + b
            + b"--  \r\n",
            usual,
        ),
        "bare type": (
            head + data + b"\r\n--" + b + b"--\r\n",
            "multipart/related; type=application/dicom; boundary=" + b.decode(),
        ),
        "no type": (head + data + b"\r\n--" + b + b"--\r\n", f'multipart/related; boundary="{b.decode()}"'),
        "capitals": (
            head.upper().replace(b.upper(), b) + data + b"\r\n--" + b + b"--\r\n",
            f'Multipart/Related; Boundary={b.decode()}; Type="Application/DICOM"',
        ),
        "content length in the part": (
            b"--"
            + b
            + b"\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\n\r\n" % len(data)
            + data
            + b"\r\n--"
            + b
            + b"--\r\n",
            usual,
        ),
        "mime version": (
            b"--"
            + b
            + b"\r\nMIME-Version: 1.0\r\nContent-Type: application/dicom\r\n\r\n"
            + data
            + b"\r\n--"
            + b
            + b"--\r\n",
            usual,
        ),
    }


@pytest.mark.row(112)
@pytest.mark.parametrize("shape", sorted(odd_bodies(b"")))
def test_it_takes_multipart_bodies_as_senders_write_them(http: httpx.Client, shape: str):
    made = plain(shape, study="ODD", series="s")
    body, content_type = odd_bodies(made.data)[shape]
    response = post(http, body, content_type=content_type)
    assert (response.status_code, stored(response.json())) == (200, [made.instance_uid]), response.text
    assert as_stored(http, made) == made.data


@pytest.mark.row(112)
def test_a_body_cut_short_stores_nothing_that_was_cut(
    base_url: str, http: httpx.Client, client: DICOMwebClient
):
    whole, cut = (plain(name, study="CUT", series="s") for name in ("whole", "cut"))
    body = multipart([whole.data, cut.data])[:-200]
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        head = (
            f"POST {address.path}/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {RELATED}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        answer = connection.makefile("rb").read()
    assert answer.split(b" ")[1] in {b"202", b"400"}
    held = [
        i["00080018"]["Value"][0] for i in client.search_for_instances(study_instance_uid=whole.study_uid)
    ]
    assert cut.instance_uid not in held


@pytest.mark.row(113)
def test_it_keeps_an_instance_with_values_that_break_the_rules(http: httpx.Client, client: DICOMwebClient):
    made = plain("broken", study="BROKEN", series="s", PatientSex="O", InstanceNumber=7)
    data = made.data.replace(b"20240102", b"2024/1/2").replace(b"19700101", b"born1970")
    response = post(http, multipart([data]))
    assert response.status_code in {200, 202}
    assert stored(response.json()) == [made.instance_uid]
    assert as_stored(http, made) == data
    assert len(client.search_for_studies(search_filters={"PatientID": "CONF-BROKEN"})) == 1
    metadata = client.retrieve_instance_metadata(made.study_uid, made.series_uid, made.instance_uid)
    assert metadata["00080020"]["Value"] == ["2024/1/2"]


@pytest.mark.row(113)
def test_it_stores_a_data_set_without_a_file_header(http: httpx.Client):
    made = plain("headless", study="HEADLESS", series="s")
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, made.dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    whole = buffer.getvalue()
    dataset = whole[whole.index(b"\x08\x00\x05\x00CS") :]
    response = post(http, multipart([dataset]))
    assert stored(response.json()) == [made.instance_uid], response.text
    back = as_stored(http, made)
    assert back.endswith(dataset)
    assert pydicom.dcmread(io.BytesIO(back)).SOPInstanceUID == made.instance_uid


@pytest.mark.row(95, 111)
def test_it_stores_an_instance_of_many_megabytes(http: httpx.Client):
    made = plain("large", study="LARGE", series="s")
    made.dataset.NumberOfFrames = 6000
    made.dataset.PixelData = bytes(range(256)) * (32 * 48 * 2 * 6000 // 256)
    data = encode(made.dataset)
    assert len(data) > 18_000_000
    store(http, [data])
    assert hashlib.sha256(as_stored(http, made)).digest() == hashlib.sha256(data).digest()
