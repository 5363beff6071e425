"""What instances say of how they are shown: transformations, overlays, shutters, colours; over HTTP."""

import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.uid import ExplicitVRBigEndian

from dicomweb_box.box import Box
from tests.builders import part10
from tests.dicomweb.rendering import PNG, RAMP, are, colours, exact, image, item, levels, lut, overlay
from tests.dicomweb.retrieving import client_of, path_of, put

FULL = {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"}


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


@pytest.mark.dicom("PS3.3 C.11.1")
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ExplicitVRBigEndian])
async def test_modality_and_voi_tables_are_applied_one_after_the_other(
    box: Box, client: httpx.AsyncClient, syntax: str
) -> None:
    halved, reversed_ = np.arange(4096) // 2, 2047 - np.arange(2048)
    ds = image(ModalityLUTSequence=[lut(0, 16, halved)], VOILUTSequence=[lut(0, 11, reversed_)])
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = RAMP.astype(">u2").tobytes()
        for one in (ds.ModalityLUTSequence[0], ds.VOILUTSequence[0]):
            one[0x00283006].value = np.frombuffer(one[0x00283006].value, "<u2").astype(">u2").tobytes()

    got = await levels(client, await put(box, part10(ds, transfer_syntax=syntax)))

    assert are(got, (2047 - RAMP // 2) / 2047 * 255)


async def test_an_inverse_presentation_shape_and_monochrome1_turn_white_to_black(
    box: Box, client: httpx.AsyncClient
) -> None:
    one = image(PhotometricInterpretation="MONOCHROME1", **FULL)
    both = image(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **FULL)

    pictures = [await levels(client, await put(box, part10(ds))) for ds in (one, both)]

    for got in pictures:
        assert are(got, 255 - exact(RAMP, 0, 4095))


@pytest.mark.dicom("PS3.3 C.7.5.1.1.2")
async def test_a_range_of_padding_is_black(box: Box, client: httpx.AsyncClient) -> None:
    ds = image(PhotometricInterpretation="MONOCHROME1", **FULL)
    ds.add_new(0x00280120, "US", 100)
    ds.add_new(0x00280121, "US", 300)

    got = await levels(client, await put(box, part10(ds)))

    padding = (RAMP >= 100) & (RAMP <= 300)
    assert (got[padding] == 0).all()
    assert (got[RAMP < 100] > 240).all()


@pytest.mark.dicom("PS3.3 C.7.6.16")
async def test_each_frame_has_its_own_transformations(box: Box, client: httpx.AsyncClient) -> None:
    def groups(slope: float, low: float, high: float) -> object:
        rescale = item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")
        window = item(WindowCenter=(low + high) / 2, WindowWidth=high - low, VOILUTFunction="LINEAR_EXACT")
        return item(PixelValueTransformationSequence=[rescale], FrameVOILUTSequence=[window])

    shared = groups(1, 0, 1)
    del shared.FrameVOILUTSequence  # type: ignore[attr-defined]
    second = groups(1, 100, 200)
    del second.PixelValueTransformationSequence  # type: ignore[attr-defined]
    ds = image(np.stack([RAMP, RAMP]))
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [groups(2, 0, 4096), second]
    stored = await put(box, part10(ds))

    pictures = []
    for number in ("1", "2"):
        response = await client.get(path_of(stored, "frames", number, "rendered"), headers=PNG)
        pictures.append(np.asarray(Image.open(io.BytesIO(response.content))))

    assert are(pictures[0], exact(RAMP * 2.0, 0, 4096))
    assert are(pictures[1], exact(RAMP.astype(float), 100, 200))


async def test_a_dose_has_its_scaling_and_a_segment_its_greatest_fraction(
    box: Box, client: httpx.AsyncClient
) -> None:
    dose = image(RAMP.astype("<u4"), DoseGridScaling=0.5)
    segment = image((RAMP % 256).astype(np.uint8), SegmentationType="FRACTIONAL", MaximumFractionalValue=100)

    doses = await levels(client, await put(box, part10(dose)), window="500,1000,linear-exact")
    fractions = await levels(client, await put(box, part10(segment)))

    assert are(doses, exact(RAMP * 0.5, 0, 1000))
    assert are(fractions, exact(RAMP % 256, 0, 100))


async def test_floats_are_shown_by_their_own_range(box: Box, client: httpx.AsyncClient) -> None:
    values = (RAMP / 4095 * 3 - 1).astype("<f4")
    ds = image(values.view("<u4"), BitsAllocated=32)
    del ds.PixelData
    ds.FloatPixelData = values.tobytes()

    got = await levels(client, await put(box, part10(ds)), window="0.5,3,linear-exact")

    assert np.abs(got - (values + 1) / 3 * 255).max() <= 0.51


@pytest.mark.dicom("PS3.3 C.9.2")
async def test_overlays_are_white_where_they_lie(box: Box, client: httpx.AsyncClient) -> None:
    ds = image(**FULL)
    mask = np.zeros((10, 7), np.uint8)
    mask[2:5, 1:4] = 1
    overlay(ds, 0x6002, mask, origin=(60, -1))

    got = await levels(client, await put(box, part10(ds)))

    expected = exact(RAMP, 0, 4095)
    expected[61:64, 0:2] = 255
    assert are(got, expected)


async def test_an_overlay_of_several_frames_is_drawn_on_its_frame(
    box: Box, client: httpx.AsyncClient
) -> None:
    masks = np.zeros((2, 5, 5), np.uint8)
    masks[0, 0, 0] = masks[1, 4, 4] = 1
    ds = image(np.zeros((3, 8, 8), "u1"))
    overlay(ds, 0x6000, masks, frames=2, first=2)
    stored = await put(box, part10(ds))

    drawn = []
    for number in ("1", "2", "3"):
        response = await client.get(path_of(stored, "frames", number, "rendered"), headers=PNG)
        drawn.append(np.argwhere(np.asarray(Image.open(io.BytesIO(response.content)))).tolist())

    assert drawn == [[], [[0, 0]], [[4, 4]]]


async def test_an_overlay_in_unused_bits_is_drawn_and_is_no_value(
    box: Box, client: httpx.AsyncClient
) -> None:
    cells = RAMP.copy()
    cells[3, 5] |= 1 << 14
    ds = image(cells, BitsStored=12, HighBit=11, **FULL)
    overlay(ds, 0x6000, np.zeros((64, 64), np.uint8))
    del ds[0x6000, 0x3000]
    ds[0x6000, 0x0100].value, ds[0x6000, 0x0102].value = 16, 14

    got = await levels(client, await put(box, part10(ds)))

    expected = exact(RAMP, 0, 4095)
    expected[3, 5] = 255
    assert are(got, expected)


async def test_a_thumbnail_shows_no_overlay(box: Box, client: httpx.AsyncClient) -> None:
    ds = image(np.zeros((64, 64), "u1"))
    overlay(ds, 0x6000, np.ones((64, 64), np.uint8))
    stored = await put(box, part10(ds))

    thumbnail = await client.get(path_of(stored, "thumbnail"), headers=PNG)

    assert np.asarray(Image.open(io.BytesIO(thumbnail.content))).max() == 0
    assert (await levels(client, stored)).min() == 255


@pytest.mark.dicom("PS3.3 C.7.6.11")
async def test_shutters_hide_what_is_outside_of_each(box: Box, client: httpx.AsyncClient) -> None:
    white = np.full((40, 40), 255, "u1")
    ds = image(white, ShutterShape=["RECTANGULAR", "CIRCULAR"], ShutterLeftVerticalEdge=11,
               ShutterRightVerticalEdge=30, ShutterUpperHorizontalEdge=1, ShutterLowerHorizontalEdge=40,
               CenterOfCircularShutter=[20, 20], RadiusOfCircularShutter=15)  # fmt: skip
    polygon = image(white, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=[1, 1, 1, 40, 40, 1])
    polygon.add_new(0x00181622, "US", 0x4000)

    got = await levels(client, await put(box, part10(ds)))
    half = await levels(client, await put(box, part10(polygon)))

    rows, columns = np.mgrid[1:41, 1:41]
    seen = (columns >= 11) & (columns <= 30) & ((rows - 20) ** 2 + (columns - 20) ** 2 <= 225)
    assert (got == np.where(seen, 255, 0)).all()
    assert half[2, 2] == 255
    assert half[38, 38] == 0x40


async def test_pixels_that_are_not_square_are_shown_so_in_a_viewport(
    box: Box, client: httpx.AsyncClient
) -> None:
    ds = image(**FULL)
    ds.PixelAspectRatio = [2, 1]
    stored = await put(box, part10(ds))

    assert (await levels(client, stored)).shape == (64, 64)
    assert (await levels(client, stored, viewport="100,100")).shape == (100, 50)


@pytest.mark.dicom("PS3.18 8.3.5.1.6")
async def test_a_colour_profile_is_kept_left_out_or_applied(box: Box, client: httpx.AsyncClient) -> None:
    cells = np.full((8, 8, 3), (200, 60, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = await put(box, part10(colours(cells, ICCProfile=srgb)))

    async def asked(profile: str, accept: str = "image/png") -> Image.Image:
        response = await client.get(
            path_of(stored, "rendered"), params={"iccprofile": profile}, headers={"accept": accept}
        )
        return Image.open(io.BytesIO(response.content))

    without, own, same, wide = [await asked(one) for one in ("no", "yes", "srgb", "adobergb")]
    wider = await asked("rommrgb", "image/jpeg")

    assert "icc_profile" not in without.info
    assert own.info["icc_profile"].strip(b"\0") == srgb.strip(b"\0")
    assert np.abs(np.asarray(same).astype(int) - cells).max() <= 1
    assert "icc_profile" in wide.info
    assert "icc_profile" in wider.info
    # The same colour has other numbers in a wider space, and comes back from it.
    assert abs(int(np.asarray(wide)[0, 0, 0]) - 200) > 10
    back = ImageCms.profileToProfile(wide, io.BytesIO(wide.info["icc_profile"]), io.BytesIO(srgb))
    assert back is not None
    assert np.abs(np.asarray(back).astype(int) - cells).max() <= 3
    returned = ImageCms.profileToProfile(wider, io.BytesIO(wider.info["icc_profile"]), io.BytesIO(srgb))
    assert returned is not None
    assert np.abs(np.asarray(returned).astype(int) - cells).max() <= 6


async def test_a_profile_that_cannot_be_read_is_no_reason_to_show_nothing(
    box: Box, client: httpx.AsyncClient
) -> None:
    stored = await put(box, part10(colours(np.full((8, 8, 3), 99), ICCProfile=b"not a profile at all.")))

    assert (await levels(client, stored, iccprofile="srgb")).shape == (8, 8, 3)


@pytest.mark.dicom("PS3.18 8.3.5.1.1")
@pytest.mark.parametrize("name", ["Doe^Jane", "Müller^Jürgen", "Yamada^Tarou=山田^太郎", "=山田^太郎", ""])
async def test_annotations_are_burned_in_whatever_letters_a_name_has(
    box: Box, client: httpx.AsyncClient, name: str
) -> None:
    ds = image(np.zeros((256, 256), "u1"), SpecificCharacterSet="ISO_IR 192", PatientName=name, KVP="120")
    stored = await put(box, part10(ds))

    plain = await levels(client, stored)
    patient = await levels(client, stored, annotation="patient")
    technique = await levels(client, stored, annotation="technique")
    both = await levels(client, stored, annotation="technique,patient")

    assert plain.max() == 0
    assert patient[:128].max() > 200
    assert patient[128:].max() == 0
    assert technique[:100].max() == 0
    assert technique[128:].max() > 200
    assert (both == np.maximum(patient, technique)).all()


async def test_deep_colours_are_shown_in_eight_bits(box: Box, client: httpx.AsyncClient) -> None:
    cells = np.stack([RAMP, RAMP // 2, 4095 - RAMP], axis=-1).astype("<u2")
    ds = image(
        SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1, BitsStored=12, HighBit=11
    )
    ds.PixelData = cells.transpose(2, 0, 1).tobytes()

    got = await levels(client, await put(box, part10(ds)))

    assert (got == np.rint(cells * (255 / 4095))).all()
