"""The viewer's page without its script, and what its script is told."""

import html
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydicom.dataset import Dataset

from conformance.shown_objects import shown
from dicomweb_box.accounts.access import ANONYMOUS, SYSTEM, Scope
from dicomweb_box.archive import stacks
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.builders import make_instance, new_uid, pieces
from tests.web.pages import Page, assert_well_made


async def put(box: Box, data: bytes) -> Stored:
    received = await receive(box, pieces(data))
    outcome = await store(box, received, source="test", actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome


async def keep(box: Box, **attributes: Any) -> Stored:
    return await put(box, make_instance(**attributes))


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> Page:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    page = Page(answer.text)
    assert_well_made(page)
    return page


async def told(client: httpx.AsyncClient, study_uid: str, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/studies/{study_uid}/viewer.json{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def links(page: Page) -> dict[str, str]:
    return {link.text.strip(): html.unescape(link.attributes["href"]) for link in page.elements["a"]}


def picture(page: Page) -> str:
    return next(one.attributes["src"] for one in page.elements["img"] if one.attributes.get("id") == "frame")


async def series_of_three(box: Box) -> tuple[str, str, list[str]]:
    study, series = new_uid(), new_uid()
    stored = [
        await keep(
            box, study=study, series=series, InstanceNumber=number, WindowCenter="40", WindowWidth="80"
        )
        for number in (3, 1, 2)
    ]
    return study, series, [stored[1].instance_uid, stored[2].instance_uid, stored[0].instance_uid]


async def test_the_viewer_shows_the_first_frame_and_the_ways_on(box: Box, client: httpx.AsyncClient) -> None:
    study, series, instances = await series_of_three(box)

    page = await read(client, f"/studies/{study}/viewer")

    assert picture(page) == (
        f"/dicom-web/studies/{study}/series/{series}/instances/{instances[0]}/frames/1/rendered"
    )
    assert (await client.get(picture(page), headers={"Accept": "image/*"})).status_code == 200
    following = parse_qs(urlsplit(links(page)["Next frame"]).query)
    assert following == {"series": [series], "instance": [instances[1]], "frame": ["1"]}
    assert "Previous frame" not in links(page)
    assert "Not for diagnostic use" in page.one("main").text


async def test_following_next_walks_through_the_series_in_the_order_of_numbers(
    box: Box, client: httpx.AsyncClient
) -> None:
    study, _, instances = await series_of_three(box)
    seen, address = [], f"/studies/{study}/viewer?window=50,60"

    while True:
        page = await read(client, address)
        seen.append(picture(page))
        if "Next frame" not in links(page):
            break
        address = links(page)["Next frame"]

    assert [one.split("/")[7] for one in seen] == instances
    assert all(one.endswith("?window=50,60") for one in seen)


async def test_the_page_does_not_tell_of_the_patient_where_a_browser_keeps_it(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await keep(box, PatientName="Doe^Jane", PatientID="SECRET-1", StudyDescription="Telling")

    page = await read(client, f"/studies/{stored.study_uid}/viewer")

    assert page.one("title").text == "Viewer · dicomweb_box"
    assert page.one("h1").text == "Doe, Jane"
    assert not any("SECRET" in address or "Doe" in address for address in page.addresses())
    assert (await client.get(f"/studies/{stored.study_uid}/viewer")).headers["cache-control"] == "no-store"


async def test_the_form_leads_to_the_address_with_its_window(box: Box, client: httpx.AsyncClient) -> None:
    study, series, instances = await series_of_three(box)
    at = f"series={series}&instance={instances[1]}&frame=1"

    answer = await client.get(f"/studies/{study}/viewer?{at}&center=-600&width=1500.5&function=sigmoid")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/studies/{study}/viewer?{at}&window=-600,1500.5,sigmoid"
    page = await read(client, answer.headers["location"])
    typed = {one.attributes["name"]: one.attributes.get("value") for one in page.elements["input"]}
    assert (typed["center"], typed["width"]) == ("-600", "1500.5")
    assert picture(page).endswith("?window=-600,1500.5,sigmoid")


async def test_an_empty_form_shows_the_frame_as_it_is_stored(box: Box, client: httpx.AsyncClient) -> None:
    study, *_ = await series_of_three(box)

    answer = await client.get(f"/studies/{study}/viewer?center=&width=&function=linear")

    assert answer.status_code == 303
    assert "window" not in answer.headers["location"]


@pytest.mark.parametrize("query", ["center=forty&width=80", "center=40&width=", "window=40", "window=40,0"])
async def test_a_window_that_is_none_is_said_beside_its_fields(
    box: Box, client: httpx.AsyncClient, query: str
) -> None:
    study, *_ = await series_of_three(box)

    page = await read(client, f"/studies/{study}/viewer?{query}", 422)

    assert "window " in next(one.text for one in page.elements["p"] if one.attributes.get("id") == "wrong")
    invalid = [one.attributes["name"] for one in page.elements["input"] if "aria-invalid" in one.attributes]
    assert invalid == ["center", "width"]
    assert picture(page)


async def test_presets_are_the_objects_own_and_those_of_its_modality(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await keep(
        box,
        WindowCenter=["30", "500"],
        WindowWidth=["300", "2000"],
        WindowCenterWidthExplanation=["ABDOMEN", "BONES"],
    )

    page = await read(client, f"/studies/{stored.study_uid}/viewer")

    found = {name: parse_qs(urlsplit(link).query).get("window") for name, link in links(page).items()}
    assert found["ABDOMEN"] == ["30,300"]
    assert found["BONES"] == ["500,2000"]
    assert found["Lung"] == ["-600,1500"]
    assert found["As stored"] is None


async def test_an_mr_is_offered_no_window_of_hounsfield_units(box: Box, client: httpx.AsyncClient) -> None:
    stored = await keep(box, Modality="MR")

    page = await read(client, f"/studies/{stored.study_uid}/viewer")

    assert "Lung" not in links(page)
    assert "Automatic" in links(page)


async def test_automatic_is_the_window_that_fits_the_frame(box: Box, client: httpx.AsyncClient) -> None:
    values = b"".join(value.to_bytes(2, "little") for value in (0, *[500] * 7, *[900] * 7, 1000))
    stored = await keep(
        box, PixelData=values, RescaleSlope=1, RescaleIntercept=-100, WindowCenter="1", WindowWidth="2"
    )

    answer = await client.get(f"/studies/{stored.study_uid}/viewer?window=automatic")
    twin = await client.get(f"/studies/{stored.study_uid}/viewer/window.json")

    assert answer.headers["location"].endswith("&window=400,1000,linear-exact")
    assert twin.json() == {"window": {"center": 400.0, "width": 1000.0, "function": "linear-exact"}}


async def test_colours_have_no_window(box: Box, client: httpx.AsyncClient) -> None:
    stored = await keep(
        box,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes(48),
    )

    page = await read(client, f"/studies/{stored.study_uid}/viewer")

    assert [one.attributes["name"] for one in page.elements["input"]] == ["series", "instance", "frame"]
    twin = await client.get(f"/studies/{stored.study_uid}/viewer/window.json")
    assert twin.json() == {"window": None}


@pytest.mark.parametrize("query", ["series=1.2.3", "instance=1.2.3"])
async def test_what_is_not_there_is_not_found(box: Box, client: httpx.AsyncClient, query: str) -> None:
    study, *_ = await series_of_three(box)

    assert (await client.get(f"/studies/{study}/viewer?{query}")).status_code == 404
    assert (await client.get("/studies/1.2.3/viewer")).status_code == 404


@pytest.mark.parametrize("frame", ["0", "2", "x", "-1", "99999999999"])
async def test_a_frame_that_is_not_there_is_refused(box: Box, client: httpx.AsyncClient, frame: str) -> None:
    study, *_ = await series_of_three(box)

    answer = await client.get(f"/studies/{study}/viewer?frame={frame}")

    assert answer.status_code == 400
    assert "Frame is a whole number from 1 to 1" in answer.text


async def test_what_an_actor_may_not_see_is_not_there(box: Box) -> None:
    study, series, _ = await series_of_three(box)
    nothing = Scope(sources=frozenset({"elsewhere"}))

    with pytest.raises(NotFound):
        await stacks.study(box, study, scope=nothing, actor=ANONYMOUS)
    await stacks.stack(box, study, series, scope=Scope(), actor=ANONYMOUS)
    with pytest.raises(NotFound):
        await stacks.stack(box, study, series, scope=nothing, actor=ANONYMOUS)


async def test_the_twin_tells_each_instance_of_the_series(box: Box, client: httpx.AsyncClient) -> None:
    study, series, instances = await series_of_three(box)

    found = await told(client, study, f"?instance={instances[2]}&window=1,2")

    assert [one["uid"] for one in found["stack"]["instances"]] == instances
    assert found["series"] == [
        {"uid": series, "number": 1, "modality": "CT", "description": "Axial", "instance_count": 3}
    ]
    assert found["shown"] == {
        "series": series,
        "instance": instances[2],
        "frame": 1,
        "window": {"center": 1.0, "width": 2.0, "function": "linear"},
    }
    assert found["study"]["name"] == "Doe, Jane"


async def test_a_stack_follows_what_is_stored_later(box: Box, client: httpx.AsyncClient) -> None:
    study, series, _ = await series_of_three(box)
    await told(client, study)

    later = await keep(box, study=study, series=series, InstanceNumber=9)

    found = await told(client, study)
    assert found["stack"]["instances"][-1]["uid"] == later.instance_uid


@pytest.mark.parametrize(
    ("attributes", "plane", "spacing"),
    [
        ({"PixelSpacing": ["0.5", "0.25"]}, "patient", (0.5, 0.25)),
        ({"Modality": "DX", "ImagerPixelSpacing": ["0.2", "0.2"]}, "detector", (0.2, 0.2)),
        (
            {"Modality": "DX", "ImagerPixelSpacing": ["0.2", "0.2"], "PixelSpacing": ["0.2", "0.2"]},
            "detector",
            (0.2, 0.2),
        ),
        (
            {"Modality": "DX", "ImagerPixelSpacing": ["0.2", "0.2"], "PixelSpacing": ["0.15", "0.15"]},
            "calibrated",
            (0.15, 0.15),
        ),
        (
            {
                "Modality": "MG",
                "ImagerPixelSpacing": ["0.2", "0.2"],
                "EstimatedRadiographicMagnificationFactor": "1.25",
            },
            "estimated",
            (0.16, 0.16),
        ),
        ({"Modality": "CR", "PixelSpacing": ["0.2", "0.2"]}, "projection", (0.2, 0.2)),
        ({"Modality": "OT", "NominalScannedPixelSpacing": ["0.1", "0.1"]}, "film", (0.1, 0.1)),
    ],
)
@pytest.mark.dicom("PS3.3 10.7.1.3")
async def test_it_tells_how_large_a_pixel_is_and_where_that_holds(
    box: Box,
    client: httpx.AsyncClient,
    attributes: dict[str, Any],
    plane: str,
    spacing: tuple[float, float],
) -> None:
    stored = await keep(box, **attributes)

    (one,) = (await told(client, stored.study_uid))["stack"]["instances"]

    assert one["spacing"]["plane"] == plane
    assert (one["spacing"]["between_rows"], one["spacing"]["between_columns"]) == pytest.approx(spacing)


@pytest.mark.parametrize("pixel_spacing", [["0", "0"], ["-1", "1"], ["0.5"], None])
async def test_a_spacing_that_is_none_is_not_told(
    box: Box, client: httpx.AsyncClient, pixel_spacing: list[str] | None
) -> None:
    stored = await keep(box, **({"PixelSpacing": pixel_spacing} if pixel_spacing else {}))

    (one,) = (await told(client, stored.study_uid))["stack"]["instances"]

    assert "spacing" not in one


async def test_each_kind_of_object_is_shown_in_its_own_way(box: Box, client: httpx.AsyncClient) -> None:
    made = shown()
    for one in made.values():
        await put(box, one.data)
    study = made["image"].dataset.StudyInstanceUID

    async def page(name: str) -> Page:
        return await read(client, f"/studies/{study}/viewer?series={made[name].dataset.SeriesInstanceUID}")

    (document,) = (await page("pdf")).elements["iframe"]
    assert document.attributes["src"].endswith("/rendered")
    assert "sandbox" not in document.attributes
    for name in ("report", "cda"):
        (frame,) = (await page(name)).elements["iframe"]
        assert "sandbox" in frame.attributes
    (film,) = (await page("video")).elements["video"]
    assert (await client.get(film.attributes["src"], headers={"Range": "bytes=0-3"})).status_code == 206
    cine = await page("cine")
    assert cine.one("main").text.count("frame 1 of 6")
    assert "Next frame" in links(cine)


async def test_what_has_no_pixels_says_so_and_leads_to_its_attributes(
    box: Box, client: httpx.AsyncClient
) -> None:
    pixels = ("Rows", "Columns", "PixelData")
    stored = await keep(box, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5", **dict.fromkeys(pixels))

    page = await read(client, f"/studies/{stored.study_uid}/viewer")

    assert "no pixels" in page.one("main").text
    assert (await client.get(links(page)["Its attributes"])).status_code == 200


async def test_the_speed_of_a_cine_is_told(box: Box, client: httpx.AsyncClient) -> None:
    made = shown()["cine"]
    await put(box, made.data)

    found = await told(client, made.dataset.StudyInstanceUID)

    (one,) = found["stack"]["instances"]
    assert (one["frames"], one["milliseconds"]) == (6, [40.0])


async def test_the_study_page_leads_to_the_viewer(box: Box, client: httpx.AsyncClient) -> None:
    study, series, _ = await series_of_three(box)

    page = await read(client, f"/studies/{study}")

    assert links(page)["View"] == f"/studies/{study}/viewer"
    assert f"/studies/{study}/viewer?series={series}" in page.addresses()


@pytest.mark.dicom("PS3.3 C.8.5.5")
async def test_the_regions_of_an_ultrasound_are_told_where_they_are_lengths(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await keep(box, Modality="US", SequenceOfUltrasoundRegions=[region(3), region(4)])

    (one,) = (await told(client, stored.study_uid))["stack"]["instances"]

    (found,) = one["regions"]
    assert (found["left"], found["bottom"]) == (1, 3)
    assert (found["between_rows"], found["between_columns"]) == pytest.approx((0.2, 0.1))
    assert "spacing" not in one


def region(unit: int) -> Dataset:
    """A region whose horizontal axis has this unit (3: centimetres; 4: seconds)."""
    made = Dataset()
    made.RegionLocationMinX0, made.RegionLocationMinY0 = 1, 0
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = 3, 3
    made.PhysicalUnitsXDirection, made.PhysicalUnitsYDirection = unit, 3
    made.PhysicalDeltaX, made.PhysicalDeltaY = 0.01, 0.02
    return made


@pytest.mark.dicom("PS3.3 C.7.6.16")
async def test_each_frame_of_an_enhanced_object_has_its_own_place(
    box: Box, client: httpx.AsyncClient
) -> None:
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = ["0.7", "0.6"]
    orientation.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    stored = await keep(
        box,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        NumberOfFrames=2,
        PixelData=bytes(64),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[at_height("0"), at_height("5")],
    )

    (one,) = (await told(client, stored.study_uid))["stack"]["instances"]

    assert [place["position"][2] for place in one["places"]] == [0, 5]
    assert one["places"][1]["orientation"] == [1, 0, 0, 0, 1, 0]
    assert (one["spacing"]["between_rows"], one["spacing"]["plane"]) == (0.7, "patient")


def at_height(z: str) -> Dataset:
    """Functional groups of a frame so high."""
    groups, position = Dataset(), Dataset()
    position.ImagePositionPatient = ["0", "0", z]
    groups.PlanePositionSequence = [position]
    return groups


async def test_frames_that_are_said_beyond_measure_are_not_listed_one_by_one(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await keep(box, NumberOfFrames=2_000_000_000, FrameTime="40")

    found = await told(client, stored.study_uid)

    assert found["stack"]["instances"][0]["milliseconds"] == [40.0]
