"""Pixels: each frame as it should be, by a calculation of our own from the standard."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from conformance.conftest import shared_data
from conformance.pixel_files import BUNDLED, Picture, each, native, pictures, rendered, store
from conformance.pixel_matrix import FRAMES, SYNTAXES, Made, matrix
from conformance.rendering_cells import Array, Cells, cells_of, count, served
from conformance.rendering_reference import NEAREST, Expected, Window, expected, modality
from conformance.server import started

pytestmark = [pytest.mark.xdist_group("pixels"), pytest.mark.filterwarnings("ignore::UserWarning")]


# Transfer syntaxes that lose nothing, by the codestreams that they are of.
TARGETS = {
    "1.2.840.10008.1.2.1": "explicit",
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
}


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A server that holds every picture."""

    http: httpx.Client
    pictures: list[Picture] = field(repr=False)


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of its own."""
    folder = tmp_path_factory.mktemp("pixels") / "data"
    with started(folder) as server, httpx.Client(base_url=server.dicomweb, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def made(http: httpx.Client) -> dict[str, list[Made]]:
    """The matrix by transfer syntax, stored."""
    found: dict[str, list[Made]] = {}
    for one in matrix():
        found.setdefault(one.syntax, []).append(one)
    assert store(http, [one for several in found.values() for one in several]) == []
    return found


@pytest.fixture(scope="module")
def archive(http: httpx.Client) -> Archive:
    """Every image file, stored once under a SOP Instance UID of its own."""
    made = pictures([folder for folder in (shared_data(), BUNDLED) if folder.is_dir()])
    assert store(http, made) == []
    return Archive(http=http, pictures=made)


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
            got = served(native(archive.http, one.frame(number)), one.dataset)
            if line := unlike(got, cells_of(one.dataset, number)):
                return f"frame {number} {line}"
        return ""

    assert each(archive.pictures, wrong) == []


@pytest.mark.dicom("PS3.3 C.7.6.3.1")
@pytest.mark.row(78, 80, 87)
@pytest.mark.parametrize("syntax", sorted(SYNTAXES), ids=SYNTAXES.get)
def test_each_kind_of_cells_is_rendered_as_its_values_say(
    http: httpx.Client, made: dict[str, list[Made]], syntax: str
):
    def wrong(one: Made) -> str:
        for number in range(1, FRAMES + 1):
            wanted, got = expected(one.reference, number), rendered(http, one.frame(number))
            line = off(got, wanted) if wanted.levels is not None else dull(got, wanted, one.reference)
            if line:
                return f"frame {number} {line}"
        return ""

    assert each(made[syntax], wrong) == []


@pytest.mark.row(48, 52, 69, 78)
@pytest.mark.parametrize("syntax", sorted(SYNTAXES), ids=SYNTAXES.get)
def test_each_kind_of_cells_comes_back_native_with_its_values(
    http: httpx.Client, made: dict[str, list[Made]], syntax: str
):
    def wrong(one: Made) -> str:
        for number in range(1, FRAMES + 1):
            got = served(native(http, one.frame(number)), one.dataset)
            if line := unlike(got, cells_of(one.reference, number)):
                return f"frame {number} {line}"
        return ""

    assert each(made[syntax], wrong) == []


@pytest.mark.dicom("PS3.18 8.7.3.5.2")
@pytest.mark.row(50, 51)
@pytest.mark.parametrize("target", sorted(TARGETS), ids=TARGETS.get)
def test_each_kind_of_cells_keeps_its_values_in_another_transfer_syntax(
    http: httpx.Client, made: dict[str, list[Made]], target: str
):
    def wrong(one: Made) -> str:
        accept = f"application/dicom; transfer-syntax={target}"
        answer = http.get(one.path, headers={"Accept": accept})
        if answer.status_code == 406 and answer.json()["offered"]:
            refused.append(one.name)
            return ""
        assert answer.status_code == 200, answer.text
        dataset = pydicom.dcmread(io.BytesIO(answer.content))
        assert dataset.file_meta.TransferSyntaxUID == target
        for number in range(1, FRAMES + 1):
            if line := unlike(cells_of(dataset, number), cells_of(one.reference, number)):
                return f"frame {number} {line}"
        return ""

    refused: list[str] = []
    sources = [one for syntax in sorted(made) for one in made[syntax][::4]]
    assert each(sources, wrong) == []
    assert len(refused) < len(sources) / 2, refused


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


def unlike(got: Cells, wanted: Cells) -> str:
    """How cells differ from those they should be; empty where they do not.

    What was YBR is rounded once it is RGB, by rounded factors; lossy decoders differ more.
    """
    if (got.values.shape, got.photometric) != (wanted.values.shape, wanted.photometric):
        return f"is {got.values.shape} {got.photometric}, not {wanted.values.shape} {wanted.photometric}"
    colour = wanted.values.ndim == 3
    within = (3 if colour else 1) if wanted.lossy else (0.51 if colour else 0)
    apart = np.abs(got.values.astype(float) - wanted.values)
    if not apart.size or apart.max() <= within:
        return ""
    return f"{(apart > within).mean():.1%} of the cells differ, by up to {apart.max()}"
