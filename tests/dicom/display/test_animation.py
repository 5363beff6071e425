"""Animated pictures and films, read back by decoders that are not ours."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dicomweb_box.dicom.display.animation import GifWriter, WebpWriter
from dicomweb_box.dicom.display.cine import starts
from dicomweb_box.dicom.display.video import HEAD, Mp4Writer, can_encode, container, frame_of
from dicomweb_box.errors import Damaged

SIZES = [(64, 48), (65, 47), (1, 1), (2, 300)]
LASTING = [33.3, 33.3, 50.0, 33.3, 100.0]


def frames(rows: int, columns: int, *, colour: bool, count: int = 5) -> Iterator[Any]:
    """A slope of greys that moves, or the same in colours."""
    for number in range(count):
        grey = ((np.add.outer(np.arange(rows), np.arange(columns)) + number * 40) % 256).astype(np.uint8)
        yield np.stack([grey, 255 - grey, grey // 2], -1) if colour else grey


def write(writer: Any, pictures: Iterator[Any], lasting: list[float] = LASTING) -> None:
    begun = starts(lasting)
    for number, cells in enumerate(pictures):
        writer.add(Image.fromarray(cells), begun[number], begun[number + 1])
    writer.close()


def rgb(cells: Any) -> Any:
    whole = cells if cells.ndim == 3 else np.stack([cells] * 3, -1)
    return whole.astype(int)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_a_gif_shows_each_frame_as_it_is_for_its_time(rows: int, columns: int, colour: bool) -> None:
    file = io.BytesIO()

    write(GifWriter(file), frames(rows, columns, colour=colour))

    with Image.open(file) as shown:
        assert (shown.n_frames, shown.size) == (5, (columns, rows))
        assert shown.info["loop"] == 0
        durations = []
        for number, cells in enumerate(frames(rows, columns, colour=colour)):
            shown.seek(number)
            durations.append(shown.info["duration"])
            assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - rgb(cells)).max() == 0
    # Hundredths of seconds, without a sum of roundings: 0, 33.3, 66.6, 116.6, 149.9, 249.9 ms
    assert durations == [30, 40, 50, 30, 100]


def test_a_gif_keeps_many_colours_nearly_and_never_shows_a_frame_too_briefly() -> None:
    rng = np.random.default_rng(3)
    cells = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    cells[:32] += rng.integers(0, 3, (32, 64, 3)).astype(np.uint8) * (cells[:32] < 250)
    file = io.BytesIO()

    write(GifWriter(file), iter([cells, cells]), [4.0, 4.0])

    with Image.open(file) as shown:
        assert shown.info["duration"] == 20
        assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - cells).mean() < 12


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_a_webp_shows_each_frame_for_its_time(rows: int, columns: int, colour: bool) -> None:
    file = io.BytesIO()

    write(WebpWriter(file, 90), frames(rows, columns, colour=colour))

    assert int.from_bytes(file.getvalue()[4:8], "little") == len(file.getvalue()) - 8
    with Image.open(file) as shown:
        assert (shown.n_frames, shown.size) == (5, (columns, rows))
        durations = []
        for number, cells in enumerate(frames(rows, columns, colour=colour)):
            shown.seek(number)
            shown.load()
            durations.append(shown.info["duration"])
            assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - rgb(cells)).mean() < 6
    assert durations == [33, 34, 50, 33, 100]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_a_film_plays_each_frame_for_its_time(tmp_path: Path, rows: int, columns: int, colour: bool) -> None:
    av = pytest.importorskip("av")
    assert can_encode()
    path = tmp_path / "film.mp4"

    write(Mp4Writer(path, 90, 20.0), frames(rows, columns, colour=colour))

    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")  # it plays before it is loaded
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(0.2499, abs=0.002)
        times = []
        for picture, cells in zip(film.decode(video=0), frames(rows, columns, colour=colour), strict=True):
            times.append(picture.time)
            shown = picture.to_ndarray(format="rgb24")[:rows, :columns].astype(int)
            assert np.abs(shown - rgb(cells)).mean() < (30 if colour and rows < 3 else 8)
    assert times == pytest.approx([0, 0.0333, 0.0666, 0.1166, 0.1499], abs=0.0002)


def test_a_lower_quality_makes_a_smaller_film(tmp_path: Path) -> None:
    pytest.importorskip("av")
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (96, 96)).astype(np.uint8) for _ in range(3)]
    sizes = []

    for quality in (100, 90, 50, 1):
        path = tmp_path / f"{quality}.mp4"
        write(Mp4Writer(path, quality, 10.0), iter(noise), [100.0] * 3)
        sizes.append(path.stat().st_size)

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


def test_a_picture_of_a_stored_video_is_had_by_its_number(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    write(Mp4Writer(path, 100, 20.0), frames(64, 48, colour=True))

    with path.open("rb") as stored:
        third = frame_of(stored, 3)

    wanted = rgb(list(frames(64, 48, colour=True))[2])
    assert np.abs(np.asarray(third).astype(int) - wanted).mean() < 8


@pytest.mark.parametrize("number", [6, 1])
def test_a_video_without_such_a_picture_is_damaged(tmp_path: Path, number: int) -> None:
    pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    write(Mp4Writer(path, 100, 20.0), frames(64, 48, colour=True))
    data = path.read_bytes() if number == 6 else b"no video at all" * 40

    with pytest.raises(Damaged):
        frame_of(io.BytesIO(data), number)


def test_a_film_can_be_given_up_at_any_frame(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for written in (0, 1, 3):
        writer = Mp4Writer(tmp_path / f"{written}.mp4", 90, 10.0)
        for number, cells in enumerate(frames(32, 32, colour=False, count=written)):
            writer.add(Image.fromarray(cells), number * 100, number * 100 + 100)
        writer.abandon()


def test_a_transport_stream_is_not_taken_for_an_mp4_file() -> None:
    packet = b"\x47" + bytes(187)

    assert container((packet * 3)[:HEAD]) == "video/mp2t"
    assert container(b"\0\0\0\x18ftypmp42" + bytes(200)) == "video/mp4"
