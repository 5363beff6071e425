"""Constant memory: bodies far larger than any process may grow, both ways."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom

from conformance.objects import plain
from conformance.server import Server, started
from tests.soak.processes import peaks

MOST = 200  # MB a process
FRAME = 4 << 20
STEP = 1 << 20


def head(frames: int) -> tuple[bytes, str]:
    """A file up to and with the length of its Pixel Data, of so many frames of 4 MiB; and its path."""
    made = plain("vast", study="VAST", series="s")
    dataset = made.dataset
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 1024, 2048, frames
    dataset.PixelData = b"\0\0"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()[:-6] + (frames * FRAME).to_bytes(4, "little"), made.path


def body(frames: int, digest: "hashlib._Hash") -> Iterator[bytes]:
    """The multipart body of that one file, its digest taken on the way."""
    yield b"--conformance-part\r\nContent-Type: application/dicom\r\n\r\n"
    first, _ = head(frames)
    digest.update(first)
    yield first
    for n in range(frames * FRAME // STEP):
        piece = n.to_bytes(8, "little") * (STEP // 8)
        digest.update(piece)
        yield piece
    yield b"\r\n--conformance-part--\r\n"


def test_a_vast_instance_passes_both_ways_in_constant_memory(tmp_path: Path, soak: bool):
    frames = 1000 if soak else 64  # 4 GB, or 256 MB
    with started(tmp_path / "data") as server, httpx.Client(base_url=server.dicomweb, timeout=600) as client:
        digest = store(client, frames)
        within(server, "storing")
        _, path = head(frames)
        whole = retrieved(client, path, "application/dicom; transfer-syntax=*")
        assert whole == digest.hexdigest()
        within(server, "retrieving the bytes as stored")
        retrieved(client, path.partition("/series")[0], 'multipart/related; type="application/dicom"')
        within(server, "retrieving its study")
        last = client.get(f"{path}/frames/{frames}", headers={"Accept": "application/octet-stream"})
        assert last.content[-8:] == (frames * FRAME // STEP - 1).to_bytes(8, "little")
        assert client.get(path + "/metadata").status_code == 200
        within(server, "reading a frame and the metadata")


def test_a_reader_that_does_not_read_costs_no_memory(tmp_path: Path, soak: bool):
    with started(tmp_path / "data") as server, httpx.Client(base_url=server.dicomweb, timeout=600) as client:
        store(client, 64 if soak else 16)
        _, path = head(0)
        idle = [
            client.stream("GET", path, headers={"Accept": "application/dicom; transfer-syntax=*"})
            for _ in range(60 if soak else 12)
        ]
        for response in idle:
            response.__enter__()
        assert client.get("/studies", params={"limit": "1"}).status_code == 200
        within(server, "serving readers that do not read")
        for response in idle:
            response.__exit__(None, None, None)


def store(client: httpx.Client, frames: int) -> "hashlib._Hash":
    """Stores the one file, streamed; gives its digest."""
    digest = hashlib.sha256()
    related = 'multipart/related; type="application/dicom"; boundary=conformance-part'
    response = client.post("/studies", content=body(frames, digest), headers={"Content-Type": related})
    assert response.status_code == 200, response.text
    return digest


def retrieved(client: httpx.Client, path: str, accept: str) -> str:
    """The digest of a body read in pieces."""
    digest = hashlib.sha256()
    with client.stream("GET", path, headers={"Accept": accept}) as response:
        assert response.status_code == 200
        for piece in response.iter_raw(STEP):
            digest.update(piece)
    return digest.hexdigest()


def within(server: Server, what: str) -> None:
    highest = peaks(server.process.pid)
    assert max(highest.values()) < MOST, f"{what}: {sorted(highest.values())} MB"
