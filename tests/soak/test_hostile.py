"""Requests that mean harm, or come of broken senders: answered in words, and nobody else notices."""

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from conformance.objects import encode, multipart, plain
from conformance.server import Server, started
from tests.soak.processes import peaks, tree

RELATED = 'multipart/related; type="application/dicom"; boundary=conformance-part'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("hostile") / "data") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A well-behaved client, which after each test still gets its answer from the same processes."""
    processes = tree(server.process.pid)
    with httpx.Client(base_url=server.dicomweb, timeout=120) as client:
        yield client
        made = plain("neighbour", study="NEIGHBOUR", series="s")
        assert post(client, made.data).status_code == 200
        assert client.get(made.path, headers={"Accept": "application/dicom"}).content == made.data
    assert set(tree(server.process.pid)) >= set(processes), "a process died"
    assert max(peaks(server.process.pid).values()) < 400


def post(client: httpx.Client, data: bytes) -> httpx.Response:
    return client.post("/studies", content=data, headers={"Content-Type": "application/dicom"})


def header(name: str) -> bytes:
    """A whole small instance without pixels, to which elements can be appended."""
    return plain(name, study="HOSTILE", series=name, pixels=False).data


def sequence(tag: int, content: bytes, *, undefined: bool = False) -> bytes:
    """A sequence element of explicit little endian around encoded items."""
    length = 0xFFFFFFFF if undefined else len(content)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, length) + content + end


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def deep(levels: int) -> bytes:
    content = struct.pack("<HH2sH", 0x0040, 0xA160, b"UT", 0) + struct.pack("<I", 4) + b"deep"
    for _ in range(levels):
        content = sequence(0x0040A730, item(content))
    return content


def test_a_sequence_of_a_million_items_is_stored_or_refused(client: httpx.Client, soak: bool):
    element = struct.pack("<HH2sH", 0x0040, 0xA121, b"DA", 8) + b"20240101"
    data = header("million") + sequence(0x0040A730, item(element) * (1_000_000 if soak else 50_000))
    assert post(client, data).status_code in {200, 409, 413}


@pytest.mark.parametrize("levels", [60, 2000])
def test_deep_nesting_is_stored_or_refused(client: httpx.Client, levels: int):
    data = header(f"deep{levels}") + deep(levels)
    response = post(client, data)
    assert response.status_code in {200, 409}
    if levels == 60:
        assert response.status_code == 200


FORGED = {
    "an element longer than the file": struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0x7FFFFFFF)
    + b"\0" * 8,
    "a sequence longer than the file": struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0x7FFFFFF0)
    + b"\0" * 8,
    "a sequence without its end": struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF),
    "an item longer than its sequence": sequence(0x0040A730, struct.pack("<HHI", 0xFFFE, 0xE000, 0x00FFFFFF)),
    "zeros": b"\0" * 4096,
    "ones": b"\xff" * 4096,
}


@pytest.mark.parametrize("what", sorted(FORGED))
def test_forged_lengths_are_stored_or_refused(client: httpx.Client, what: str):
    assert post(client, header(what) + FORGED[what]).status_code in {200, 202, 409}


@pytest.mark.parametrize(
    "uid", ["../../../../etc/passwd", "1.2/3", "1.2.\\3", "..", "1.2.3\r\nX: y", "%2e%2e", "1" * 64]
)
def test_uids_never_become_paths(client: httpx.Client, server: Server, uid: str):
    before = set(server.data.parent.parent.rglob("*"))
    made = plain("path", study="PATH", series="s")
    made.dataset.SOPInstanceUID = "1.2.333333333333333333333333333333333333333333333333333333333333"
    padded = uid.ljust(62, "\0")[:62].encode()
    data = encode(made.dataset).replace(made.dataset.SOPInstanceUID.encode().ljust(62, b"\0")[:62], padded)
    response = post(client, data)
    assert response.status_code in {200, 400, 409}
    outside = [p for p in set(server.data.parent.parent.rglob("*")) - before if server.data not in p.parents]
    assert outside == []


def test_a_compressed_bomb_is_not_unpacked(client: httpx.Client):
    bomb = gzip.compress(b"\0" * (64 << 20))
    headers = {"Content-Type": "application/dicom", "Content-Encoding": "gzip"}
    assert client.post("/studies", content=bomb, headers=headers).status_code in {400, 409, 413, 415}


def test_many_empty_parts_are_each_answered(client: httpx.Client, soak: bool):
    body = multipart([b""] * (20_000 if soak else 2_000))
    response = client.post("/studies", content=body, headers={"Content-Type": RELATED})
    assert response.status_code in {400, 409}


def test_slow_senders_do_not_hold_up_others(client: httpx.Client, server: Server):
    made = plain("slow", study="SLOW", series="s")
    body = multipart([made.data])
    connections = []
    for _ in range(50):
        connection = connect(server)
        connection.sendall(request_head(len(body)) + body[:100])
        connections.append(connection)
    began = time.monotonic()
    assert client.get("/studies", params={"limit": "1"}).status_code == 200
    assert time.monotonic() - began < 30
    for connection in connections[:25]:
        connection.sendall(body[100:])
        assert b" 200 " in connection.recv(200)
    for connection in connections:
        connection.close()


def test_unfinished_request_heads_do_not_hold_up_others(client: httpx.Client, server: Server):
    connections = [connect(server) for _ in range(100)]
    for connection in connections:
        connection.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nX-")
    assert client.get("/studies", params={"limit": "1"}).status_code == 200
    for connection in connections:
        connection.close()


NOT_HTTP = [
    b"\0\1\2\3" * 100,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /dicom-web/studies HTTP/1.1\r\nContent-Length: x\r\n\r\n",
]


@pytest.mark.parametrize("words", NOT_HTTP)
def test_what_is_no_http_is_turned_away(client: httpx.Client, server: Server, words: bytes):
    with connect(server) as connection:
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert answer == b"" or b" 4" in answer.splitlines()[0]


def test_a_query_of_any_length_is_answered(client: httpx.Client):
    long = {"PatientID": "*a" * 2000}
    assert client.get("/studies", params=long).status_code in {200, 400, 414}
    many = [("StudyInstanceUID", f"1.2.{n}") for n in range(2000)]
    assert client.get("/studies", params=many).status_code in {200, 400, 414}
    assert client.get("/studies", params={"PatientName": "'; drop table study; --"}).json() == []


def connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname or "", address.port or 80), timeout=60)


def request_head(length: int) -> bytes:
    lines = (
        "POST /dicom-web/studies HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {RELATED}",
        f"Content-Length: {length}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()
