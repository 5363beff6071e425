"""Multi-frame instances as moving pictures, and videos, over HTTP."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from dicomweb_box.archive.films import Films
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.errors import OutOfResources
from tests.builders import make_dataset, part10
from tests.dicomweb.retrieving import client_of, path_of, put
from tests.waiting import turned

CHROME_IMG = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX_VIDEO = "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5"


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def cine(frames: int = 4, **attributes: object) -> bytes:
    """Frames of 32×24 of one grey each, 50 greys apart, shown as they are."""
    cells = np.repeat(np.arange(frames, dtype=np.uint8) * 50, 32 * 24)
    said: dict[str, object] = {
        "FrameTime": "40", "WindowCenter": "128", "WindowWidth": "256", "PixelData": cells.tobytes(),
    }  # fmt: skip
    ds = make_dataset(
        Rows=32, Columns=24, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=frames,
        **(said | attributes),
    )  # fmt: skip
    return part10(ds)


def shown(response: httpx.Response) -> list[tuple[float, int, tuple[int, int]]]:
    """The grey, milliseconds and size of each frame of an animated picture."""
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as picture:
        found = []
        for number in range(picture.n_frames):
            picture.seek(number)
            picture.load()
            grey = float(np.asarray(picture.convert("L")).mean())
            found.append((grey, picture.info["duration"], picture.size))
        return found


@pytest.mark.dicom("PS3.18 8.7.4")
@pytest.mark.parametrize(("kind", "signature"), [("image/gif", b"GIF89a"), ("image/webp", b"RIFF")])
async def test_a_multi_frame_instance_moves_at_its_own_speed(
    box: Box, client: httpx.AsyncClient, kind: str, signature: bytes
) -> None:
    stored = await put(box, cine())

    response = await client.get(path_of(stored, "rendered"), headers={"accept": kind})
    by_parameter = await client.get(
        path_of(stored, "rendered"), params={"accept": kind}, headers={"accept": CHROME_IMG}
    )
    cut = await client.get(path_of(stored, "rendered"), headers={"accept": kind, "range": "bytes=0-3"})

    assert response.headers["content-type"] == kind
    assert response.content.startswith(signature)
    assert [(round(grey / 10), lasting) for grey, lasting, _ in shown(response)] == [
        (0, 40), (5, 40), (10, 40), (15, 40),
    ]  # fmt: skip
    assert by_parameter.content == response.content
    assert (cut.status_code, cut.content) == (206, response.content[:4])


async def test_a_film_takes_the_view_of_its_frames(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, cine())
    ask = path_of(stored, "rendered")

    small = await client.get(ask, params={"accept": "image/gif", "viewport": "12,16"})
    dark = await client.get(ask, params={"accept": "image/gif", "window": "100,2"})
    coarse = await client.get(ask, params={"accept": "image/webp", "quality": "1"})
    fine = await client.get(ask, params={"accept": "image/webp", "quality": "100"})

    assert {size for *_, size in shown(small)} == {(12, 16)}
    assert [round(grey) for grey, *_ in shown(dark)] == [0, 0, 255, 255]
    assert len({small.headers["etag"], dark.headers["etag"], fine.headers["etag"]}) == 3
    assert coarse.content != fine.content


async def test_a_film_is_streamed_with_ranges_and_begins_with_its_index(
    box: Box, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    stored = await put(box, cine(6, RecommendedDisplayFrameRate="50"))

    whole = await client.get(path_of(stored, "rendered"), headers={"accept": FIREFOX_VIDEO})
    middle = await client.get(
        path_of(stored, "rendered"), params={"accept": "video/mp4"}, headers={"range": "bytes=100-199"}
    )

    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    assert (middle.status_code, middle.content) == (206, whole.content[100:200])
    assert whole.content[4:8] == b"ftyp"
    assert whole.content.index(b"moov") < whole.content.index(b"mdat")
    path = tmp_path / "film.mp4"
    path.write_bytes(whole.content)
    with av.open(str(path)) as film:
        greys = [picture.to_ndarray(format="gray").mean() for picture in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 50
    assert greys == pytest.approx([n * 50 for n in range(6)], abs=2)


@pytest.mark.parametrize("accept", [CHROME_IMG, "*/*", "image/*", "image/jpeg, image/gif", "image/png"])
async def test_who_takes_a_still_picture_is_given_one(
    box: Box, client: httpx.AsyncClient, accept: str
) -> None:
    stored = await put(box, cine())

    response = await client.get(path_of(stored, "rendered"), headers={"accept": accept})

    assert response.headers["content-type"] in ("image/jpeg", "image/png")


async def test_one_frame_of_a_film_is_a_still_picture(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, cine())

    gif = await client.get(path_of(stored, "frames", "3", "rendered"), headers={"accept": "image/gif"})
    video = await client.get(path_of(stored, "frames", "3", "rendered"), headers={"accept": "video/mp4"})

    with Image.open(io.BytesIO(gif.content)) as picture:
        assert np.asarray(picture.convert("L")).mean() == 100
    assert video.status_code == 406


async def test_a_film_with_a_frame_that_is_lost_is_refused(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, cine(4, PixelData=bytes(32 * 24 * 2)))

    response = await client.get(path_of(stored, "rendered"), headers={"accept": "image/gif"})

    assert response.status_code == 406
    assert "not every frame can be shown" in response.json()["error"]
    assert not list(box.cache.glob("films-*/*"))


async def test_equal_asks_make_one_film_which_ends_when_all_have_left(box: Box) -> None:
    films = box.resource(Films, Films)
    made: list[Path] = []
    going = asyncio.Event()

    async def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"film")
        await going.wait()

    askers = [asyncio.create_task(films.get("films-00/a.film", make)) for _ in range(3)]
    await turned(lambda: made)
    await asyncio.sleep(0.05)
    for asker in askers[:2]:
        asker.cancel()
    going.set()
    found = await askers[2]
    again = await films.get("films-00/a.film", make)

    assert len(made) == 1
    assert found.path.read_bytes() == b"film"
    assert again == found
    assert not made[0].exists()

    going.clear()
    left = asyncio.create_task(films.get("films-00/b.film", make))
    await turned(lambda: len(made) == 2)
    left.cancel()
    await turned(lambda: not made[1].exists())

    assert len(made) == 2
    assert not (box.cache / "films-00/b.film").exists()


async def test_too_many_films_are_refused(box: Box) -> None:
    films = box.resource(Films, Films)
    going = asyncio.Event()

    async def make(path: Path) -> None:
        path.write_bytes(b"film")
        await going.wait()

    askers = [asyncio.create_task(films.get(f"films-00/{n}.film", make)) for n in range(16)]
    await asyncio.sleep(0.05)

    with pytest.raises(OutOfResources):
        await films.get("films-00/more.film", make)
    going.set()
    await asyncio.gather(*askers)


async def video(box: Box, shared_data: Path) -> Stored:
    return await put(box, (shared_data / "synthetic/video_h264.dcm").read_bytes())


async def test_a_stored_video_comes_as_it_lies(
    box: Box, client: httpx.AsyncClient, shared_data: Path
) -> None:
    stored = await video(box, shared_data)

    whole = await client.get(path_of(stored, "rendered"), params={"accept": "video/mp4"})
    cut = await client.get(path_of(stored, "rendered"), headers={"accept": "*/*", "range": "bytes=4-7"})

    assert whole.headers["content-type"] == "video/mp4"
    assert whole.content[4:8] == b"ftyp"
    assert (cut.status_code, cut.content) == (206, b"ftyp")


@pytest.mark.row(89)
async def test_the_thumbnail_of_a_video_is_its_first_picture(
    box: Box, client: httpx.AsyncClient, shared_data: Path, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    stored = await video(box, shared_data)
    film = await client.get(path_of(stored, "rendered"))
    path = tmp_path / "film.mp4"
    path.write_bytes(film.content)

    thumbnail = await client.get(path_of(stored, "thumbnail"), headers={"accept": "image/png"})

    with av.open(str(path)) as opened:
        first = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    with Image.open(io.BytesIO(thumbnail.content)) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(float)
        assert max(picture.size) == 256
    assert shown.mean(axis=(0, 1)) == pytest.approx(first.mean(axis=(0, 1)), abs=6)


async def test_a_video_that_cannot_be_decoded_has_an_icon(
    box: Box, client: httpx.AsyncClient, shared_data: Path
) -> None:
    data = (shared_data / "synthetic/video_h264.dcm").read_bytes()
    begin = data.index(b"ftyp") + 100
    stored = await put(box, data[:begin] + bytes(len(data) - begin - 8) + data[-8:])

    thumbnail = await client.get(path_of(stored, "thumbnail"))

    assert thumbnail.status_code == 200
    assert thumbnail.headers["content-type"] == "image/jpeg"


async def test_more_frames_than_a_film_may_have_are_not_made_one(box: Box, client: httpx.AsyncClient) -> None:
    many = make_dataset(
        Rows=1, Columns=1, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=10_001,
        PixelData=bytes(10_002),
    )  # fmt: skip
    stored = await put(box, part10(many))

    film = await client.get(path_of(stored, "rendered"), headers={"Accept": "image/gif"})
    frame = await client.get(path_of(stored, "frames", "10001", "rendered"), headers={"Accept": "image/gif"})

    assert (film.status_code, frame.status_code) == (406, 200)
    assert "10000 frames" in film.json()["error"]
