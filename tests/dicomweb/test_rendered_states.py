"""Presentation states: what is rendered of the images that they refer to."""

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from tests.builders import make_dataset, part10
from tests.dicomweb.rendering import RAMP, are, exact, image, item, levels, overlay
from tests.dicomweb.retrieving import client_of, parts_of, path_of, put

STUDY = "2.25.77"
GREY_STATE, PSEUDO_COLOUR_STATE = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.3"
RELATED = {"accept": 'multipart/related; type="image/png"'}


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def state(
    *refer_to: str, sop_class: str = GREY_STATE, frames: list[int] | None = None, **attributes: Any
) -> bytes:
    """A presentation state of the instances of these UIDs."""
    nothing = dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated"))
    given = {"SpecificCharacterSet": "ISO_IR 192", "PresentationLUTShape": "IDENTITY", **attributes}
    ds = make_dataset(study=STUDY, SOPClassUID=sop_class, Modality="PR", **nothing, **given)
    references = []
    for uid in refer_to:
        reference = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=uid)
        if frames:
            reference.ReferencedFrameNumber = frames
        references.append(reference)
    series = item(SeriesInstanceUID="2.25.78", ReferencedImageSequence=references)
    ds.ReferencedSeriesSequence = [series]
    return part10(ds)


def window(low: float, high: float) -> Dataset:
    return item(WindowCenter=(low + high) / 2, WindowWidth=high - low, VOILUTFunction="LINEAR_EXACT")


def area(first: list[int], last: list[int]) -> list[Dataset]:
    return [item(DisplayedAreaTopLeftHandCorner=first, DisplayedAreaBottomRightHandCorner=last,
                 PresentationSizeMode="SCALE TO FIT")]  # fmt: skip


async def grey(box: Box, cells: np.ndarray = RAMP, **attributes: Any) -> Stored:
    return await put(box, part10(image(cells, study=STUDY, **attributes)))


@pytest.mark.dicom("PS3.18 10.4.1.1.3")
@pytest.mark.dicom("PS3.4 N.2")
async def test_its_own_transformations_are_applied_and_not_those_of_the_image(
    box: Box, client: httpx.AsyncClient
) -> None:
    one = await grey(box, RescaleSlope=5, RescaleIntercept=7, WindowCenter=1, WindowWidth=2)
    rescaled = state(one.instance_uid, RescaleSlope=2, RescaleIntercept=-100, RescaleType="US",
                     SoftcopyVOILUTSequence=[window(0, 4000)])  # fmt: skip
    bare = state(one.instance_uid)
    inverse = state(
        one.instance_uid, SoftcopyVOILUTSequence=[window(0, 4000)], PresentationLUTShape="INVERSE"
    )

    assert are(await levels(client, await put(box, rescaled)), exact(RAMP * 2.0 - 100, 0, 4000))
    assert are(await levels(client, await put(box, bare)), exact(RAMP.astype(float), 0, 65535))
    assert are(await levels(client, await put(box, inverse)), 255 - exact(RAMP.astype(float), 0, 4000))


async def test_the_parameters_of_a_request_come_after_the_state(box: Box, client: httpx.AsyncClient) -> None:
    one = await grey(box)
    stored = await put(box, state(one.instance_uid, SoftcopyVOILUTSequence=[window(0, 9)]))

    got = await levels(client, stored, window="1000,2000,linear-exact", viewport="32,32,0,0,32,32")

    assert are(got, exact(RAMP[:32, :32].astype(float), 0, 2000))


@pytest.mark.dicom("PS3.3 C.10.6")
@pytest.mark.parametrize(
    ("rotation", "flip", "turned"),
    [
        (0, "N", lambda cells: cells),
        (90, "N", lambda cells: np.rot90(cells, -1)),
        (180, "N", lambda cells: np.rot90(cells, 2)),
        (270, "N", lambda cells: np.rot90(cells, 1)),
        (0, "Y", lambda cells: cells[:, ::-1]),
        (90, "Y", lambda cells: np.rot90(cells, -1)[:, ::-1]),
    ],
)
async def test_an_image_is_turned_clockwise_then_mirrored(
    box: Box, client: httpx.AsyncClient, rotation: int, flip: str, turned: Any
) -> None:
    cells = RAMP[:32]
    one = await grey(box, cells)
    given = {"ImageRotation": rotation, "ImageHorizontalFlip": flip}
    stored = await put(box, state(one.instance_uid, SoftcopyVOILUTSequence=[window(0, 2048)], **given))

    assert are(await levels(client, stored), exact(turned(cells).astype(float), 0, 2048))


@pytest.mark.dicom("PS3.3 C.10.4")
@pytest.mark.parametrize(
    ("first", "last", "rows", "columns"),
    [([11, 21], [30, 60], slice(20, 60), slice(10, 30)), ([64, 64], [33, 1], slice(0, 64), slice(32, 64))],
)
async def test_the_displayed_area_is_what_is_shown(
    box: Box, client: httpx.AsyncClient, first: list[int], last: list[int], rows: slice, columns: slice
) -> None:
    one = await grey(box)
    voi = [window(0, 4096)]
    data = state(
        one.instance_uid, SoftcopyVOILUTSequence=voi, DisplayedAreaSelectionSequence=area(first, last)
    )

    got = await levels(client, await put(box, data))

    assert are(got, exact(RAMP[rows, columns].astype(float), 0, 4096))


async def test_an_area_beyond_the_image_is_black_around_it(box: Box, client: httpx.AsyncClient) -> None:
    one = await grey(box, np.full((10, 10), 255, "u1"))
    data = state(one.instance_uid, DisplayedAreaSelectionSequence=area([-4, 1], [15, 12]))

    got = await levels(client, await put(box, data))

    assert got.shape == (12, 20)
    assert (got[:10, 5:15] == 255).all()
    assert got.sum() == 255 * 100


def graphic(kind: str, points: list[float], *, units: str = "PIXEL", filled: str = "N") -> Dataset:
    return item(GraphicAnnotationUnits=units, GraphicDimensions=2, NumberOfGraphicPoints=len(points) // 2,
                GraphicData=points, GraphicType=kind, GraphicFilled=filled)  # fmt: skip


def drawn_on(
    layer: str, *, texts: list[Dataset] | None = None, graphics: list[Dataset] | None = None
) -> Dataset:
    made = item(GraphicLayer=layer)
    if texts:
        made.TextObjectSequence = texts
    if graphics:
        made.GraphicObjectSequence = graphics
    return made


LAYER = item(GraphicLayer="ONE", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=0xFFFF)
FAINT = item(GraphicLayer="ONE", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=0x8000)


async def marked(
    box: Box, client: httpx.AsyncClient, drawn: Dataset, layer: Dataset = LAYER, **given: Any
) -> np.ndarray:
    """Levels of a black frame of 100×100 with what is drawn on it."""
    one = await grey(box, np.zeros((100, 100), "u1"))
    parameters = given.pop("parameters", {})
    data = state(one.instance_uid, GraphicAnnotationSequence=[drawn], GraphicLayerSequence=[layer], **given)
    return await levels(client, await put(box, data), **parameters)


@pytest.mark.dicom("PS3.3 C.10.5")
@pytest.mark.parametrize(
    ("kind", "points", "on", "off"),
    [
        ("POLYLINE", [10.5, 20.5, 80.5, 20.5], [(20, 10), (20, 50), (20, 80)], [(22, 50), (20, 85)]),
        ("CIRCLE", [50.5, 50.5, 80.5, 50.5], [(50, 80), (50, 20), (20, 50), (80, 50)], [(50, 50), (50, 85)]),
        (
            "ELLIPSE",
            [20.5, 50.5, 80.5, 50.5, 50.5, 40.5, 50.5, 60.5],
            [(50, 20), (50, 80), (40, 50), (60, 50)],
            [(50, 50)],
        ),
        ("INTERPOLATED", [10.5, 50.5, 50.5, 30.5, 90.5, 50.5], [(50, 10), (30, 50), (50, 90)], [(50, 50)]),
        ("POINT", [30.5, 40.5], [(40, 30)], [(40, 35)]),
    ],
)
async def test_graphics_are_drawn_where_their_points_are(
    box: Box, client: httpx.AsyncClient, kind: str, points: list[float], on: list[Any], off: list[Any]
) -> None:
    got = await marked(box, client, drawn_on("ONE", graphics=[graphic(kind, points)]), FAINT)

    for row, column in on:
        assert got[row - 1 : row + 2, column - 1 : column + 2].max() == 0x80, (row, column)
    assert [int(got[place]) for place in off] == [0] * len(off)


async def test_points_of_the_displayed_area_and_filled_shapes(box: Box, client: httpx.AsyncClient) -> None:
    square = graphic("POLYLINE", [0.5, 0.5, 1, 0.5, 1, 1, 0.5, 1, 0.5, 0.5], units="DISPLAY", filled="Y")

    got = await marked(box, client, drawn_on("ONE", graphics=[square]))

    assert (got[52:98, 52:98] == 255).all()
    assert got[:48].max() == 0


async def test_graphics_follow_a_turned_and_scaled_image(box: Box, client: httpx.AsyncClient) -> None:
    line = graphic("POLYLINE", [10.5, 20.5, 80.5, 20.5])

    turned = {"ImageRotation": 90, "ImageHorizontalFlip": "N"}
    drawn = drawn_on("ONE", graphics=[line])
    got = await marked(box, client, drawn, parameters={"viewport": "200,200"}, **turned)

    assert got.shape == (200, 200)
    # Row 20 lies 20 columns from the right edge once turned.
    assert got[60, 157:162].max() == 255
    assert got[:, :150].max() == 0


async def test_texts_are_written_in_their_box_and_beside_their_anchor(
    box: Box, client: httpx.AsyncClient
) -> None:
    boxed = item(UnformattedTextValue="LINE\r\nTWO", BoundingBoxAnnotationUnits="PIXEL",
                 BoundingBoxTopLeftHandCorner=[10.0, 10.0], BoundingBoxBottomRightHandCorner=[60.0, 40.0],
                 BoundingBoxTextHorizontalJustification="LEFT")  # fmt: skip
    anchored = item(UnformattedTextValue="山", AnchorPoint=[0.5, 0.8], AnchorPointAnnotationUnits="DISPLAY",
                    AnchorPointVisibility="Y")  # fmt: skip

    got = await marked(box, client, drawn_on("ONE", texts=[boxed, anchored]))

    assert got[10:42, 10:70].max() > 200
    assert got[68:82, 48:70].max() > 200
    assert got[85:].max() == 0
    assert got[:8].max() == 0


async def test_only_what_is_for_the_frame_is_applied(box: Box, client: httpx.AsyncClient) -> None:
    one, other = await grey(box), await grey(box)
    mine = window(0, 4096)
    mine.ReferencedImageSequence = [item(ReferencedSOPInstanceUID=other.instance_uid)]
    data = state(one.instance_uid, other.instance_uid, SoftcopyVOILUTSequence=[mine, window(0, 100)])
    stored = await put(box, data)

    first, second = (
        await levels(client, stored),
        parts_of(await client.get(path_of(stored, "rendered"), headers=RELATED)),
    )

    assert are(first, exact(RAMP.astype(float), 0, 100))
    assert len(second) == 2
    assert second[0][1] != second[1][1]


async def test_only_the_frames_referred_to_are_rendered(box: Box, client: httpx.AsyncClient) -> None:
    many = await grey(box, np.stack([RAMP, RAMP // 2, RAMP // 4]))
    stored = await put(box, state(many.instance_uid, frames=[3, 1], SoftcopyVOILUTSequence=[window(0, 4096)]))

    parts = parts_of(await client.get(path_of(stored, "rendered"), headers=RELATED))

    assert len(parts) == 2
    assert are(await levels(client, stored), exact((RAMP // 4).astype(float), 0, 4096))


async def test_images_that_are_not_here_are_said_to_be_missing(box: Box, client: httpx.AsyncClient) -> None:
    one = await grey(box)
    some = await put(box, state(one.instance_uid, "2.25.404"))
    none = await put(box, state("2.25.404"))

    partial = await client.get(path_of(some, "rendered"), headers=RELATED)
    missing = await client.get(path_of(none, "rendered"))
    thumbnail = await client.get(path_of(none, "thumbnail"))

    assert partial.status_code == 206
    assert "not here" in partial.headers["warning"]
    assert len(parts_of(partial)) == 1
    assert missing.status_code == 404
    assert thumbnail.status_code == 200


async def test_an_overlay_is_drawn_where_the_state_activates_it(box: Box, client: httpx.AsyncClient) -> None:
    ds = image(np.zeros((8, 8), "u1"), study=STUDY)
    for group in (0x6000, 0x6002):
        overlay(ds, group, np.tile(np.arange(8) == (group - 0x6000) // 2, (8, 1)))
    one = await put(box, part10(ds))
    data = state(one.instance_uid, GraphicLayerSequence=[FAINT])
    active = make_active(data)

    got = await levels(client, await put(box, active))
    none = await levels(client, await put(box, data))

    assert (got[:, 1] == 0x80).all()
    assert np.delete(got, 1, axis=1).max() == 0
    assert none.max() == 0


def make_active(data: bytes) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "2.25.990"
    ds.add_new((0x6002, 0x1001), "CS", "ONE")
    return part10(ds)


async def test_a_state_in_pseudo_colour_colours_a_grey_image(box: Box, client: httpx.AsyncClient) -> None:
    one = await grey(box)
    red, other = np.arange(256, dtype="<u2") * 257, np.zeros(256, "<u2")
    palette: dict[str, Any] = {}
    for name, entries in (("Red", red), ("Green", other), ("Blue", other)):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    data = state(
        one.instance_uid, sop_class=PSEUDO_COLOUR_STATE, SoftcopyVOILUTSequence=[window(0, 4096)], **palette
    )

    got = await levels(client, await put(box, data))

    assert are(got[..., 0], exact(RAMP.astype(float), 0, 4096))
    assert got[..., 1:].max() == 0
