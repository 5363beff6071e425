"""What somebody may store to make rendering or retrieving it dear: answered at once, and by a sentence."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicomweb_box.archive.films import Films
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.renderings import Renderings
from dicomweb_box.box import Box
from dicomweb_box.dicom.image import ENCAPSULATED_UNCOMPRESSED
from tests.builders import make_dataset, part10
from tests.dicomweb.pixel_objects import cells, encapsulated, multi_frame
from tests.dicomweb.rendering import RAMP, image, item, overlay
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put
from tests.dicomweb.test_rendered_states import STUDY, state

RELATED = {"accept": 'multipart/related; type="image/png"'}


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


async def test_frames_that_an_instance_only_says_to_have_cost_nothing(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, part10(image(NumberOfFrames=2_000_000_000)))

    several = await client.get(path_of(stored, "rendered"), headers=RELATED)
    one = await client.get(path_of(stored, "rendered"))
    film = await client.get(path_of(stored, "rendered"), headers={"accept": "image/gif"})

    assert several.status_code == 206
    assert "1999999999 of the frames are not here" in several.headers["warning"]
    assert len(parts_of(several)) == 1
    assert one.headers["content-type"] == "image/jpeg"
    assert film.status_code == 406
    assert "not every frame" in film.json()["error"]


async def test_more_frames_than_an_answer_holds_are_refused_by_a_sentence(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomweb_box.dicomweb.wado_frames.MOST_FRAMES", 3)
    monkeypatch.setattr("dicomweb_box.dicomweb.wado_rendered.MOST_PICTURES", 3)
    stored = await put(box, multi_frame(cells(4)))

    for address in ("frames", "frames/1-4", "frames/1-2,1-2", "frames/1-4/rendered"):
        answer = await client.get(path_of(stored, address))
        assert answer.status_code == 400, address
        assert "at most 3 frames" in answer.json()["error"]
    assert (await client.get(path_of(stored, "rendered"), headers=RELATED)).status_code == 406
    assert (await client.get(path_of(stored, "frames/2-4"))).status_code == 200


def annotation(data: list[float], kind: str = "POLYLINE", **more: Any) -> list[Dataset]:
    graphic = item(
        GraphicAnnotationUnits="PIXEL", GraphicData=data, GraphicType=kind, GraphicFilled="N", **more
    )
    return [item(GraphicLayer="ONE", GraphicObjectSequence=[graphic])]


async def drawn(box: Box, client: httpx.AsyncClient, annotations: list[Dataset]) -> httpx.Response:
    one = await put(box, part10(image(np.zeros((64, 64), "<u2"), study=STUDY)))
    stored = await put(box, state(one.instance_uid, GraphicAnnotationSequence=annotations))
    return await client.get(path_of(stored, "rendered"), headers={"accept": "image/png"})


async def test_a_line_that_leads_far_away_is_drawn_as_far_as_it_is_seen(
    box: Box, client: httpx.AsyncClient
) -> None:
    began = time.monotonic()

    answer = await drawn(box, client, annotation([0.0, 32.5, 1e9, 32.5, 1e9, 1e9, 2e9, -1e9]))

    levels = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (levels[32] == 255).all()
    assert not levels[:32].any()
    assert not levels[33:].any()
    assert time.monotonic() - began < 30  # by its length it would be for ever


@pytest.mark.parametrize("kind", ["POINT", "CIRCLE", "ELLIPSE", "INTERPOLATED", "POLYLINE"])
async def test_graphics_without_measure_do_no_harm(box: Box, client: httpx.AsyncClient, kind: str) -> None:
    answer = await drawn(box, client, annotation([0.0, 0.0, 3e38, 3e38, -3e38, 3e38, 0.0, 0.0], kind))

    assert answer.status_code == 200


async def test_a_state_that_draws_too_much_is_refused(box: Box, client: httpx.AsyncClient) -> None:
    lines = annotation([1.0, 2.0] * 8_000) * 13
    text = item(AnchorPoint=[1.0, 1.0], AnchorPointAnnotationUnits="PIXEL")
    text.add_new(0x00700006, "UT", "A" * 10_001)

    for annotations in (lines, [item(GraphicLayer="ONE", TextObjectSequence=[text])]):
        answer = await drawn(box, client, annotations)
        assert answer.status_code == 406
        assert "draws more than" in answer.json()["error"]


async def test_a_state_too_large_to_be_read_whole_is_not_applied_in_part(
    box: Box, client: httpx.AsyncClient
) -> None:
    answer = await drawn(box, client, annotation([1.0, 2.0] * 8_000) * 80)

    assert answer.status_code == 406
    assert "too large" in answer.json()["error"]


def with_palette(first: float) -> Dataset:
    ds = image(RAMP.astype("u1"), PhotometricInterpretation="PALETTE COLOR")
    for place in range(3):
        ds.add_new(0x00281101 + place, "FD", [256, first, 8])
        ds.add_new(0x00281201 + place, "OW", bytes(512))
    return ds


def with_overlay_bit(bit: int) -> Dataset:
    ds = image(RAMP.astype("u1"))
    overlay(ds, 0x6000, np.ones((64, 64), bool))
    del ds[0x60003000]
    ds[0x60000102].value = bit
    return ds


def with_shutter() -> Dataset:
    ds = image(ShutterShape="CIRCULAR")
    ds.add_new(0x00181610, "FD", [1e300, 1e300])
    ds.add_new(0x00181612, "FD", 1e300)
    return ds


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (with_palette(1e300), 200),
        (with_palette(-1e18), 200),
        (with_overlay_bit(300), 200),
        (with_shutter(), 200),
        (image(BitsAllocated=7, BitsStored=7, HighBit=6), 406),
        (image(BitsAllocated=12, BitsStored=12, HighBit=11), 406),
        (image(SamplesPerPixel=2, Rows=32), 406),
        (image(SamplesPerPixel=0), 406),
        (image(ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=[1, 2] * 10_001), 406),
    ],
    ids=[
        "palette",
        "palette below",
        "overlay",
        "shutter",
        "7 bits",
        "12 bits",
        "2 samples",
        "none",
        "corners",
    ],
)
async def test_attributes_that_cannot_be_meant_are_passed_over_or_refused(
    box: Box, client: httpx.AsyncClient, made: Dataset, status: int
) -> None:
    stored = await put(box, part10(made))

    answer = await client.get(path_of(stored, "rendered"))
    thumbnail = await client.get(path_of(stored, "thumbnail"))

    assert answer.status_code == status, answer.text
    assert thumbnail.status_code == 200


async def given_up(asking: Any) -> None:
    first = asyncio.ensure_future(asking)
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_who_asks_right_after_all_others_have_left_is_answered(box: Box) -> None:
    async def slow() -> bytes:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)  # giving up takes a moment, too
        return b""

    async def quick() -> bytes:
        return b"picture"

    renderings = Renderings(box)
    await given_up(renderings.get("one", slow, costly="no"))

    assert await renderings.get("one", quick, costly="no") == b"picture"
    await asyncio.sleep(0.1)
    assert await renderings.get("one", slow, costly="no") == b"picture"


async def test_who_asks_for_a_film_right_after_all_others_have_left_is_answered(box: Box) -> None:
    async def slow(path: Any) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)

    async def quick(path: Any) -> None:
        path.write_bytes(b"film")

    films = Films(box)
    await given_up(films.get("films-00/one.film", slow))

    assert (await films.get("films-00/one.film", quick)).size == 4


async def test_one_damaged_image_does_not_keep_its_study_from_being_shown(
    box: Box, client: httpx.AsyncClient
) -> None:
    short = image(study=STUDY, InstanceNumber=1)
    short.PixelData = short.PixelData[:100]
    await put(box, part10(short))
    whole: Stored = await put(box, part10(image(study=STUDY, InstanceNumber=2)))

    answer = await client.get(f"/studies/{whole.study_uid}/rendered", headers=RELATED)

    assert answer.status_code == 200
    assert len(parts_of(answer)) == 2


async def test_a_frame_that_cannot_be_decoded_is_no_failure_of_the_server(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, encapsulated([b"\xff\xd8nothing."], np.zeros((4, 4), "u1"), JPEGBaseline8Bit))

    for address in ("bulkdata", "pixeldata", "bulkdata/7FE00010", "frames/1", "frames/1/rendered"):
        assert (await client.get(path_of(stored, address))).status_code == 406, address


@pytest.mark.parametrize("syntax", [ENCAPSULATED_UNCOMPRESSED, ExplicitVRLittleEndian])
async def test_a_frame_shorter_than_its_instance_says_is_no_failure_of_the_server(
    box: Box, client: httpx.AsyncClient, syntax: str
) -> None:
    if syntax == ExplicitVRLittleEndian:
        ds = image()
        ds.PixelData = ds.PixelData[:100]
        stored, tried = await put(box, part10(ds)), ["frames/1?accept=image/jls"]
    else:
        stored = await put(box, encapsulated([b"short."], np.zeros((4, 4), "u1"), syntax))
        tried = ["frames/1", "frames/1?accept=image/jls", "bulkdata", "pixeldata", "bulkdata/7FE00010"]

    for address in tried:
        answer = await client.get(path_of(stored, address))
        assert answer.status_code == 406, address
        assert "a frame" in answer.json()["error"]


async def test_a_report_is_written_once_for_all_who_ask_at_the_same_time(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    nothing = dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated"))
    stored = await put(box, part10(make_dataset(Modality="SR", **nothing)))

    def write(json: bytes, form: str) -> bytes:
        written.append(json)
        time.sleep(0.2)
        return b"words"

    monkeypatch.setattr("dicomweb_box.archive.documents._write", write)
    answers = await asyncio.gather(*(client.get(path_of(stored, "rendered")) for _ in range(10)))

    assert [answer.content for answer in answers] == [b"words"] * 10
    assert len(written) == 1
