"""Every real object at hand, and each kind of colour, decoded as pydicom decodes it."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from dicomweb_box.dicom import pixels
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged
from tests.dicom import lent_codecs

lent_codecs.lend()
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
MOST_FRAMES = 3


def image_of(ds: Dataset) -> Image:
    return Image(
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        rows=ds.Rows,
        columns=ds.Columns,
        samples=ds.get("SamplesPerPixel", 1),
        bits_allocated=ds.BitsAllocated,
        bits_stored=ds.get("BitsStored", ds.BitsAllocated),
        signed=ds.get("PixelRepresentation", 0) == 1,
        photometric=ds.get("PhotometricInterpretation", ""),
        planar=ds.get("PlanarConfiguration", 0),
        high_bit=ds.get("HighBit"),
    )


def compressed(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ds = pydicom.dcmread(path)
        except Exception:  # noqa: BLE001  (what is no DICOM is no concern of this test)
            continue
        syntax = str(ds.get("file_meta", Dataset()).get("TransferSyntaxUID", ""))
        if "PixelData" in ds and pixels.decodable(syntax):
            yield path, ds


def differing(folder: Path) -> tuple[int, list[str]]:
    """How many frames were compared, and those that are not what pydicom says."""
    compared, wrong = 0, []
    for path, ds in compressed(folder):
        image, count = image_of(ds), int(ds.get("NumberOfFrames", 1) or 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = list(generate_frames(ds.PixelData, number_of_frames=count))[:MOST_FRAMES]
            for number, frame in enumerate(frames):
                wanted, found = by_pydicom(ds, number), by_us(image, frame)
                compared += 1
                if isinstance(wanted, str):
                    continue  # what pydicom has no codec for, the matrix of generated frames covers
                if isinstance(found, str) or not np.array_equal(wanted, found):
                    wrong.append(f"{path.name} frame {number + 1}: {described(wanted, found)}")
    return compared, wrong


def described(wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any] | str) -> str:
    if isinstance(found, str):
        return found
    if wanted.shape != found.shape:
        return f"{found.shape} where {wanted.shape} is right"
    return f"differs by up to {np.abs(wanted.astype(float) - found.astype(float)).max()}"


def by_pydicom(ds: Dataset, number: int) -> np.ndarray[Any, Any] | str:
    try:
        return pixel_array(ds, index=number)
    except Exception as error:  # noqa: BLE001  (pydicom raises whatever it likes)
        return type(error).__name__


def by_us(image: Image, frame: bytes) -> np.ndarray[Any, Any] | str:
    try:
        return pixels.samples(image, pixels.decode(image, frame))
    except Damaged as error:
        return f"Damaged: {error}"


@pytest.mark.dicom("PS3.5 8.2")
def test_each_compressed_object_that_pydicom_ships_is_decoded_alike() -> None:
    compared, wrong = differing(SHIPPED)

    assert compared > 40
    assert wrong == []


@pytest.mark.dicom("PS3.5 8.2")
def test_each_compressed_shared_object_is_decoded_alike(shared_data: Path) -> None:
    compared, wrong = differing(shared_data)

    assert compared > 60
    assert wrong == []


COLOURS = [
    ("RGB", {"colorspace": "RGB", "outcolorspace": "RGB"}, "Adobe says RGB"),
    ("YBR_FULL_422", {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422"}, "JFIF says YBR"),
    ("YBR_FULL", {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "444"}, "JFIF says YBR"),
    ("YBR_FULL_422", {"colorspace": "RGB", "outcolorspace": "RGB"}, "wrongly labelled: Adobe says RGB"),
    ("RGB", {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "444"}, "wrongly: JFIF says YBR"),
]
SMOOTH = np.stack(np.meshgrid(np.linspace(0, 255, 48), np.linspace(20, 200, 32)) * 2, axis=-1)[
    ..., :3
].astype(np.uint8)


def colour_image(syntax: str, photometric: str, **more: Any) -> Image:
    given: dict[str, Any] = {
        "transfer_syntax_uid": syntax,
        "rows": SMOOTH.shape[0],
        "columns": SMOOTH.shape[1],
        "samples": 3,
        "bits_allocated": 8,
        "bits_stored": 8,
        "signed": False,
        "photometric": photometric,
        "planar": 0,
        "high_bit": 7,
    }
    return Image(**(given | more))


@pytest.mark.dicom("PS3.5 8.2.1")
@pytest.mark.parametrize(("photometric", "how", "says"), COLOURS, ids=[f"{a}: {c}" for a, _, c in COLOURS])
def test_a_jpeg_is_made_rgb_once_whatever_its_label_says(
    photometric: str, how: dict[str, str], says: str
) -> None:
    frame = bytes(imagecodecs.jpeg8_encode(SMOOTH, level=98, **how))
    image = colour_image("1.2.840.10008.1.2.4.50", photometric)

    found = pixels.samples(image, pixels.decode(image, frame))

    assert np.abs(found.astype(int) - SMOOTH).max() <= 6
    assert image.decoded_photometric == "RGB"


@pytest.mark.dicom("PS3.5 8.2.4")
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"])
@pytest.mark.parametrize(("photometric", "transformed"), [("YBR_RCT", True), ("RGB", False), ("RGB", True)])
def test_the_component_transform_of_jpeg_2000_is_undone_once(
    syntax: str, photometric: str, transformed: bool
) -> None:
    if syntax.endswith("201"):
        frame = imagecodecs.htj2k_encode(SMOOTH, rgb=transformed, reversible=True)
    else:
        frame = imagecodecs.jpeg2k_encode(
            SMOOTH, level=0, codecformat="J2K", reversible=True, mct=transformed
        )
    image = colour_image(syntax, photometric)

    assert np.array_equal(pixels.samples(image, pixels.decode(image, bytes(frame))), SMOOTH)


def test_a_frame_of_jpeg_2000_is_the_same_by_however_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = np.random.default_rng(3).normal(2000, 300, (300, 260)).astype("<u2")
    frame = bytes(imagecodecs.jpeg2k_encode(cells, level=0, codecformat="J2K", reversible=True))
    image = Image(
        transfer_syntax_uid="1.2.840.10008.1.2.4.90", rows=300, columns=260, samples=1, bits_allocated=16,
        bits_stored=16, signed=False, photometric="MONOCHROME2", planar=0,
    )  # fmt: skip
    middle = len(frame) // 2
    spoilt = frame[:middle] + bytes([frame[middle] ^ 4]) + frame[middle + 1 :]
    found = []
    for processors in (1, 2, 8):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, count=processors: set(range(count)))
        found.append((pixels.decode(image, frame), pixels.decode(image, spoilt)))

    assert found[0][0] == cells.tobytes() != found[0][1]
    assert found == [found[0]] * 3


@pytest.mark.dicom("PS3.5 G")
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_in_rle_is_made_rgb_where_it_was_not(photometric: str) -> None:
    from rle.rle import encode_frame

    height, width, _ = SMOOTH.shape
    frame = bytes(encode_frame(SMOOTH.tobytes(), height, width, 3, 8, "<"))
    image = colour_image("1.2.840.10008.1.2.5", photometric)

    found = pixels.samples(image, pixels.decode(image, frame))

    if photometric == "RGB":
        assert np.array_equal(found, SMOOTH)
    else:
        assert np.array_equal(found, pydicom.pixels.convert_color_space(SMOOTH, "YBR_FULL", "RGB"))


@pytest.mark.dicom("PS3.5 A.4.2")
@pytest.mark.parametrize("bits", [8, 12])
def test_extended_jpeg_is_decoded_with_its_own_precision(bits: int) -> None:
    cells = (SMOOTH[..., 0].astype(np.uint16) << (bits - 8)).astype(np.uint8 if bits == 8 else np.uint16)
    frame = bytes(imagecodecs.jpeg8_encode(cells, level=98, bitspersample=bits))
    image = colour_image(
        "1.2.840.10008.1.2.4.51",
        "MONOCHROME2",
        samples=1,
        bits_allocated=8 if bits == 8 else 16,
        bits_stored=bits,
        high_bit=bits - 1,
    )

    found = pixels.samples(image, pixels.decode(image, frame))

    assert np.abs(found.astype(int) - cells).max() <= 2 << (bits - 8)


@pytest.mark.dicom("PS3.5 A.4.3")
def test_near_lossless_jpeg_ls_differs_by_no_more_than_it_may() -> None:
    frame = bytes(imagecodecs.jpegls_encode(SMOOTH[..., 0].copy(), level=2))
    image = colour_image("1.2.840.10008.1.2.4.81", "MONOCHROME2", samples=1)

    found = pixels.samples(image, pixels.decode(image, frame))

    assert 0 < np.abs(found.astype(int) - SMOOTH[..., 0]).max() <= 2


@pytest.mark.parametrize(
    "syntax",
    sorted({*pixels.COMPRESSED} - {"1.2.840.10008.1.2.5"}),
)
def test_a_frame_of_another_codec_is_damaged(syntax: str) -> None:
    image = colour_image(syntax, "RGB")

    with pytest.raises(Damaged):
        pixels.decode(image, b"GIF89a" + bytes(100))
