"""Pixels: each frame as it should be, by a calculation of our own from the standard."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset

from conformance.conftest import shared_data
from conformance.pixel_files import BUNDLED, Picture, each, native, pictures, rendered, store
from conformance.rendering_cells import Array, cells_of, count, served
from conformance.rendering_reference import NEAREST, Expected, Window, expected, modality
from conformance.server import started

pytestmark = [pytest.mark.xdist_group("pixels"), pytest.mark.filterwarnings("ignore::UserWarning")]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A server that holds every picture."""

    http: httpx.Client
    pictures: list[Picture] = field(repr=False)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A server of its own, every image file stored once under a SOP Instance UID of its own."""
    folder = tmp_path_factory.mktemp("pixels") / "data"
    made = pictures([folder for folder in (shared_data(), BUNDLED) if folder.is_dir()])
    with started(folder) as server, httpx.Client(base_url=server.dicomweb, timeout=60) as http:
        assert store(http, made) == []
        yield Archive(http=http, pictures=made)


def sampled(dataset: Dataset) -> list[int]:
    """The first, a middle and the last frame."""
    frames = count(dataset)
    return sorted({1, (frames + 1) // 2, frames})


def off(got: Array, wanted: Expected) -> str:
    """How a picture differs from what is expected of it; empty where it does not."""
    assert wanted.levels is not None
    if got.shape != wanted.levels.shape:
        return f"has the shape {got.shape}, not {wanted.levels.shape}"
    apart = np.abs(got.astype(float) - wanted.levels)
    if apart.max() <= wanted.within:
        return ""
    at = tuple(int(n) for n in np.unravel_index(apart.argmax(), apart.shape))
    return f"{(apart > wanted.within).mean():.1%} wrong; at {at} {got[at]}, not {wanted.levels[at]:.2f}"


@pytest.mark.row(80, 87)
def test_each_file_is_rendered_as_its_own_window_says(archive: Archive):
    def wrong(one: Picture) -> str:
        for number in sampled(one.dataset):
            wanted = expected(one.dataset, number)
            if wanted.levels is not None and (line := off(rendered(archive.http, one.frame(number)), wanted)):
                return f"frame {number} {line}"
        return ""

    assert each(archive.pictures, wrong) == []


@pytest.mark.dicom("PS3.18 8.3.5.1.4")
@pytest.mark.row(80, 83)
def test_each_file_is_rendered_through_the_window_that_is_asked_for(archive: Archive):
    def wrong(one: Picture) -> str:
        values = expected(one.dataset, 1).values
        if values.ndim == 3 or one.dataset.PhotometricInterpretation == "PALETTE COLOR":
            return ""
        window = narrowed(values, one.name)
        said = f"{window.center!r},{window.width!r},{window.function.lower().replace('_', '-')}"
        return off(rendered(archive.http, one.frame(1), window=said), expected(one.dataset, 1, window))

    assert each(archive.pictures, wrong) == []


@pytest.mark.row(80, 87)
def test_each_file_without_a_window_is_shown_from_its_darkest_to_its_brightest(archive: Archive):
    def wrong(one: Picture) -> str:
        for number in sampled(one.dataset):
            wanted = expected(one.dataset, number)
            if wanted.levels is None and (
                line := dull(rendered(archive.http, one.frame(number)), wanted, one.dataset)
            ):
                return f"frame {number} {line}"
        return ""

    assert each(archive.pictures, wrong) == []


@pytest.mark.row(48, 69, 78)
def test_each_native_frame_of_each_file_has_the_stored_values(archive: Archive):
    def wrong(one: Picture) -> str:
        for number in sampled(one.dataset):
            if line := other(native(archive.http, one.frame(number)), one, number):
                return f"frame {number} {line}"
        return ""

    assert each(archive.pictures, wrong) == []


def narrowed(values: Array, name: str) -> Window:
    """A window that cuts both ends of the values, its function one for each name."""
    low, high = float(values.min()), float(values.max())
    functions = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
    width = max(round((high - low) / 2, 3), 1.5)
    return Window(center=round((low + high) / 2, 3), width=width, function=functions[len(name) % 3])


def dull(got: Array, wanted: Expected, dataset: Dataset) -> str:
    """What is bad about a picture that nothing says the window of.

    Of up to eight unsigned bits what can be stored goes from black to white, of others what is stored, but
    for at most half a percent of the pixels at either end. Padding is black, and left out.
    """
    values, levels = wanted.values[~wanted.padding], got[~wanted.padding].astype(float)
    if got[wanted.padding].any():
        return "shows its padding"
    if values.size == 0 or values.min() == values.max():
        return ""
    levels = 255 - levels if wanted.inverse else levels
    if (np.diff(levels[np.argsort(values, kind="stable")]) < 0).any():
        return "is not monotone"
    if dataset.get("BitsStored", 32) <= 8 and not dataset.PixelRepresentation:
        top = modality(np.array([0, 2**dataset.BitsStored - 1]), dataset, 1)
        wrong = np.abs(levels - (values - top[0]) / (top[1] - top[0]) * 255).max()
        return "" if wrong <= NEAREST else f"is off by {wrong} levels"
    low, high = np.quantile(values, (0.005, 0.995))
    inner = (values > low) & (values < high)
    if (levels.min(), levels.max()) != (0, 255):
        return f"goes from {levels.min()} to {levels.max()}"
    # One line between the ends: a window of the function LINEAR_EXACT.
    if np.unique(values[inner]).size > 20:
        apart = np.abs(levels - np.clip((values - low) / (high - low), 0, 1) * 255).max()
        return "" if apart <= 3 else f"is off by {apart:.1f} levels"
    return ""


def other(data: bytes, one: Picture, number: int) -> str:
    """How the cells of a native frame differ from the stored values; empty where they do not."""
    wanted, got = cells_of(one.dataset, number), served(data, one.dataset)
    if (got.values.shape, got.photometric) != (wanted.values.shape, wanted.photometric):
        return f"is {got.values.shape} {got.photometric}, not {wanted.values.shape} {wanted.photometric}"
    apart = np.abs(got.values.astype(float) - wanted.values)
    within = (3 if wanted.values.ndim == 3 else 1) if wanted.lossy else 0
    if not apart.size or apart.max() <= within:
        return ""
    return f"{(apart > within).mean():.1%} of the cells differ, by up to {apart.max()}"
