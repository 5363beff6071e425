"""Rendered frames, over HTTP."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect, Request

from dicomweb_box.archive.renderings import Renderings
from dicomweb_box.box import Box
from dicomweb_box.dicomweb.gone import unless_gone
from dicomweb_box.errors import OutOfResources
from tests.builders import make_dataset, part10
from tests.dicomweb.pixel_objects import cells, multi_frame
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def ct(**attributes: object) -> tuple[bytes, np.ndarray]:
    """A CT instance of 64×48 with negative values, and its values in Hounsfield units."""
    stored = np.arange(64 * 48, dtype=np.int16).reshape(64, 48) - 1200
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -24, "PixelRepresentation": 1}
    ds = make_dataset(Rows=64, Columns=48, PixelData=stored.tobytes(), **rescale, **attributes)
    return part10(ds), stored.astype(float) - 24


def levels_of(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.dicom("PS3.18 8.3.5.1.4")
async def test_a_window_is_right_to_the_grey_level_where_values_are_negative(
    box: Box, client: httpx.AsyncClient
) -> None:
    data, units = ct()
    stored = await put(box, data)

    response = await client.get(
        path_of(stored, "rendered"), params={"window": "40,400,linear"}, headers={"accept": "image/png"}
    )

    expected = np.clip(((units - 39.5) / 399 + 0.5) * 255, 0, 255)
    assert response.headers["content-type"] == "image/png"
    assert (levels_of(response) == np.rint(expected)).all()


async def test_a_jpeg_is_what_is_given_where_nothing_is_asked(box: Box, client: httpx.AsyncClient) -> None:
    data, _ = ct(WindowCenter=40, WindowWidth=400)
    stored = await put(box, data)

    first = await client.get(path_of(stored, "rendered"))
    again = await client.get(path_of(stored, "rendered"), headers={"if-none-match": first.headers["etag"]})

    assert first.headers["content-type"] == "image/jpeg"
    assert levels_of(first).shape == (64, 48)
    assert again.status_code == 304
    assert (await client.get(path_of(stored, "rendered"))).content == first.content


@pytest.mark.dicom("PS3.18 8.3.5.1.3")
@pytest.mark.parametrize(
    ("viewport", "expected"),
    [
        ("24,64", lambda whole: (32, 24)),
        ("96,96", lambda whole: (96, 72)),
        ("12,16,0,0,12,16", lambda whole: whole[:16, :12]),
        ("12,16,4,8,12,16", lambda whole: whole[8:24, 4:16]),
        ("48,64,,,,-64", lambda whole: whole[::-1]),
        ("48,64,,,-48", lambda whole: whole[:, ::-1]),
        ("8,8,40,56,20,20", lambda whole: whole[56:, 40:]),
    ],
)
async def test_a_viewport_is_filled_without_distortion(
    box: Box, client: httpx.AsyncClient, viewport: str, expected: Callable[[np.ndarray], Any]
) -> None:
    data, _ = ct(WindowCenter=40, WindowWidth=400)
    stored = await put(box, data)
    png = {"accept": "image/png"}
    whole = levels_of(await client.get(path_of(stored, "rendered"), headers=png))

    response = await client.get(path_of(stored, "rendered"), params={"viewport": viewport}, headers=png)

    wanted = expected(whole)
    if isinstance(wanted, tuple):
        assert levels_of(response).shape == wanted
    else:
        assert (levels_of(response) == wanted).all()


@pytest.mark.parametrize(
    ("parameter", "value", "says"),
    [
        ("window", "40", "window is center,width,function"),
        ("window", "40,400,cubic", "window is center,width,function"),
        ("window", "a,400,linear", "window is center,width,function"),
        ("window", "nan,400,linear", "window is center,width,function"),
        ("window", "40,0.5,linear", "window has a width of at least 1"),
        ("window", "40,0,sigmoid", "window has a width above 0"),
        ("viewport", "100", "viewport is vw,vh"),
        ("viewport", "0,100", "viewport is vw,vh"),
        ("viewport", "10.5,100", "viewport is vw,vh"),
        ("viewport", "100,100,a", "viewport is vw,vh"),
        ("viewport", "16000,16000", "viewport has at most"),
        ("viewport", "10,10,-1", "viewport has a region"),
        ("viewport", "10,10,0,0,0,5", "viewport has a region"),
        ("viewport", "10,10,60,0", "viewport has a region outside"),
        ("quality", "0", "quality is a whole number from 1 to 100"),
        ("quality", "101", "quality is a whole number from 1 to 100"),
        ("quality", "90.5", "quality is a whole number from 1 to 100"),
        ("annotation", "", "annotation is a list of patient and technique"),
        ("iccprofile", "rec2020", "iccprofile is one of no, yes"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_its_name(
    box: Box, client: httpx.AsyncClient, parameter: str, value: str, says: str
) -> None:
    stored = await put(box, ct()[0])

    response = await client.get(path_of(stored, "rendered"), params={parameter: value})

    assert response.status_code == 400
    assert says in response.json()["error"]


async def test_a_parameter_that_is_not_known_is_ignored_with_a_warning(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, ct()[0])

    response = await client.get(path_of(stored, "rendered"), params={"rotation": "90"})
    annotated = await client.get(path_of(stored, "rendered"), params={"annotation": "patient,weather"})

    assert response.status_code == annotated.status_code == 200
    assert response.headers["warning"].startswith("299 ")
    assert "rotation" in response.headers["warning"]
    assert "annotation values are not supported: weather" in annotated.headers["warning"]


async def test_a_lower_quality_has_fewer_bytes(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, ct()[0])

    good = await client.get(path_of(stored, "rendered"), params={"quality": "95"})
    poor = await client.get(path_of(stored, "rendered"), params={"quality": "10"})

    assert len(poor.content) < len(good.content)


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
async def test_several_frames_come_as_parts_or_by_the_one_that_stands_for_all(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, multi_frame(cells(5)))
    related = {"accept": 'multipart/related; type="image/png"'}

    every = await client.get(path_of(stored, "rendered"), headers=related)
    chosen = await client.get(path_of(stored, "frames", "5,2", "rendered"), headers=related)
    second = await client.get(path_of(stored, "frames", "2", "rendered"), headers={"accept": "image/png"})
    alone = await client.get(path_of(stored, "rendered"), headers={"accept": "image/png"})
    beyond = await client.get(path_of(stored, "frames", "5,9", "rendered"), headers=related)

    pictures = parts_of(every)
    assert [fields["Content-Type"] for fields, _ in pictures] == ["image/png"] * 5
    assert pictures[4][0]["Content-Location"].endswith("/frames/5/rendered")
    assert [body for _, body in parts_of(chosen)] == [pictures[4][1], pictures[1][1]]
    assert second.content == pictures[1][1]
    assert alone.content == pictures[0][1]
    assert beyond.status_code == 206
    assert len(parts_of(beyond)) == 1


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
async def test_a_study_and_a_series_come_with_all_of_their_instances(
    box: Box, client: httpx.AsyncClient
) -> None:
    first = await put(box, part10(make_dataset(study="2.25.1", series="2.25.2", InstanceNumber=1)))
    await put(box, part10(make_dataset(study="2.25.1", series="2.25.2", InstanceNumber=2)))
    await put(box, part10(make_dataset(study="2.25.1", series="2.25.3", PixelData=None, Rows=None)))

    study = await client.get("/studies/2.25.1/rendered")
    series = await client.get("/studies/2.25.1/series/2.25.2/rendered", headers={"accept": "image/jpeg"})
    pictures = await client.get("/studies/2.25.1/rendered", headers={"accept": "image/*"})
    nothing = await client.get("/studies/2.25.1/rendered", headers={"accept": "image/jp2"})

    assert [fields["Content-Type"] for fields, _ in parts_of(study)][:2] == ["image/jpeg"] * 2
    assert parts_of(study)[2][0]["Content-Type"].startswith("text/html")
    assert len(parts_of(series)) == 2
    assert parts_of(series)[0][0]["Content-Location"].endswith(f"{first.instance_uid}/rendered")
    assert pictures.status_code == 206
    assert len(parts_of(pictures)) == 2
    assert nothing.status_code == 406


@pytest.mark.dicom("PS3.18 10.4.1.1.5")
async def test_thumbnails_are_small_at_every_level(box: Box, client: httpx.AsyncClient) -> None:
    big = np.zeros((600, 300), "<u2")
    stored = await put(box, multi_frame(np.stack([big, big + 9, big])))
    levels = [path_of(stored, "frames", "2"), path_of(stored), path_of(stored).rpartition("/instances")[0]]
    levels.append(levels[-1].rpartition("/series")[0])

    sizes = [levels_of(await client.get(f"{level}/thumbnail")).shape for level in levels]
    asked = await client.get(f"{levels[1]}/thumbnail", params={"viewport": "50,20"})
    region = await client.get(f"{levels[1]}/thumbnail", params={"viewport": "50,20,1"})
    png = await client.get(f"{levels[1]}/thumbnail", headers={"accept": "image/png"})

    assert sizes == [(256, 128)] * 4
    assert levels_of(asked).shape == (20, 10)
    assert region.status_code == 400
    assert png.headers["content-type"] == "image/png"


async def test_what_has_no_pixels_has_an_icon(box: Box, client: httpx.AsyncClient) -> None:
    report = make_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", PixelData=None, Rows=None)
    plan = make_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5", PixelData=None, Rows=None)

    first, second = [await put(box, part10(one)) for one in (report, plan)]
    thumbnails = [await client.get(path_of(one, "thumbnail")) for one in (first, second)]

    assert levels_of(thumbnails[0]).shape == (256, 256)
    assert thumbnails[0].content != thumbnails[1].content


async def test_too_many_renderings_are_refused_until_there_is_room(box: Box) -> None:
    renderings, going = Renderings(box), asyncio.Event()

    async def render() -> bytes:
        await going.wait()
        return b"picture"

    most = 128 * box.settings.decode_threads
    asks = [asyncio.create_task(renderings.get(str(number), render, costly="no")) for number in range(most)]
    await asyncio.sleep(0.05)
    with pytest.raises(OutOfResources):
        await renderings.get("one more", render, costly="no")
    going.set()
    await asyncio.gather(*asks)
    assert await renderings.get("one more", render, costly="no") == b"picture"


async def test_what_was_dear_to_make_is_found_again_by_another_process(box: Box) -> None:
    async def render() -> bytes:
        return b"picture"

    async def never() -> bytes:
        raise AssertionError("it was kept")

    first, second = Renderings(box), Renderings(box)
    await first.get("ab12", render, costly="very")
    await first.close()

    assert await second.get("ab12", never, costly="very") == b"picture"


async def test_what_is_rendered_for_a_client_that_left_is_given_up(box: Box) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def receive() -> dict[str, str]:
        await begun.wait()
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "GET", "headers": []}, receive)
    with pytest.raises(ClientDisconnect):
        await unless_gone(request, work())
    await asyncio.wait_for(ended.wait(), 30)
