"""Decoding apart from the server: what foreign bytes do to a codec, they do to nobody else."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from dicomweb_box.archive.decoder_pool import DecoderPool
from dicomweb_box.archive.decoding import Decoding
from dicomweb_box.box import Box
from dicomweb_box.dicom.image import Image
from dicomweb_box.dicomweb.retrieval import _Answers
from dicomweb_box.errors import Damaged
from tests.conftest import MakeBox
from tests.dicomweb.pixel_objects import rle_frames
from tests.dicomweb.retrieving import client_of, path_of, put
from tests.waiting import turned, until

JPEG_2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def dialect() -> str:
    """One database is enough: none of this depends on it."""
    return "sqlite"


def image(rows: int = 64, columns: int = 64, syntax: str = JPEG_2000, bits: int = 16) -> Image:
    return Image(
        transfer_syntax_uid=syntax,
        rows=rows,
        columns=columns,
        samples=1,
        bits_allocated=bits,
        bits_stored=bits,
        signed=False,
        photometric="MONOCHROME2",
        planar=0,
    )


def encoded(cells: np.ndarray[Any, Any]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(cells, level=0, codecformat="J2K", reversible=True))


CELLS = np.arange(64 * 64, dtype="<u2").reshape(64, 64)


def pool(**given: Any) -> DecoderPool:
    return DecoderPool(**({"seconds": 10.0, "most": 1 << 30} | given))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_it_starts_no_process_before_the_first_frame_and_ends_it_when_idle() -> None:
    decoders = pool(idle=0.0)
    assert decoders.processes == []

    assert decoders.made(image(), encoded(CELLS)) == CELLS.tobytes()
    [process] = decoders.processes
    time.sleep(0.01)
    decoders.end_idle()

    assert decoders.processes == []
    assert not alive(process)


def test_a_process_that_dies_over_a_frame_damages_that_frame_alone() -> None:
    decoders = pool()
    decoders.made(image(), encoded(CELLS))
    os.kill(decoders.processes[0], signal.SIGKILL)

    with pytest.raises(Damaged):
        decoders.made(image(), encoded(CELLS))
    assert decoders.made(image(), encoded(CELLS)) == CELLS.tobytes()
    decoders.close()


def test_a_frame_that_takes_too_long_is_given_up() -> None:
    large = image(2500, 2500)
    frame = encoded(np.random.default_rng(1).integers(0, 65536, (2500, 2500), dtype=np.uint16))
    decoders = pool()
    decoders.made(image(), encoded(CELLS))
    [process] = decoders.processes
    decoders._seconds = 0.2  # less than any setting may say

    began = time.monotonic()
    with pytest.raises(Damaged, match=r"0\.2 seconds"):
        decoders.made(large, frame)

    assert time.monotonic() - began < 60
    assert not alive(process)
    decoders.close()


def test_a_frame_that_takes_too_much_memory_is_given_up() -> None:
    frame = encoded(np.zeros((4000, 4000), "<u2"))
    decoders = pool(most=64 << 20)

    with pytest.raises(Damaged):
        decoders.made(image(4000, 4000), frame)
    assert decoders.made(image(), encoded(CELLS)) == CELLS.tobytes()
    decoders.close()


def test_a_codestream_that_asks_for_more_than_is_described_is_refused_undecoded() -> None:
    frame = bytearray(encoded(CELLS))
    struct.pack_into(">II", frame, 8, 60000, 60000)
    struct.pack_into(">II", frame, 24, 60000, 60000)
    decoders = pool()

    with pytest.raises(Damaged, match="60000×60000"):
        decoders.made(image(), bytes(frame))
    decoders.close()


def test_processes_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    script = """
        import sys, time
        from tests.archive.test_decoding import CELLS, encoded, image, pool
        decoders = pool()
        decoders.made(image(), encoded(CELLS))
        print(decoders.processes[0], flush=True)
        time.sleep(60)
    """
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, env=environment
    ) as server:
        assert server.stdout is not None
        process = int(server.stdout.readline())
        assert alive(process)
        server.kill()
    until(lambda: not alive(process), what="the decoder process outlived its server")


def test_a_process_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    decoders = pool()
    decoders.made(image(), encoded(CELLS))

    assert b"secret" not in Path(f"/proc/{decoders.processes[0]}/environ").read_bytes()
    decoders.close()


async def test_ten_equal_asks_are_decoded_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = rle_frames(1)
    stored = await put(box, data)
    decoding = box.resource(Decoding, Decoding)
    decoded: list[int] = []
    original = decoding._in_thread

    def counting(*arguments: Any) -> tuple[bytes, float]:
        decoded.append(1)
        time.sleep(0.2)
        return original(*arguments)

    monkeypatch.setattr(decoding, "_in_thread", counting)
    async with client_of(box) as client:
        answers = await asyncio.gather(*(client.get(path_of(stored, "frames", "1")) for _ in range(10)))

    assert {answer.content for answer in answers} == {bytes([1]) * 16}
    assert len(decoded) == 1


async def test_more_frames_than_may_wait_are_asked_to_come_again(make_box: MakeBox) -> None:
    async with make_box(decode_queue=3) as box:
        data, _ = rle_frames(9)
        stored = await put(box, data)
        async with client_of(box) as client:
            asks = [client.get(path_of(stored, "frames", str(number))) for number in range(1, 10)]
            answers = await asyncio.gather(*asks)

    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)


async def test_what_is_dear_to_decode_is_kept_from_its_second_ask_on(box: Box) -> None:
    from tests.dicomweb.pixel_objects import encapsulated

    cells = np.random.default_rng(3).integers(0, 4096, (512, 512), dtype=np.uint16)
    stored = await put(box, encapsulated([encoded(cells)], cells, JPEG_2000))
    decoding = box.resource(Decoding, Decoding)

    async def asked() -> tuple[bytes, list[bytes]]:
        async with client_of(box) as client:
            given = await client.get(path_of(stored, "frames", "1"))
        await turned(lambda: not decoding._keeping)
        for remembered in (decoding._lately, box.resources[_Answers]):
            await remembered.close()
        return given.content, [path.read_bytes() for path in box.cache.rglob("*.frame")]

    first, second = await asked(), await asked()
    decoding._pool.close()
    third = await asked()

    assert first == (cells.tobytes(), [])
    assert second == third == (cells.tobytes(), [cells.tobytes()])


async def test_who_asks_again_soon_waits_for_no_decoder(box: Box) -> None:
    data, _ = rle_frames(1)
    stored = await put(box, data)
    decoding = box.resource(Decoding, Decoding)
    async with client_of(box) as client:
        first = await client.get(path_of(stored, "frames", "1"))
        decoding._pool.close()
        await box.resources[_Answers].close()
        second = await client.get(path_of(stored, "frames", "1"))
        picture = await client.get(path_of(stored, "rendered"))

    assert first.content == second.content == bytes([1]) * 16
    assert picture.status_code == 200


async def test_a_frame_found_damaged_is_not_tried_again_at_once(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, frames = rle_frames(1)
    stored = await put(box, data.replace(frames[0], frames[0][:64] + bytes([5, 1])))
    async with client_of(box) as client:
        first = await client.get(path_of(stored, "frames", "1"))
        box.resource(Decoding, Decoding)._pool.close()  # whoever tried it now would be answered 503
        second = await client.get(path_of(stored, "frames", "1"))
        monkeypatch.setattr("dicomweb_box.archive.decoding.REMEMBERED", 0.0)
        third = await client.get(path_of(stored, "frames", "1"))

    assert [first.status_code, second.status_code, third.status_code] == [406, 406, 503]
    assert first.json() == second.json()
