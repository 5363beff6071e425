"""STOW-RS over HTTP, on the real archive."""

import asyncio
import dataclasses
import hashlib
import io
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any
from xml.etree import ElementTree as Xml

import httpx
import pydicom
import pytest

from dicomweb_box.app import assemble
from dicomweb_box.asgi.limits import StalledBodies
from dicomweb_box.box import Box
from dicomweb_box.dicomweb import stow
from dicomweb_box.errors import OutOfResources
from dicomweb_box.storage import BlobStore
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces
from tests.conftest import MakeBox
from tests.dicomweb.doors import RELATED, body_of, client_of, post, serving
from tests.waiting import turned


def values(item: dict[str, Any], tag: str) -> list[Any]:
    return item.get(tag, {}).get("Value", [])


def stored(answer: httpx.Response) -> list[str]:
    return [values(item, "00081155")[0] for item in values(answer.json(), "00081199")]


def reasons(answer: httpx.Response, *tags: str) -> list[int]:
    return [
        values(item, "00081197")[0]
        for tag in tags or ("00081198", "0008119A")
        for item in values(answer.json(), tag)
    ]


async def held(box: Box) -> int:
    return await box.database.fetch_value("select count(*) from instance where state = 'current'", {})


async def until_held(box: Box) -> None:
    """Return as soon as an instance is there."""
    async with asyncio.timeout(30):
        while not await held(box):
            await asyncio.sleep(0.02)


def uid_of(data: bytes) -> str:
    """The SOP Instance UID that a builder's object has in its file meta."""
    return str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).SOPInstanceUID)


@pytest.mark.row(99, 104)
@pytest.mark.dicom("PS3.18 10.5.3")
async def test_every_instance_of_a_multipart_body_is_stored_and_referenced(box: Box) -> None:
    study, series = new_uid(), new_uid()
    parts = [make_instance(study=study, series=series) for _ in range(3)]

    answer = await post(box, body_of(parts))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert stored(answer) == [uid_of(part) for part in parts]
    assert values(answer.json(), "00081190") == [f"/dicom-web/studies/{study}"]
    item = values(answer.json(), "00081199")[0]
    assert values(item, "00081150") == ["1.2.840.10008.5.1.4.1.1.2"]
    async with client_of(box) as client:
        for part, item in zip(parts, values(answer.json(), "00081199"), strict=True):
            url = "http://localhost" + values(item, "00081190")[0]
            got = await client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
            assert got.content == part


@pytest.mark.row(104)
async def test_retrieve_urls_begin_with_the_public_address(make_box: MakeBox) -> None:
    async with make_box(public_url="https://pacs.example/archive/") as box:
        answer = await post(box, body_of([make_instance(study="1.2.3")]))

    assert values(answer.json(), "00081190") == ["https://pacs.example/archive/dicom-web/studies/1.2.3"]


@pytest.mark.row(104)
async def test_it_answers_in_xml_where_asked(box: Box) -> None:
    data = make_instance()

    answer = await post(box, body_of([data, b"junk"]), Accept="application/dicom+xml")

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+xml"
    found = {element.get("tag"): element for element in Xml.fromstring(answer.content)}
    assert {"00081190", "00081199", "0008119A"} == set(found)
    assert uid_of(data) in [value.text for value in found["00081199"].iter() if value.text]


async def test_an_answer_that_cannot_be_given_is_refused_before_anything_is_stored(box: Box) -> None:
    answer = await post(box, body_of([make_instance()]), Accept="image/png")

    assert answer.status_code == 406
    assert answer.json()["offered"] == ["application/dicom+json", "application/dicom+xml"]
    assert await held(box) == 0


@pytest.mark.row(100)
async def test_one_instance_may_be_the_whole_body(box: Box) -> None:
    data = make_instance()

    answer = await post(box, data, content_type="application/dicom")

    assert (answer.status_code, stored(answer)) == (200, [uid_of(data)])


@pytest.mark.row(105)
@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        (RELATED, b"", 400),
        (RELATED, b"--frontier--\r\n", 400),
        (RELATED, b"no boundary anywhere", 400),
        (RELATED, b"--frontier\r\n\r\ncut", 400),
        (RELATED, b"--frontier\r\n" + b"A: b\r\n" * 4000, 400),
        ("multipart/related", b"--frontier--", 400),
        ("application/dicom", b"", 400),
        ("application/dicom", b"junk", 409),
        ("text", b"x", 400),
        ("text/plain", b"x", 415),
        ("application/dicom+json", b"[]", 415),
        ("multipart/form-data; boundary=frontier", b"--frontier--", 415),
        ('multipart/related; type="application/dicom+yaml"; boundary=frontier', b"--frontier--", 415),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_a_sentence(
    box: Box, content_type: str, content: bytes, status: int
) -> None:
    answer = await post(box, content, content_type=content_type)

    assert answer.status_code == status
    assert status == 409 or answer.json()["error"].endswith(".")


async def test_a_body_without_any_content_type_or_compressed_as_a_whole_is_refused(box: Box) -> None:
    async with client_of(box) as client:
        untyped = await client.post("/studies", content=b"x")
    bomb = await post(box, b"\x1f\x8b", **{"Content-Encoding": "gzip"})

    assert untyped.status_code == 415
    assert bomb.status_code == 415
    assert bomb.headers["accept-encoding"] == "identity"


@pytest.mark.row(106, 107)
@pytest.mark.dicom("PS3.18 10.5.3.2")
async def test_every_part_is_answered_for_and_a_bad_one_refuses_no_neighbour(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    nameless = part10(make_dataset(StudyInstanceUID=None, PatientName="Secret^Name"))
    parts = [make_instance(), b"", b"some text", make_instance()[:200], nameless, make_instance()]

    answer = await post(box, body_of(parts))

    assert answer.status_code == 202
    assert stored(answer) == [uid_of(parts[0]), uid_of(parts[5])]
    assert reasons(answer) == [0xC000, 0xC000, 0xC000, 0xA900]
    text = next(item for item in values(answer.json(), "0008119A") if values(item, "00091001") == [3])
    assert values(text, "00090010") == ["DICOMWEB_BOX"]
    assert values(text, "00091002") == [hashlib.sha256(b"some text").hexdigest()]
    assert "Study Instance UID" in answer.text
    assert answer.headers["warning"].startswith('299 dicomweb_box: "4 of 6 instances were not stored')
    assert "Secret" not in answer.text
    assert "Secret" not in caplog.text
    assert caplog.text.count("refused part") == 4


@pytest.mark.row(105, 107)
async def test_an_instance_of_another_study_than_the_addressed_one_is_refused(box: Box) -> None:
    mine, other = make_instance(study="1.2.3"), make_instance(study="1.2.4")

    answer = await post(box, body_of([mine, other]), study="1.2.3")

    assert (answer.status_code, stored(answer)) == (202, [uid_of(mine)])
    (failed,) = values(answer.json(), "00081198")
    assert (values(failed, "00081155"), values(failed, "00081197")) == ([uid_of(other)], [0xA900])
    assert values(answer.json(), "00081190") == ["/dicom-web/studies/1.2.3"]


@pytest.mark.row(109)
async def test_the_same_again_is_a_success_and_other_bytes_follow_the_policy(make_box: MakeBox) -> None:
    uids = {"study": "1.2.3", "series": "1.2.3.1", "instance": "1.2.3.1.1"}
    async with make_box(duplicates="keep-first") as box:
        await post(box, body_of([make_instance(**uids)]))
        again = await post(box, body_of([make_instance(**uids)]))
        other = await post(box, body_of([make_instance(**uids, StudyDescription="Other")]))

        assert (again.status_code, stored(again)) == (200, ["1.2.3.1.1"])
        assert (other.status_code, reasons(other, "00081198")) == (409, [0x0111])
        assert await held(box) == 1


@pytest.mark.row(109)
async def test_a_replacement_is_told(make_box: MakeBox) -> None:
    uids = {"study": "1.2.3", "series": "1.2.3.1", "instance": "1.2.3.1.1"}
    async with make_box(duplicates="replace") as box:
        await post(box, body_of([make_instance(**uids)]))
        answer = await post(box, body_of([make_instance(**uids, StudyDescription="Other")]))

    assert answer.status_code == 200
    assert "kept as an earlier version" in values(values(answer.json(), "00081199")[0], "00091003")[0]


@pytest.mark.row(113)
async def test_what_could_not_be_indexed_is_a_warning_with_success(box: Box) -> None:
    data = make_instance().replace(b"20260105", b"2026/1/5")

    answer = await post(box, body_of([data]))

    assert answer.status_code == 200
    (item,) = values(answer.json(), "00081199")
    assert values(item, "00081196") == ([0xB007] if values(item, "00091003") else [])


@pytest.mark.row(112)
@pytest.mark.parametrize(
    ("content_type", "shape"),
    [
        (
            "multipart/related; boundary=frontier",
            b"\r\n--frontier\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--frontier--",
        ),
        (
            'Multipart/Related; Boundary="frontier"; TYPE=application/dicom',
            b"--frontier\n\n%b\n--frontier--\n",
        ),
        (
            RELATED,
            b"--frontier \r\nCONTENT-TYPE: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n"
            b"%b\r\n--frontier-- \r\nbye",
        ),
        (RELATED, b"preamble\r\n--frontier\r\n%b\r\n--frontier--"),
    ],
)
async def test_odd_bodies_are_taken(box: Box, content_type: str, shape: bytes) -> None:
    data = make_instance()

    answer = await post(box, shape % data, content_type=content_type)

    assert (answer.status_code, stored(answer)) == (200, [uid_of(data)])


@pytest.mark.row(111)
async def test_a_large_instance_among_small_ones_comes_back_bit_for_bit(box: Box) -> None:
    large = make_instance(Rows=1024, Columns=1536, PixelData=bytes(range(256)) * 12288)
    parts = [make_instance(), large, make_instance()]

    answer = await post(box, pieces(body_of(parts), 100_000))

    assert (answer.status_code, len(stored(answer))) == (200, 3)
    url = "http://localhost" + values(values(answer.json(), "00081199")[1], "00081190")[0]
    async with client_of(box) as client:
        got = await client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert got.content == large


class Faulty:
    """A disk that is full from the `room`-th blob on, or slow until `go` is set."""

    def __init__(self, inner: BlobStore, room: int = 1000, go: threading.Event | None = None) -> None:
        self.inner = inner
        self.room = room
        self.go = go
        self.waits = 0
        self.lock = threading.Lock()

    def put(self, key: str, data: Iterable[bytes | bytearray | memoryview]) -> None:
        if self.go is not None:
            with self.lock:
                self.waits += 1
            self.go.wait(60)
        with self.lock:
            self.room -= 1
            if self.room < 0:
                raise OutOfResources("the disk is full")
        self.inner.put(key, data)

    def spool(self) -> Any:
        if self.room <= 0:
            raise OutOfResources("the disk is full")
        return self.inner.spool()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.row(105, 107)
@pytest.mark.parametrize(("room", "status"), [(2, 202), (0, 507)])
async def test_a_full_disk_refuses_only_what_is_not_durable(box: Box, room: int, status: int) -> None:
    full: Any = Faulty(box.blobs, room=room)
    large = make_instance(Rows=1024, Columns=1024, PixelData=bytes(2 << 20))
    parts = [make_instance() for _ in range(4)] + [large] * (room == 0)

    answer = await post(dataclasses.replace(box, blobs=full), body_of(parts))

    assert answer.status_code == status
    assert len(stored(answer)) == room == await held(box)
    assert reasons(answer) == [0xA700] * (len(parts) - room)


async def test_no_more_than_a_bound_is_under_way_at_once(box: Box) -> None:
    go = threading.Event()
    slow: Any = Faulty(box.blobs, go=go)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for number in range(100):
            yield body_of([make_instance()]).removesuffix(b"\r\n--frontier--\r\n") + b"\r\n"
            sent = number + 1
        yield b"--frontier--\r\n"

    request = asyncio.create_task(post(dataclasses.replace(box, blobs=slow), body()))
    await turned(lambda: sent >= 30)
    await asyncio.sleep(0.2)
    sent_while_blocked = sent
    go.set()
    answer = await request

    assert 30 <= sent_while_blocked <= 34
    assert (answer.status_code, len(stored(answer))) == (200, 100)


async def test_what_was_handed_over_is_finished_though_the_request_is_cancelled(box: Box) -> None:
    go = threading.Event()
    slow: Any = Faulty(box.blobs, go=go)

    async def body() -> AsyncIterator[bytes]:
        yield body_of([make_instance()])[:-16]
        yield b"\r\n--frontier\r\n"
        await asyncio.sleep(60)

    request = asyncio.create_task(post(dataclasses.replace(box, blobs=slow), body()))
    await turned(lambda: slow.waits)
    request.cancel()
    await asyncio.wait({request}, timeout=1)
    go.set()
    await until_held(box)

    assert await held(box) == 1


@pytest.mark.row(106, 111)
async def test_a_body_that_breaks_off_keeps_and_lists_what_was_complete(box: Box) -> None:
    whole, cut = make_instance(), make_instance()

    answer = await post(box, body_of([whole, cut])[:-100])

    assert answer.status_code == 400
    assert stored(answer) == [uid_of(whole)]
    (broken,) = values(answer.json(), "0008119A")
    assert values(broken, "00091003") == ["The body ends within part 2: the closing boundary is missing."]
    assert await held(box) == 1


@pytest.mark.row(111)
async def test_a_client_that_leaves_in_the_middle_leaves_no_spool_file(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    whole = make_instance()
    large = make_instance(Rows=1024, Columns=2048, PixelData=bytes(4 << 20))
    body = body_of([whole, large])

    async with serving(box) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {RELATED}\r\n"
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body[: 3 << 20])
        await writer.drain()
        await until_held(box)
        writer.close()
        await turned(lambda: "the client left" in caplog.text)

    assert "the client left: POST /dicom-web/studies" in caplog.text
    assert "stored 1 of 1 instances" in caplog.text
    assert await held(box) == 1
    assert [path for path in box.settings.data.rglob("*") if path.is_file() and "spool" in str(path)] == []


async def test_it_stores_over_a_real_socket_in_chunks(box: Box) -> None:
    parts = [make_instance(study="1.2.3") for _ in range(40)]

    async with serving(box) as port, httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}/dicom-web/studies/1.2.3",
            content=pieces(body_of(parts), 1000),
            headers={"Content-Type": RELATED, "Accept": "application/dicom+json"},
        )

    assert (answer.status_code, len(stored(answer))) == (200, 40)


@pytest.mark.row(111)
async def test_a_body_that_stalls_is_given_up_with_what_was_stored(box: Box) -> None:
    whole = make_instance()

    async def body() -> AsyncIterator[bytes]:
        yield body_of([whole])[:-16] + b"\r\n--frontier\r\n\r\nhalf an inst"
        await asyncio.sleep(5)

    transport = httpx.ASGITransport(StalledBodies(assemble(box), seconds=0.2))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/dicom-web/studies", content=body(), headers={"Content-Type": RELATED})

    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert stored(answer) == [uid_of(whole)]
    assert await held(box) == 1


async def test_instances_that_all_settle_at_once_do_not_leave_the_reader_waiting(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[asyncio.Future[None]] = []
    real = stow.store

    async def store_together(*args: Any, **kwargs: Any) -> Any:
        outcome = await real(*args, **kwargs)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(gate)
        if len(waiting) in (stow.MOST_IN_FLIGHT, 3 * stow.MOST_IN_FLIGHT - 1):
            for one in waiting:
                one.done() or one.set_result(None)
        await gate
        return outcome

    monkeypatch.setattr(stow, "store", store_together)
    parts = [make_instance() for _ in range(3 * stow.MOST_IN_FLIGHT - 1)]
    async with asyncio.timeout(120):
        sending = asyncio.create_task(post(box, body_of(parts)))
        while not sending.done():
            await asyncio.sleep(0.05)
            for one in waiting:
                one.done() or one.set_result(None)

    assert len(stored(await sending)) == len(parts)


@pytest.mark.dicom("PS3.18 8.4.3")
async def test_no_more_warnings_are_given_than_a_client_takes(box: Box) -> None:
    unknown = ",".join(f"{group:04X}0010" for group in range(0x2001, 0x2201, 2))
    async with client_of(box) as client:
        answer = await client.get("/studies", params={"includefield": unknown})

    assert answer.status_code == 200
    assert 1 <= len(answer.headers.get_list("warning")) <= 21


@pytest.mark.parametrize("path", ["/studies?PatientName=a%00b", "/studies/1.2%00/series", "/instances?X=%00"])
async def test_a_nul_in_an_address_is_refused_with_a_sentence(box: Box, path: str) -> None:
    async with client_of(box) as client:
        answer = await client.get(path)

    assert answer.status_code == 400
    assert "NUL" in answer.json()["error"]


async def test_of_two_data_sets_under_one_uid_in_one_request_the_one_not_served_is_told(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    parts = [
        make_instance(study=study, series=series, instance=instance, PatientID=patient)
        for patient in ("P1", "P2")
    ]

    answer = await post(box, body_of(parts))

    items = values(answer.json(), "00081199")
    assert [bool(values(item, "00081196")) for item in items].count(True) == 1
