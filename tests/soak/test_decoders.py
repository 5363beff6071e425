"""Frames of strangers: whatever is in them, the server lives, nothing hangs, nothing grows."""

import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from conformance.server import Server, started
from dicomweb_box.archive.decoder_pool import DecoderPool
from dicomweb_box.dicom import pixels, transcode
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged
from tests.dicom.test_pixels_referee import compressed, image_of
from tests.soak.processes import tree

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
CASES, SAMPLE = 50_000, 600
SECONDS = 5.0
LARGEST = 300_000
"""Bytes of native frames that are mutated: larger ones would only take longer."""
THREADS = 2
MOST_GROWN = 300 << 20
"""Bytes by which a decoder process may exceed what it had after the first hundreds of frames."""

Frame = tuple[Image, bytes]


def real_frames() -> Iterator[Frame]:
    """The first frames of the objects that pydicom ships."""
    for _, ds in compressed(SHIPPED):
        image = image_of(ds)
        if image.transfer_syntax_uid in pixels.COMPRESSED and image.frame_length <= LARGEST:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                count = int(ds.get("NumberOfFrames", 1) or 1)
                yield image, next(iter(generate_frames(ds.PixelData, number_of_frames=count)))


def made_frames() -> Iterator[Frame]:
    """One of each codec that we encode."""
    grey = (np.add.outer(np.arange(64), np.arange(48)) * 19 % 4096).astype("<u2")
    image = Image(
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        rows=64,
        columns=48,
        samples=1,
        bits_allocated=16,
        bits_stored=12,
        signed=False,
        photometric="MONOCHROME2",
        planar=0,
        high_bit=11,
    )
    for target in transcode.targets(image):
        yield transcode.described(image, target), transcode.encode(image, grey.tobytes(), target)
    twelve = bytes(imagecodecs.jpeg8_encode(grey, level=95, bitspersample=12))
    yield transcode.described(image, "1.2.840.10008.1.2.4.51"), twelve


def flipped(chance: random.Random, frame: bytearray) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)


def header_changed(chance: random.Random, frame: bytearray) -> None:
    """The first bytes are where sizes and tables are."""
    for _ in range(chance.choice((1, 2, 4))):
        frame[chance.randrange(min(len(frame), 200))] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )


def cut(chance: random.Random, frame: bytearray) -> None:
    del frame[chance.randrange(1, len(frame)) :]


def repeated(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame))
    piece = frame[at : at + chance.randrange(1, 256)]
    frame[at:at] = piece * chance.choice((1, 3, 50))


def dropped(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame))
    del frame[at : at + chance.randrange(1, 64)]


def overwritten(chance: random.Random, frame: bytearray) -> None:
    at, length = chance.randrange(len(frame)), chance.randrange(1, 64)
    frame[at : at + length] = chance.choice((b"\0", b"\xff", b"\xff\x93", b"\xff\xd9")) * length


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    flipped,
    header_changed,
    cut,
    repeated,
    dropped,
    overwritten,
)


def mutated(chance: random.Random, frame: bytes) -> bytes:
    changed = bytearray(frame)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if len(changed) > 1:
            chance.choice(MUTATIONS)(chance, changed)
    return bytes(changed)


def resident(process: int | str = "self") -> int:
    """Bytes of memory of a process; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


class Fuzz:
    """One run over one pool; it notes what came out and how long each frame took."""

    def __init__(self, pool: DecoderPool, frames: list[Frame]) -> None:
        self.pool, self.frames = pool, frames
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def one(self, seed: str) -> None:
        chance = random.Random(seed)
        image, frame = chance.choice(self.frames)
        began = time.monotonic()
        try:
            native = self.pool.made(image, mutated(chance, frame))
            assert len(native) == image.frame_length
            outcome = "read"
        except Damaged as damage:
            said = str(damage)
            outcome = (
                "broke its process" if "breaks" in said else "too slow" if "not done" in said else "refused"
            )
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.outcomes[outcome] += 1


def test_mutated_frames_kill_hang_and_leak_nothing(chance: random.Random, soak: bool) -> None:
    frames = [*real_frames(), *made_frames()]
    assert {image.transfer_syntax_uid for image, _ in frames} >= {*transcode.TARGETS, transcode.RLE}
    cases, salt = CASES if soak else SAMPLE, chance.random()
    pool = DecoderPool(seconds=SECONDS, most=512 << 20)
    fuzz, peaks, ours = Fuzz(pool, frames), [], []
    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(0, cases, 200):
            list(threads.map(fuzz.one, [f"{salt} {number}" for number in range(first, first + 200)]))
            peaks.append(max((resident(process) for process in pool.processes), default=0))
            ours.append(resident())
    for image, frame in frames:
        # After all that, each of them is still decoded as it was.
        assert pool.made(image, frame) == pixels.decode(image, frame)
    pool.close()

    print(
        f"{cases} mutated frames: {dict(fuzz.outcomes)}; slowest {fuzz.slowest:.1f} s; {max(peaks) >> 20} MiB"
    )
    assert sum(fuzz.outcomes.values()) == -(-cases // 200) * 200
    assert fuzz.outcomes["read"]
    assert fuzz.outcomes["refused"]
    assert fuzz.slowest < SECONDS + 10
    assert max(peaks) < peaks[0] + MOST_GROWN
    assert ours[-1] < ours[0] + (64 << 20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("decoders") / "data") as running:
        yield running


def test_mutated_objects_break_no_server(server: Server, chance: random.Random, soak: bool) -> None:
    before = set(tree(server.process.pid))
    with httpx.Client(base_url=server.dicomweb, timeout=120) as client:
        for number in range(500 if soak else 25):
            for path in objects(client, chance, number):
                for accept in ("application/octet-stream", "image/jls", "image/png"):
                    frame = client.get(f"{path}/frames/1", headers={"Accept": accept})
                    assert frame.status_code in {200, 404, 406}
        assert client.get("/studies", params={"limit": "1"}).status_code == 200
    assert set(tree(server.process.pid)) >= before, "a process died"


def objects(client: httpx.Client, chance: random.Random, number: int) -> list[str]:
    """Store an object with a mutated frame; its path, where it was taken."""
    name = chance.choice(
        ("JPEG2000.dcm", "MR_small_RLE.dcm", "JPEG-lossy.dcm", "MR_small_jpeg_ls_lossless.dcm")
    )
    ds: Any = pydicom.dcmread(SHIPPED / name)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
    frame = next(iter(generate_frames(ds.PixelData, number_of_frames=1)))
    ds.PixelData = encapsulate([mutated(chance, frame)])
    buffer = BytesIO()
    ds.save_as(buffer)
    stored = client.post("/studies", content=buffer.getvalue(), headers={"Content-Type": "application/dicom"})
    if stored.status_code != 200:
        assert stored.status_code in {202, 409}
        return []
    return [f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"]
